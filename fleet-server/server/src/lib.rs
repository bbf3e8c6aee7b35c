//! The fleet server: one process that holds a fleet's registry, rollouts, ledger and page.
//!
//! ```text
//!   operators ── HTTP /v1 (bearer token) ─┐             ┌─ registry: TUF metadata and bundles, verified as a device would
//!   people ───── page (cookie, CSRF) ─────┼─► App ──────┼─ executor: planner's plans → one transaction → doorbells
//!   devices ──── HTTP /v1 (RFC 9421) ─────┤      │      └─ minter: director documents, one per check-in
//!   devices ◄─── MQTT doorbell ───────────┘      └─ Store (SQLite): nothing is answered before it is committed
//! ```
//!
//! It holds two keys only, the director's and the timestamp's, and checks at start that neither is a key of an
//! offline role. So it can choose among the owner's images and cannot make one.
//!
//! # Starting
//! [`Server::start`] inside a tokio runtime, [`Server::start_blocking`] outside of one (for command lines and tests).
//! Either gives a handle with the bound addresses and `stop`.
//! ```no_run
//! use sanderling_server::{Operator, Server, ServerConfig, TrustConfig};
//! # fn main() -> Result<(), sanderling_server::ServerError> {
//! // Folders as `sanderling keys init` makes them: online/, image/1.root.json, director/1.root.json.
//! let trust = TrustConfig::from_folder("keys".as_ref(), false)?;
//! let mut config = ServerConfig::new("data".as_ref(), trust); // loopback, HTTP 8080, MQTT 1883
//! config.operators.push(Operator::with_token("ann", "a long random token"));
//! let server = Server::start_blocking(config)?;
//! println!("{}", server.url());
//! server.stop()?;
//! # Ok(()) }
//! ```
//! [`ServerConfig::from_file`] reads the same from a TOML file. Any address but loopback needs TLS and operators.
//!
//! # HTTP API for operators
//! `Authorization: Bearer <token>`; JSON both ways; the types are in [`api`]. `docs/openapi.json` is generated
//! from them and is also served as `/v1/openapi.json`. Calls that change something take an `Idempotency-Key`; the same key with
//! the same request gives the same answer, marked `Idempotency-Replayed: true`. Errors are RFC 9457
//! `application/problem+json` with `title`, `detail` and `action` (what to do).
//!
//! | call | |
//! |---|---|
//! | `GET /v1/fleet` | counts, freeze, heads |
//! | `POST /v1/enrolments` | [`api::NewEnrolment`] → [`api::EnrolmentCreated`]: the enrolment string |
//! | `GET /v1/enrolments` | tokens, used or not |
//! | `GET /v1/devices`, `/v1/devices/{id}`, `/v1/devices/{id}/events` | [`api::DeviceView`] … |
//! | `POST /v1/devices/{id}/decommission`, `/freeze`, `/unfreeze` | [`api::Why`] → [`api::DeviceView`] |
//! | `PUT /v1/images/{sha256}.sdl` | the bundle's bytes, streamed to disk, checked against the hash |
//! | `POST /v1/versions` | [`api::NewVersion`]: TUF metadata signed offline, the target's name → [`api::VersionView`] |
//! | `GET /v1/versions`, `/v1/versions/{ref}` | `ref` is a digest, `name@version` or `name:alias` |
//! | `PUT`, `DELETE /v1/models/{name}/aliases/{alias}` | [`api::AliasTarget`] |
//! | `POST /v1/metadata/{repository}` | rotated roots and renewed metadata, `image` or `director` |
//! | `POST /v1/rollouts` | [`api::NewRollout`] → [`api::RolloutView`] |
//! | `GET /v1/rollouts`, `/v1/rollouts/{id}` | with the assessment and sentences |
//! | `POST /v1/rollouts/{id}/{pause,resume,abort,rollback}` | [`api::Why`] → [`api::RolloutView`] |
//! | `POST /v1/freeze`, `/v1/unfreeze` | [`api::Why`] → [`api::FleetView`] |
//! | `GET /v1/ledger?after=&rollout=&limit=&wait_s=` | long poll: answers at once with what is new, else when something is |
//! | `GET /v1/events?after=&device=&limit=&wait_s=` | device events, the same way |
//! | `GET /v1/stream` | server-sent events `ledger` and `device` |
//! | `GET /v1/audit` | operators' actions |
//! | `GET /metrics`, `/healthz`, `/readyz` | Prometheus text; alive; ready |
//!
//! Ledger entries have a `kind`: `version.published`, `alias.set`, `rollout.created`, `rollout.planned` (its body holds the
//! planner's `decisions`, their `sentences`, `status` and the `assessment`), `fleet.frozen`, `fleet.thawed`,
//! `device.decommissioned`, `newcomers.assigned` and `newcomers.recalled` (with `devices` and `sentences`). `rollout.planned`
//! entries also name in `events` what happened: `assign`, `advance_stage`, `hold`, `pause`, `resume`, `stop`, `rollback`,
//! `complete` …
//!
//! # HTTP API for devices
//! Paths and messages are `sanderling_wire`'s; each request is signed by the device's key.
#![forbid(unsafe_code)]

pub mod api;
mod app;
mod auth;
mod broker;
mod config;
mod device;
mod error;
mod evidence;
mod executor;
mod expiry;
mod feeds;
mod files;
mod idempotency;
mod listen;
mod metrics;
mod mint;
mod newcomers;
mod operator;
mod page;
mod problem;
mod registry;
mod routes;
mod server;
mod title;
mod tls;
mod views;

pub use api::openapi_json;
pub use config::{Clock, Limits, Operator, ServerConfig, SharedSigner, Timing, TlsFiles, TrustConfig};
pub use error::ServerError;
pub use server::{BlockingServer, RunningServer, Server};
