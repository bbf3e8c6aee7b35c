//! What holds for any fleet, whatever happens to it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use proptest::prelude::*;
use sanderling_rollout::*;
use sanderling_wire::{DeviceId, Digest, HardwareId, RolloutId, RuntimeInfo};

/// One thing that happens between two plans.
#[derive(Clone, Debug)]
enum Happening {
    Time(u64),
    /// Devices whose number is a multiple of this report in, having installed what they are assigned.
    Install(usize),
    Paired {
        inputs: u64,
        percent: u64,
    },
    Failure {
        device: usize,
    },
    SelfTest {
        device: usize,
    },
    Join {
        class: u8,
        fit: bool,
    },
    Leave {
        device: usize,
    },
    Freeze {
        device: usize,
    },
    FreezeAll,
    Thaw,
    Command(u8),
}

fn happening() -> impl Strategy<Value = Happening> {
    use Happening::*;
    prop_oneof![
        8 => (1_u64..90).prop_map(Time),
        8 => (1_usize..4).prop_map(Install),
        6 => (1_u64..60, prop_oneof![4 => Just(0_u64), 1 => 0_u64..100])
            .prop_map(|(inputs, percent)| Paired { inputs, percent }),
        2 => (0_usize..40).prop_map(|device| Failure { device }),
        1 => (0_usize..400).prop_map(|device| SelfTest { device }),
        2 => (0_u8..3, any::<bool>()).prop_map(|(class, fit)| Join { class, fit }),
        1 => (0_usize..40).prop_map(|device| Leave { device }),
        1 => (0_usize..40).prop_map(|device| Freeze { device }),
        1 => Just(FreezeAll),
        2 => Just(Thaw),
        1 => (0_u8..12).prop_map(Command),
    ]
}

#[derive(Clone)]
struct Unit {
    id: DeviceId,
    class: u8,
    fit: bool,
    runs_target: bool,
    since: u64,
    seen: u64,
    frozen: bool,
}

struct World {
    now: u64,
    units: Vec<Unit>,
    born: u16,
    rollout: Rollout,
    assignments: Assignments,
    evidence: Evidence,
    freeze: Option<Freeze>,
}

impl World {
    fn new(sizes: [usize; 3], salt: [u8; 16], stages: &[&str], control: u32) -> Self {
        let release = |label: &str| Release::new(label, Digest::of(label.as_bytes()));
        let mut target = release("v2");
        target.allowed_disagreement = Ppm::percent(4);
        target.requires.operators = vec![":Conv".into()];
        let policy = Policy {
            stages: stages.iter().map(|s| s.parse().unwrap()).collect(),
            dwell_s: 60,
            control: Ppm::percent(control),
            margin: Ppm::percent(10),
            min_inputs: 20,
            min_inputs_per_class: 0,
            silence: Some(Silence {
                after_s: 200,
                share: Ppm::percent(10),
                exempt: Vec::new(),
            }),
            ..Policy::default()
        };
        let rollout = Rollout::start(RolloutId(1), salt, target, release("v1"), policy, 1_000).unwrap();
        let mut world = Self {
            now: 1_000,
            units: Vec::new(),
            born: 0,
            rollout,
            assignments: Assignments::default(),
            evidence: Evidence::default(),
            freeze: None,
        };
        for (class, size) in (0_u8..).zip(sizes) {
            (0..size).for_each(|_| world.join(class, true));
        }
        world
    }

    fn join(&mut self, class: u8, fit: bool) {
        self.born += 1;
        // Spread over the id space, so that newcomers do not sort last.
        let mut id = [0; 16];
        id[..2].copy_from_slice(&self.born.wrapping_mul(0x9e37).to_be_bytes());
        let (id, seen) = (DeviceId(id), self.now);
        self.units.push(Unit {
            id,
            class,
            fit,
            runs_target: false,
            since: seen,
            seen,
            frozen: false,
        });
    }

    fn inventory(&self, units: &[Unit]) -> Inventory {
        let mut builder = InventoryBuilder::default();
        for unit in units {
            let operators = if unit.fit {
                vec![":Conv".into()]
            } else {
                Vec::new()
            };
            let runtime = RuntimeInfo {
                version: (0, 1, 0),
                numerics: 1,
                bundle_format: 1,
                operators,
                memory_limit: 0,
            };
            let class = HardwareId::new(["pi4", "pi5", "jetson"][usize::from(unit.class)]).unwrap();
            let runs = if unit.runs_target {
                &self.rollout.target
            } else {
                &self.rollout.base
            };
            let device = Device {
                id: unit.id,
                profile: builder.profile(&class, &runtime),
                version: builder.version(Some(runs.digest)),
                told: builder.version(None),
                running_since: unit.since,
                last_seen: unit.seen,
                frozen: unit.frozen,
            };
            builder.device(device);
        }
        builder.build().unwrap()
    }

    fn happen(&mut self, what: &Happening) {
        let at = |device: usize, units: &[Unit]| (!units.is_empty()).then(|| device % units.len());
        match *what {
            Happening::Time(seconds) => self.now += seconds,
            Happening::Install(every) => {
                for unit in self.units.iter_mut().step_by(every) {
                    let wants = self.assignments.get(unit.id).is_some_and(Assignment::has_target);
                    if unit.runs_target != wants {
                        (unit.runs_target, unit.since) = (wants, self.now);
                    }
                    unit.seen = self.now;
                }
            }
            Happening::Paired { inputs, percent } => {
                self.evidence.paired.fleet.inputs += inputs;
                self.evidence.paired.fleet.disagreements += inputs * percent / 100;
            }
            Happening::Failure { device } => {
                let Some(n) = at(device, &self.units) else { return };
                let event = DeviceEvent {
                    device: self.units[n].id,
                    at: self.now,
                };
                if self.evidence.health.is_empty() {
                    let metric = "errors".into();
                    self.evidence.health.push(MetricEvidence {
                        metric,
                        failures: Vec::new(),
                    });
                }
                self.evidence.health[0].failures.push(event);
            }
            Happening::SelfTest { device } => {
                let has_target = |u: &&Unit| self.assignments.get(u.id).is_some_and(Assignment::has_target);
                if let Some(unit) = self.units.get(device).filter(has_target) {
                    let event = DeviceEvent {
                        device: unit.id,
                        at: self.now,
                    };
                    self.evidence.self_test_failures.push(event);
                }
            }
            Happening::Join { class, fit } => self.join(class, fit),
            Happening::Leave { device } => {
                if let Some(n) = at(device, &self.units) {
                    self.units.remove(n);
                }
            }
            Happening::Freeze { device } => {
                if let Some(n) = at(device, &self.units) {
                    self.units[n].frozen ^= true;
                }
            }
            Happening::FreezeAll => {
                self.freeze = Some(Freeze {
                    why: "test".into(),
                    at: self.now,
                })
            }
            Happening::Thaw => self.freeze = None,
            Happening::Command(which) => self.command(which),
        }
    }

    fn command(&mut self, which: u8) {
        let why = String::from("test");
        let wanted = match which {
            0..3 => Command::Pause { why },
            3..10 => Command::Resume,
            10 => Command::Abort { why },
            _ => Command::Rollback { why },
        };
        let inventory = self.inventory(&self.units);
        let made = command(&self.input(&inventory), wanted);
        if let Ok(plan) = made {
            apply(&mut self.rollout, &mut self.assignments, &plan).unwrap();
        }
    }

    fn input<'a>(&'a self, inventory: &'a Inventory) -> Input<'a> {
        Input {
            rollout: &self.rollout,
            assignments: &self.assignments,
            inventory,
            evidence: &self.evidence,
            freeze: self.freeze.as_ref(),
            now: self.now,
        }
    }

    /// Plans, checks what holds for any plan, applies.
    fn step(&mut self) -> Result<(), TestCaseError> {
        let inventory = self.inventory(&self.units);
        let made = plan(&self.input(&inventory)).unwrap();

        let mut shuffled = self.units.clone();
        shuffled.reverse();
        let third = shuffled.len() / 3;
        shuffled.rotate_left(third);
        let other = self.inventory(&shuffled);
        prop_assert_eq!(
            &plan(&self.input(&other)).unwrap(),
            &made,
            "the order of devices matters"
        );

        let before = self.assignments.clone();
        apply(&mut self.rollout, &mut self.assignments, &made).unwrap();
        only_grew(&before, &self.assignments)?;
        self.sizes_are_right(&made)?;
        if self.freeze.is_some() {
            let moved = |d: &Decision| matches!(d, Decision::Assign { .. } | Decision::Rollback { .. });
            prop_assert!(
                !made.decisions.iter().any(moved),
                "a frozen fleet moved: {:?}",
                made.decisions
            );
        }
        let again = plan(&self.input(&inventory)).unwrap();
        prop_assert!(
            again.is_empty(),
            "planned again: {:?} after {:?}",
            again.decisions,
            made.decisions
        );
        prop_assert_eq!(
            &again.assessment.health,
            &made.assessment.health,
            "applying changed what was counted"
        );
        let read: (Rollout, Assignments) =
            serde_json::from_str(&serde_json::to_string(&(&self.rollout, &self.assignments)).unwrap())
                .unwrap();
        prop_assert_eq!(read, (self.rollout.clone(), self.assignments.clone()));
        Ok(())
    }

    /// A stage that was filled has exactly its size, and never all devices before the control arm's turn.
    fn sizes_are_right(&self, made: &Plan) -> Result<(), TestCaseError> {
        let figures = &made.assessment;
        let assigned = |d: &Decision| matches!(d, Decision::Assign { arm: Arm::Target, .. });
        if !made.decisions.iter().any(assigned) {
            return Ok(());
        }
        let policy = &self.rollout.policy;
        let population = figures.population;
        let control = policy.control.of(population).min(population - 1);
        let size = match policy.stages.get(usize::from(self.rollout.stage)) {
            Some(stage) => stage.size(population).min(population - control),
            None => population,
        };
        prop_assert_eq!(figures.on_target, size);
        prop_assert_eq!(figures.on_target + figures.on_base, population);
        Ok(())
    }
}

/// Rows stay, and what is written in them stays.
fn only_grew(before: &Assignments, after: &Assignments) -> Result<(), TestCaseError> {
    prop_assert!(after.classes().starts_with(before.classes()));
    for old in before.rows() {
        let new = after.get(old.device).copied();
        let kept = new.is_some_and(|new| {
            let same = |old: Option<u64>, new: Option<u64>| old.is_none() || old == new;
            new.class == old.class
                && new.enrolled_at == old.enrolled_at
                && same(old.target_at, new.target_at)
                && (old.target_at.is_none() || old.stage == new.stage)
                && same(old.silent_at, new.silent_at)
                && same(old.reverted_at, new.reverted_at)
        });
        prop_assert!(kept, "{old:?} became {new:?}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn plans_are_sound(
        sizes in [0_usize..14, 0_usize..6, 0_usize..4],
        salt: [u8; 16],
        stages in prop::sample::select(vec![
            &["1", "25%", "100%"][..], &["2", "5", "50%"], &["100%"], &["0.1%", "3%", "20%", "100%"], &["1", "4"],
        ]),
        control in prop::sample::select(vec![0_u32, 10, 25, 50]),
        happenings in prop::collection::vec(prop::collection::vec(happening(), 0..5), 1..25),
    ) {
        let mut world = World::new(sizes, salt, stages, control);
        for batch in &happenings {
            batch.iter().for_each(|what| world.happen(what));
            world.step()?;
        }
    }
}
