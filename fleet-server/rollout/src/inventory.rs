//! What is known of the fleet's devices, packed for a million of them.
//!
//! Few kinds of device make up a fleet, so what describes a kind (hardware class, runtime, operators) is held once
//! as a [`Profile`], and a device is 48 bytes that point to it. Devices are sorted by id: the order in
//! which a database lists them cannot change a plan.
//!
//! A fleet may hold several models. Which one a device is of follows from the version it answers from, and which
//! version is of which model is told once per version ([`InventoryBuilder::model`]), never per device.

use crate::{Error, UnixSeconds};
use sanderling_wire::{DeviceId, Digest, HardwareId, RuntimeInfo};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Index of a [`Profile`] in its inventory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProfileId(u32);

/// Index of a version (a bundle's digest, or none) in its inventory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VersionId(u32);

/// A kind of device: what devices of one hardware class with one runtime build have in common.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Profile {
    /// The hardware class, within which devices are randomised and compared.
    pub class: HardwareId,
    /// What the runtime can do. `operators` is sorted.
    pub runtime: RuntimeInfo,
}

/// One device.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// Its kind, from [`InventoryBuilder::profile`].
    pub profile: ProfileId,
    /// What it last said it answers from, from [`InventoryBuilder::version`].
    pub version: VersionId,
    /// What it was last told to run, from [`InventoryBuilder::version`]: that of `None` where it was never told.
    pub told: VersionId,
    /// When the server first heard that it runs this version; 0 where unknown.
    pub running_since: UnixSeconds,
    /// When the server last heard from it.
    pub last_seen: UnixSeconds,
    /// Whether its operator keeps it from any rollout.
    pub frozen: bool,
}

/// The fleet, by device id.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "InventoryBuilder", into = "InventoryBuilder")]
pub struct Inventory {
    profiles: Vec<Profile>,
    versions: Vec<Option<Digest>>,
    models: BTreeMap<Digest, String>,
    devices: Vec<Device>,
}

impl Inventory {
    /// The devices, sorted by id.
    #[must_use]
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// The kinds of device, in the order in which they were added.
    #[must_use]
    pub fn profiles(&self) -> &[Profile] {
        &self.profiles
    }

    /// The device of this id.
    #[must_use]
    pub fn get(&self, id: DeviceId) -> Option<&Device> {
        let at = self.devices.binary_search_by_key(&id, |d| d.id).ok()?;
        Some(&self.devices[at])
    }

    /// Kind of a device of this inventory.
    #[must_use]
    pub fn profile_of(&self, device: &Device) -> &Profile {
        &self.profiles[device.profile.0 as usize]
    }

    /// Position of a device's kind in [`Inventory::profiles`].
    pub(crate) fn profile_index(device: &Device) -> usize {
        device.profile.0 as usize
    }

    /// The bundle a device of this inventory answers from.
    #[must_use]
    pub fn running(&self, device: &Device) -> Option<Digest> {
        self.versions[device.version.0 as usize]
    }

    /// The bundle a device of this inventory was last told to run; none where it was never told.
    #[must_use]
    pub fn told(&self, device: &Device) -> Option<Digest> {
        self.versions[device.told.0 as usize]
    }

    /// The model that a bundle is a version of, where that is known.
    #[must_use]
    pub fn model(&self, digest: Digest) -> Option<&str> {
        self.models.get(&digest).map(String::as_str)
    }

    /// The versions, in the order in which they were added.
    pub(crate) fn versions(&self) -> &[Option<Digest>] {
        &self.versions
    }

    /// Positions in [`Inventory::versions`] of what a device answers from, and of what it was told to run.
    pub(crate) fn version_indices(device: &Device) -> (usize, usize) {
        (device.version.0 as usize, device.told.0 as usize)
    }
}

/// Collects an [`Inventory`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct InventoryBuilder {
    profiles: Vec<Profile>,
    versions: Vec<Option<Digest>>,
    #[serde(default)]
    models: BTreeMap<Digest, String>,
    devices: Vec<Device>,
    #[serde(skip)]
    version_ids: BTreeMap<Option<Digest>, VersionId>,
}

impl InventoryBuilder {
    /// Room for so many devices.
    #[must_use]
    pub fn with_capacity(devices: usize) -> Self {
        Self {
            devices: Vec::with_capacity(devices),
            ..Self::default()
        }
    }

    /// The id of a kind of device; the same kind has the same id.
    ///
    /// Costs a comparison with each kind known so far, of which a fleet has few.
    pub fn profile(&mut self, class: &HardwareId, runtime: &RuntimeInfo) -> ProfileId {
        if let Some(known) = self.find_profile(class, runtime) {
            return known;
        }
        let mut runtime = runtime.clone();
        runtime.operators.sort_unstable();
        runtime.operators.dedup();
        self.find_profile(class, &runtime).unwrap_or_else(|| {
            self.profiles.push(Profile {
                class: class.clone(),
                runtime,
            });
            ProfileId((self.profiles.len() - 1) as u32)
        })
    }

    fn find_profile(&self, class: &HardwareId, runtime: &RuntimeInfo) -> Option<ProfileId> {
        let at = self
            .profiles
            .iter()
            .position(|p| p.class == *class && p.runtime == *runtime)?;
        Some(ProfileId(at as u32))
    }

    /// The id of a version; `None` for devices that answer from nothing.
    pub fn version(&mut self, digest: Option<Digest>) -> VersionId {
        let next = VersionId(self.versions.len() as u32);
        *self.version_ids.entry(digest).or_insert_with(|| {
            self.versions.push(digest);
            next
        })
    }

    /// Says that a bundle is a version of a model. Bundles of which nothing is said are of no known model.
    pub fn model(&mut self, digest: Digest, name: &str) {
        self.models.insert(digest, name.to_owned());
    }

    /// Adds a device, with ids from this builder.
    pub fn device(&mut self, device: Device) {
        self.devices.push(device);
    }

    /// Sorts and checks.
    ///
    /// # Errors
    /// [`Error::DuplicateDevice`], and [`Error::Damaged`] for a profile or version of another builder.
    pub fn build(self) -> Result<Inventory, Error> {
        let Self {
            profiles,
            versions,
            models,
            mut devices,
            ..
        } = self;
        devices.sort_unstable_by_key(|d| d.id);
        if let Some(pair) = devices.windows(2).find(|pair| pair[0].id == pair[1].id) {
            return Err(Error::DuplicateDevice { device: pair[0].id });
        }
        let dangling = |d: &&Device| {
            let missing = |version: VersionId| version.0 as usize >= versions.len();
            d.profile.0 as usize >= profiles.len() || missing(d.version) || missing(d.told)
        };
        if let Some(device) = devices.iter().find(dangling) {
            let detail = format!(
                "device {} points to a profile or version that is not there",
                device.id
            );
            return Err(Error::Damaged {
                what: "inventory",
                detail,
            });
        }
        Ok(Inventory {
            profiles,
            versions,
            models,
            devices,
        })
    }
}

impl TryFrom<InventoryBuilder> for Inventory {
    type Error = Error;

    fn try_from(builder: InventoryBuilder) -> Result<Self, Error> {
        builder.build()
    }
}

impl From<Inventory> for InventoryBuilder {
    fn from(inventory: Inventory) -> Self {
        let Inventory {
            profiles,
            versions,
            models,
            devices,
        } = inventory;
        Self {
            profiles,
            versions,
            models,
            devices,
            ..Self::default()
        }
    }
}
