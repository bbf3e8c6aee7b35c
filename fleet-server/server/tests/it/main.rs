//! The server over real loopback HTTP and MQTT, with real keys, metadata and bundles.

mod api;
mod devices;
#[cfg(test)]
mod fixture;
mod mqtt;
mod page;
mod rollouts;
mod startup;
