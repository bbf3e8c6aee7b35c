//! What every part of the server shares.

use crate::auth::{Sessions, Throttle};
use crate::broker::Doorbell;
use crate::config::{Clock, ServerConfig};
use crate::device::Guard;
use crate::expiry::AHEAD_S;
use crate::metrics::Metrics;
use crate::mint::Minter;
use crate::problem::Problem;
use crate::registry::Registry;
use sanderling_store::{Change, Committed, Store};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{Mutex, Notify, watch};

/// Shared by all tasks, as an `Arc`.
pub(crate) struct App {
    pub(crate) config: ServerConfig,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) registry: Registry,
    pub(crate) minter: Minter,
    pub(crate) guard: Guard,
    pub(crate) sessions: Sessions,
    /// Operators' tokens that were wrong.
    pub(crate) throttle: Throttle,
    /// Enrolment tokens that were wrong: devices behind one address must not lock its operators out.
    pub(crate) enrolments: Throttle,
    pub(crate) doorbell: Doorbell,
    pub(crate) metrics: Metrics,
    /// What operators and the executor do is done one at a time, so that what was read still holds at the commit.
    pub(crate) operations: Arc<Mutex<()>>,
    /// Asks the executor to look now.
    pub(crate) look: Notify,
    /// Becomes true when the server is to stop.
    pub(crate) stop: watch::Receiver<bool>,
    /// The URL that devices and browsers use.
    pub(crate) url: String,
    /// Host names (with port) that browsers may call the server by.
    pub(crate) hosts: Vec<String>,
    /// The broker's address, for enrolment replies.
    pub(crate) mqtt: Option<sanderling_wire::MqttEndpoint>,
    /// The certificate authority in enrolment strings (DER).
    pub(crate) authority: Option<Vec<u8>>,
}

/// How handlers hold it.
pub(crate) type Shared = Arc<App>;

impl App {
    pub(crate) fn now(&self) -> u64 {
        self.clock().now()
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.config.clock
    }

    /// The folder of bundles.
    pub(crate) fn images(&self) -> PathBuf {
        self.config.data.join("images")
    }

    /// What of the metadata has expired or soon will, in words.
    pub(crate) fn expiring(&self) -> Vec<String> {
        let now = self.now();
        let ahead_s = if self.config.trust.demo { 0 } else { AHEAD_S };
        let expiries = self.registry.expiries();
        let warnings = expiries.iter().filter_map(|expiry| expiry.warning(now, ahead_s));
        warnings.collect()
    }

    /// Whether cookies may travel by TLS only.
    pub(crate) fn secure(&self) -> bool {
        self.url.starts_with("https://")
    }

    /// Commits changes and lets the executor look at them.
    pub(crate) async fn commit(&self, changes: Vec<Change>) -> Result<Committed, Problem> {
        let committed = self.store.commit(changes).await?;
        self.look.notify_one();
        Ok(committed)
    }

    /// Resolves when the server is to stop.
    pub(crate) async fn stopped(&self) {
        let mut stop = self.stop.clone();
        // An error means that the one who could say so is gone: stop as well.
        let _ = stop.wait_for(|&stop| stop).await;
    }
}

/// Random bytes from the operating system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Problem> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Problem::internal("drawing random numbers", &error))?;
    Ok(bytes)
}
