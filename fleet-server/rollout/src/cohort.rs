//! The fleet as this rollout sees it: who is on the target, who may be, who is left out, who has gone silent.
//!
//! One pass over inventory, assignments and exclusions, all sorted by device, so that a million devices
//! cost a merge and no map.

use crate::assignments::{Assignment, Exclusion, unfit};
use crate::inventory::{Device, Inventory};
use crate::planner::Input;
use sanderling_wire::{DeviceId, Digest, HardwareId};
use std::collections::BTreeMap;

/// No row: the device has not entered the rollout.
const NO_ROW: u32 = u32::MAX;

/// A device's standing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// Assigned the target.
    Target,
    /// Could be assigned the target.
    Candidate,
}

/// A device that takes part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    /// Index into the inventory's devices.
    pub(crate) device: u32,
    row: u32,
    pub(crate) class: u16,
    pub(crate) standing: Standing,
}

impl Member {
    /// Its position among the assignments' rows, once it has entered.
    pub(crate) fn row(&self) -> Option<usize> {
        (self.row != NO_ROW).then_some(self.row as usize)
    }
}

/// The fleet as a rollout sees it.
pub(crate) struct Cohort {
    /// The rollout's classes; those it did not know come last.
    pub(crate) classes: Vec<HardwareId>,
    /// The devices that take part, by id.
    pub(crate) members: Vec<Member>,
    /// Devices to be left out that are not yet, by reason.
    pub(crate) newly_excluded: BTreeMap<Exclusion, Vec<DeviceId>>,
    /// Devices left out that need not be.
    pub(crate) readmitted: Vec<DeviceId>,
    /// Devices left out, newly or not.
    pub(crate) excluded: usize,
    /// Positions of rows of devices found silent now.
    pub(crate) newly_silent: Vec<usize>,
}

impl Cohort {
    pub(crate) fn of(input: &Input<'_>) -> Self {
        let mut cohort = Self {
            classes: input.assignments.classes().to_vec(),
            members: Vec::with_capacity(input.inventory.devices().len()),
            newly_excluded: BTreeMap::new(),
            readmitted: Vec::new(),
            excluded: 0,
            newly_silent: Vec::new(),
        };
        let bars = Bars::of(input);
        let recorded = recorded(input);
        let rows = input.assignments.rows();
        let (mut next_row, mut next_recorded) = (0, 0);
        for (index, device) in input.inventory.devices().iter().enumerate() {
            next_row += rows[next_row..]
                .iter()
                .take_while(|r| r.device < device.id)
                .count();
            next_recorded += recorded[next_recorded..]
                .iter()
                .take_while(|r| r.0 < device.id)
                .count();
            let row = rows.get(next_row).filter(|r| r.device == device.id);
            let known = recorded
                .get(next_recorded)
                .filter(|r| r.0 == device.id)
                .map(|r| r.1);
            if row.is_some_and(|r| is_silent(input, device, r)) {
                cohort.newly_silent.push(next_row);
            }
            cohort.place(input, &bars, (index, device), row.map(|r| (next_row, r)), known);
        }
        cohort.name_classes(input.inventory);
        cohort
    }

    /// Puts one device where it belongs.
    fn place(
        &mut self,
        input: &Input<'_>,
        bars: &Bars,
        (index, device): (usize, &Device),
        row: Option<(usize, &Assignment)>,
        known: Option<&Exclusion>,
    ) {
        if row.is_some_and(|(_, r)| r.reverted_at.is_some()) {
            return;
        }
        let on_target = row.is_some_and(|(_, r)| r.has_target());
        let runs_target = || input.inventory.running(device) == Some(input.rollout.target.digest);
        let reason = match bars.reason(device) {
            _ if on_target => None,
            _ if device.frozen => Some(&Exclusion::Frozen),
            Some(barred) => Some(barred),
            None if runs_target() => Some(&Exclusion::RunsTarget),
            None => None,
        };
        match (reason, known) {
            (Some(reason), known) => {
                self.excluded += 1;
                if known != Some(reason) {
                    self.newly_excluded
                        .entry(reason.clone())
                        .or_default()
                        .push(device.id);
                }
                return;
            }
            (None, Some(_)) => self.readmitted.push(device.id),
            (None, None) => {}
        }
        self.members.push(Member {
            device: index as u32,
            row: row.map_or(NO_ROW, |(at, _)| at as u32),
            class: row.map_or(u16::MAX, |(_, r)| r.class),
            standing: if on_target {
                Standing::Target
            } else {
                Standing::Candidate
            },
        });
    }

    /// Gives members that have no row the index of their class. Classes new to the rollout are listed the largest
    /// first, then by name: whatever the database's order, and so that the large ones weigh most in the agreement gate.
    fn name_classes(&mut self, inventory: &Inventory) {
        let class_of = |member: &Member| {
            &inventory
                .profile_of(&inventory.devices()[member.device as usize])
                .class
        };
        let mut fresh: BTreeMap<&HardwareId, usize> = BTreeMap::new();
        for member in self.members.iter().filter(|m| m.row == NO_ROW) {
            *fresh.entry(class_of(member)).or_default() += 1;
        }
        let mut fresh: Vec<_> = fresh
            .into_iter()
            .filter(|(class, _)| !self.classes.contains(class))
            .collect();
        fresh.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        self.classes
            .extend(fresh.into_iter().map(|(class, _)| class.clone()));
        let index: BTreeMap<&HardwareId, u16> = self
            .classes
            .iter()
            .enumerate()
            .map(|(i, class)| (class, i as u16))
            .collect();
        for member in self.members.iter_mut().filter(|m| m.row == NO_ROW) {
            member.class = index.get(class_of(member)).copied().unwrap_or(u16::MAX);
        }
    }
}

/// What keeps devices out whatever they do: decided once per version and once per kind of device, looked up per device.
struct Bars {
    /// By version: whether its model is known.
    known: Vec<bool>,
    /// By version: why its devices are left out, where it is of another model.
    foreign: Vec<Option<Exclusion>>,
    /// By kind of device: why it cannot run the target.
    unfit: Vec<Option<Exclusion>>,
}

impl Bars {
    fn of(input: &Input<'_>) -> Self {
        let (inventory, target) = (input.inventory, &input.rollout.target);
        let model = |version: &Option<Digest>| version.and_then(|digest| inventory.model(digest));
        let foreign = |model: &str| {
            (!target.model.is_empty() && model != target.model).then(|| Exclusion::OtherModel {
                runs: model.to_owned(),
            })
        };
        let versions = inventory.versions().iter().map(model);
        let profiles = inventory.profiles().iter();
        Self {
            known: versions.clone().map(|model| model.is_some()).collect(),
            foreign: versions.map(|model| model.and_then(foreign)).collect(),
            unfit: profiles.map(|p| unfit(&target.requires, &p.runtime)).collect(),
        }
    }

    /// Why a device is left out, if it is: for its model first.
    fn reason(&self, device: &Device) -> Option<&Exclusion> {
        let (running, told) = Inventory::version_indices(device);
        let model_by = if self.known[running] { running } else { told };
        let unfit = &self.unfit[Inventory::profile_index(device)];
        self.foreign[model_by].as_ref().or(unfit.as_ref())
    }
}

/// The exclusions on record, by device.
fn recorded<'a>(input: &Input<'a>) -> Vec<(DeviceId, &'a Exclusion)> {
    let groups = input.assignments.excluded().iter();
    let mut recorded: Vec<_> = groups
        .flat_map(|g| g.devices.iter().map(move |d| (*d, &g.reason)))
        .collect();
    recorded.sort_unstable_by_key(|(device, _)| *device);
    recorded
}

/// Whether a device of either arm has gone silent and is not counted yet.
///
/// The clock runs from its entering the rollout and is *not* set back when it is given the target: a device that was
/// off before is found out in the arm it was in, and the two arms stay alike.
fn is_silent(input: &Input<'_>, device: &Device, row: &Assignment) -> bool {
    let Some(silence) = &input.rollout.policy.silence else {
        return false;
    };
    if !input.rollout.status.is_live() || row.silent_at.is_some() || row.reverted_at.is_some() {
        return false;
    }
    let heard = device.last_seen.max(row.enrolled_at);
    input.now.saturating_sub(heard) >= silence.after_s
        && !silence.exempt.contains(&input.inventory.profile_of(device).class)
}
