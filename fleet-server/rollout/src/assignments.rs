//! Who got what, and when.
//!
//! A device enters a rollout once, in the control arm, and is given the target at most once: the rows
//! below are written once and only gain. Their times are what the health test rebuilds its risk sets from, so
//! nothing in them is ever taken back; a rollback is one more time, not an erasure.

use crate::rollout::Requirements;
use crate::{Error, UnixSeconds};
use sanderling_wire::{Arm, DeviceId, HardwareId};
use serde::{Deserialize, Serialize};

/// One device's part in a rollout.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Assignment {
    /// The device.
    pub device: DeviceId,
    /// Its hardware class, index into [`Assignments::classes`]; its stratum for good.
    pub class: u16,
    /// The stage it was given the target in.
    pub stage: u16,
    /// When it entered the rollout, in the control arm. The clock of silence starts here.
    pub enrolled_at: UnixSeconds,
    /// When it was given the target.
    pub target_at: Option<UnixSeconds>,
    /// When it was found silent, in whichever arm; counted once, never retracted.
    pub silent_at: Option<UnixSeconds>,
    /// When it was assigned the base again.
    pub reverted_at: Option<UnixSeconds>,
}

impl Assignment {
    /// The arm it is in now: what the director tells the device to run. A device that was sent back is in neither
    /// arm of the comparison; it runs the base, as control devices do.
    #[must_use]
    pub fn arm(&self) -> Arm {
        if self.has_target() {
            Arm::Target
        } else {
            Arm::Control
        }
    }

    /// Whether it is assigned the target now.
    #[must_use]
    pub fn has_target(&self) -> bool {
        self.target_at.is_some() && self.reverted_at.is_none()
    }
}

/// Why a device is left out of a rollout.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Exclusion {
    /// Its operator keeps it from any rollout.
    Frozen,
    /// It is of another model, which the target would replace.
    OtherModel {
        /// The model of the version that it answers from; where it answers from nothing or from an unknown version, of
        /// the one that it was told to run.
        runs: String,
    },
    /// It runs the target already, by another way.
    RunsTarget,
    /// Its runtime is too old.
    Runtime {
        /// Lowest version the bundle asks for.
        needs: (u16, u16, u16),
        /// The device's version.
        has: (u16, u16, u16),
    },
    /// It computes by another version of the integer numerics.
    Numerics {
        /// The bundle's version.
        needs: u16,
        /// The device's version.
        has: u16,
    },
    /// It does not read so new a bundle.
    BundleFormat {
        /// The bundle's format.
        needs: u16,
        /// The newest it reads.
        has: u16,
    },
    /// It has too little memory.
    Memory {
        /// Bytes the bundle asks for.
        needs: u64,
        /// Bytes it may give a model.
        has: u64,
    },
    /// It lacks operators.
    Operators {
        /// Those it lacks.
        missing: Vec<String>,
    },
}

/// Why a runtime cannot run a bundle, if it cannot. `has.operators` is sorted.
pub(crate) fn unfit(needs: &Requirements, has: &sanderling_wire::RuntimeInfo) -> Option<Exclusion> {
    if has.version < needs.runtime {
        return Some(Exclusion::Runtime {
            needs: needs.runtime,
            has: has.version,
        });
    }
    if needs.numerics != 0 && needs.numerics != has.numerics {
        return Some(Exclusion::Numerics {
            needs: needs.numerics,
            has: has.numerics,
        });
    }
    if has.bundle_format < needs.bundle_format {
        return Some(Exclusion::BundleFormat {
            needs: needs.bundle_format,
            has: has.bundle_format,
        });
    }
    if has.memory_limit != 0 && has.memory_limit < needs.memory {
        return Some(Exclusion::Memory {
            needs: needs.memory,
            has: has.memory_limit,
        });
    }
    let lacks = |op: &&String| has.operators.binary_search(op).is_err();
    let mut missing: Vec<String> = needs.operators.iter().filter(lacks).cloned().collect();
    missing.sort_unstable();
    (!missing.is_empty()).then_some(Exclusion::Operators { missing })
}

/// Devices that are left out for the same reason.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ExclusionGroup {
    /// The reason.
    pub reason: Exclusion,
    /// The devices, sorted.
    pub devices: Vec<DeviceId>,
}

/// Everybody's part in a rollout, by device id.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Assignments {
    classes: Vec<HardwareId>,
    rows: Vec<Assignment>,
    excluded: Vec<ExclusionGroup>,
    /// Devices to which a later rollout gave its target, sorted.
    #[serde(skip)]
    taken: Vec<DeviceId>,
}

impl Assignments {
    /// Puts stored parts together, rows in any order.
    ///
    /// # Errors
    /// [`Error::Damaged`] when a device has two rows, a row has an unknown class, a class is named twice, or a
    /// row's times contradict each other.
    pub fn from_parts(
        classes: Vec<HardwareId>,
        mut rows: Vec<Assignment>,
        mut excluded: Vec<ExclusionGroup>,
    ) -> Result<Self, Error> {
        let damaged = |detail| Error::Damaged {
            what: "assignments",
            detail,
        };
        rows.sort_unstable_by_key(|r| r.device);
        for group in &mut excluded {
            group.devices.sort_unstable();
        }
        if let Some(pair) = rows.windows(2).find(|pair| pair[0].device == pair[1].device) {
            return Err(damaged(format!("device {} has two rows", pair[0].device)));
        }
        for (at, class) in classes.iter().enumerate() {
            if classes[..at].contains(class) {
                return Err(damaged(format!("class {class} is listed twice")));
            }
        }
        for row in &rows {
            if usize::from(row.class) >= classes.len() {
                return Err(damaged(format!(
                    "device {} is of class number {}",
                    row.device, row.class
                )));
            }
            let early = |at: Option<UnixSeconds>, least: UnixSeconds| at.is_some_and(|at| at < least);
            let lone_revert = row.reverted_at.is_some() && row.target_at.is_none();
            if early(row.target_at, row.enrolled_at)
                || early(row.reverted_at, row.target_at.unwrap_or(0))
                || lone_revert
            {
                return Err(damaged(format!(
                    "device {} was moved before it entered",
                    row.device
                )));
            }
        }
        Ok(Self {
            classes,
            rows,
            excluded,
            taken: Vec::new(),
        })
    }

    /// Says which devices a later rollout gave its target and did not send back: they are no longer this one's to move,
    /// whatever they run. Not kept with the rest: it is the later rollouts' state.
    pub fn set_taken(&mut self, mut devices: Vec<DeviceId>) {
        devices.sort_unstable();
        devices.dedup();
        self.taken = devices;
    }

    /// Whether a later rollout has taken a device over.
    #[must_use]
    pub fn is_taken(&self, device: DeviceId) -> bool {
        self.taken.binary_search(&device).is_ok()
    }

    /// The hardware classes of the rollout, in the order in which they entered it.
    #[must_use]
    pub fn classes(&self) -> &[HardwareId] {
        &self.classes
    }

    /// The rows, sorted by device.
    #[must_use]
    pub fn rows(&self) -> &[Assignment] {
        &self.rows
    }

    /// The devices left out, by reason.
    #[must_use]
    pub fn excluded(&self) -> &[ExclusionGroup] {
        &self.excluded
    }

    /// A device's row.
    #[must_use]
    pub fn get(&self, device: DeviceId) -> Option<&Assignment> {
        self.position(device).map(|at| &self.rows[at])
    }

    /// Where a device's row is.
    pub(crate) fn position(&self, device: DeviceId) -> Option<usize> {
        self.rows.binary_search_by_key(&device, |r| r.device).ok()
    }

    pub(crate) fn add_classes(&mut self, classes: &[HardwareId]) {
        self.classes.extend_from_slice(classes);
    }

    /// Adds rows for devices that have none; rows that exist stay as they are.
    pub(crate) fn enrol(&mut self, devices: &[DeviceId], class: u16, now: UnixSeconds) {
        let known = self.rows.len();
        for &device in devices {
            if self.rows[..known]
                .binary_search_by_key(&device, |r| r.device)
                .is_err()
            {
                self.rows.push(Assignment {
                    device,
                    class,
                    stage: 0,
                    enrolled_at: now,
                    target_at: None,
                    silent_at: None,
                    reverted_at: None,
                });
            }
        }
        self.rows.sort_by_key(|r| r.device);
        self.rows.dedup_by_key(|r| r.device);
    }

    /// Edits the rows of `devices`.
    pub(crate) fn edit(&mut self, devices: &[DeviceId], mut change: impl FnMut(&mut Assignment)) {
        for device in devices {
            if let Some(at) = self.position(*device) {
                change(&mut self.rows[at]);
            }
        }
    }

    pub(crate) fn exclude(&mut self, reason: &Exclusion, devices: &[DeviceId]) {
        self.readmit(devices);
        let at = self
            .excluded
            .iter()
            .position(|g| g.reason == *reason)
            .unwrap_or_else(|| {
                self.excluded.push(ExclusionGroup {
                    reason: reason.clone(),
                    devices: Vec::new(),
                });
                self.excluded.len() - 1
            });
        let group = &mut self.excluded[at].devices;
        group.extend_from_slice(devices);
        group.sort_unstable();
        group.dedup();
    }

    pub(crate) fn readmit(&mut self, devices: &[DeviceId]) {
        let mut sorted = devices.to_vec();
        sorted.sort_unstable();
        for group in &mut self.excluded {
            group.devices.retain(|d| sorted.binary_search(d).is_err());
        }
        self.excluded.retain(|g| !g.devices.is_empty());
    }
}

impl<'de> Deserialize<'de> for Assignments {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Parts {
            classes: Vec<HardwareId>,
            rows: Vec<Assignment>,
            excluded: Vec<ExclusionGroup>,
        }
        let parts = Parts::deserialize(deserializer)?;
        Self::from_parts(parts.classes, parts.rows, parts.excluded).map_err(serde::de::Error::custom)
    }
}
