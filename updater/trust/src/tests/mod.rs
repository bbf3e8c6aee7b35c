//! A repository, a director and a device in memory, and attacks on the third by the other two.

extern crate std;

mod attacks;
mod documents;
mod properties;

use crate::envelope::Envelope;
use crate::json::Value;
use crate::metadata::Header;
use crate::*;
use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};
use core::num::NonZeroU64;
use sanderling_wire::{Arm, DeviceId, Digest, HardwareId, RolloutId};

/// 2026-11-22T12:00:00Z.
pub(crate) const NOW: UnixTime = UnixTime(1_795_348_800);
const DAY: u64 = 86_400;
pub(crate) const BUNDLE: &[u8] = b"the bytes of a bundle";
pub(crate) const NAME: &str = "magika-3.3.0.sdl";

pub(crate) fn key(n: u8) -> Ed25519Signer {
    Ed25519Signer::from_seed(&[n; 32])
}

pub(crate) const ROOT: [u8; 3] = [1, 2, 3];
pub(crate) const TARGETS: u8 = 11;
pub(crate) const SNAPSHOT: u8 = 12;
pub(crate) const TIMESTAMP: u8 = 13;
pub(crate) const DIRECTOR: u8 = 14;
/// Nobody's key.
pub(crate) const MALLORY: u8 = 66;

pub(crate) fn role(keys: &[u8], threshold: u64) -> RoleKeys {
    let key_ids = keys.iter().map(|n| key(*n).public_key().id().clone()).collect();
    RoleKeys {
        key_ids,
        threshold: NonZeroU64::new(threshold).unwrap(),
    }
}

pub(crate) fn key_map(keys: &[u8]) -> BTreeMap<KeyId, PublicKey> {
    keys.iter()
        .map(|n| key(*n).public_key().clone())
        .map(|key| (key.id().clone(), key))
        .collect()
}

pub(crate) fn signed(value: &Value, keys: &[u8]) -> Vec<u8> {
    let mut envelope = Envelope::unsigned(value.clone());
    for n in keys {
        envelope.sign(&key(*n)).unwrap();
    }
    envelope.to_bytes()
}

/// Replaces the value at a path of object keys.
pub(crate) fn set(value: &mut Value, path: &[&str], new: impl Into<Value>) {
    let mut at = value;
    for name in path {
        let Value::Object(object) = at else {
            panic!("{name} is not in an object")
        };
        at = object.entry((*name).to_owned()).or_insert(Value::Null);
    }
    *at = new.into();
}

pub(crate) fn image_root() -> Root {
    Root {
        header: Header {
            version: 1,
            expires: NOW.plus(365 * DAY),
        },
        consistent_snapshot: true,
        keys: key_map(&[1, 2, 3, TARGETS, SNAPSHOT, TIMESTAMP]),
        root: role(&ROOT, 2),
        timestamp: role(&[TIMESTAMP], 1),
        snapshot: role(&[SNAPSHOT], 1),
        targets: role(&[TARGETS], 1),
        demo: false,
        repository: Some("image".to_owned()),
    }
}

pub(crate) fn director_root() -> Root {
    Root {
        keys: key_map(&[1, 2, 3, DIRECTOR]),
        timestamp: role(&[DIRECTOR], 1),
        snapshot: role(&[DIRECTOR], 1),
        targets: role(&[DIRECTOR], 1),
        repository: Some("director".to_owned()),
        ..image_root()
    }
}

pub(crate) fn release(counter: u64) -> Release {
    Release {
        name: "magika".to_owned(),
        version: "3.3.0".to_owned(),
        counter,
        min_runtime: (0, 1, 0),
        operators: Release::operators_digest(["Conv", "Relu"]),
        allowed_disagreement_ppm: 20_000,
    }
}

/// What the owner's machine would publish; attackers hold some of its keys.
#[derive(Clone)]
pub(crate) struct Repo {
    pub(crate) root: Value,
    pub(crate) root_keys: Vec<u8>,
    pub(crate) targets: Value,
    pub(crate) targets_keys: Vec<u8>,
    pub(crate) snapshot: Value,
    pub(crate) snapshot_keys: Vec<u8>,
    pub(crate) timestamp: Value,
    pub(crate) timestamp_keys: Vec<u8>,
    /// Published bytes, by file name.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
}

impl Repo {
    fn new() -> Self {
        let header = |days: u64| Header {
            version: 1,
            expires: NOW.plus(days * DAY),
        };
        let file = TargetFile {
            length: BUNDLE.len() as u64,
            hashes: Hashes::sha256(&Digest::of(BUNDLE)),
            custom: Some(release(1).to_custom()),
        };
        let targets = Targets {
            header: header(90),
            targets: BTreeMap::from([(NAME.to_owned(), file)]),
            delegations: None,
        };
        let meta = BTreeMap::from([("targets.json".to_owned(), MetaFile::of(1, b""))]);
        let mut repo = Self {
            root: image_root().to_value(),
            root_keys: vec![1, 2],
            targets: targets.to_value(),
            targets_keys: vec![TARGETS],
            snapshot: Snapshot {
                header: header(30),
                meta,
            }
            .to_value(),
            snapshot_keys: vec![SNAPSHOT],
            timestamp: Timestamp {
                header: header(1),
                snapshot: MetaFile::of(1, b""),
            }
            .to_value(),
            timestamp_keys: vec![TIMESTAMP],
            files: BTreeMap::new(),
        };
        repo.publish_root();
        repo.publish();
        repo
    }

    pub(crate) fn version(value: &Value) -> u64 {
        value.get("version").unwrap().as_u64().unwrap()
    }

    pub(crate) fn bump(value: &mut Value) {
        let next = Self::version(value) + 1;
        set(value, &["version"], next);
    }

    pub(crate) fn publish_root(&mut self) {
        let name = format!("{}.root.json", Self::version(&self.root));
        self.files.insert(name, signed(&self.root, &self.root_keys));
    }

    /// The next root, with the given change.
    pub(crate) fn rotate(&mut self, edit: impl FnOnce(&mut Root)) {
        let mut root = Root::from_value(&self.root).unwrap();
        root.header.version += 1;
        edit(&mut root);
        self.root = root.to_value();
        self.publish_root();
    }

    /// Signs targets, snapshot and timestamp as they stand; the parents state what is under them.
    pub(crate) fn publish(&mut self) {
        let targets = signed(&self.targets, &self.targets_keys);
        let version = Self::version(&self.targets);
        set(
            &mut self.snapshot,
            &["meta", "targets.json"],
            MetaFile::of(version, &targets).to_value(),
        );
        self.files.insert(format!("{version}.targets.json"), targets);
        self.publish_snapshot();
    }

    pub(crate) fn publish_snapshot(&mut self) {
        let snapshot = signed(&self.snapshot, &self.snapshot_keys);
        let version = Self::version(&self.snapshot);
        set(
            &mut self.timestamp,
            &["meta", "snapshot.json"],
            MetaFile::of(version, &snapshot).to_value(),
        );
        self.files.insert(format!("{version}.snapshot.json"), snapshot);
        self.publish_timestamp();
    }

    pub(crate) fn publish_timestamp(&mut self) {
        self.files.insert(
            "timestamp.json".to_owned(),
            signed(&self.timestamp, &self.timestamp_keys),
        );
    }

    /// All three rise by one.
    pub(crate) fn release(&mut self) {
        Self::bump(&mut self.targets);
        Self::bump(&mut self.snapshot);
        Self::bump(&mut self.timestamp);
        self.publish();
    }

    pub(crate) fn bytes(&self, name: &str) -> &[u8] {
        &self.files[name]
    }
}

/// A device that has refreshed once, and the two repositories it listens to.
#[derive(Clone)]
pub(crate) struct Scene {
    pub(crate) repo: Repo,
    pub(crate) images: TrustedSet,
    pub(crate) director: Director,
    pub(crate) document: DirectorTargets,
    pub(crate) device: DeviceIdentity,
    pub(crate) now: UnixTime,
}

static FRESH: std::sync::LazyLock<Scene> = std::sync::LazyLock::new(Scene::build);

impl Scene {
    pub(crate) fn new() -> Self {
        FRESH.clone()
    }

    fn build() -> Self {
        let repo = Repo::new();
        let first = repo.bytes("1.root.json");
        let images =
            TrustedSet::new(&RootPin::of(Roots::Production, first), first, Limits::default()).unwrap();
        let first = signed(&director_root().to_value(), &[1, 2]);
        let director =
            Director::new(&RootPin::of(Roots::Production, &first), &first, Limits::default()).unwrap();
        let device = DeviceIdentity {
            device: DeviceId::of_public_key(&[7; 32]),
            hardware: HardwareId::new("pi4").unwrap(),
            release_floor: 1,
        };
        let document = document_for(&device);
        let mut scene = Self {
            repo,
            images,
            director,
            document,
            device,
            now: NOW,
        };
        scene.refresh().unwrap();
        scene.decide().unwrap();
        scene
    }

    /// One update cycle (TUF 1.0, 5.3 to 5.6).
    pub(crate) fn refresh(&mut self) -> Result<(), TrustError> {
        loop {
            let next = self.images.next_root();
            let Some(bytes) = self.repo.files.get(&next.name) else {
                break;
            };
            self.images.update(&next, bytes, self.now)?;
        }
        let mut next = Some(self.images.timestamp_fetch());
        while let Some(fetch) = next {
            let missing = || panic!("{} was asked for and is not there", fetch.name);
            let bytes = self.repo.files.get(&fetch.name).unwrap_or_else(missing);
            self.images.update(&fetch, bytes, self.now)?;
            next = self.images.wanted();
        }
        Ok(())
    }

    /// The device's check-in: the document as it stands, minted under the next version.
    pub(crate) fn decide(&mut self) -> Result<Assignment, TrustError> {
        self.document.header.version += 1;
        let bytes = signed(&self.document.to_value(), &[DIRECTOR]);
        self.decide_by(&bytes)
    }

    pub(crate) fn decide_by(&mut self, bytes: &[u8]) -> Result<Assignment, TrustError> {
        let document = self.director.verify(bytes, &self.device, self.now)?.clone();
        decide(&self.images, &document, &self.device, self.now)
    }

    /// The device starts again, with what it stored and the pins.
    pub(crate) fn restart(&mut self) -> LocalReport {
        let stored = self.images.clone();
        let first = self.repo.bytes("1.root.json").to_vec();
        let pin = RootPin::of(Roots::Production, &first);
        self.images = TrustedSet::new(&pin, &first, Limits::default()).unwrap();
        for version in 2..=stored.root().header.version {
            self.images
                .update_root(self.repo.bytes(&format!("{version}.root.json")))
                .unwrap();
        }
        let local = Local {
            timestamp: stored.timestamp().map(Verified::bytes),
            snapshot: stored.snapshot().map(Verified::bytes),
            targets: stored.targets().map(Verified::bytes),
        };
        self.images.load_local(local, self.now)
    }
}

pub(crate) fn document_for(device: &DeviceIdentity) -> DirectorTargets {
    DirectorTargets {
        header: Header {
            version: 1,
            expires: NOW.plus(3600),
        },
        issued: NOW,
        device: device.device,
        hardware: device.hardware.clone(),
        image_timestamp_version: 1,
        rollout: Some(RolloutAssignment {
            rollout: RolloutId(7),
            arm: Arm::Target,
            mode: Mode::Activate,
            ledger_head: Digest::of(b"ledger"),
        }),
        target: Some(SelectedTarget {
            name: NAME.to_owned(),
            length: BUNDLE.len() as u64,
            sha256: Digest::of(BUNDLE),
            release_counter: 1,
        }),
    }
}
