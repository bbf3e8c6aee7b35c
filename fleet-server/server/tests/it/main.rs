//! The server over real loopback HTTP and MQTT, with real keys, metadata and bundles.

#[cfg(test)]
mod api;
#[cfg(test)]
mod devices;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod models;
#[cfg(test)]
mod mqtt;
#[cfg(test)]
mod newcomers;
#[cfg(test)]
mod origins;
#[cfg(test)]
mod page;
#[cfg(test)]
mod rollouts;
#[cfg(test)]
mod startup;
