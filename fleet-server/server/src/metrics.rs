//! What Prometheus sees. The registry is the server's own, not the process's.

use crate::app::{App, Shared};
use crate::auth::{Peer, check_bearer};
use crate::problem::Problem;
use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Server-sent event streams open at a time.
const MAX_STREAMS: usize = 256;

/// What a request is counted under.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RequestLabels {
    pub(crate) route: String,
    pub(crate) status: u16,
}

/// Counters, gauges and histograms.
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) requests: Family<RequestLabels, Counter>,
    pub(crate) check_ins: Counter,
    pub(crate) check_in_seconds: Histogram,
    pub(crate) records: Counter,
    pub(crate) minted: Counter,
    pub(crate) downloads: Counter,
    pub(crate) rings: Counter,
    pub(crate) live_rollouts: Gauge,
    pub(crate) plan_seconds: Histogram,
    pub(crate) unplanned: Counter,
    pub(crate) searches: Counter,
    devices: Gauge,
    connected: Gauge,
    ledger: Gauge,
    /// Room for event streams.
    pub(crate) streams: Arc<Semaphore>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.0005, 2.0, 14));
        let mut metrics = Self {
            registry: Registry::with_prefix("sanderling"),
            requests: Family::default(),
            check_ins: Counter::default(),
            check_in_seconds: seconds(),
            records: Counter::default(),
            minted: Counter::default(),
            downloads: Counter::default(),
            rings: Counter::default(),
            live_rollouts: Gauge::default(),
            plan_seconds: seconds(),
            unplanned: Counter::default(),
            searches: Counter::default(),
            devices: Gauge::default(),
            connected: Gauge::default(),
            ledger: Gauge::default(),
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
        };
        metrics.register();
        metrics
    }

    /// Names each metric and says what it counts.
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "http_requests",
            "Requests by route and status",
            self.requests.clone(),
        );
        registry.register("check_ins", "Check-ins committed", self.check_ins.clone());
        registry.register_with_unit(
            "check_in",
            "Time from request to committed answer",
            Unit::Seconds,
            self.check_in_seconds.clone(),
        );
        registry.register(
            "telemetry_records",
            "Telemetry records stored",
            self.records.clone(),
        );
        registry.register(
            "director_documents",
            "Director documents signed",
            self.minted.clone(),
        );
        registry.register("image_downloads", "Requests for bundles", self.downloads.clone());
        registry.register("doorbell_rings", "Doorbells rung over MQTT", self.rings.clone());
        registry.register(
            "rollouts_live",
            "Rollouts running, paused, or stopped and not rolled back yet",
            self.live_rollouts.clone(),
        );
        registry.register_with_unit(
            "planning",
            "Time to plan one rollout",
            Unit::Seconds,
            self.plan_seconds.clone(),
        );
        registry.register(
            "planning_failures",
            "Looks at a rollout that could not be planned",
            self.unplanned.clone(),
        );
        registry.register(
            "newcomer_searches",
            "Times the fleet was searched for devices that no rollout reached",
            self.searches.clone(),
        );
        registry.register("devices", "Devices in service", self.devices.clone());
        registry.register(
            "mqtt_connections",
            "Devices connected over MQTT",
            self.connected.clone(),
        );
        registry.register("ledger_entries", "Entries of the ledger", self.ledger.clone());
    }

    fn text(&self) -> Result<String, Problem> {
        let mut text = String::new();
        encode(&mut text, &self.registry).map_err(|error| Problem::internal("writing metrics", &error))?;
        Ok(text)
    }
}

/// `GET /metrics`: open to this machine, by token from elsewhere.
pub(crate) async fn show(
    State(app): State<Shared>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if !peer.0.ip().is_loopback() {
        check_bearer(&app, &headers, peer.0.ip())?;
    }
    refresh(&app).await?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], app.metrics.text()?).into_response())
}

async fn refresh(app: &App) -> Result<(), Problem> {
    let devices: u64 = app
        .store
        .fleet_counts()
        .await?
        .iter()
        .map(|count| count.devices)
        .sum();
    app.metrics
        .devices
        .set(i64::try_from(devices).unwrap_or(i64::MAX));
    app.metrics
        .connected
        .set(i64::try_from(app.doorbell.connected()).unwrap_or(i64::MAX));
    let heads = *app.store.heads().borrow();
    app.metrics
        .ledger
        .set(i64::try_from(heads.ledger).unwrap_or(i64::MAX));
    Ok(())
}
