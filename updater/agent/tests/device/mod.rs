//! A device around an agent, in simulated time: carries out actions against a [`Fleet`], answers requests by the
//! image it was told to serve, and can be switched off.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use crate::fleet::{self, Fleet};
use sanderling_agent::{
    Action, Agent, Config, Entropy, Input, NetworkPolicy, Now, Paired, Report, ResponseHead, Running,
    Serving, TransportError, TrialPolicy,
};
use sanderling_slots::sim::FaultyStorage;
use sanderling_slots::{MemoryStorage, Storage, region_of};
use sanderling_trust::{Ed25519Signer, Roots};
use sanderling_wire::{Digest, PairedOutcome, ServingWindow, Sketch};
use std::collections::BTreeSet;

pub type Medium = FaultyStorage<MemoryStorage>;

/// Repeatable random numbers (SplitMix64).
pub struct Seeded(pub u64);

impl Entropy for Seeded {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }
}

pub fn medium() -> MemoryStorage {
    MemoryStorage::new(16_384, 65_536)
}

pub fn policy() -> (TrialPolicy, NetworkPolicy) {
    let trial = TrialPolicy {
        min_seconds: 4,
        min_answers: 6,
        min_pairs: 4,
        max_pairs: 40,
        healthy_answers: 2,
        ..TrialPolicy::default()
    };
    let network = NetworkPolicy {
        chunk_len: 1_500,
        daily_budget: 200_000,
        backoff_base_ms: 200,
        backoff_max_ms: 5_000,
        retry_refill_ms: 2_000,
        ..NetworkPolicy::default()
    };
    (trial, network)
}

pub struct Device {
    pub agent: Agent<Medium>,
    pub now: Now,
    pub serving: Serving,
    /// The bytes served are these, read when it was told to.
    pub answers_from: Option<Digest>,
    /// Images whose golden vectors fail, whose answers end in errors, that do not load.
    pub fails_self_test: BTreeSet<Digest>,
    /// Self-tests are begun and not ended.
    pub slow_self_test: bool,
    pub errs: BTreeSet<Digest>,
    pub unloadable: BTreeSet<Digest>,
    pub offline: bool,
    pub reports: Vec<Report>,
    pub served: Vec<Digest>,
    answered_ms: u64,
    units: u64,
}

impl Device {
    pub fn config(fleet: &Fleet) -> Config {
        let (trial, network) = policy();
        Config {
            enrolment: Some(fleet.enrolment("http://127.0.0.1:1")),
            roots: Roots::Production,
            hardware: fleet::hardware(),
            runtime: fleet::runtime(),
            trial,
            network,
        }
    }

    pub fn start(
        medium: Medium,
        config: Config,
        now: Now,
        seed: u64,
    ) -> Result<Self, sanderling_agent::AgentError> {
        let signer = Box::new(Ed25519Signer::from_seed(&[42; 32]));
        let agent = Agent::start(config, medium, signer, Box::new(Seeded(seed)), now)?;
        Ok(Self {
            agent,
            now,
            serving: Serving::default(),
            answers_from: None,
            fails_self_test: BTreeSet::new(),
            slow_self_test: false,
            errs: BTreeSet::new(),
            unloadable: BTreeSet::new(),
            offline: false,
            reports: Vec::new(),
            served: Vec::new(),
            answered_ms: now.uptime_ms,
            units: 0,
        })
    }

    pub fn new(fleet: &Fleet) -> Self {
        let now = Now {
            unix_s: fleet.now,
            uptime_ms: 1_000,
        };
        Self::start(FaultyStorage::new(medium(), None), Self::config(fleet), now, 7).unwrap()
    }

    /// Switched off and on again, on what its medium holds.
    pub fn restart(self, fleet: &Fleet, seed: u64) -> Self {
        let Self {
            mut agent,
            now,
            fails_self_test,
            errs,
            unloadable,
            offline,
            reports,
            served,
            ..
        } = self;
        let held = agent.storage().live().clone();
        let config = Self::config(fleet);
        let device = Self::start(FaultyStorage::new(held, None), config, now, seed).unwrap();
        Self {
            fails_self_test,
            errs,
            unloadable,
            offline,
            reports,
            served,
            ..device
        }
    }

    /// Lives for so many seconds.
    pub fn run(&mut self, fleet: &mut Fleet, seconds: u64) {
        let until = self.now.uptime_ms + seconds * 1_000;
        self.run_until(fleet, until, |_, _| false);
    }

    /// Lives until `done`, at most so many seconds; whether it was done.
    pub fn run_till(
        &mut self,
        fleet: &mut Fleet,
        seconds: u64,
        done: impl Fn(&Self, &Fleet) -> bool,
    ) -> bool {
        let until = self.now.uptime_ms + seconds * 1_000;
        self.run_until(fleet, until, done)
    }

    fn run_until(&mut self, fleet: &mut Fleet, until: u64, done: impl Fn(&Self, &Fleet) -> bool) -> bool {
        let mut turns = 0;
        loop {
            self.act(fleet);
            if done(self, fleet) {
                return true;
            }
            turns += 1;
            assert!(turns < 200_000, "the agent is busy with nothing");
            let due = self
                .agent
                .wake_at()
                .max(self.now.uptime_ms)
                .min(self.answered_ms + 1_000);
            if due >= until {
                self.pass(fleet, until);
                return false;
            }
            self.pass(fleet, due);
            if self.now.uptime_ms >= self.answered_ms + 1_000 {
                self.answer_some();
            }
            self.agent.handle(Input::Tick, self.now);
        }
    }

    fn pass(&mut self, fleet: &mut Fleet, uptime_ms: u64) {
        let before = self.now.uptime_ms / 1_000;
        self.now.uptime_ms = uptime_ms;
        let seconds = uptime_ms / 1_000 - before;
        self.now.unix_s += seconds;
        fleet.now += seconds;
    }

    /// One second's answers.
    fn answer_some(&mut self) {
        self.answered_ms = self.now.uptime_ms;
        let Some(image) = self.answers_from else { return };
        self.served.push(image);
        let mut latency_us = Sketch::new();
        latency_us.add(900.0);
        latency_us.add(1_100.0);
        let errors = if self.errs.contains(&image) { 2 } else { 0 };
        let window = ServingWindow {
            image,
            seconds: 1,
            answers: 2,
            errors,
            rejected_inputs: 0,
            flagged_inputs: 0,
            cascaded: 0,
            degraded: 0,
            latency_us,
            confidence: [0, 0, 0, 0, 0, 0, 0, 0, 0, 2],
            classes: vec![(1, 2)],
        };
        self.agent.handle(Input::Served(window), self.now);
        if self.serving.beside.is_some() {
            self.units += 1;
            let outcomes = vec![PairedOutcome {
                unit: self.units,
                agree: true,
            }];
            let (new, old) = self.serving.new_and_old().unwrap();
            let Some(rollout) = self.serving.rollout else {
                return;
            };
            let paired = Paired {
                rollout,
                new,
                old,
                outcomes,
            };
            self.agent.handle(Input::Paired(paired), self.now);
        }
    }

    fn act(&mut self, fleet: &mut Fleet) {
        for _ in 0..10_000 {
            let Some(action) = self.agent.poll_action() else {
                return;
            };
            match action {
                Action::Http(request) => self.exchange(fleet, request),
                Action::Cancel(_) | Action::Listen(_) => {}
                Action::SelfTest(at) => {
                    let image = at.image.digest;
                    assert_eq!(
                        self.read(at),
                        image,
                        "the self-test gets other bytes than were verified"
                    );
                    if self.slow_self_test {
                        continue;
                    }
                    let failed = self.fails_self_test.contains(&image);
                    let outcome = if failed {
                        Err("golden vector 1 differs".into())
                    } else {
                        Ok(())
                    };
                    self.agent.handle(Input::SelfTested { image, outcome }, self.now);
                }
                Action::Serve(serving) => self.serve(serving),
                Action::Report(report) => self.reports.push(report),
                other => panic!("{other:?} is not known here"),
            }
        }
        panic!("the agent has no end of actions");
    }

    fn serve(&mut self, serving: Serving) {
        let Some(at) = serving.answer else {
            self.serving = serving;
            self.answers_from = None;
            return;
        };
        let image = at.image.digest;
        assert_eq!(self.read(at), image, "other bytes are served than were verified");
        let loads = !self.unloadable.contains(&image);
        if loads {
            self.serving = serving;
            self.answers_from = Some(image);
        }
        let running = if serving.beside.is_some() {
            Running::Compared
        } else {
            Running::Alone
        };
        let outcome = if loads {
            Ok(running)
        } else {
            Err("out of memory".into())
        };
        self.agent.handle(Input::Loaded { image, outcome }, self.now);
    }

    fn read(&mut self, at: sanderling_slots::ImageAt) -> Digest {
        let mut bytes = vec![0; at.image.length as usize];
        let read = self.agent.storage().read(region_of(at.place), 0, &mut bytes);
        if self.agent.storage().is_cut() {
            return at.image.digest;
        }
        read.unwrap();
        Digest::of(&bytes)
    }

    fn exchange(&mut self, fleet: &mut Fleet, request: sanderling_agent::HttpRequest) {
        let id = request.id;
        let headers = request.headers.into_iter().collect();
        let answer = if self.offline {
            None
        } else {
            fleet.answer(request.method.as_str(), &request.path, &headers, &request.body)
        };
        let Some(answer) = answer else {
            let error = TransportError::Unreachable {
                detail: "nobody".into(),
            };
            return self.agent.handle(Input::Failed { id, error }, self.now);
        };
        let head = ResponseHead {
            status: answer.status,
            range_start: answer.range_start,
            retry_after_s: answer.retry_after_s,
            decommissioned_at: answer.decommissioned_at,
        };
        self.agent.handle(Input::Response { id, head }, self.now);
        for bytes in answer.body.chunks(700) {
            self.agent.handle(Input::Body { id, bytes }, self.now);
        }
        if answer.breaks {
            let error = TransportError::Broken { detail: "cut".into() };
            self.agent.handle(Input::Failed { id, error }, self.now);
        } else {
            self.agent.handle(Input::End { id }, self.now);
        }
    }

    pub fn is_confirmed_on(&self, n: u8) -> bool {
        let journal = self.agent.slots().journal();
        self.answers_from == Some(fleet::digest(n))
            && journal
                .serving()
                .is_some_and(|at| at.image.digest == fleet::digest(n))
            && journal.trial.is_none()
    }

    /// Brings the device to version `n` and waits till it stands.
    pub fn update(&mut self, fleet: &mut Fleet, n: u8, rollout: u64) {
        fleet.want(n, rollout, sanderling_trust::Mode::Activate);
        assert!(
            self.run_till(fleet, 600, |device, _| device.is_confirmed_on(n)),
            "{:#?}",
            self.reports
        );
    }
}
