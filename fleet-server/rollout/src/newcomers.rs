//! Newcomers: devices that no rollout reached, and what they are told to run.
//!
//! # The mental model
//! A rollout moves the devices it finds while it lives. Whoever comes later (fresh from the factory, back from a drawer,
//! thawed, with a runtime that has learnt the missing operator) finds nobody who would tell it anything, and would stay
//! on the image it came with for good. So it is told to run its model's *champion*, once:
//!
//! ```text
//!   never told what to run ─────┐
//!   neither it nor fleet frozen ┤
//!   answers from M@old ─────────┼─► M's champion, outside of any rollout
//!   M's champion is proven ─────┤
//!   it can run the champion ────┤
//!   no rollout of M is live ────┘   (else it enters that one)
//! ```
//!
//! Why no stages: the champion has passed its gates on the fleet already, and the device still tests it on itself, keeps
//! it on trial and goes back by itself. Why *proven*: an alias can be moved by hand. A version that no rollout stands
//! behind would reach every device that was never told anything at once, past all gates. A rollout stands behind a version
//! by completing with it, or by having been completed or rolled back *from* it: then the fleet ran it and was compared
//! against it. To start a rollout from it and abort that proves nothing. So a model's first champion, which nobody but
//! its operator made so, waits for the end of the first rollout that replaces it; until then newcomers keep what they
//! came with. Why once: a device that was
//! told something follows what it was told; a title that changes hands by hand moves nobody.

use crate::assignments::{Exclusion, unfit};
use crate::command::Freeze;
use crate::inventory::Inventory;
use crate::rollout::Release;
use crate::words::count;
use sanderling_wire::DeviceId;

/// The champion of a model, as far as newcomers go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Champion {
    /// The version. Its [`Release::model`] says whose champion it is.
    pub release: Release,
    /// Whether a rollout stands behind it: one completed with it, or one from it was completed or rolled back.
    pub proven: bool,
    /// Whether a rollout of the model is running or paused: newcomers enter that one.
    pub contested: bool,
}

impl Champion {
    /// Whether newcomers are told to run it at all.
    #[must_use]
    pub fn welcomes(&self) -> bool {
        self.proven && !self.contested
    }
}

/// Newcomers of one model and what they are told to run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Welcome<'a> {
    /// The champion.
    pub champion: &'a Release,
    /// The devices, by id; one at least.
    pub devices: Vec<DeviceId>,
}

impl Welcome<'_> {
    /// In words, for the ledger: `1 device that no rollout reached gets magika v2, the champion`.
    #[must_use]
    pub fn sentence(&self) -> String {
        let verb = if self.devices.len() == 1 { "gets" } else { "get" };
        let Release { model, label, .. } = self.champion;
        format!(
            "{} that no rollout reached {verb} {model} {label}, the champion",
            count(self.devices.len())
        )
    }
}

/// Who is told to run a champion, in the order of `champions`; nobody while the fleet is frozen.
///
/// `champions` are few and of different models. What is known of the versions and kinds of device is decided once for
/// each, so that a device costs a look-up.
#[must_use]
pub fn newcomers<'a>(
    inventory: &Inventory,
    champions: &'a [Champion],
    freeze: Option<&Freeze>,
) -> Vec<Welcome<'a>> {
    let open: Vec<&'a Release> = champions
        .iter()
        .filter(|champion| champion.welcomes())
        .map(|champion| &champion.release)
        .collect();
    if freeze.is_some() || open.is_empty() {
        return Vec::new();
    }
    let of_version: Vec<Option<usize>> = inventory
        .versions()
        .iter()
        .map(|version| {
            let digest = (*version)?;
            let model = inventory.model(digest)?;
            let at = open.iter().position(|champion| champion.model == model)?;
            (open[at].digest != digest).then_some(at)
        })
        .collect();
    let fits: Vec<Vec<bool>> = inventory
        .profiles()
        .iter()
        .map(|profile| {
            let fits = |champion: &&Release| unfit(&champion.requires, &profile.runtime).is_none();
            open.iter().map(fits).collect()
        })
        .collect();
    let nobody = |champion| Welcome {
        champion,
        devices: Vec::new(),
    };
    let mut welcomes: Vec<Welcome<'a>> = open.iter().copied().map(nobody).collect();
    for device in inventory.devices() {
        let (running, told) = Inventory::version_indices(device);
        if let Some(champion) = of_version[running]
            && !device.frozen
            && inventory.versions()[told].is_none()
            && fits[Inventory::profile_index(device)][champion]
        {
            welcomes[champion].devices.push(device.id);
        }
    }
    welcomes.retain(|welcome| !welcome.devices.is_empty());
    welcomes
}

/// Why a device is not told to run its model's champion, in words for its operator; none where it is told, was told
/// something before, or has the champion.
#[must_use]
pub fn left_out(inventory: &Inventory, champions: &[Champion], device: DeviceId) -> Option<String> {
    let device = inventory.get(device)?;
    let running = inventory.running(device)?;
    let model = inventory.model(running)?;
    let champion = champions
        .iter()
        .find(|champion| champion.release.model == model)?;
    let Release {
        label,
        digest,
        requires,
        ..
    } = &champion.release;
    if running == *digest || inventory.told(device).is_some() {
        return None;
    }
    let why = match unfit(requires, &inventory.profile_of(device).runtime) {
        Some(reason) => reason.words(label),
        None if device.frozen => Exclusion::Frozen.words(label),
        None if !champion.proven => "its title was given by hand, no rollout stands behind it".to_owned(),
        None => return None,
    };
    Some(format!("it does not get {model} {label}, the champion: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Device, InventoryBuilder};
    use sanderling_wire::{Digest, HardwareId, RuntimeInfo};

    fn digest(name: &str) -> Digest {
        Digest::of(name.as_bytes())
    }

    fn champion(name: &str) -> Champion {
        let (model, version) = name.split_once('@').unwrap();
        let mut release = Release::new(version, digest(name));
        release.model = model.into();
        release.requires.operators = vec![":Conv".into()];
        Champion {
            release,
            proven: true,
            contested: false,
        }
    }

    /// A device by what it answers from and was told, its operators, and whether it is frozen.
    type Unit<'a> = (Option<&'a str>, Option<&'a str>, &'a str, bool);

    fn fleet(units: &[Unit<'_>]) -> Inventory {
        let mut builder = InventoryBuilder::default();
        for name in ["magika@v0", "magika@v1", "magika@v2", "ocr@1", "ocr@2"] {
            builder.model(digest(name), name.split_once('@').unwrap().0);
        }
        for (n, (running, told, operators, frozen)) in (0_u8..).zip(units) {
            let runtime = RuntimeInfo {
                version: (0, 1, 0),
                numerics: 1,
                bundle_format: 1,
                operators: vec![(*operators).into()],
                memory_limit: 0,
            };
            let device = Device {
                id: DeviceId([n; 16]),
                profile: builder.profile(&HardwareId::new("pi4").unwrap(), &runtime),
                version: builder.version(running.map(digest)),
                told: builder.version(told.map(digest)),
                running_since: 0,
                last_seen: 0,
                frozen: *frozen,
            };
            builder.device(device);
        }
        builder.build().unwrap()
    }

    /// The positions of the units that each champion welcomes.
    fn welcomed(
        units: &[Unit<'_>],
        champions: &[Champion],
        freeze: Option<&Freeze>,
    ) -> Vec<(String, Vec<u8>)> {
        let inventory = fleet(units);
        let found = newcomers(&inventory, champions, freeze);
        let named = |welcome: &Welcome<'_>| {
            let devices = welcome.devices.iter().map(|device| device.0[0]).collect();
            (welcome.champion.label.clone(), devices)
        };
        found.iter().map(named).collect()
    }

    #[test]
    fn who_was_never_told_and_is_behind_is_welcomed() {
        let units = [
            (Some("magika@v0"), None, ":Conv", false), // behind: told
            (Some("magika@v2"), None, ":Conv", false), // there already
            (Some("magika@v1"), Some("magika@v1"), ":Conv", false), // does what it was told
            (Some("magika@v1"), Some("magika@v2"), ":Conv", false), // is told already
            (Some("magika@v0"), None, ":Conv", true),  // kept by its operator
            (Some("magika@v0"), None, ":Relu", false), // cannot run it
            (Some("unheard of"), None, ":Conv", false), // of no known model
            (None, None, ":Conv", false),              // answers from nothing
            (Some("ocr@1"), None, ":Conv", false),     // of a model of its own
        ];
        let both = [champion("magika@v2"), champion("ocr@2")];
        assert_eq!(
            welcomed(&units, &both, None),
            [("v2".to_owned(), vec![0]), ("2".to_owned(), vec![8])]
        );
        // A model without a champion has nothing to welcome with.
        assert_eq!(welcomed(&units, &both[1..], None), [("2".to_owned(), vec![8])]);
    }

    #[test]
    fn who_is_left_out_learns_why() {
        let why = |unit: Unit<'_>, champion: &Champion| {
            let inventory = fleet(&[unit]);
            left_out(&inventory, std::slice::from_ref(champion), DeviceId([0; 16]))
        };
        let (v0, v2) = (Some("magika@v0"), champion("magika@v2"));
        assert_eq!(
            why((v0, None, ":Relu", false), &v2).unwrap(),
            "it does not get magika v2, the champion: the runtime lacks the operator :Conv"
        );
        let frozen = why((v0, None, ":Conv", true), &v2).unwrap();
        assert!(frozen.ends_with("frozen by an operator"), "{frozen}");
        let by_hand = Champion {
            proven: false,
            ..v2.clone()
        };
        let title = why((v0, None, ":Conv", false), &by_hand).unwrap();
        assert!(title.contains("by hand"), "{title}");
        for told in [
            (v0, None, ":Conv", false),
            (v0, Some("magika@v0"), ":Relu", false),
            (Some("magika@v2"), None, ":Relu", false),
            (Some("ocr@1"), None, ":Relu", false),
            (None, None, ":Relu", false),
        ] {
            assert_eq!(why(told, &v2), None, "{told:?}");
        }
    }

    #[test]
    fn nobody_is_welcomed_past_the_gates() {
        let units = [(Some("magika@v0"), None, ":Conv", false)];
        let by_hand = Champion {
            proven: false,
            ..champion("magika@v2")
        };
        let beside_a_rollout = Champion {
            contested: true,
            ..champion("magika@v2")
        };
        assert_eq!(welcomed(&units, &[by_hand, beside_a_rollout], None), []);
        let freeze = Freeze {
            why: "holidays".into(),
            at: 0,
        };
        assert_eq!(welcomed(&units, &[champion("magika@v2")], Some(&freeze)), []);
    }

    #[test]
    fn a_welcome_in_words() {
        let champion = champion("magika@v2");
        let words = |count: u8| {
            let devices = (0..count).map(|n| DeviceId([n; 16])).collect();
            Welcome {
                champion: &champion.release,
                devices,
            }
            .sentence()
        };
        assert_eq!(
            words(1),
            "1 device that no rollout reached gets magika v2, the champion"
        );
        assert_eq!(
            words(2),
            "2 devices that no rollout reached get magika v2, the champion"
        );
    }
}
