//! Roots: the pinned first one, and each that the one before has signed (TUF 1.0, 5.2 and 5.3).

use super::{Fetch, Limits};
use crate::envelope::Envelope;
use crate::error::TrustError;
use crate::metadata::{Role, Root};
use crate::time::UnixTime;
use crate::verified::Verified;
use alloc::format;
use sanderling_wire::Digest;

/// What kind of roots a pin accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Roots {
    /// Roots that protect something.
    Production,
    /// Roots that say of themselves that they belong to a demo, and no others.
    Demo,
}

/// The first root, as the device's owner knows it: from the configuration, the app, or the enrolment string;
/// never from the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RootPin {
    /// Which roots are accepted.
    pub kind: Roots,
    /// SHA-256 over the bytes of the first root file.
    pub sha256: Digest,
}

impl RootPin {
    /// The pin of these bytes. Only for bytes that came from where a pin could have come from.
    #[must_use]
    pub fn of(kind: Roots, first_root: &[u8]) -> Self {
        Self {
            kind,
            sha256: Digest::of(first_root),
        }
    }
}

/// The trusted root and how it may be followed.
#[derive(Debug, Clone)]
pub struct RootChain {
    kind: Roots,
    root: Verified<Root>,
    limits: Limits,
}

impl RootChain {
    /// Trusts the pinned first root, of whatever version. It must be signed by its own keys all the same.
    ///
    /// # Errors
    /// [`TrustError::Pin`], [`TrustError::DemoRoot`], [`TrustError::NotDemoRoot`], and all that verifying has.
    pub fn new(pin: &RootPin, first_root: &[u8], limits: Limits) -> Result<Self, TrustError> {
        let found = Digest::of(first_root);
        if found != pin.sha256 {
            return Err(TrustError::Pin {
                expected: pin.sha256,
                found,
            });
        }
        let envelope = Envelope::parse(&Role::Root, first_root, limits.max_root_len)?;
        let root = Root::from_value(envelope.signed())?;
        check_kind(pin.kind, &root)?;
        envelope.verify(&Role::Root, &root.root, &root.keys, Some("its own keys"))?;
        Ok(Self {
            kind: pin.kind,
            root: Verified::new(root, first_root),
            limits,
        })
    }

    /// Takes the next root: version N + 1, signed by a threshold of root N's keys and of its own.
    ///
    /// # Errors
    /// [`TrustError::RootVersion`], [`TrustError::DemoRoot`], [`TrustError::NotDemoRoot`],
    /// [`TrustError::OtherRepository`], and all that verifying has.
    pub fn update(&mut self, bytes: &[u8]) -> Result<(), TrustError> {
        let envelope = Envelope::parse(&Role::Root, bytes, self.limits.max_root_len)?;
        let new = Root::from_value(envelope.signed())?;
        envelope.verify(
            &Role::Root,
            &self.root.root,
            &self.root.keys,
            Some("the trusted root's keys"),
        )?;
        let expected = self.next_version();
        if new.header.version != expected {
            return Err(TrustError::RootVersion {
                expected,
                found: new.header.version,
            });
        }
        check_kind(self.kind, &new)?;
        if new.repository != self.root.repository {
            let name = |root: &Root| root.repository.clone().unwrap_or_default();
            return Err(TrustError::OtherRepository {
                trusted: name(&self.root),
                found: name(&new),
            });
        }
        envelope.verify(&Role::Root, &new.root, &new.keys, Some("its own keys"))?;
        self.root = Verified::new(new, bytes);
        Ok(())
    }

    /// The trusted root.
    #[must_use]
    pub fn root(&self) -> &Verified<Root> {
        &self.root
    }

    /// The limits given at the start.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The file to try next.
    #[must_use]
    pub fn next_root(&self) -> Fetch {
        let name = format!("{}.root.json", self.next_version());
        Fetch {
            role: Role::Root,
            delegator: None,
            name,
            max_len: self.limits.max_root_len,
        }
    }

    /// Checks that the trusted root has not expired (5.3.10).
    ///
    /// # Errors
    /// [`TrustError::Expired`].
    pub fn check_fresh(&self, now: UnixTime) -> Result<(), TrustError> {
        self.root.header.check_fresh(Role::Root, now)
    }

    fn next_version(&self) -> u64 {
        self.root.header.version.saturating_add(1)
    }
}

fn check_kind(kind: Roots, root: &Root) -> Result<(), TrustError> {
    match (kind, root.demo) {
        (Roots::Production, true) => Err(TrustError::DemoRoot),
        (Roots::Demo, false) => Err(TrustError::NotDemoRoot),
        _ => Ok(()),
    }
}
