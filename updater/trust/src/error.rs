//! What can be wrong with what a device was told, by who is to blame for it.

use crate::metadata::Role;
use crate::time::UnixTime;
use alloc::string::String;
use sanderling_wire::{DeviceId, Digest, HardwareId};

/// The attack that a refused document would be part of, in TUF's terms (specification, 1.5.2) and Uptane's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Attack {
    /// Content that the owner did not sign.
    ArbitrarySoftware,
    /// Something older than what is trusted already.
    Rollback,
    /// Something that has expired: the sender keeps newer content back.
    Freeze,
    /// Parts that do not belong together.
    MixAndMatch,
    /// More bytes than were announced or are allowed.
    EndlessData,
    /// A document minted for another device, or for other hardware.
    WrongRecipient,
    /// A document that uses rights its role does not have.
    ExcessiveRights,
}

impl Attack {
    /// A stable name for telemetry and ledgers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ArbitrarySoftware => "arbitrary_software",
            Self::Rollback => "rollback",
            Self::Freeze => "freeze",
            Self::MixAndMatch => "mix_and_match",
            Self::EndlessData => "endless_data",
            Self::WrongRecipient => "wrong_recipient",
            Self::ExcessiveRights => "excessive_rights",
        }
    }
}

/// Why something was not trusted. Nothing changes in a set of trusted metadata when one of these is returned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// More bytes than the limit for this role.
    #[error("{role} metadata has {found} bytes, at most {limit} are taken")]
    TooLong {
        /// The role.
        role: Role,
        /// Most bytes taken.
        limit: usize,
        /// Bytes received.
        found: usize,
    },
    /// Not metadata of the form that TUF 1.0 has.
    #[error("{role} metadata is malformed: {reason}")]
    Malformed {
        /// The role.
        role: Role,
        /// What is wrong, and in which field.
        reason: String,
    },
    /// Too few valid signatures by distinct keys of the role.
    #[error("{role} metadata has {valid} valid signatures by keys of its role, {threshold} are needed{}", by_whom(.by))]
    Signatures {
        /// The role.
        role: Role,
        /// Valid signatures by distinct keys.
        valid: usize,
        /// Signatures needed.
        threshold: u64,
        /// Which root's keys were asked for, where two roots must have signed.
        by: Option<&'static str>,
    },
    /// The first root is not the pinned one.
    #[error(
        "the first root has SHA-256 {found}, but {expected} is pinned: check the enrolment string or configuration"
    )]
    Pin {
        /// The pinned hash.
        expected: Digest,
        /// The hash of what was given.
        found: Digest,
    },
    /// A demo's root where production's is wanted.
    #[error("this root belongs to a demo: its keys protect nothing, only the demo accepts it")]
    DemoRoot,
    /// A root that is not a demo's under a demo's pin.
    #[error("a demo accepts demo roots only, and this one is not marked as one")]
    NotDemoRoot,
    /// A root of another repository with the same root keys.
    #[error("a root of the repository {found:?} was offered for that of {trusted:?}")]
    OtherRepository {
        /// The trusted root's repository.
        trusted: String,
        /// The offered root's.
        found: String,
    },
    /// A root that does not follow the trusted one.
    #[error("root version {found} was offered where {expected} must follow")]
    RootVersion {
        /// Trusted version plus one.
        expected: u64,
        /// Version offered.
        found: u64,
    },
    /// An older version than the one trusted.
    #[error("{role} version {offered} was offered, version {trusted} is trusted already")]
    Rollback {
        /// The role.
        role: Role,
        /// Version trusted.
        trusted: u64,
        /// Version offered.
        offered: u64,
    },
    /// The same version number over other content.
    #[error("{role} version {version} was offered with other content than the one trusted under that number")]
    Equivocation {
        /// The role.
        role: Role,
        /// The version.
        version: u64,
    },
    /// A file that the trusted snapshot lists is missing from the new one.
    #[error("the new snapshot does not list {name}, the trusted one does")]
    DroppedFromSnapshot {
        /// The metadata file.
        name: String,
    },
    /// Past its expiry.
    #[error("{role} metadata expired at {expired} (now: {now}); installing waits for fresh metadata")]
    Expired {
        /// The role.
        role: Role,
        /// When it expired.
        expired: UnixTime,
        /// The time it was compared with.
        now: UnixTime,
    },
    /// Not the number of bytes its parent states.
    #[error("{what} has {found} bytes, its parent states {expected}")]
    Length {
        /// The metadata role's or the target's name.
        what: String,
        /// Bytes stated.
        expected: u64,
        /// Bytes received.
        found: u64,
    },
    /// Not the hash its parent states.
    #[error("{what} does not have the {kind} hash that its parent states")]
    Hash {
        /// The metadata role's or the target's name.
        what: String,
        /// `sha256` or `sha512`.
        kind: String,
    },
    /// A hash of a kind that is not known here, so that it cannot be checked.
    #[error("{what} is stated with a hash of kind {kind:?}, known are sha256 and sha512")]
    UnknownHash {
        /// The metadata role's or the target's name.
        what: String,
        /// The kind.
        kind: String,
    },
    /// Not the version its parent states.
    #[error("{role} metadata has version {found}, its parent states {listed}")]
    ListedVersion {
        /// The role.
        role: Role,
        /// Version stated.
        listed: u64,
        /// Version received.
        found: u64,
    },
    /// A role that its delegator or the snapshot does not know.
    #[error("{role} is not listed by {by}")]
    NotListed {
        /// The role.
        role: Role,
        /// Who should list it.
        by: String,
    },
    /// A step out of order: the caller's mistake.
    #[error("{role} metadata is needed first; fetch and verify it")]
    NotLoaded {
        /// What is missing.
        role: Role,
    },
    /// More rotations, delegations or other steps than the limit allows.
    #[error("more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// Director metadata that delegates. Uptane forbids it.
    #[error("the director's document holds delegations; a director may not delegate")]
    DirectorDelegates,
    /// A director document for another device.
    #[error("the director's document is for device {found}, this is {own}")]
    OtherDevice {
        /// This device.
        own: DeviceId,
        /// The device it was minted for.
        found: DeviceId,
    },
    /// A director document for other hardware.
    #[error("the director's document is for hardware {found}, this is {own}")]
    OtherHardware {
        /// This hardware.
        own: HardwareId,
        /// The hardware it was minted for.
        found: HardwareId,
    },
    /// The director names a target that the owner's repository does not list.
    #[error("the director assigns {name:?}, which the image repository does not list")]
    NotInImages {
        /// The target's name.
        name: String,
    },
    /// The director's length, hash or release counter is not the owner's.
    #[error("the director's {field} for {name:?} is not the one the image repository signed")]
    ImageMismatch {
        /// The target's name.
        name: String,
        /// `length`, `sha256` or `release_counter`.
        field: &'static str,
    },
    /// The image repository's metadata here is older than what the director has seen.
    #[error(
        "the director has seen image timestamp {seen}, this device holds {held}: fetch the image metadata again"
    )]
    ImagesBehind {
        /// The director's.
        seen: u64,
        /// This device's.
        held: u64,
    },
    /// A release that the owner has ruled out for devices that ran a later one.
    #[error("release counter {offered} of {name:?} is under this device's floor {floor}")]
    ReleaseFloor {
        /// The target's name.
        name: String,
        /// The floor.
        floor: u64,
        /// The counter offered.
        offered: u64,
    },
}

fn by_whom(by: &Option<&'static str>) -> String {
    by.map(|by| alloc::format!(" ({by})")).unwrap_or_default()
}

impl TrustError {
    /// The attack this would be, if the sender meant it. None for callers' mistakes, forms that cannot be read
    /// and configuration.
    #[must_use]
    pub fn attack(&self) -> Option<Attack> {
        Some(match self {
            Self::Signatures { .. } | Self::Pin { .. } | Self::NotInImages { .. } | Self::DemoRoot => {
                Attack::ArbitrarySoftware
            }
            Self::Rollback { .. } | Self::RootVersion { .. } | Self::DroppedFromSnapshot { .. } => {
                Attack::Rollback
            }
            Self::ReleaseFloor { .. } => Attack::Rollback,
            Self::Expired { .. } | Self::ImagesBehind { .. } => Attack::Freeze,
            Self::Hash { .. } | Self::UnknownHash { .. } | Self::ListedVersion { .. } => Attack::MixAndMatch,
            Self::Length { .. } | Self::ImageMismatch { .. } | Self::Equivocation { .. } => {
                Attack::MixAndMatch
            }
            Self::NotListed { .. } | Self::OtherRepository { .. } => Attack::MixAndMatch,
            Self::TooLong { .. } | Self::TooMany { .. } => Attack::EndlessData,
            Self::OtherDevice { .. } | Self::OtherHardware { .. } => Attack::WrongRecipient,
            Self::DirectorDelegates => Attack::ExcessiveRights,
            Self::Malformed { .. } | Self::NotLoaded { .. } | Self::NotDemoRoot => return None,
        })
    }

    /// Whether waiting or fetching again can help, the sender being honest.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        matches!(self, Self::Expired { .. } | Self::ImagesBehind { .. })
    }
}
