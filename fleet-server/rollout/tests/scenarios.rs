//! Days in the life of a fleet, as scripts with golden output.
//!
//! Each `scenarios/*.txt` is a script; its transcript must be the `.golden` file beside it, to the byte.
//! `UPDATE_GOLDEN=1 cargo test -p sanderling-rollout --test scenarios` rewrites them: read the difference before you
//! commit it. After every `plan` the runner also checks what holds for any plan: planned again it has no
//! decisions, and state and plan survive being stored, as JSON and as postcard.
//!
//! ```text
//! fleet add N class=C [ops=:A,:B] [runtime=0.1.0] [memory=BYTES] [runs=v1]   devices are named d01, d02, …
//!                          runs=ocr@1 is a version of a known model, runs=v1 of none, runs=nothing of none at all
//! device dNN freeze | thaw | remove | ops=:A,:B | runs=VERSION
//! rollout start v2 base=v1 [stages=…] [allowed=4%] [needs=:A] [dwell=60] [margin=…] [control=…] [inputs=…]
//!               [class-inputs=…] [silence=…] [exposed=…] [strategy=…] [auto-rollback=no] [metric=NAME:SHARE]
//! install [dNN …]          devices (all that are online) run what they are assigned
//! offline dNN … | online dNN …
//! tick SECONDS             time passes; devices online are heard of
//! paired N differ=D [class=C]
//! report METRIC|self-test|crash-loop dNN …
//! plan | show
//! pause|abort|rollback|freeze-all WHY, resume, thaw
//! champion ocr@2           moves the alias; a completed rollout moves it too, and its rollback moves it back
//! newcomers                tells devices that no rollout reached to run their model's champion
//! ```

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use sanderling_rollout::gates::HealthReading;
use sanderling_rollout::*;
use sanderling_wire::{DeviceId, Digest, HardwareId, RolloutId, RuntimeInfo};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// One device of the simulated fleet.
#[derive(Clone)]
struct Unit {
    class: String,
    runtime: RuntimeInfo,
    runs: String,
    /// What it was last told to run, by a plan or as a newcomer.
    told: Option<String>,
    since: u64,
    seen: u64,
    frozen: bool,
    online: bool,
    removed: bool,
}

/// A fleet, a rollout, and the transcript so far.
#[derive(Default)]
struct World {
    now: u64,
    units: Vec<Unit>,
    rollout: Option<Rollout>,
    /// What the rollout moves to and from, as the script calls it.
    names: (String, String),
    /// Versions that a rollout stands behind.
    proven: BTreeSet<String>,
    /// Each model's champion.
    champions: BTreeMap<String, String>,
    assignments: Assignments,
    evidence: Evidence,
    freeze: Option<Freeze>,
    rollouts: u64,
    out: String,
}

type Failure = Box<dyn std::error::Error>;

fn id(unit: usize) -> DeviceId {
    let mut bytes = [0; 16];
    bytes[0] = 0xd0;
    bytes[2..4].copy_from_slice(&((unit + 1) as u16).to_be_bytes());
    DeviceId(bytes)
}

fn named(word: &str) -> Result<usize, Failure> {
    let number: usize = word.strip_prefix('d').ok_or("a device is named dNN")?.parse()?;
    Ok(number.checked_sub(1).ok_or("devices are counted from d01")?)
}

/// The release that a script calls `name`: of a model where it says `model@version`.
fn release(name: &str) -> Release {
    let (model, label) = name.split_once('@').unwrap_or(("", name));
    let mut release = Release::new(label, Digest::of(name.as_bytes()));
    release.model = model.into();
    release
}

/// The bundle that a script calls `name`.
fn bundle(name: &str) -> Option<Digest> {
    (name != "nothing").then(|| release(name).digest)
}

fn share(text: &str) -> Result<Ppm, Failure> {
    match text.parse()? {
        Stage::Share(share) => Ok(share),
        Stage::Count(_) => Err("a share is written with a per cent sign".into()),
    }
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::to_string).collect()
}

fn options<'a>(words: &[&'a str]) -> Result<BTreeMap<&'a str, &'a str>, Failure> {
    let split = |w: &&'a str| {
        w.split_once('=')
            .ok_or_else(|| Failure::from(format!("{w:?} is no option")))
    };
    words.iter().map(split).collect()
}

impl World {
    fn run(&mut self, line: &str) -> Result<(), Failure> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let why = || words[1..].join(" ");
        match words[0] {
            "fleet" => self.add(words[2].parse()?, &options(&words[3..])?),
            "device" => self.device(named(words[1])?, words[2]),
            "rollout" => self.start(words[2], &options(&words[3..])?),
            "install" => self.install(&words[1..]),
            "offline" | "online" => {
                for word in &words[1..] {
                    self.units[named(word)?].online = words[0] == "online";
                }
                Ok(())
            }
            "tick" => {
                self.now += words[1].parse::<u64>()?;
                let now = self.now;
                self.units
                    .iter_mut()
                    .filter(|u| u.online)
                    .for_each(|u| u.seen = now);
                Ok(())
            }
            "paired" => self.paired(words[1].parse()?, &options(&words[2..])?),
            "report" => self.report(words[1], &words[2..]),
            "plan" => self.plan(|input| Ok(plan(input)?)),
            "pause" => self.plan(|input| Ok(command(input, Command::Pause { why: why() })?)),
            "resume" => self.plan(|input| Ok(command(input, Command::Resume)?)),
            "abort" => self.plan(|input| Ok(command(input, Command::Abort { why: why() })?)),
            "rollback" => self.plan(|input| Ok(command(input, Command::Rollback { why: why() })?)),
            "freeze-all" => {
                self.freeze = Some(freeze_all(self.freeze.as_ref(), &why(), self.now)?);
                Ok(())
            }
            "thaw" => {
                self.freeze = None;
                Ok(())
            }
            "champion" => {
                self.crown(words[1]);
                Ok(())
            }
            "newcomers" => self.welcome(),
            "show" => self.show(),
            other => Err(format!("no command {other:?}").into()),
        }
    }

    fn add(&mut self, count: usize, options: &BTreeMap<&str, &str>) -> Result<(), Failure> {
        let option = |key, default| options.get(key).copied().unwrap_or(default);
        let version = list(&option("runtime", "0.1.0").replace('.', ","));
        let mut operators = list(option("ops", ":Conv,:Relu"));
        operators.sort();
        let unit = Unit {
            class: option("class", "pi4").into(),
            runtime: RuntimeInfo {
                version: (version[0].parse()?, version[1].parse()?, version[2].parse()?),
                numerics: 1,
                bundle_format: 1,
                operators,
                memory_limit: option("memory", "0").parse()?,
            },
            runs: option("runs", "v1").into(),
            told: None,
            since: self.now,
            seen: self.now,
            frozen: false,
            online: true,
            removed: false,
        };
        self.units.extend(std::iter::repeat_n(unit, count));
        Ok(())
    }

    fn device(&mut self, at: usize, what: &str) -> Result<(), Failure> {
        let unit = &mut self.units[at];
        match what.split_once('=') {
            Some(("ops", ops)) => {
                unit.runtime.operators = list(ops);
                unit.runtime.operators.sort();
            }
            Some(("runs", version)) => (unit.runs, unit.since) = (version.into(), self.now),
            None if what == "freeze" => unit.frozen = true,
            None if what == "thaw" => unit.frozen = false,
            None if what == "remove" => unit.removed = true,
            _ => return Err(format!("a device cannot {what}").into()),
        }
        Ok(())
    }

    fn start(&mut self, label: &str, options: &BTreeMap<&str, &str>) -> Result<(), Failure> {
        let option = |key, default| options.get(key).copied().unwrap_or(default);
        let mut target = release(label);
        target.allowed_disagreement = share(option("allowed", "4%"))?;
        target.requires.operators = list(option("needs", ":Conv"));
        target.requires.memory = option("memory", "0").parse()?;
        target.requires.runtime = (0, option("runtime", "0").parse()?, 0);
        let stages = list(option("stages", "1,25%,100%"));
        let mut policy = Policy {
            strategy: option("strategy", "canary").into(),
            stages: stages
                .iter()
                .filter(|s| !s.is_empty())
                .map(|s| s.parse())
                .collect::<Result<_, _>>()?,
            dwell_s: option("dwell", "60").parse()?,
            margin: share(option("margin", "6%"))?,
            control: share(option("control", "10%"))?,
            min_exposed: share(option("exposed", "80%"))?,
            min_inputs: option("inputs", "50").parse()?,
            min_inputs_per_class: option("class-inputs", "10").parse()?,
            auto_rollback: option("auto-rollback", "yes") == "yes",
            ..Policy::default()
        };
        if let Some((name, part)) = options.get("metric").and_then(|m| m.split_once(':')) {
            policy.metrics = vec![HealthMetric {
                name: name.into(),
                share: share(part)?,
            }];
        }
        let after_s: u64 = option("silence", "600").parse()?;
        policy.silence = (after_s > 0).then_some(Silence {
            after_s,
            share: Ppm::percent(10),
            exempt: Vec::new(),
        });
        self.rollouts += 1;
        let base = option("base", "v1");
        self.names = (label.into(), base.into());
        self.proven.insert(base.into());
        let (id, base) = (RolloutId(self.rollouts), release(base));
        self.rollout = Some(Rollout::start(id, [0x5a; 16], target, base, policy, self.now)?);
        self.assignments = Assignments::default();
        self.evidence = Evidence::default();
        Ok(())
    }

    fn install(&mut self, words: &[&str]) -> Result<(), Failure> {
        let some = words.iter().map(|w| named(w)).collect::<Result<Vec<_>, _>>()?;
        for at in 0..self.units.len() {
            let row = self.assignments.get(id(at));
            let unit = &mut self.units[at];
            if !unit.online || !(some.is_empty() || some.contains(&at)) {
                continue;
            }
            let want = match row {
                Some(row) if row.has_target() => &self.names.0,
                Some(row) if row.reverted_at.is_some() => &self.names.1,
                Some(_) => continue,
                None => match &unit.told {
                    Some(told) => told,
                    None => continue,
                },
            };
            if unit.runs != *want {
                (unit.runs, unit.since, unit.seen) = (want.clone(), self.now, self.now);
                writeln!(self.out, "  d{:02} runs {want}", at + 1)?;
            }
        }
        Ok(())
    }

    fn paired(&mut self, inputs: u64, options: &BTreeMap<&str, &str>) -> Result<(), Failure> {
        let disagreements: u64 = options.get("differ").unwrap_or(&"0").parse()?;
        let class = HardwareId::new(options.get("class").unwrap_or(&"pi4"))?;
        let paired = &mut self.evidence.paired;
        if !paired.classes.iter().any(|(c, _)| *c == class) {
            paired.classes.push((class.clone(), Counts::default()));
        }
        let of_class = paired
            .classes
            .iter_mut()
            .filter(|(c, _)| *c == class)
            .map(|(_, counts)| counts);
        for counts in of_class.chain([&mut paired.fleet]) {
            counts.inputs += inputs;
            counts.disagreements += disagreements;
        }
        Ok(())
    }

    fn report(&mut self, what: &str, words: &[&str]) -> Result<(), Failure> {
        for word in words {
            let event = DeviceEvent {
                device: id(named(word)?),
                at: self.now,
            };
            let health = &mut self.evidence.health;
            match what {
                "self-test" => self.evidence.self_test_failures.push(event),
                "crash-loop" => self.evidence.crash_loops.push(event),
                metric => match health.iter_mut().find(|m| m.metric == metric) {
                    Some(listed) => listed.failures.push(event),
                    None => health.push(MetricEvidence {
                        metric: metric.into(),
                        failures: vec![event],
                    }),
                },
            }
        }
        Ok(())
    }

    fn inventory(&self) -> Result<Inventory, Failure> {
        let mut builder = InventoryBuilder::default();
        for (at, unit) in self.units.iter().enumerate().filter(|(_, u)| !u.removed) {
            for name in unit.told.iter().chain([&unit.runs]) {
                if let Some((model, _)) = name.split_once('@') {
                    builder.model(release(name).digest, model);
                }
            }
            let device = Device {
                id: id(at),
                profile: builder.profile(&HardwareId::new(&unit.class)?, &unit.runtime),
                version: builder.version(bundle(&unit.runs)),
                told: builder.version(unit.told.as_deref().and_then(bundle)),
                running_since: unit.since,
                last_seen: unit.seen,
                frozen: unit.frozen,
            };
            builder.device(device);
        }
        Ok(builder.build()?)
    }

    fn input<'a>(
        &'a self,
        rollout: &'a Rollout,
        assignments: &'a Assignments,
        inventory: &'a Inventory,
    ) -> Input<'a> {
        let (evidence, freeze, now) = (&self.evidence, self.freeze.as_ref(), self.now);
        Input {
            rollout,
            assignments,
            inventory,
            evidence,
            freeze,
            now,
        }
    }

    fn plan(&mut self, make: impl Fn(&Input<'_>) -> Result<Plan, Failure>) -> Result<(), Failure> {
        let inventory = self.inventory()?;
        let mut rollout = self.rollout.clone().ok_or("no rollout")?;
        let mut assignments = self.assignments.clone();
        let made = make(&self.input(&rollout, &assignments, &inventory))?;
        for sentence in made.sentences() {
            writeln!(self.out, "  {sentence}")?;
        }
        if made.is_empty() {
            writeln!(self.out, "  nothing new")?;
        }
        if made
            .decisions
            .iter()
            .any(|d| matches!(d, Decision::Assign { arm: Arm::Target, .. }))
        {
            writeln!(self.out, "  [{}]", made.inference_bound())?;
        }
        apply(&mut rollout, &mut assignments, &made)?;
        if matches!(made.decisions.last(), Some(Decision::Resume)) {
            // Going on is the next plan's business.
        } else {
            let again = plan(&self.input(&rollout, &assignments, &inventory))?;
            assert!(again.is_empty(), "planned again: {:?}", again.decisions);
        }
        let stored = serde_json::to_string(&(&rollout, &assignments))?;
        let read: (Rollout, Assignments) = serde_json::from_str(&stored)?;
        assert_eq!(read, (rollout.clone(), assignments.clone()));
        let stored = sanderling_wire::encode(&(&rollout, &assignments, &made));
        let read: (Rollout, Assignments, Plan) = sanderling_wire::decode(&stored)?;
        assert_eq!(read, (rollout.clone(), assignments.clone(), made));
        (self.rollout, self.assignments) = (Some(rollout), assignments);
        self.tell();
        Ok(())
    }

    /// What the executor does besides: devices are told what they are assigned, and the title goes with the rollout.
    fn tell(&mut self) {
        for row in self.assignments.rows() {
            let (target, base) = &self.names;
            let told = if row.has_target() { target } else { base };
            if let Some(unit) = (0..self.units.len()).find(|&at| id(at) == row.device) {
                self.units[unit].told = Some(told.clone());
            }
        }
        let (target, base) = self.names.clone();
        match self.rollout.as_ref().map(|rollout| &rollout.status) {
            Some(Status::Completed) => {
                self.proven.insert(target.clone());
                self.crown(&target);
            }
            Some(Status::RolledBack { .. }) if self.champions.values().any(|name| *name == target) => {
                self.proven.remove(&target);
                self.crown(&base);
            }
            _ => {}
        }
    }

    fn crown(&mut self, name: &str) {
        if let Some((model, _)) = name.split_once('@') {
            self.champions.insert(model.into(), name.into());
        }
    }

    fn welcome(&mut self) -> Result<(), Failure> {
        let live = |model: &str| {
            let live = self.rollout.as_ref().filter(|rollout| rollout.status.is_live());
            live.is_some_and(|rollout| rollout.target.model == model)
        };
        let champions: Vec<Champion> = self
            .champions
            .iter()
            .map(|(model, name)| Champion {
                release: release(name),
                proven: self.proven.contains(name),
                contested: live(model),
            })
            .collect();
        let inventory = self.inventory()?;
        let welcomes = newcomers(&inventory, &champions, self.freeze.as_ref());
        if welcomes.is_empty() {
            writeln!(self.out, "  nobody")?;
        }
        for welcome in welcomes {
            writeln!(self.out, "  {}", welcome.sentence())?;
            let name = format!("{}@{}", welcome.champion.model, welcome.champion.label);
            for unit in 0..self.units.len() {
                if welcome.devices.contains(&id(unit)) {
                    self.units[unit].told = Some(name.clone());
                }
            }
        }
        assert!(
            newcomers(&self.inventory()?, &champions, self.freeze.as_ref()).is_empty(),
            "welcomed twice"
        );
        Ok(())
    }

    fn show(&mut self) -> Result<(), Failure> {
        let rollout = self.rollout.as_ref().ok_or("no rollout")?;
        let view = plan(&self.input(rollout, &self.assignments, &self.inventory()?))?;
        let figures = &view.assessment;
        let stage = view.stage_name(rollout.stage);
        writeln!(
            self.out,
            "  {} over {}: {}, {stage}",
            view.target,
            view.base,
            rollout.status.word()
        )?;
        let (on, base, out) = (
            figures.on_target,
            figures.on_base + figures.sent_back,
            figures.excluded,
        );
        writeln!(
            self.out,
            "  {on} on {}, {base} on {}, {out} left out",
            view.target, view.base
        )?;
        let wants = |at: &usize| self.assignments.get(id(*at)).is_some_and(Assignment::has_target);
        let names: Vec<_> = (0..self.units.len())
            .filter(wants)
            .map(|at| format!("d{:02}", at + 1))
            .collect();
        writeln!(self.out, "  assigned {}: {}", view.target, names.join(" "))?;
        let agreement = &figures.agreement;
        let (d, n) = (agreement.fleet.disagreements, agreement.fleet.inputs);
        let (e, stop) = (agreement.ln_e, agreement.ln_stop);
        let (bound, limit) = (100.0 * agreement.upper_bound, 100.0 * agreement.limit);
        writeln!(
            self.out,
            "  agreement: {d} of {n} differ; ln e {e:.2}, stops at {stop:.2}; bound {bound:.1} %, limit {limit:.1} %"
        )?;
        for health in figures.health.iter().filter(|h| h.target + h.control > 0) {
            let HealthReading {
                metric,
                target,
                control,
                ln_e,
                ln_stop,
            } = health;
            writeln!(
                self.out,
                "  {metric}: {target} on {}, {control} on {}; ln e {ln_e:.2}, stops at {ln_stop:.2}",
                view.target, view.base
            )?;
        }
        Ok(())
    }
}

/// The transcript of a script.
fn transcript(script: &str) -> String {
    let mut world = World {
        now: 1_000,
        ..World::default()
    };
    for line in script.lines() {
        if line.trim().is_empty() || line.starts_with('#') {
            writeln!(world.out, "{line}").unwrap();
            continue;
        }
        writeln!(world.out, "[{}] {line}", world.now - 1_000).unwrap();
        if let Err(failure) = world.run(line) {
            writeln!(world.out, "  error: {failure}").unwrap();
        }
    }
    world.out
}

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut scripts: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    scripts.retain(|path| path.extension().is_some_and(|e| e == "txt"));
    scripts.sort();
    scripts
}

#[test]
fn scenarios_go_as_written() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    for script in scripts() {
        let got = transcript(&std::fs::read_to_string(&script).unwrap());
        let golden = script.with_extension("golden");
        if update {
            std::fs::write(&golden, &got).unwrap();
        } else if std::fs::read_to_string(&golden).unwrap_or_default() != got {
            wrong.push(format!("{}\n{got}", script.display()));
        }
    }
    assert!(
        wrong.is_empty(),
        "transcripts differ from their .golden files:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn every_strategy_has_a_scenario() {
    let all: String = scripts()
        .iter()
        .map(|s| std::fs::read_to_string(s).unwrap())
        .collect();
    for strategy in sanderling_rollout::strategy::STRATEGIES {
        let named = all.contains(&format!("strategy={}", strategy.name()));
        assert!(
            named,
            "no scenario starts a rollout with strategy={}",
            strategy.name()
        );
    }
}
