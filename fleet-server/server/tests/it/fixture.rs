//! A server on loopback with its owner, operators and devices.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sanderling_bundle::{BundleBuilder, Manifest};
use sanderling_server::{BlockingServer, Clock, Operator, Server, ServerConfig, TrustConfig};
use sanderling_sign::{Expiries, ImageRepo, InitOptions, KeyFile, ReleaseSigners, init, os_random};
use sanderling_trust::http_sig::{Request, sign_request};
use sanderling_trust::{
    DeviceIdentity, Director, DirectorTargets, Ed25519Signer, Limits, Release, RootPin, Roots, Signer,
    UnixTime,
};
use sanderling_wire::{
    ActiveImage, CheckIn, CheckInReply, DeviceId, Digest, EnrolReply, EnrolRequest, Event, EventKind,
    HardwareId, PairedOutcome, Phase, Record, RecordBody, RolloutId, RuntimeInfo, StateReport, api, decode,
    encode,
};
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub(crate) const TOKEN: &str = "ann's token of these tests";

/// An HTTP answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    }
}

/// One request on a connection of its own.
pub(crate) fn http(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head += &format!("Host: {address}\r\n");
    }
    headers
        .iter()
        .for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
    stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
    // A server that refuses early may close before it has read everything.
    let _ = stream.write_all(body);
    let mut raw = Vec::new();
    let _ = stream.read_to_end(&mut raw);
    parse(&raw)
}

fn parse(raw: &[u8]) -> Answer {
    let end = raw
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .expect("an HTTP head");
    let head = String::from_utf8_lossy(&raw[..end]).into_owned();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let answer = Answer {
        status,
        head,
        body: raw[end + 4..].to_vec(),
    };
    match answer.header("transfer-encoding") {
        Some(_) => Answer {
            body: dechunk(&answer.body),
            ..answer
        },
        None => answer,
    }
}

fn dechunk(mut raw: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = raw.windows(2).position(|window| window == b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&raw[..end]).unwrap(), 16).unwrap();
        if length == 0 {
            break;
        }
        body.extend_from_slice(&raw[end + 2..end + 2 + length]);
        raw = &raw[end + 4 + length..];
    }
    body
}

/// The owner's folder and a server over it.
pub(crate) struct Fleet {
    pub(crate) folder: TempDir,
    pub(crate) server: Option<BlockingServer>,
    pub(crate) clock: Arc<AtomicU64>,
}

pub(crate) fn real_now() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

impl Fleet {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// A fleet with another configuration.
    pub(crate) fn with(change: impl Fn(&mut ServerConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let now = UnixTime(real_now());
        init(
            &folder.path().join("keys"),
            &InitOptions::production(now),
            &mut os_random,
        )
        .unwrap();
        let clock = Arc::new(AtomicU64::new(now.0));
        let mut fleet = Self {
            folder,
            server: None,
            clock,
        };
        fleet.start(change);
        fleet
    }

    pub(crate) fn keys(&self) -> PathBuf {
        self.folder.path().join("keys")
    }

    pub(crate) fn config(&self) -> ServerConfig {
        let trust = TrustConfig::from_folder(&self.keys(), false).unwrap();
        let mut config = ServerConfig::new(&self.folder.path().join("data"), trust);
        config.http = "127.0.0.1:0".parse().unwrap();
        config.mqtt = Some("127.0.0.1:0".parse().unwrap());
        config.operators.push(Operator::with_token("ann", TOKEN));
        config.timing.plan_debounce_ms = 20;
        let clock = Arc::clone(&self.clock);
        config.clock = Clock::new(move || clock.load(Ordering::Relaxed));
        config
    }

    pub(crate) fn start(&mut self, change: impl Fn(&mut ServerConfig)) {
        let mut config = self.config();
        change(&mut config);
        self.server = Some(Server::start_blocking(config).unwrap());
    }

    pub(crate) fn restart(&mut self) {
        self.server.take().unwrap().stop().unwrap();
        self.start(|_| {});
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.as_ref().unwrap().http_addr()
    }

    pub(crate) fn now(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.clock.fetch_add(seconds, Ordering::Relaxed);
    }

    /// A call by the operator.
    pub(crate) fn call(&self, method: &str, path: &str, body: Value) -> Answer {
        let body = if body.is_null() {
            Vec::new()
        } else {
            serde_json::to_vec(&body).unwrap()
        };
        self.keyed(method, path, &body, &[])
    }

    pub(crate) fn keyed(&self, method: &str, path: &str, body: &[u8], more: &[(&str, &str)]) -> Answer {
        let bearer = format!("Bearer {TOKEN}");
        let mut headers = vec![("Authorization", bearer.as_str())];
        headers.extend_from_slice(more);
        http(self.address(), method, path, &headers, body)
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        let answer = self.call("GET", path, Value::Null);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    pub(crate) fn post(&self, path: &str, body: Value) -> Value {
        let answer = self.call("POST", path, body);
        assert!(answer.status < 300, "{path}: {}", answer.text());
        answer.json()
    }

    pub(crate) fn key(&self, path: &str) -> KeyFile {
        KeyFile::load(&self.keys().join(path)).unwrap()
    }

    /// The owner signs a bundle offline; answers its digest, the target's name and the new metadata files.
    pub(crate) fn sign(&self, version: &str) -> (Vec<u8>, String, Vec<PathBuf>) {
        self.sign_model("magika", version)
    }

    fn sign_model(&self, model: &str, version: &str) -> (Vec<u8>, String, Vec<PathBuf>) {
        let bytes = bundle(model, version);
        let release = Release {
            name: model.into(),
            version: version.into(),
            counter: 1,
            min_runtime: (0, 1, 0),
            operators: Release::operators_digest([":Conv"]),
            allowed_disagreement_ppm: 20_000,
        };
        let mut repo = ImageRepo::open(&self.keys().join("image")).unwrap();
        let name = format!("{model}-{version}.sdl");
        repo.add_target(&name, bytes.len() as u64, &Digest::of(&bytes), &release)
            .unwrap();
        let (targets, snapshot) = (
            self.key("offline/targets.key.json"),
            self.key("offline/snapshot.key.json"),
        );
        let expires = UnixTime(real_now()).plus(30 * 86_400);
        let signers = ReleaseSigners {
            targets: &targets,
            snapshot: &snapshot,
        };
        let done = repo
            .publish(
                signers,
                Expiries {
                    targets: expires,
                    snapshot: expires,
                },
            )
            .unwrap();
        (bytes, name, vec![done.targets, done.snapshot])
    }

    /// Signs and publishes a version.
    pub(crate) fn publish(&self, version: &str, aliases: &[&str]) -> Digest {
        self.publish_model("magika", version, aliases)
    }

    /// Signs and publishes a version of another model.
    pub(crate) fn publish_model(&self, model: &str, version: &str, aliases: &[&str]) -> Digest {
        let (bytes, name, files) = self.sign_model(model, version);
        let digest = Digest::of(&bytes);
        let put = self.keyed("PUT", &format!("/v1/images/{digest}.sdl"), &bytes, &[]);
        assert_eq!(put.status, 201, "{}", put.text());
        let body = json!({ "target": name, "metadata": base64_files(&files), "aliases": aliases });
        self.post("/v1/versions", body);
        digest
    }

    /// Enrols a device with a seed of its own.
    pub(crate) fn enrol(&self, seed: u8) -> Device {
        let made = self.post("/v1/enrolments", json!({ "label": "test" }));
        let text: sanderling_wire::enrolment::EnrolmentString =
            made["enrolment"].as_str().unwrap().parse().unwrap();
        let mut device = Device::new(self, seed);
        let reply = device.enrol(self, &text.token);
        assert_eq!(reply.status, 200, "{}", reply.text());
        let reply: EnrolReply = decode(&reply.body).unwrap();
        assert_eq!(reply.device, device.id);
        device.token = text.token;
        device
    }

    /// Enrols a device that came with an image, and hears it once.
    pub(crate) fn enrol_with(&self, seed: u8, image: Digest) -> Device {
        let mut device = self.enrol(seed);
        device.active = Some(ActiveImage {
            digest: image,
            rollout: None,
            confirmed: true,
        });
        device.check_in(self);
        device
    }

    /// Waits until a ledger entry of a rollout tells of an event.
    pub(crate) fn wait_event(&self, rollout: u64, event: &str) -> Value {
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut after = 0;
        while Instant::now() < deadline {
            let page = self.get(&format!("/v1/ledger?rollout={rollout}&after={after}&wait_s=1"));
            for entry in page["entries"].as_array().unwrap() {
                let events = entry["body"]["events"].as_array().cloned().unwrap_or_default();
                if events.iter().any(|found| found == event) {
                    return entry.clone();
                }
            }
            after = page["next"].as_u64().unwrap();
        }
        panic!(
            "no {event} in the ledger of rollout {rollout}: {}",
            self.get("/v1/ledger")
        );
    }
}

pub(crate) fn base64_files(files: &[PathBuf]) -> Value {
    let file = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, json!(BASE64.encode(std::fs::read(path).unwrap())))
    };
    Value::Object(files.iter().map(file).collect())
}

pub(crate) fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

/// A bundle without a plan: the server never runs one.
pub(crate) fn bundle(name: &str, version: &str) -> Vec<u8> {
    let manifest = Manifest {
        name: name.into(),
        version: version.into(),
        description: "a model of these tests".into(),
        operators: vec!["ai.onnx:Conv".into()],
        release_counter: 1,
        allowed_disagreement_ppm: 20_000,
        ..Manifest::default()
    };
    let mut builder = BundleBuilder::new(manifest);
    builder.plan("any", vec![7; 100_000]).unwrap();
    builder.finish().unwrap()
}

/// A device: its key, what it runs, its outbox.
pub(crate) struct Device {
    pub(crate) signer: Ed25519Signer,
    pub(crate) id: DeviceId,
    pub(crate) token: String,
    pub(crate) active: Option<ActiveImage>,
    pub(crate) phase: Phase,
    pub(crate) director: Director,
    pub(crate) director_version: u64,
    pub(crate) sequence: u64,
    pub(crate) outbox: Vec<Record>,
    pub(crate) nonce: u64,
    pub(crate) runtime: RuntimeInfo,
}

impl Device {
    pub(crate) fn new(fleet: &Fleet, seed: u8) -> Self {
        let signer = Ed25519Signer::from_seed(&[seed; 32]);
        let root = read(&fleet.keys().join("director/1.root.json"));
        let pin = RootPin::of(Roots::Production, &root);
        Self {
            id: DeviceId::of_public_key(&signer.public_key().ed25519_bytes().unwrap()),
            signer,
            token: String::new(),
            active: None,
            phase: Phase::Idle,
            director: Director::new(&pin, &root, Limits::default()).unwrap(),
            director_version: 0,
            sequence: 0,
            outbox: Vec::new(),
            nonce: u64::from(seed) << 32,
            runtime: runtime(),
        }
    }

    pub(crate) fn identity(&self) -> DeviceIdentity {
        DeviceIdentity {
            device: self.id,
            hardware: hardware(),
            release_floor: 0,
        }
    }

    /// Headers that sign a request.
    pub(crate) fn sign(&mut self, method: &str, target: &str, body: &[u8], at: u64) -> Vec<(String, String)> {
        self.nonce += 1;
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&self.nonce.to_be_bytes());
        let (path, query) = target
            .split_once('?')
            .map_or((target, None), |(path, query)| (path, Some(query)));
        let request = Request {
            method,
            path,
            query,
            body,
        };
        let headers = sign_request(&self.signer, &request, at, &nonce).unwrap();
        headers
            .entries()
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    pub(crate) fn send(&mut self, fleet: &Fleet, method: &str, target: &str, body: &[u8]) -> Answer {
        let headers = self.sign(method, target, body, fleet.now());
        send(fleet, method, target, &headers, body)
    }

    pub(crate) fn enrol(&mut self, fleet: &Fleet, token: &str) -> Answer {
        let request = EnrolRequest {
            token: token.into(),
            public_key: self.signer.public_key().ed25519_bytes().unwrap(),
            hardware: hardware(),
            runtime: self.runtime.clone(),
        };
        self.send(fleet, "POST", api::ENROL, &encode(&request))
    }

    pub(crate) fn check_in_body(&self) -> Vec<u8> {
        encode(&CheckIn {
            incarnation: 42,
            state: StateReport {
                phase: self.phase,
                active: self.active,
                standby: None,
                director_version: self.director_version,
                image_root_version: 1,
                director_root_version: 1,
                release_floor: 0,
                runtime: self.runtime.clone(),
                dropped_records: 0,
            },
            records: self.outbox.clone(),
        })
    }

    /// Checks in; verifies the director's document as a device does and answers it with the reply.
    pub(crate) fn check_in(&mut self, fleet: &Fleet) -> (CheckInReply, DirectorTargets) {
        let answer = self.send(fleet, "POST", api::CHECK_IN, &self.check_in_body());
        assert_eq!(answer.status, 200, "{}", answer.text());
        let reply: CheckInReply = decode(&answer.body).unwrap();
        self.outbox.retain(|record| record.sequence >= reply.acknowledged);
        let identity = self.identity();
        let document = self
            .director
            .verify(&reply.director, &identity, UnixTime(fleet.now()))
            .unwrap();
        let document = (**document).clone();
        self.director_version = document.header.version;
        (reply, document)
    }

    pub(crate) fn record(&mut self, fleet: &Fleet, body: RecordBody) {
        self.outbox.push(Record {
            sequence: self.sequence,
            time: fleet.now(),
            body,
        });
        self.sequence += 1;
    }

    pub(crate) fn event(&mut self, fleet: &Fleet, kind: EventKind, image: Digest, rollout: u64) {
        let rollout = Some(RolloutId(rollout));
        self.record(
            fleet,
            RecordBody::Event(Event {
                kind,
                image: Some(image),
                rollout,
                detail: String::new(),
            }),
        );
    }

    pub(crate) fn paired(
        &mut self,
        fleet: &Fleet,
        rollout: u64,
        new: Digest,
        old: Digest,
        outcomes: &[(u64, bool)],
    ) {
        let outcomes = outcomes
            .iter()
            .map(|&(unit, agree)| PairedOutcome { unit, agree })
            .collect();
        self.record(
            fleet,
            RecordBody::Paired {
                rollout: RolloutId(rollout),
                new,
                old,
                outcomes,
            },
        );
    }

    /// Runs what the document says, as a perfect device would at once.
    pub(crate) fn obey(&mut self, document: &DirectorTargets) {
        if let Some(target) = &document.target {
            let rollout = document.rollout.as_ref().map(|rollout| rollout.rollout);
            self.active = Some(ActiveImage {
                digest: target.sha256,
                rollout,
                confirmed: true,
            });
        }
    }
}

pub(crate) fn send(
    fleet: &Fleet,
    method: &str,
    target: &str,
    headers: &[(String, String)],
    body: &[u8],
) -> Answer {
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    http(fleet.address(), method, target, &headers, body)
}

pub(crate) fn hardware() -> HardwareId {
    HardwareId::new("pi4").unwrap()
}

pub(crate) fn runtime() -> RuntimeInfo {
    let operators = vec![":Conv".into()];
    RuntimeInfo {
        version: (0, 1, 0),
        numerics: 1,
        bundle_format: 9,
        operators,
        memory_limit: 0,
    }
}
