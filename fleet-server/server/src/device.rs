//! The devices' API: enrolment and check-in, each signed by the device's key.

use crate::app::{App, Shared};
use crate::auth::Peer;
use crate::problem::Problem;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use sanderling_store::{CheckInWrite, Enrolment, StoreError};
use sanderling_trust::http_sig::{Proof, Request, Unverified};
use sanderling_trust::{PublicKey, UnixTime};
use sanderling_wire::{
    CheckIn, CheckInReply, DeviceId, Digest, EnrolReply, EnrolRequest, HardwareId, Record, RecordBody,
    RuntimeInfo, ServingWindow, api,
};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Devices whose key is kept in memory; beyond, all are forgotten and read again.
const MAX_KEYS: usize = 131_072;
/// Times that a device is read while others are decommissioned, before it is told to come again.
const MAX_READS: u32 = 8;
/// Nonces kept of one device. Beyond, the time of the oldest becomes the floor under signature times.
const MAX_NONCES: usize = 32;
/// Operators that a runtime may list, several times as many as ONNX has.
const MAX_OPERATORS: usize = 1024;
/// Longest name of one, bytes.
const MAX_OPERATOR_LEN: usize = 128;
/// Answers in a window before its errors mean anything.
const MIN_ANSWERS: u64 = 20;
/// Share of answers in a window that may be errors: the health metric `errors` is failed above it.
const MAX_ERROR_SHARE: f64 = 0.05;

/// What is kept in memory of a device, to check its requests.
struct Known {
    key: Arc<PublicKey>,
    hardware: HardwareId,
    /// Check-ins signed at or before this are refused.
    floor: u64,
    /// (time, nonce) of check-ins since.
    nonces: Vec<(u64, Digest)>,
}

/// Checks who sends a request, and that it was not sent before.
#[derive(Default)]
pub(crate) struct Guard {
    known: Mutex<Keyring>,
}

/// The keys in memory.
#[derive(Default)]
struct Keyring {
    devices: HashMap<DeviceId, Known>,
    /// Counts decommissionings: what was read from the store before one may be out of date.
    forgotten: u64,
}

impl Guard {
    /// Whose a signed request is.
    pub(crate) async fn check(
        &self,
        app: &App,
        request: &Request<'_>,
        headers: &HeaderMap,
    ) -> Result<Proof, Problem> {
        let unverified = parse_headers(headers)?;
        let device = unverified.device();
        let cached = self.with(device, |known| Arc::clone(&known.key));
        let key = match cached {
            Some(key) => key,
            None => self.learn(app, device).await?,
        };
        let proof = unverified.verify(&key, request)?;
        proof.check_time(app.now(), api::SIGNATURE_WINDOW_S)?;
        Ok(proof)
    }

    fn with<T>(&self, device: DeviceId, f: impl FnOnce(&mut Known) -> T) -> Option<T> {
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .devices
            .get_mut(&device)
            .map(f)
    }

    fn forgotten(&self) -> u64 {
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .forgotten
    }

    /// Keeps a device as read after `forgotten`, unless one was decommissioned since: it may be this one.
    fn keep(&self, forgotten: u64, device: DeviceId, known: Known) -> bool {
        let mut keyring = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if keyring.forgotten != forgotten {
            return false;
        }
        if keyring.devices.len() >= MAX_KEYS {
            // Floors are read again from the store, where every accepted check-in has left its time.
            keyring.devices.clear();
        }
        keyring.devices.entry(device).or_insert(known);
        true
    }

    /// Reads a device's key. The newest signature time in the store is the floor: what was signed before it was
    /// seen by this server or the one before.
    async fn learn(&self, app: &App, device: DeviceId) -> Result<Arc<PublicKey>, Problem> {
        for _ in 0..MAX_READS {
            let forgotten = self.forgotten();
            let known = read(app, device).await?;
            let key = Arc::clone(&known.key);
            if self.keep(forgotten, device, known) {
                return Ok(key);
            }
        }
        Err(Problem::from(StoreError::Busy))
    }

    /// Refuses a check-in that was sent before.
    fn fresh(&self, proof: &Proof) -> Result<(), Problem> {
        let nonce = Digest::of(proof.nonce.as_bytes());
        let new = self.with(proof.device, |known| {
            let replayed =
                proof.created <= known.floor || known.nonces.iter().any(|(_, seen)| *seen == nonce);
            if !replayed {
                known.nonces.push((proof.created, nonce));
                if known.nonces.len() > MAX_NONCES {
                    let oldest = known.nonces.iter().map(|(time, _)| *time).min().unwrap_or(0);
                    known.floor = known.floor.max(oldest);
                    known.nonces.retain(|(time, _)| *time > oldest);
                }
            }
            !replayed
        });
        if new == Some(true) {
            return Ok(());
        }
        Err(Problem::conflict(
            "replay",
            "this check-in was received before, or is older than one that was",
            "sign each check-in anew, with a new nonce and the time of now",
        ))
    }

    /// Forgets a device: it was decommissioned.
    pub(crate) fn forget(&self, device: DeviceId) {
        let mut keyring = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        keyring.forgotten += 1;
        keyring.devices.remove(&device);
    }

    /// The key of a device, for the broker.
    pub(crate) async fn key(&self, app: &App, device: DeviceId) -> Option<Arc<PublicKey>> {
        match self.with(device, |known| Arc::clone(&known.key)) {
            Some(key) => Some(key),
            None => self.learn(app, device).await.ok(),
        }
    }
}

/// What the store knows of a device in service.
async fn read(app: &App, device: DeviceId) -> Result<Known, Problem> {
    let record = app.store.device(device).await?.ok_or_else(|| {
        // Says no more than a bad signature does.
        Problem::unauthorized(
            format!("device {device} is not enrolled here"),
            "enrol it with a new enrolment string",
        )
    })?;
    if let Some(at) = record.device.decommissioned_at {
        let detail = format!("device {device} was decommissioned at {}", UnixTime(at));
        return Err(Problem::gone(detail, Some(at)));
    }
    Ok(Known {
        key: Arc::new(PublicKey::ed25519(&record.device.public_key)),
        hardware: record.device.hardware,
        floor: record.state.map_or(0, |state| state.last_signed),
        nonces: Vec::new(),
    })
}

fn parse_headers(headers: &HeaderMap) -> Result<Unverified, Problem> {
    let text = |name: &str| {
        let mut values = headers.get_all(name).iter();
        match (values.next().and_then(|value| value.to_str().ok()), values.next()) {
            (Some(value), None) => value.to_owned(),
            _ => String::new(),
        }
    };
    Ok(Unverified::parse(
        &text("content-digest"),
        &text("signature-input"),
        &text("signature"),
    )?)
}

/// The signed parts of a request.
pub(crate) fn signed<'a>(method: &'a Method, uri: &'a Uri, body: &'a [u8]) -> Request<'a> {
    Request {
        method: method.as_str(),
        path: uri.path(),
        query: uri.query(),
        body,
    }
}

fn message<T: serde::Serialize>(reply: &T) -> Response {
    let bytes = sanderling_wire::encode(reply);
    ([(header::CONTENT_TYPE, api::CONTENT_TYPE)], bytes).into_response()
}

fn decode<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    sanderling_wire::decode(body)
        .map_err(|error| Problem::bad_request(error.to_string(), "update the older of device and server"))
}

/// Refuses a runtime that says more of itself than any has to say: the server keeps what it says.
fn check_runtime(runtime: &RuntimeInfo) -> Result<(), Problem> {
    let operators = &runtime.operators;
    if operators.len() <= MAX_OPERATORS && operators.iter().all(|name| name.len() <= MAX_OPERATOR_LEN) {
        return Ok(());
    }
    Err(Problem::too_large(format!(
        "the runtime lists {} operators; {MAX_OPERATORS} with names of {MAX_OPERATOR_LEN} bytes are taken",
        operators.len()
    )))
}

/// `POST /v1/device/enrol`.
pub(crate) async fn enrol(
    State(app): State<Shared>,
    Extension(peer): Extension<Peer>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    if !app.enrolments.may_try(peer.0.ip(), app.now()) {
        return Err(Problem::too_many());
    }
    let request: EnrolRequest = decode(&body)?;
    check_runtime(&request.runtime)?;
    let key = PublicKey::ed25519(&request.public_key);
    let proof = parse_headers(&headers)?.verify(&key, &signed(&method, &uri, &body))?;
    proof.check_time(app.now(), api::SIGNATURE_WINDOW_S)?;
    let enrolment = Enrolment {
        token: Digest::of(request.token.as_bytes()),
        public_key: request.public_key,
        hardware: request.hardware,
        runtime: request.runtime,
        now: app.now(),
    };
    let enrolled = app.store.enrol(enrolment).await.map_err(|error| {
        // Only a wrong token is a guess. A server that is busy is nobody's fault.
        if matches!(error, StoreError::TokenInvalid | StoreError::TokenUsed) {
            app.enrolments.failed(peer.0.ip(), app.now());
        }
        Problem::from(error)
    })?;
    if enrolled.new {
        tracing::info!(device = %enrolled.device, "a device enrolled");
    }
    Ok(message(&EnrolReply {
        device: enrolled.device,
        mqtt: app.mqtt.clone(),
        poll_interval_s: app.config.timing.poll_interval_s,
        server_time: app.now(),
    }))
}

/// `POST /v1/device/checkin`.
pub(crate) async fn check_in(
    State(app): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let start = Instant::now();
    let proof = app
        .guard
        .check(&app, &signed(&method, &uri, &body), &headers)
        .await?;
    let device = proof.device;
    let check_in: CheckIn = decode(&body)?;
    check_runtime(&check_in.state.runtime)?;
    if check_in.records.len() > api::MAX_RECORDS {
        let detail = format!(
            "{} records in one check-in; {} are taken",
            check_in.records.len(),
            api::MAX_RECORDS
        );
        return Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-many-records",
            "Too much at once",
            detail,
            "send the rest with the next check-in",
        ));
    }
    app.guard.fresh(&proof)?;
    let now = app.now();
    let (mint, held) = app.minter.policy(device, app.registry.versions().1);
    let write = CheckInWrite {
        device,
        now,
        signed_at: proof.created,
        failed_metrics: failed_metrics(&check_in.records, app.config.limits.latency_p95_ms),
        mint,
        check_in,
    };
    let stored = app.store.check_in(write).await?;
    let hardware = app.guard.with(device, |known| known.hardware.clone());
    let hardware =
        hardware.ok_or_else(|| Problem::gone(format!("device {device} was decommissioned"), Some(now)))?;
    let director = app
        .minter
        .document(&app, device, &hardware, &stored, held)
        .await?;
    app.metrics.check_ins.inc();
    app.metrics.records.inc_by(u64::from(stored.fresh));
    app.metrics
        .check_in_seconds
        .observe(start.elapsed().as_secs_f64());
    Ok(message(&CheckInReply {
        director: director.to_vec(),
        acknowledged: stored.acknowledged,
        next_check_in_s: app.config.timing.poll_interval_s,
        server_time: now,
    }))
}

/// Health metrics that the telemetry fails, by one rule for every device.
fn failed_metrics(records: &[Record], latency_p95_ms: Option<u64>) -> Vec<String> {
    let windows = || {
        records.iter().filter_map(|record| match &record.body {
            RecordBody::Serving(window) if window.answers.saturating_add(window.errors) >= MIN_ANSWERS => {
                Some(window)
            }
            _ => None,
        })
    };
    let asked = |window: &ServingWindow| window.answers.saturating_add(window.errors) as f64;
    let mut failed = Vec::new();
    if windows().any(|window| window.errors as f64 > MAX_ERROR_SHARE * asked(window)) {
        failed.push("errors".to_owned());
    }
    let slow = |window: &ServingWindow, limit: u64| {
        window
            .latency_us
            .quantile(0.95)
            .is_some_and(|micros| micros > 1000.0 * limit as f64)
    };
    if latency_p95_ms.is_some_and(|limit| windows().any(|window| slow(window, limit))) {
        failed.push("latency".to_owned());
    }
    failed
}

#[cfg(test)]
mod tests {
    use super::*;
    use sanderling_wire::Sketch;

    #[test]
    fn what_was_read_before_a_decommissioning_is_not_kept() {
        let (guard, device) = (Guard::default(), DeviceId([1; 16]));
        let known = || Known {
            key: Arc::new(PublicKey::ed25519(&[1; 32])),
            hardware: HardwareId::new("pi4").unwrap(),
            floor: 0,
            nonces: Vec::new(),
        };
        let before = guard.forgotten();
        guard.forget(device);
        assert!(!guard.keep(before, device, known()));
        assert!(guard.with(device, |_| ()).is_none());
        assert!(guard.keep(guard.forgotten(), device, known()));
        guard.forget(device);
        assert!(guard.with(device, |_| ()).is_none());
    }

    #[test]
    fn a_runtime_says_so_much_of_itself() {
        let runtime = |operators: Vec<String>| RuntimeInfo {
            version: (0, 1, 0),
            numerics: 1,
            bundle_format: 1,
            operators,
            memory_limit: 0,
        };
        assert!(check_runtime(&runtime(vec![":Conv".into(); MAX_OPERATORS])).is_ok());
        assert!(check_runtime(&runtime(vec![":Conv".into(); MAX_OPERATORS + 1])).is_err());
        assert!(check_runtime(&runtime(vec!["x".repeat(MAX_OPERATOR_LEN + 1)])).is_err());
    }

    #[test]
    fn windows_fail_by_share_of_errors_and_by_latency() {
        let record = |answers, errors, micros: f64| {
            let mut latency_us = Sketch::new();
            (0..answers).for_each(|_| latency_us.add(micros));
            let window = ServingWindow {
                image: Digest([1; 32]),
                seconds: 10,
                answers,
                errors,
                rejected_inputs: 0,
                flagged_inputs: 0,
                cascaded: 0,
                degraded: 0,
                latency_us,
                confidence: [0; 10],
                classes: Vec::new(),
            };
            [Record {
                sequence: 0,
                time: 0,
                body: RecordBody::Serving(window),
            }]
        };
        assert!(failed_metrics(&record(100, 5, 100.0), Some(1)).is_empty());
        assert_eq!(failed_metrics(&record(100, 9, 100.0), Some(1)), ["errors"]);
        assert_eq!(failed_metrics(&record(100, 0, 3000.0), Some(1)), ["latency"]);
        assert!(failed_metrics(&record(100, 0, 3000.0), None).is_empty());
        // Too few answers say nothing.
        assert!(failed_metrics(&record(3, 3, 3000.0), Some(1)).is_empty());
    }
}
