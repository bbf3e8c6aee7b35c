//! Simulated fleets under the real planner: how often a good release is stopped, how soon a bad one.
//!
//! Used by tests/simulation.rs (which asserts) and examples/gate_figures.rs (which prints the table of
//! docs/rollout-gates.md). Everything is drawn from one seed.

use sanderling_rollout::*;
use sanderling_wire::{DeviceId, Digest, HardwareId, RolloutId, RuntimeInfo};

/// A fleet and what the target does to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct World {
    /// Devices, in two hardware classes (two thirds and one third).
    pub(crate) devices: usize,
    /// Chance that an answer of the target differs, per distinct input.
    pub(crate) differ: f64,
    /// New distinct inputs per tick and device on the target.
    pub(crate) inputs: u64,
    /// Chance that a healthy device has its first failure in a tick.
    pub(crate) hazard: f64,
    /// How many times as likely that is on the target.
    pub(crate) ratio: f64,
    /// Ticks until the simulation ends.
    pub(crate) ticks: u64,
}

impl World {
    /// A release exactly as good as it may be: it differs as often as allowed, its devices fail as often.
    pub(crate) const NULL: Self = Self {
        devices: 12,
        differ: ALLOWED,
        inputs: 3,
        hazard: 0.01,
        ratio: 1.0,
        ticks: 60,
    };
}

/// The release's allowance.
pub(crate) const ALLOWED: f64 = 0.04;
/// What promotion tolerates: allowance and margin.
pub(crate) const LIMIT: f64 = 0.10;
/// Seconds of a tick.
const TICK: u64 = 10;

/// How a simulated rollout ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// Why it was stopped, if it was.
    pub(crate) stopped: Option<StopReason>,
    /// Most devices that were ever on the target.
    pub(crate) reached: usize,
    /// Distinct inputs compared.
    pub(crate) inputs: u64,
    /// Whether any stage was promoted.
    pub(crate) promoted: bool,
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn chance(&mut self, p: f64) -> bool {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        ((z >> 11) as f64) < p * (1_u64 << 53) as f64
    }
}

/// The policy of all simulations: α = 5 %, half of it for agreement, half for one health metric.
pub(crate) fn policy() -> Policy {
    Policy {
        stages: ["1", "25%", "50%", "100%"]
            .iter()
            .map(|s| s.parse().expect("these are stages"))
            .collect(),
        dwell_s: 6 * TICK,
        margin: Ppm::percent(6),
        agreement_share: Ppm::percent(50),
        metrics: vec![HealthMetric {
            name: "errors".into(),
            share: Ppm::percent(50),
        }],
        silence: None,
        min_inputs_per_class: 0,
        ..Policy::default()
    }
}

fn id(n: usize) -> DeviceId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&(n as u64).to_be_bytes());
    DeviceId(bytes)
}

fn inventory(world: &World, rollout: &Rollout, installed: &[Option<u64>], now: u64) -> Inventory {
    let runtime = RuntimeInfo {
        version: (0, 1, 0),
        numerics: 1,
        bundle_format: 1,
        operators: Vec::new(),
        memory_limit: 0,
    };
    let mut builder = InventoryBuilder::with_capacity(world.devices);
    let classes = ["pi4", "jetson"].map(|name| HardwareId::new(name).expect("these are names"));
    let profiles = classes.map(|class| builder.profile(&class, &runtime));
    let versions = [rollout.base.digest, rollout.target.digest].map(|digest| builder.version(Some(digest)));
    for (n, since) in installed.iter().enumerate() {
        builder.device(Device {
            id: id(n),
            profile: profiles[usize::from(n % 3 == 2)],
            version: versions[usize::from(since.is_some())],
            told: versions[usize::from(since.is_some())],
            running_since: since.unwrap_or(0),
            last_seen: now,
            frozen: false,
        });
    }
    builder.build().expect("ids differ")
}

/// One rollout from its start to its end, or to the end of the ticks.
pub(crate) fn run(world: &World, policy: &Policy, seed: u64) -> Outcome {
    let mut random = Random(seed.wrapping_mul(0xd134_2543_de82_ef95));
    let release = |label: &str| Release::new(label, Digest::of(label.as_bytes()));
    let mut target = release("v2");
    target.allowed_disagreement = Ppm((ALLOWED * 1e6) as u32);
    let mut salt = [0; 16];
    salt[..8].copy_from_slice(&seed.to_be_bytes());
    let mut rollout = Rollout::start(RolloutId(1), salt, target, release("v1"), policy.clone(), 0)
        .expect("the policy is sound");
    let mut assignments = Assignments::default();
    let mut evidence = Evidence::default();
    evidence.health.push(MetricEvidence {
        metric: "errors".into(),
        failures: Vec::new(),
    });
    let mut installed = vec![None; world.devices];
    let mut failed = vec![false; world.devices];
    let mut outcome = Outcome::default();
    for tick in 0..world.ticks {
        let now = tick * TICK;
        if tick > 0 {
            for n in 0..world.devices {
                let on_target = assignments.get(id(n)).is_some_and(Assignment::has_target);
                if on_target {
                    installed[n].get_or_insert(now);
                    let paired = &mut evidence.paired.fleet;
                    paired.inputs += world.inputs;
                    paired.disagreements +=
                        (0..world.inputs).filter(|_| random.chance(world.differ)).count() as u64;
                }
                let hazard = if on_target {
                    world.hazard * world.ratio
                } else {
                    world.hazard
                };
                if random.chance(hazard) && !std::mem::replace(&mut failed[n], true) {
                    evidence.health[0].failures.push(DeviceEvent {
                        device: id(n),
                        at: now,
                    });
                }
            }
        }
        let fleet = inventory(world, &rollout, &installed, now);
        let input = Input {
            rollout: &rollout,
            assignments: &assignments,
            inventory: &fleet,
            evidence: &evidence,
            freeze: None,
            now,
        };
        let made = plan(&input).expect("the evidence is sound");
        apply(&mut rollout, &mut assignments, &made).expect("the plan is fresh");
        outcome.reached = outcome.reached.max(made.assessment.on_target);
        outcome.inputs = evidence.paired.fleet.inputs;
        outcome.promoted |= rollout.stage > 0;
        match &rollout.status {
            Status::RolledBack { reason } => {
                outcome.stopped = Some(reason.clone());
                return outcome;
            }
            Status::Completed => return outcome,
            _ => {}
        }
    }
    outcome
}

/// Shares and medians over many rollouts.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    /// Share stopped by paired agreement.
    pub(crate) by_agreement: f64,
    /// Share stopped by health.
    pub(crate) by_health: f64,
    /// Share in which a stage was promoted.
    pub(crate) promoted: f64,
    /// Median of inputs compared, of those stopped.
    pub(crate) inputs: u64,
    /// Median of devices reached, of those stopped.
    pub(crate) reached: usize,
}

impl Figures {
    /// Share stopped.
    pub(crate) fn stopped(&self) -> f64 {
        self.by_agreement + self.by_health
    }
}

/// Simulates rollouts with seeds 0 to `runs` − 1.
pub(crate) fn simulate(world: &World, policy: &Policy, runs: u64) -> Figures {
    let outcomes: Vec<Outcome> = (0..runs).map(|seed| run(world, policy, seed)).collect();
    let share = |what: &dyn Fn(&Outcome) -> bool| {
        outcomes.iter().filter(|o| what(o)).count() as f64 / outcomes.len() as f64
    };
    let stopped: Vec<&Outcome> = outcomes.iter().filter(|o| o.stopped.is_some()).collect();
    let median = |mut values: Vec<u64>| {
        values.sort_unstable();
        values.get(values.len() / 2).copied().unwrap_or(0)
    };
    Figures {
        by_agreement: share(&|o| matches!(o.stopped, Some(StopReason::Disagreement { .. }))),
        by_health: share(&|o| matches!(o.stopped, Some(StopReason::Health { .. }))),
        promoted: share(&|o| o.promoted),
        inputs: median(stopped.iter().map(|o| o.inputs).collect()),
        reached: median(stopped.iter().map(|o| o.reached as u64).collect()) as usize,
    }
}
