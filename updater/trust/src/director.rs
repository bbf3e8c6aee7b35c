//! The director's document: what one device should run, signed at its check-in.
//!
//! Uptane's director repository has four roles so that mirrors and caches can carry it. Here the server that
//! mints the document hands it over itself, so one signed document does (docs/adr/0005): a TUF targets file
//! with at most one target, minted for one device, with a version of its own that rises per device.
//!
//! ```text
//! {"_type": "targets", "version": 41, "expires": …, "targets": {"magika-3.3.0.sdl": {length, hashes, custom}},
//!  "x-sanderling-director": {"format": 1, "device": …, "hardware": …, "issued": …,
//!       "image_timestamp_version": 9, "rollout": {"id": 7, "arm": "target", "mode": "activate",
//!                                                 "ledger_head": …}}}
//! ```
//!
//! Its key is an online key, so it is worth stealing. What it may say is therefore small: of the images that
//! the owner signed offline, at or above the device's release floor, it names one. [`decide`] is where both
//! repositories have to agree; nothing is installed by any other way.

use crate::envelope::Envelope;
use crate::error::TrustError;
use crate::json::Value;
use crate::metadata::{Hashes, Header, Reader, Release, Role, Root, TargetFile, Targets};
use crate::set::{Fetch, Limits, LocalState, RootChain, RootPin, TrustedSet};
use crate::time::UnixTime;
use crate::verified::Verified;
use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use core::str::FromStr;
use sanderling_wire::{Arm, DeviceId, Digest, HardwareId, RolloutId};

/// The field of `signed` that makes a targets file a director document.
const FIELD: &str = "x-sanderling-director";
/// The field under a target's `custom` that repeats the release counter.
const COUNTER: &str = "release_counter";
/// The form written and read.
const FORMAT: u64 = 1;

/// Who is asking: against this a document is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceIdentity {
    /// The device's own id.
    pub device: DeviceId,
    /// The hardware it is.
    pub hardware: HardwareId,
    /// The highest release counter of an image that this device ever confirmed. Lower ones are refused.
    pub release_floor: u64,
}

/// What the device does with the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mode {
    /// Serve it, watched, with the old version beside it for comparison; keep it if it holds up.
    Activate,
    /// Run it beside the version that serves; never answer from it.
    Shadow,
    /// Go back to it: it served before, and whoever rolls back is in a hurry.
    Restore,
}

impl Mode {
    /// The name in documents and ledgers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Activate => "activate",
            Self::Shadow => "shadow",
            Self::Restore => "restore",
        }
    }
}

impl FromStr for Mode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "activate" => Ok(Self::Activate),
            "shadow" => Ok(Self::Shadow),
            "restore" => Ok(Self::Restore),
            _ => Err("known are activate, shadow and restore"),
        }
    }
}

/// The device's place in a rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutAssignment {
    /// The rollout.
    pub rollout: RolloutId,
    /// The device's arm in it.
    pub arm: Arm,
    /// What to do with the target.
    pub mode: Mode,
    /// The head of the rollout's ledger when this was signed: decisions before it cannot be rewritten unseen.
    pub ledger_head: Digest,
}

/// The image that the director selects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectedTarget {
    /// Its name in the image repository.
    pub name: String,
    /// Bytes.
    pub length: u64,
    /// SHA-256 over those bytes.
    pub sha256: Digest,
    /// Its release counter, as the image repository has it.
    pub release_counter: u64,
}

/// A director document's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectorTargets {
    /// Version, rising per device, and expiry.
    pub header: Header,
    /// When it was minted, by the server's clock.
    pub issued: UnixTime,
    /// The device it was minted for.
    pub device: DeviceId,
    /// The hardware the server takes that device for.
    pub hardware: HardwareId,
    /// The version of the image repository's timestamp that the server held.
    pub image_timestamp_version: u64,
    /// The rollout that the device is in, if any.
    pub rollout: Option<RolloutAssignment>,
    /// What to run. None: keep what runs.
    pub target: Option<SelectedTarget>,
}

impl DirectorTargets {
    /// Reads `signed`.
    ///
    /// # Errors
    /// [`TrustError::DirectorDelegates`], [`TrustError::Malformed`].
    pub fn from_value(signed: &Value) -> Result<Self, TrustError> {
        let reader = Reader::new(&Role::Director, signed);
        if signed.get("delegations").is_some() {
            return Err(TrustError::DirectorDelegates);
        }
        let base = Targets::from_value(&Role::Director, signed)?;
        let own = reader.field(FIELD)?;
        let format = own.field("format")?;
        if format.u64()? != FORMAT {
            return Err(format.error("is not known here: update the agent"));
        }
        if base.targets.len() > 1 {
            return Err(reader.field("targets")?.error("may hold one target"));
        }
        let target = base
            .targets
            .iter()
            .next()
            .map(|(name, file)| read_target(&reader, name, file))
            .transpose()?;
        let issued = own.field("issued")?;
        if issued.time()? > base.header.expires {
            return Err(issued.error("is after `expires`"));
        }
        Ok(Self {
            header: base.header,
            issued: issued.time()?,
            device: own.field("device")?.parsed()?,
            hardware: own.field("hardware")?.parsed()?,
            image_timestamp_version: own.field("image_timestamp_version")?.u64()?,
            rollout: own
                .optional("rollout")
                .map(|rollout| read_rollout(&rollout))
                .transpose()?,
            target,
        })
    }

    /// The `signed` part of this document.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut own = BTreeMap::from([
            ("format".to_owned(), FORMAT.into()),
            ("issued".to_owned(), format!("{}", self.issued).into()),
            ("device".to_owned(), format!("{}", self.device).into()),
            ("hardware".to_owned(), self.hardware.as_str().into()),
            (
                "image_timestamp_version".to_owned(),
                self.image_timestamp_version.into(),
            ),
        ]);
        if let Some(rollout) = &self.rollout {
            own.insert("rollout".to_owned(), rollout_value(rollout));
        }
        let target = self.target.iter().map(|target| {
            let file = TargetFile {
                length: target.length,
                hashes: Hashes::sha256(&target.sha256),
                custom: Some(Value::object([(COUNTER, target.release_counter.into())])),
            };
            (target.name.clone(), file.to_value())
        });
        let mut signed = self.header.write(&Role::Director);
        signed.insert("targets".to_owned(), Value::Object(target.collect()));
        signed.insert(FIELD.to_owned(), Value::Object(own));
        Value::Object(signed)
    }
}

fn read_target(reader: &Reader<'_>, name: &str, file: &TargetFile) -> Result<SelectedTarget, TrustError> {
    let entry = reader.field("targets")?.field(name)?;
    Ok(SelectedTarget {
        name: name.to_owned(),
        length: file.length,
        sha256: entry.field("hashes")?.field("sha256")?.parsed()?,
        release_counter: entry.field("custom")?.field(COUNTER)?.u64()?,
    })
}

fn read_rollout(reader: &Reader<'_>) -> Result<RolloutAssignment, TrustError> {
    let arm = reader.field("arm")?;
    Ok(RolloutAssignment {
        rollout: RolloutId(reader.field("id")?.u64()?),
        arm: match arm.str()? {
            "target" => Arm::Target,
            "control" => Arm::Control,
            _ => return Err(arm.error("must be `target` or `control`")),
        },
        mode: reader.field("mode")?.parsed()?,
        ledger_head: reader.field("ledger_head")?.parsed()?,
    })
}

fn rollout_value(rollout: &RolloutAssignment) -> Value {
    let arm = match rollout.arm {
        Arm::Target => "target",
        Arm::Control => "control",
    };
    Value::object([
        ("id", rollout.rollout.0.into()),
        ("arm", arm.into()),
        ("mode", rollout.mode.as_str().into()),
        ("ledger_head", format!("{}", rollout.ledger_head).into()),
    ])
}

/// What a device trusts of its director.
#[derive(Debug, Clone)]
pub struct Director {
    chain: RootChain,
    trusted: Option<Verified<DirectorTargets>>,
}

impl Director {
    /// A director known by its pinned first root.
    ///
    /// # Errors
    /// Those of [`RootChain::new`].
    pub fn new(pin: &RootPin, first_root: &[u8], limits: Limits) -> Result<Self, TrustError> {
        Ok(Self {
            chain: RootChain::new(pin, first_root, limits)?,
            trusted: None,
        })
    }

    /// The trusted root; its targets role names the online keys.
    #[must_use]
    pub fn root(&self) -> &Verified<Root> {
        self.chain.root()
    }

    /// The root to try next.
    #[must_use]
    pub fn next_root(&self) -> Fetch {
        self.chain.next_root()
    }

    /// The newest document trusted so far. Store its bytes.
    #[must_use]
    pub fn trusted(&self) -> Option<&Verified<DirectorTargets>> {
        self.trusted.as_ref()
    }

    /// Takes the next root. A document that the new root's keys did not sign is dropped, and with it the floor
    /// under versions: that is how an owner recovers from a stolen director key.
    ///
    /// # Errors
    /// Those of [`RootChain::update`].
    pub fn update_root(&mut self, bytes: &[u8]) -> Result<(), TrustError> {
        self.chain.update(bytes)?;
        let stale = self
            .trusted
            .as_ref()
            .is_some_and(|trusted| self.open(trusted.bytes()).is_err());
        if stale {
            self.trusted = None;
        }
        Ok(())
    }

    /// Takes the stored document back in, verified against the current root. Expired, it still is the floor
    /// under versions.
    pub fn load_local(&mut self, bytes: Option<&[u8]>, device: &DeviceIdentity, now: UnixTime) -> LocalState {
        self.trusted = None;
        let Some(bytes) = bytes else {
            return LocalState::Absent;
        };
        match self
            .open(bytes)
            .and_then(|document| check_recipient(&document, device).map(|()| document))
        {
            Err(error) => LocalState::Refused(error),
            Ok(document) => {
                let state = LocalState::of(&document.header, now);
                self.trusted = Some(document);
                state
            }
        }
    }

    /// Verifies the document of a check-in's reply and trusts it from now on.
    ///
    /// # Errors
    /// [`TrustError::Expired`] for the director's root or the document, [`TrustError::OtherDevice`],
    /// [`TrustError::OtherHardware`], [`TrustError::DirectorDelegates`], [`TrustError::Rollback`] for a version
    /// under the trusted one, [`TrustError::Equivocation`] for the same version with other bytes, and all that
    /// verifying has.
    pub fn verify(
        &mut self,
        bytes: &[u8],
        device: &DeviceIdentity,
        now: UnixTime,
    ) -> Result<&Verified<DirectorTargets>, TrustError> {
        self.chain.check_fresh(now)?;
        let new = self.open(bytes)?;
        check_recipient(&new, device)?;
        let version = new.header.version;
        if let Some(trusted) = &self.trusted {
            if version < trusted.header.version {
                let trusted = trusted.header.version;
                return Err(TrustError::Rollback {
                    role: Role::Director,
                    trusted,
                    offered: version,
                });
            }
            if version == trusted.header.version && new.bytes() != trusted.bytes() {
                return Err(TrustError::Equivocation {
                    role: Role::Director,
                    version,
                });
            }
        }
        new.header.check_fresh(Role::Director, now)?;
        Ok(self.trusted.insert(new))
    }

    /// Length, signatures by the root's targets keys, content.
    fn open(&self, bytes: &[u8]) -> Result<Verified<DirectorTargets>, TrustError> {
        let root = self.chain.root();
        let envelope = Envelope::parse(&Role::Director, bytes, self.chain.limits().max_director_len)?;
        envelope.verify(&Role::Director, &root.targets, &root.keys, None)?;
        Ok(Verified::new(
            DirectorTargets::from_value(envelope.signed())?,
            bytes,
        ))
    }
}

fn check_recipient(document: &DirectorTargets, device: &DeviceIdentity) -> Result<(), TrustError> {
    if document.device != device.device {
        return Err(TrustError::OtherDevice {
            own: device.device,
            found: document.device,
        });
    }
    if document.hardware != device.hardware {
        let (own, found) = (device.hardware.clone(), document.hardware.clone());
        return Err(TrustError::OtherHardware { own, found });
    }
    Ok(())
}

/// What this device is to do. Only [`decide`] makes one.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Assignment {
    /// The version of the document it comes from.
    pub director_version: u64,
    /// The rollout that the device is in, if any.
    pub rollout: Option<RolloutAssignment>,
    /// What to run: both repositories agree on it. None: keep what runs.
    pub target: Option<AssignedTarget>,
}

/// An image that both repositories name.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AssignedTarget {
    /// Its name in the image repository.
    pub name: String,
    /// Bytes: download no more.
    pub length: u64,
    /// SHA-256 over those bytes: the bundle's id.
    pub sha256: Digest,
    /// What the owner signed about it.
    pub release: Release,
}

/// Puts both repositories together (Uptane standard, "full verification", the last steps).
///
/// # Errors
/// [`TrustError::Expired`] for any of the documents; [`TrustError::ImagesBehind`] and
/// [`TrustError::NotLoaded`] if image metadata must be fetched first; [`TrustError::NotInImages`],
/// [`TrustError::ImageMismatch`], [`TrustError::ReleaseFloor`]; [`TrustError::OtherDevice`],
/// [`TrustError::OtherHardware`].
pub fn decide(
    images: &TrustedSet,
    director: &Verified<DirectorTargets>,
    device: &DeviceIdentity,
    now: UnixTime,
) -> Result<Assignment, TrustError> {
    check_recipient(director, device)?;
    director.header.check_fresh(Role::Director, now)?;
    let target = match &director.target {
        None => None,
        Some(selected) => Some(agree(
            images,
            director.image_timestamp_version,
            selected,
            device,
            now,
        )?),
    };
    Ok(Assignment {
        director_version: director.header.version,
        rollout: director.rollout.clone(),
        target,
    })
}

fn agree(
    images: &TrustedSet,
    seen: u64,
    selected: &SelectedTarget,
    device: &DeviceIdentity,
    now: UnixTime,
) -> Result<AssignedTarget, TrustError> {
    let held = images.timestamp().map_or(0, |timestamp| timestamp.header.version);
    if held < seen {
        return Err(TrustError::ImagesBehind { seen, held });
    }
    let name = &selected.name;
    let image = images.fresh_target(name, now)?;
    let mismatch = |field| TrustError::ImageMismatch {
        name: name.clone(),
        field,
    };
    if image.length != selected.length {
        return Err(mismatch("length"));
    }
    if image.hashes.get_sha256() != Some(selected.sha256) {
        return Err(mismatch("sha256"));
    }
    let release = image.release()?.ok_or_else(|| mismatch(COUNTER))?;
    if release.counter != selected.release_counter {
        return Err(mismatch(COUNTER));
    }
    if release.counter < device.release_floor {
        let floor = device.release_floor;
        return Err(TrustError::ReleaseFloor {
            name: name.clone(),
            floor,
            offered: release.counter,
        });
    }
    Ok(AssignedTarget {
        name: name.clone(),
        length: image.length,
        sha256: selected.sha256,
        release,
    })
}
