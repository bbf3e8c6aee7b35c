//! How a server is set up, from code or from a TOML file, and what is refused before anything starts.
//!
//! ```toml
//! data = "data"                       # paths are relative to this file
//! http = "127.0.0.1:8080"
//! mqtt = "127.0.0.1:1883"             # leave out for no broker
//! public_url = "https://fleet.example"
//! allow_origins = ["https://app.example"]  # pages that may update themselves here
//! [tls]
//! certificates = "tls/chain.pem"
//! key = "tls/key.pem"
//! [trust]
//! folder = "keys"                     # online/, image/1.root.json, director/1.root.json
//! [[operators]]
//! name = "ann"
//! token_sha256 = "…"                  # printf %s "$TOKEN" | sha256sum
//! [timing]
//! poll_interval_s = 60
//! ```

use crate::ServerError;
use axum::http::uri::Authority;
use sanderling_sign::KeyFile;
use sanderling_trust::Signer;
use sanderling_wire::Digest;
use serde::Deserialize;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A signer that several tasks may use.
pub type SharedSigner = Arc<dyn Signer + Send + Sync>;

/// The time, in Unix seconds.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> u64 + Send + Sync>);

impl Clock {
    /// A clock of the caller's.
    pub fn new(now: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        let since_epoch = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self::new(move || since_epoch().map_or(0, |time| time.as_secs()))
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> u64 {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// Somebody who may command the fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// The name in audit trail and ledger.
    pub name: String,
    /// SHA-256 of the token. Tokens are random and long, so no slow hash is needed.
    pub token: Digest,
}

impl Operator {
    /// An operator known by a token.
    #[must_use]
    pub fn with_token(name: &str, token: &str) -> Self {
        Self {
            name: name.to_owned(),
            token: Digest::of(token.as_bytes()),
        }
    }
}

/// Where certificate and key are.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The chain, PEM, the server's certificate first.
    pub certificates: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// The authority that devices are to know the server by (PEM); it goes into enrolment strings. None: theirs.
    #[serde(default)]
    pub authority: Option<PathBuf>,
}

/// What the server is trusted with, and the roots that say so.
#[derive(Clone)]
pub struct TrustConfig {
    /// Bytes of the image repository's `1.root.json`.
    pub image_root: Vec<u8>,
    /// Bytes of the director's `1.root.json`.
    pub director_root: Vec<u8>,
    /// Signs director documents.
    pub director: SharedSigner,
    /// Signs the image repository's timestamp.
    pub timestamp: SharedSigner,
    /// Whether roots marked as a demo's are accepted, and only those.
    pub demo: bool,
}

impl fmt::Debug for TrustConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustConfig")
            .field("demo", &self.demo)
            .finish_non_exhaustive()
    }
}

impl TrustConfig {
    /// Reads `online/director.key.json`, `online/timestamp.key.json`, `image/1.root.json` and `director/1.root.json` of a folder as
    /// `sanderling keys init` makes it. The offline keys need not, and should not, be there.
    ///
    /// # Errors
    /// [`ServerError::Keys`], which names the file.
    pub fn from_folder(folder: &Path, demo: bool) -> Result<Self, ServerError> {
        let key = |name: &str| KeyFile::load(&folder.join("online").join(name));
        Ok(Self {
            image_root: sanderling_sign::file::read(&folder.join("image/1.root.json"))?,
            director_root: sanderling_sign::file::read(&folder.join("director/1.root.json"))?,
            director: Arc::new(key("director.key.json")?),
            timestamp: Arc::new(key("timestamp.key.json")?),
            demo,
        })
    }
}

/// How often and how long.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timing {
    /// Seconds between check-ins while nothing rings.
    pub poll_interval_s: u32,
    /// Seconds between two looks at the running rollouts, at least, when nothing new is heard.
    pub plan_interval_s: u64,
    /// Milliseconds between two looks, at least, when something is.
    pub plan_debounce_ms: u64,
    /// Seconds that a director document is valid.
    pub director_validity_s: u64,
    /// Seconds that a timestamp is valid. It is renewed at half of that.
    pub timestamp_validity_s: u64,
    /// Days that raw telemetry is kept. Evidence, events, ledger and audit are kept for good.
    pub telemetry_days: u64,
    /// Milliseconds that a check-in may wait for others to share its commit.
    pub gather_ms: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            poll_interval_s: 60,
            plan_interval_s: 10,
            plan_debounce_ms: 500,
            director_validity_s: 6 * 3600,
            timestamp_validity_s: 7 * 86_400,
            telemetry_days: 30,
            gather_ms: 2,
        }
    }
}

impl Timing {
    /// [`Timing::gather_ms`] as a duration.
    pub(crate) fn gather(&self) -> Duration {
        Duration::from_millis(self.gather_ms)
    }
}

/// What is refused above.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of a bundle.
    pub image_bytes: u64,
    /// HTTP connections at a time.
    pub connections: usize,
    /// MQTT connections at a time.
    pub mqtt_connections: usize,
    /// Milliseconds that 19 of 20 answers of a window must stay under. A device that does not fails the health metric
    /// `latency`, on the new version and on the old one alike. None: latency is not judged.
    pub latency_p95_ms: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            image_bytes: 1 << 30,
            connections: 16_384,
            mqtt_connections: 65_536,
            latency_p95_ms: None,
        }
    }
}

/// Everything a server needs.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// The folder for database and bundles. It is made where there is none; one server at a time uses it.
    pub data: PathBuf,
    /// Where HTTP listens. Port 0 takes any free port.
    pub http: SocketAddr,
    /// Where the MQTT broker listens, if there is to be one.
    pub mqtt: Option<SocketAddr>,
    /// Certificate and key, for both.
    pub tls: Option<TlsFiles>,
    /// What devices and browsers call the server: `https://fleet.example`. None: the bound address.
    pub public_url: Option<String>,
    /// Origins of pages that may call the devices' API from a browser: `https://app.example`. None: no page may.
    pub allow_origins: Vec<String>,
    /// Who may command.
    pub operators: Vec<Operator>,
    /// Keys and roots.
    pub trust: TrustConfig,
    /// How often and how long.
    pub timing: Timing,
    /// What is refused above.
    pub limits: Limits,
    /// The time.
    pub clock: Clock,
}

impl ServerConfig {
    /// A server on loopback with default ports and no operators yet.
    #[must_use]
    pub fn new(data: &Path, trust: TrustConfig) -> Self {
        Self {
            data: data.to_path_buf(),
            http: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            mqtt: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 1883))),
            tls: None,
            public_url: None,
            allow_origins: Vec::new(),
            operators: Vec::new(),
            trust,
            timing: Timing::default(),
            limits: Limits::default(),
            clock: Clock::system(),
        }
    }

    /// Reads a TOML file; see the module's head for its form.
    ///
    /// # Errors
    /// [`ServerError::Config`] for a file that cannot be read or understood, [`ServerError::Keys`] for its keys.
    pub fn from_file(path: &Path) -> Result<Self, ServerError> {
        let refused = |reason: String| ServerError::Config {
            path: path.to_path_buf(),
            reason,
        };
        let text = std::fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
        let file: File = basic_toml::from_str(&text).map_err(|error| refused(error.to_string()))?;
        let base = path.parent().unwrap_or(Path::new("."));
        let trust = TrustConfig::from_folder(&base.join(&file.trust.folder), file.trust.demo)?;
        let mut config = Self::new(&base.join(&file.data), trust);
        config.http = file.http.unwrap_or(config.http);
        config.mqtt = file.mqtt;
        config.tls = file.tls.map(|tls| TlsFiles {
            certificates: base.join(tls.certificates),
            key: base.join(tls.key),
            authority: tls.authority.map(|path| base.join(path)),
        });
        config.public_url = file.public_url;
        config.allow_origins = file.allow_origins;
        for operator in file.operators {
            let token = operator.token_sha256.parse().map_err(|error| {
                refused(format!("the token_sha256 of operator {}: {error}", operator.name))
            })?;
            let name = operator.name;
            config.operators.push(Operator { name, token });
        }
        (config.timing, config.limits) = (file.timing, file.limits);
        Ok(config)
    }

    /// Refuses what must not run.
    pub(crate) fn check(&self) -> Result<(), ServerError> {
        for address in [Some(self.http), self.mqtt].into_iter().flatten() {
            let exposed = |missing| ServerError::Exposed { address, missing };
            if address.ip().is_loopback() {
                continue;
            }
            if self.tls.is_none() {
                return Err(exposed("it has no TLS certificate"));
            }
            if self.operators.is_empty() {
                return Err(exposed("it has no operators with tokens"));
            }
        }
        if let Some(url) = &self.public_url {
            check_url("public_url", url)?;
        }
        for origin in &self.allow_origins {
            check_origin(origin)?;
        }
        let zero = |setting, value: u64| ServerError::Setting {
            setting,
            value: value.to_string(),
            reason: "it must be at least 1",
        };
        let timing = &self.timing;
        for (setting, value) in [
            ("timing.poll_interval_s", u64::from(timing.poll_interval_s)),
            ("timing.plan_interval_s", timing.plan_interval_s),
            ("timing.director_validity_s", timing.director_validity_s),
            ("timing.timestamp_validity_s", timing.timestamp_validity_s),
            ("timing.telemetry_days", timing.telemetry_days),
            ("limits.image_bytes", self.limits.image_bytes),
        ] {
            if value == 0 {
                return Err(zero(setting, value));
            }
        }
        Ok(())
    }
}

/// A page's origin, as browsers write it: what is written in another way would never match.
fn check_origin(origin: &str) -> Result<(), ServerError> {
    let ports = [("https://", ":443"), ("http://", ":80")];
    let default = ports
        .iter()
        .any(|(scheme, port)| origin.starts_with(scheme) && origin.ends_with(port));
    if default || origin.chars().any(|c| c.is_ascii_uppercase() || !c.is_ascii()) {
        return Err(ServerError::Setting {
            setting: "allow_origins",
            value: origin.to_owned(),
            reason: "browsers write an origin in lower case, in ASCII and without its scheme's own port: write it so",
        });
    }
    check_url("allow_origins", origin)
}

/// An address of the form scheme and host, with TLS unless that is this machine: devices refuse every other server, and
/// browsers give every other page no storage.
fn check_url(setting: &'static str, url: &str) -> Result<(), ServerError> {
    let wrong = |reason| ServerError::Setting {
        setting,
        value: url.to_owned(),
        reason,
    };
    let (tls, host) = match url.split_once("://") {
        Some(("https", host)) => (true, host),
        Some(("http", host)) => (false, host),
        _ => (false, ""),
    };
    if host.is_empty() || host.contains(['/', '?', '#', '@', ' ']) {
        return Err(wrong(
            "it has the form https://host or https://host:port, without a path",
        ));
    }
    let authority = host.parse::<Authority>();
    let name = authority.as_ref().map_or("", |authority| authority.host());
    let ip = name.trim_matches(['[', ']']).parse::<IpAddr>();
    if tls || name == "localhost" || ip.is_ok_and(|ip| ip.is_loopback()) {
        return Ok(());
    }
    Err(wrong(
        "http:// is taken from this machine alone: use https://, by a certificate here or a proxy in front",
    ))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    data: PathBuf,
    http: Option<SocketAddr>,
    mqtt: Option<SocketAddr>,
    tls: Option<TlsFiles>,
    public_url: Option<String>,
    #[serde(default)]
    allow_origins: Vec<String>,
    trust: TrustFile,
    #[serde(default)]
    operators: Vec<OperatorFile>,
    #[serde(default)]
    timing: Timing,
    #[serde(default)]
    limits: Limits,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TrustFile {
    folder: PathBuf,
    #[serde(default)]
    demo: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OperatorFile {
    name: String,
    token_sha256: String,
}
