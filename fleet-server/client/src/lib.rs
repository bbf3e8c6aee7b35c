//! An operator's way to a fleet server, from a program: the HTTP API as blocking calls with the server's own types.
//!
//! A [`Client`] holds an address and a token. Calls that change something carry an idempotency key and are sent
//! once more with the same key if the answer was lost, so that a broken connection never does a thing twice.
#![forbid(unsafe_code)]

mod address;
mod error;
mod publish;

pub use error::ClientError;
pub use publish::Publish;
pub use sanderling_server::api;

use address::Scheme;
use api::{
    AliasTarget, DevicePage, DeviceView, EnrolmentCreated, EventPage, FleetView, LedgerPage, NewEnrolment,
    NewRollout, ProblemView, RolloutView, VersionView, Why,
};
use sanderling_wire::DeviceId;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Longest time for one exchange, beyond what a long poll asks for.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Longest body of an answer.
const MAX_ANSWER: u64 = 64 << 20;

/// A connection to a fleet server, as an operator.
#[derive(Debug, Clone)]
pub struct Client {
    base: String,
    token: String,
    agent: ureq::Agent,
}

/// What a rollout can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RolloutCommand {
    /// Stand still.
    Pause,
    /// Go on.
    Resume,
    /// End it; devices keep what they have.
    Abort,
    /// End it; devices that have the target go back to the base.
    Rollback,
}

impl RolloutCommand {
    /// As in the path.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Abort => "abort",
            Self::Rollback => "rollback",
        }
    }
}

impl Client {
    /// A client for the server at `base` (`http://127.0.0.1:8080`), with an operator's token. The token leaves the
    /// machine by TLS or not at all: plain HTTP is for loopback, and then no environment's proxy is asked.
    ///
    /// # Errors
    /// [`ClientError::Insecure`] for `http://` to another machine, [`ClientError::Address`] for what is no address, or
    /// holds more than one.
    pub fn new(base: &str, token: &str) -> Result<Self, ClientError> {
        let builder = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(10)))
            .max_redirects(0);
        let config = if address::check(base)? == Scheme::Http {
            builder.proxy(None).build()
        } else {
            builder.build()
        };
        Ok(Self {
            base: base.trim_end_matches('/').to_string(),
            token: token.to_string(),
            agent: config.into(),
        })
    }

    /// The server's address.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }

    /// `GET`, waiting up to `wait` longer than usual.
    ///
    /// # Errors
    /// [`ClientError`]; likewise below.
    pub fn get<T: DeserializeOwned>(&self, path: &str, wait: Duration) -> Result<T, ClientError> {
        let url = self.url(path);
        let request = self.agent.get(&url).header("authorization", self.bearer());
        let answer = request
            .config()
            .timeout_global(Some(TIMEOUT + wait))
            .build()
            .call();
        take(&url, answer)
    }

    /// `POST` or `PUT` of JSON, once more with the same idempotency key where the answer was lost.
    fn send<B: Serialize, T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: &B,
    ) -> Result<T, ClientError> {
        let url = self.url(path);
        let key = idempotency_key()?;
        let attempt = || {
            let request = match method {
                "PUT" => self.agent.put(&url),
                _ => self.agent.post(&url),
            };
            let request = request
                .header("authorization", self.bearer())
                .header("idempotency-key", &key);
            take(
                &url,
                request
                    .config()
                    .timeout_global(Some(TIMEOUT))
                    .build()
                    .send_json(body),
            )
        };
        match attempt() {
            Err(ClientError::Unreachable { .. }) => attempt(),
            other => other,
        }
    }

    /// The fleet in figures.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn fleet(&self) -> Result<FleetView, ClientError> {
        self.get("/v1/fleet", Duration::ZERO)
    }

    /// A new enrolment string.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn create_enrolment(&self, enrolment: &NewEnrolment) -> Result<EnrolmentCreated, ClientError> {
        self.send("POST", "/v1/enrolments", enrolment)
    }

    /// All devices.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn devices(&self) -> Result<Vec<DeviceView>, ClientError> {
        let mut devices = Vec::new();
        let mut path = "/v1/devices?limit=1000".to_string();
        // Bounded: each page ends at a greater id than the one before.
        loop {
            let page: DevicePage = self.get(&path, Duration::ZERO)?;
            devices.extend(page.devices);
            match page.next {
                Some(after) => path = format!("/v1/devices?limit=1000&after={after}"),
                None => return Ok(devices),
            }
        }
    }

    /// One device.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn device(&self, id: DeviceId) -> Result<DeviceView, ClientError> {
        self.get(&format!("/v1/devices/{id}"), Duration::ZERO)
    }

    /// Takes a device out of service for good.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn decommission(&self, id: DeviceId, why: &str) -> Result<DeviceView, ClientError> {
        self.send(
            "POST",
            &format!("/v1/devices/{id}/decommission"),
            &Why { why: why.to_string() },
        )
    }

    /// Events of devices after `after`; waits up to `wait` for the first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn events(
        &self,
        after: u64,
        device: Option<DeviceId>,
        wait: Duration,
    ) -> Result<EventPage, ClientError> {
        let device = device.map_or(String::new(), |id| format!("&device={id}"));
        self.get(
            &format!("/v1/events?after={after}&wait_s={}{device}", wait.as_secs()),
            wait,
        )
    }

    /// Ledger entries after `after`; waits up to `wait` for the first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn ledger(&self, after: u64, wait: Duration) -> Result<LedgerPage, ClientError> {
        self.get(
            &format!("/v1/ledger?after={after}&wait_s={}", wait.as_secs()),
            wait,
        )
    }

    /// All versions.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn versions(&self) -> Result<Vec<VersionView>, ClientError> {
        self.get("/v1/versions", Duration::ZERO)
    }

    /// Points an alias of a model at a version.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn set_alias(&self, model: &str, alias: &str, version: &str) -> Result<VersionView, ClientError> {
        let target = AliasTarget {
            version: version.to_string(),
        };
        self.send("PUT", &format!("/v1/models/{model}/aliases/{alias}"), &target)
    }

    /// Starts a rollout.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn start_rollout(&self, rollout: &NewRollout) -> Result<RolloutView, ClientError> {
        self.send("POST", "/v1/rollouts", rollout)
    }

    /// All rollouts.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn rollouts(&self) -> Result<Vec<RolloutView>, ClientError> {
        self.get("/v1/rollouts", Duration::ZERO)
    }

    /// One rollout.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn rollout(&self, id: u64) -> Result<RolloutView, ClientError> {
        self.get(&format!("/v1/rollouts/{id}"), Duration::ZERO)
    }

    /// Tells a rollout what to do.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn command(&self, id: u64, command: RolloutCommand, why: &str) -> Result<RolloutView, ClientError> {
        self.send(
            "POST",
            &format!("/v1/rollouts/{id}/{}", command.as_str()),
            &Why { why: why.to_string() },
        )
    }

    /// Stops every rollout of the fleet.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn freeze(&self, why: &str) -> Result<FleetView, ClientError> {
        self.send("POST", "/v1/freeze", &Why { why: why.to_string() })
    }

    /// Lets rollouts move again.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn unfreeze(&self, why: &str) -> Result<FleetView, ClientError> {
        self.send("POST", "/v1/unfreeze", &Why { why: why.to_string() })
    }
}

/// A key of 128 random bits.
fn idempotency_key() -> Result<String, ClientError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| ClientError::Random(error.to_string()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

type Answer = Result<ureq::http::Response<ureq::Body>, ureq::Error>;

/// The body of a good answer; the problem of a bad one.
fn take<T: DeserializeOwned>(url: &str, answer: Answer) -> Result<T, ClientError> {
    let unreachable = |error: ureq::Error| ClientError::Unreachable {
        url: url.to_string(),
        reason: error.to_string(),
    };
    let mut answer = answer.map_err(unreachable)?;
    let status = answer.status();
    let bytes = answer
        .body_mut()
        .with_config()
        .limit(MAX_ANSWER)
        .read_to_vec()
        .map_err(unreachable)?;
    if status.is_success() {
        // An empty body (204) reads as `null`.
        let text: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
        return serde_json::from_slice(text).map_err(|error| ClientError::Answer {
            url: url.to_string(),
            reason: error.to_string(),
        });
    }
    match serde_json::from_slice::<ProblemView>(&bytes) {
        Ok(problem) => Err(ClientError::Refused {
            problem: Box::new(problem),
        }),
        Err(_) => Err(ClientError::Answer {
            url: url.to_string(),
            reason: format!("status {status} without a reason"),
        }),
    }
}
