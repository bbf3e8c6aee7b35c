//! A fleet server in memory: signs real metadata, answers real requests, and misbehaves on demand. It is the other
//! side of the agent's tests, here without I/O and in the drivers' tests behind a socket.
// Each test links it whole and uses a part.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use sanderling_trust::envelope::Envelope;
use sanderling_trust::http_sig::{Request, Unverified};
use sanderling_trust::json::Value;
use sanderling_trust::metadata::Header;
use sanderling_trust::{
    DirectorTargets, Ed25519Signer, Hashes, KeyId, MetaFile, Mode, PublicKey, Release, RoleKeys,
    RolloutAssignment, Root, SelectedTarget, Signer, Snapshot, TargetFile, Targets, Timestamp, UnixTime,
};
use sanderling_wire::{
    Arm, CheckIn, CheckInReply, DeviceId, Digest, EnrolReply, EnrolRequest, EnrolmentString, HardwareId,
    MqttEndpoint, Record, RecordBody, RolloutId, RuntimeInfo, StateReport, api, decode, encode,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU64;

/// 2026-11-22T12:00:00Z.
pub const START: u64 = 1_795_348_800;
const DAY: u64 = 86_400;
const IMAGE_KEY: u8 = 11;
pub const DIRECTOR_KEY: u8 = 14;
/// Nobody's key.
pub const MALLORY: u8 = 66;

fn key(n: u8) -> Ed25519Signer {
    Ed25519Signer::from_seed(&[n; 32])
}

fn role(n: u8) -> RoleKeys {
    let key_ids = BTreeSet::from([key(n).public_key().id().clone()]);
    RoleKeys {
        key_ids,
        threshold: NonZeroU64::MIN,
    }
}

fn key_map(keys: &[u8]) -> BTreeMap<KeyId, PublicKey> {
    keys.iter()
        .map(|&n| key(n).public_key().clone())
        .map(|key| (key.id().clone(), key))
        .collect()
}

fn signed(value: &Value, n: u8) -> Vec<u8> {
    let mut envelope = Envelope::unsigned(value.clone());
    envelope.sign(&key(n)).unwrap();
    envelope.to_bytes()
}

fn root(version: u64, n: u8, now: u64) -> Root {
    Root {
        header: Header {
            version,
            expires: UnixTime(now + 365 * DAY),
        },
        consistent_snapshot: true,
        keys: key_map(&[n]),
        root: role(n),
        timestamp: role(n),
        snapshot: role(n),
        targets: role(n),
        demo: false,
        repository: None,
    }
}

pub fn hardware() -> HardwareId {
    HardwareId::new("test-board").unwrap()
}

pub fn runtime() -> RuntimeInfo {
    RuntimeInfo {
        version: (0, 1, 0),
        numerics: 1,
        bundle_format: 1,
        operators: vec![":Conv".into()],
        memory_limit: 0,
    }
}

/// The bytes of version `n`: not a bundle, but the agent does not look inside.
pub fn image(n: u8) -> Vec<u8> {
    (0..5_000u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8 ^ n.wrapping_mul(91))
        .collect()
}

pub fn digest(n: u8) -> Digest {
    Digest::of(&image(n))
}

/// How the next answer of a kind goes wrong.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// No answer at all.
    Drop,
    /// This status.
    Status(u16),
    /// 503 with this `Retry-After`.
    RetryAfter(u32),
    /// The body ends after this many bytes.
    Cut(usize),
    /// One bit of the body is another.
    Flip,
    /// The body goes on for ever.
    Endless,
    /// Something else altogether.
    Garbage,
    /// `Range` is not looked at.
    NoRanges,
    /// The whole exchange works, but the answer is lost.
    LostAnswer,
}

/// A request's kind, for faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Enrol,
    CheckIn,
    Metadata,
    Image,
}

/// When a server that answers 410 says that the device was decommissioned.
pub const DECOMMISSIONED_AT: u64 = 1_767_225_600;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub range_start: Option<u64>,
    pub retry_after_s: Option<u32>,
    pub decommissioned_at: Option<u64>,
    pub body: Vec<u8>,
    /// The connection breaks after the body.
    pub breaks: bool,
}

#[derive(Debug, Clone)]
pub struct Wanted {
    pub version: u8,
    pub rollout: Option<u64>,
    pub mode: Mode,
}

/// What the fleet knows of its only device.
#[derive(Debug, Default)]
pub struct Seen {
    pub check_ins: usize,
    pub state: Option<StateReport>,
    pub records: BTreeMap<(u64, u64), Record>,
    /// A sequence number that came with two contents.
    pub contradictions: usize,
    pub requests: BTreeMap<Kind, usize>,
    pub image_bytes: u64,
    nonces: BTreeSet<String>,
}

pub struct Fleet {
    pub now: u64,
    files: BTreeMap<String, Vec<u8>>,
    images: BTreeMap<String, Vec<u8>>,
    released: BTreeMap<u8, u64>,
    metadata_version: u64,
    image_key: u8,
    director_key: u8,
    pub director_version: u64,
    pub wanted: Option<Wanted>,
    /// Documents put the device into the control arm.
    pub control: bool,
    pub faults: BTreeMap<Kind, VecDeque<Fault>>,
    pub next_check_in_s: u32,
    pub mqtt: Option<MqttEndpoint>,
    /// Sent instead of the next minted document.
    pub document: Option<Vec<u8>>,
    pub last_document: Vec<u8>,
    /// Documents are minted for this device instead.
    pub other_device: Option<DeviceId>,
    pub key: Option<PublicKey>,
    pub seen: Seen,
}

impl Fleet {
    pub fn new() -> Self {
        Self::at(START)
    }

    /// A fleet whose server's clock says `now`.
    pub fn at(now: u64) -> Self {
        let mut fleet = Self {
            now,
            files: BTreeMap::new(),
            images: BTreeMap::new(),
            released: BTreeMap::new(),
            metadata_version: 0,
            image_key: IMAGE_KEY,
            director_key: DIRECTOR_KEY,
            director_version: 0,
            wanted: None,
            control: false,
            faults: BTreeMap::new(),
            next_check_in_s: 10,
            mqtt: None,
            document: None,
            last_document: Vec::new(),
            other_device: None,
            key: None,
            seen: Seen::default(),
        };
        let put = |fleet: &mut Self, base: &str, n| {
            fleet.files.insert(
                format!("{base}1.root.json"),
                signed(&root(1, n, now).to_value(), n),
            );
        };
        put(&mut fleet, api::TUF_IMAGE, IMAGE_KEY);
        put(&mut fleet, api::TUF_DIRECTOR, DIRECTOR_KEY);
        fleet.publish();
        fleet
    }

    pub fn enrolment(&self, server: &str) -> EnrolmentString {
        let pin = |base: &str| Digest::of(&self.files[&format!("{base}1.root.json")]);
        EnrolmentString {
            server: server.into(),
            token: "token".into(),
            image_root: pin(api::TUF_IMAGE),
            director_root: pin(api::TUF_DIRECTOR),
            tls_ca: None,
        }
    }

    fn name(n: u8) -> String {
        format!("model-{n}.sdl")
    }

    /// Signs version `n` into the image repository.
    pub fn release(&mut self, n: u8, counter: u64) {
        self.images
            .insert(format!("{}{}.sdl", api::IMAGES, digest(n)), image(n));
        self.released.insert(n, counter);
        self.publish();
    }

    /// Takes version `n` off the list again.
    pub fn withdraw(&mut self, n: u8) {
        self.released.remove(&n);
        self.publish();
    }

    pub fn publish(&mut self) {
        self.metadata_version += 1;
        let version = self.metadata_version;
        let header = |days: u64| Header {
            version,
            expires: UnixTime(self.now + days * DAY),
        };
        let targets = self.released.iter().map(|(&n, &counter)| {
            let release = Release {
                name: "model".into(),
                version: format!("{n}.0.0"),
                counter,
                min_runtime: if n == 99 { (9, 0, 0) } else { (0, 1, 0) },
                operators: Release::operators_digest([":Conv"]),
                allowed_disagreement_ppm: 20_000,
            };
            let (hashes, custom) = (Hashes::sha256(&digest(n)), Some(release.to_custom()));
            (
                Self::name(n),
                TargetFile {
                    length: image(n).len() as u64,
                    hashes,
                    custom,
                },
            )
        });
        let targets = Targets {
            header: header(90),
            targets: targets.collect(),
            delegations: None,
        };
        let targets = signed(&targets.to_value(), self.image_key);
        let meta = BTreeMap::from([("targets.json".to_string(), MetaFile::of(version, &targets))]);
        let snapshot = signed(
            &Snapshot {
                header: header(30),
                meta,
            }
            .to_value(),
            self.image_key,
        );
        let timestamp = Timestamp {
            header: header(1),
            snapshot: MetaFile::of(version, &snapshot),
        };
        let timestamp = signed(&timestamp.to_value(), self.image_key);
        let base = api::TUF_IMAGE;
        self.files
            .insert(format!("{base}{version}.targets.json"), targets);
        self.files
            .insert(format!("{base}{version}.snapshot.json"), snapshot);
        self.files.insert(format!("{base}timestamp.json"), timestamp);
    }

    /// The director's key is replaced: root 2, signed by both.
    pub fn rotate_director(&mut self, new: u8) {
        let old = self.director_key;
        let value = root(2, new, self.now).to_value();
        let mut envelope = Envelope::unsigned(value);
        envelope.sign(&key(old)).unwrap();
        envelope.sign(&key(new)).unwrap();
        self.files
            .insert(format!("{}2.root.json", api::TUF_DIRECTOR), envelope.to_bytes());
        self.director_key = new;
    }

    pub fn want(&mut self, version: u8, rollout: u64, mode: Mode) {
        self.wanted = Some(Wanted {
            version,
            rollout: Some(rollout),
            mode,
        });
    }

    /// The device is told to run a version outside of any rollout, as newcomers are.
    pub fn want_champion(&mut self, version: u8) {
        self.wanted = Some(Wanted {
            version,
            rollout: None,
            mode: Mode::Activate,
        });
    }

    pub fn fault(&mut self, kind: Kind, fault: Fault) {
        self.faults.entry(kind).or_default().push_back(fault);
    }

    /// Mints a document; `edit` is what an attacker with the key of `signer` would change.
    pub fn mint(&mut self, device: DeviceId, signer: u8, edit: impl FnOnce(&mut DirectorTargets)) -> Vec<u8> {
        self.director_version += 1;
        let target = self.wanted.as_ref().map(|wanted| SelectedTarget {
            name: Self::name(wanted.version),
            length: image(wanted.version).len() as u64,
            sha256: digest(wanted.version),
            release_counter: self.released.get(&wanted.version).copied().unwrap_or(1),
        });
        let rollout = self.wanted.as_ref().and_then(|wanted| {
            Some(RolloutAssignment {
                rollout: RolloutId(wanted.rollout?),
                arm: if self.control { Arm::Control } else { Arm::Target },
                mode: wanted.mode,
                ledger_head: Digest([9; 32]),
            })
        });
        let mut document = DirectorTargets {
            header: Header {
                version: self.director_version,
                expires: UnixTime(self.now + 3_600),
            },
            issued: UnixTime(self.now),
            device,
            hardware: hardware(),
            image_timestamp_version: self.metadata_version,
            rollout,
            target,
        };
        edit(&mut document);
        signed(&document.to_value(), signer)
    }

    /// Answers a request, or does not.
    pub fn answer(
        &mut self,
        method: &str,
        path: &str,
        headers: &BTreeMap<String, String>,
        body: &[u8],
    ) -> Option<Answer> {
        let kind = match path {
            api::ENROL => Kind::Enrol,
            api::CHECK_IN => Kind::CheckIn,
            _ if path.starts_with(api::IMAGES) => Kind::Image,
            _ => Kind::Metadata,
        };
        *self.seen.requests.entry(kind).or_default() += 1;
        let fault = self.faults.get_mut(&kind).and_then(VecDeque::pop_front);
        match &fault {
            Some(Fault::Drop) => return None,
            Some(Fault::Status(status)) => {
                return Some(Answer {
                    status: *status,
                    decommissioned_at: (*status == 410).then_some(DECOMMISSIONED_AT),
                    ..Answer::default()
                });
            }
            Some(Fault::RetryAfter(seconds)) => {
                return Some(Answer {
                    status: 503,
                    retry_after_s: Some(*seconds),
                    ..Answer::default()
                });
            }
            _ => {}
        }
        let range = headers.get("range").filter(|_| fault != Some(Fault::NoRanges));
        let mut answer = match kind {
            Kind::Enrol => self.enrol(method, path, headers, body),
            Kind::CheckIn => self.check_in(method, path, headers, body),
            Kind::Metadata => self.file(path),
            Kind::Image => self.chunk(path, range),
        };
        match fault {
            Some(Fault::Cut(at)) => {
                answer.body.truncate(at);
                answer.breaks = true;
            }
            Some(Fault::Flip) if !answer.body.is_empty() => {
                let middle = answer.body.len() / 2;
                answer.body[middle] ^= 1;
            }
            Some(Fault::Endless) => answer.body = vec![7; 4 << 20],
            Some(Fault::Garbage) => answer.body = b"<html>hotel wifi</html>".to_vec(),
            Some(Fault::LostAnswer) => return None,
            _ => {}
        }
        if kind == Kind::Image {
            self.seen.image_bytes += answer.body.len() as u64;
        }
        Some(answer)
    }

    fn ok(body: Vec<u8>) -> Answer {
        Answer {
            status: 200,
            body,
            ..Answer::default()
        }
    }

    fn status(status: u16) -> Answer {
        Answer {
            status,
            ..Answer::default()
        }
    }

    /// Whether the request is signed by this key, now, and for the first time.
    fn is_signed(
        &mut self,
        key: &PublicKey,
        method: &str,
        path: &str,
        headers: &BTreeMap<String, String>,
        body: &[u8],
    ) -> bool {
        let header = |name: &str| headers.get(name).map_or("", String::as_str);
        let unverified = Unverified::parse(
            header("content-digest"),
            header("signature-input"),
            header("signature"),
        );
        let request = Request {
            method,
            path,
            query: None,
            body,
        };
        let proof = unverified
            .ok()
            .and_then(|unverified| unverified.verify(key, &request).ok());
        proof.is_some_and(|proof| {
            proof.check_time(self.now, api::SIGNATURE_WINDOW_S).is_ok()
                && self.seen.nonces.insert(proof.nonce)
        })
    }

    fn enrol(&mut self, method: &str, path: &str, headers: &BTreeMap<String, String>, body: &[u8]) -> Answer {
        let Ok(request) = decode::<EnrolRequest>(body) else {
            return Self::status(400);
        };
        let key = PublicKey::ed25519(&request.public_key);
        let used = self.key.as_ref().is_some_and(|known| *known != key);
        if !self.is_signed(&key, method, path, headers, body) || request.token != "token" || used {
            return Self::status(401);
        }
        self.key = Some(key);
        Self::ok(encode(&EnrolReply {
            device: DeviceId::of_public_key(&request.public_key),
            mqtt: self.mqtt.clone(),
            poll_interval_s: self.next_check_in_s,
            server_time: self.now,
        }))
    }

    fn check_in(
        &mut self,
        method: &str,
        path: &str,
        headers: &BTreeMap<String, String>,
        body: &[u8],
    ) -> Answer {
        let Some(key) = self.key.clone() else {
            return Self::status(401);
        };
        if !self.is_signed(&key, method, path, headers, body) {
            return Self::status(401);
        }
        let Ok(check_in) = decode::<CheckIn>(body) else {
            return Self::status(400);
        };
        self.seen.check_ins += 1;
        self.seen.state = Some(check_in.state);
        for record in check_in.records {
            let at = (check_in.incarnation, record.sequence);
            let before = self.seen.records.insert(at, record.clone());
            self.seen.contradictions += usize::from(before.is_some_and(|before| before != record));
        }
        let of_this = self
            .seen
            .records
            .range((check_in.incarnation, 0)..=(check_in.incarnation, u64::MAX));
        let acknowledged = of_this.last().map_or(0, |((_, sequence), _)| sequence + 1);
        let own = DeviceId::of_public_key(&key.ed25519_bytes().unwrap());
        let device = self.other_device.unwrap_or(own);
        let director = match self.document.take() {
            Some(document) => document,
            None => self.mint(device, self.director_key, |_| {}),
        };
        self.last_document = director.clone();
        Self::ok(encode(&CheckInReply {
            director,
            acknowledged,
            next_check_in_s: self.next_check_in_s,
            server_time: self.now,
        }))
    }

    fn file(&self, path: &str) -> Answer {
        self.files
            .get(path)
            .map_or_else(|| Self::status(404), |bytes| Self::ok(bytes.clone()))
    }

    fn chunk(&self, path: &str, range: Option<&String>) -> Answer {
        let Some(bytes) = self.images.get(path) else {
            return Self::status(404);
        };
        let bounds = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
        let Some((from, to)) = bounds else {
            return Self::ok(bytes.clone());
        };
        let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
        if from >= bytes.len() {
            return Self::status(416);
        }
        let body = bytes[from..=to.min(bytes.len() - 1)].to_vec();
        Answer {
            status: 206,
            range_start: Some(from as u64),
            body,
            ..Answer::default()
        }
    }

    /// Events that came, by kind.
    pub fn events(&self) -> Vec<(sanderling_wire::EventKind, Option<Digest>)> {
        let events = self
            .seen
            .records
            .values()
            .filter_map(|record| match &record.body {
                RecordBody::Event(event) => Some((event.kind, event.image)),
                _ => None,
            });
        events.collect()
    }

    pub fn has_event(&self, kind: sanderling_wire::EventKind) -> bool {
        self.events().iter().any(|(found, _)| *found == kind)
    }

    /// Records by sequence: nothing missing but what was dropped, nothing with two contents.
    pub fn check_telemetry(&self) {
        assert_eq!(
            self.seen.contradictions, 0,
            "a sequence number came with two contents"
        );
        let mut expected = BTreeMap::<u64, u64>::new();
        for (incarnation, sequence) in self.seen.records.keys() {
            let next = expected.entry(*incarnation).or_default();
            assert_eq!(*sequence, *next, "a record is missing");
            *next += 1;
        }
    }
}
