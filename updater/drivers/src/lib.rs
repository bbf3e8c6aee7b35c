//! HTTP, MQTT and file drivers of the device agent.
//!
//! [`Host`] runs an agent on a state folder; its user implements [`ModelHost`] (what loads, tests and serves models)
//! and speaks to the running host by its [`Handle`]:
//!
//! ```text
//! let host = Host::open(Options { enrolment: Some("sdl1:…".parse()?), ..Options::new(folder, hardware, runtime) }, my_model_host)?;
//! let handle = host.handle();
//! let thread = host.spawn()?;
//! // in the serving threads:
//! handle.served(window);
//! handle.paired(outcomes);
//! // at the end:
//! handle.stop();
//! thread.join();
//! ```
//!
//! - [`FileStorage`]: slots, journal, outbox and blobs as files; one agent a folder; power-cut safe.
//! - HTTP by ureq (rustls with ring), MQTT by rumqttc behind [`Bell`], both on threads of their own.
//! - [`DeviceKey`]: the device's key, in a file that only its user reads.
//! - [`inspect`]: a look at a state folder, while its agent runs or after it was killed.
//!
//! Without the feature `net` (on by default) there is no HTTP, MQTT or [`Host`]: for hosts that are driven by an app's own
//! scheduler and network, as on phones.
//!
//! This crate drives Unix-like devices: it reads and writes files by offset and sets their modes.
#![forbid(unsafe_code)]

#[cfg(feature = "net")]
mod doorbell;
mod error;
mod files;
#[cfg(feature = "net")]
mod host;
#[cfg(feature = "net")]
mod http;
mod inspect;
mod key;
mod model;
mod report;
mod server;
mod system;

#[cfg(feature = "net")]
pub use doorbell::{Bell, BellError, BellNews, Heard, MqttBell, listen};
pub use error::DriverError;
pub use files::{FileOptions, FileStorage};
#[cfg(feature = "net")]
pub use host::{Handle, Host, Options};
pub use inspect::{OutboxView, StateView, inspect};
pub use key::DeviceKey;
#[cfg(feature = "net")]
pub use model::ModelHost;
pub use model::{ModelFile, Models};
pub use report::words;
pub use sanderling_agent::Paired;
pub use server::check_server;
pub use system::{Clock, OsEntropy, SystemClock};
