//! A host on a folder, with an engine whose models are plain bytes and a thread that answers requests.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use crate::fleet::{self, digest};
use crate::server::Server;
use sanderling_agent::{NetworkPolicy, Paired, Report, Running, TrialPolicy};
use sanderling_drivers::{DriverError, Handle, Host, ModelFile, ModelHost, Models, Options, words};
use sanderling_trust::Mode;
use sanderling_wire::{Digest, EnrolmentString, PairedOutcome, ServingWindow, Sketch};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

#[derive(Default)]
pub struct Seen {
    pub answer: Option<Digest>,
    pub compares: Option<Paired>,
    pub log: Vec<String>,
}

/// An engine whose models are plain bytes: "loading" reads them, and checks that they are what was verified.
pub struct Engine(pub Arc<Mutex<Seen>>);

fn load(model: &ModelFile) -> Result<Digest, String> {
    let bytes = model.read_all().map_err(|error| error.to_string())?;
    if Digest::of(&bytes) == model.digest() {
        Ok(model.digest())
    } else {
        Err("other bytes than were verified".into())
    }
}

impl ModelHost for Engine {
    fn self_test(&mut self, model: &ModelFile) -> Result<(), String> {
        let loaded = load(model)?;
        if loaded == digest(4) {
            Err("golden vector 0 differs".into())
        } else {
            Ok(())
        }
    }

    fn serve(&mut self, models: Models) -> Result<Running, String> {
        let answer = models.answer.as_ref().map(load).transpose()?;
        let beside = models.beside.as_ref().is_some_and(|model| load(model).is_ok());
        let compares = models.paired().filter(|_| beside);
        let mut seen = self.0.lock().unwrap();
        (seen.answer, seen.compares) = (answer, compares);
        Ok(if beside { Running::Compared } else { Running::Alone })
    }

    fn report(&mut self, report: &Report) {
        self.0.lock().unwrap().log.push(words(report));
    }
}

/// A host on a folder, with a thread that answers requests.
pub struct Device {
    pub seen: Arc<Mutex<Seen>>,
    pub handle: Handle,
    agent: Option<JoinHandle<Result<(), DriverError>>>,
    answering: Arc<AtomicBool>,
}

pub fn options(folder: &Path, server: &Server) -> Options {
    options_for(folder, server.enrolment())
}

pub fn options_for(folder: &Path, enrolment: EnrolmentString) -> Options {
    let trial = TrialPolicy {
        min_seconds: 1,
        min_answers: 4,
        min_pairs: 2,
        ..TrialPolicy::default()
    };
    let network = NetworkPolicy {
        chunk_len: 2_000,
        backoff_base_ms: 20,
        backoff_max_ms: 200,
        retry_refill_ms: 20,
        message_timeout_s: 3,
        chunk_timeout_s: 3,
        ..NetworkPolicy::default()
    };
    Options {
        enrolment: Some(enrolment),
        trial,
        network,
        ..Options::new(folder, fleet::hardware(), fleet::runtime())
    }
}

impl Device {
    pub fn start(options: Options) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let host = Host::open(options, Engine(seen.clone())).unwrap();
        let handle = host.handle();
        let agent = Some(host.spawn().unwrap());
        let answering = Arc::new(AtomicBool::new(true));
        let (on, answers, telemetry) = (answering.clone(), seen.clone(), handle.clone());
        thread::spawn(move || {
            let mut unit = 0;
            while on.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(60));
                let (answer, compares) = {
                    let seen = answers.lock().unwrap();
                    (seen.answer, seen.compares.clone())
                };
                let Some(image) = answer else { continue };
                telemetry.served(window(image));
                unit += 1;
                if let Some(mut paired) = compares {
                    paired.outcomes.push(PairedOutcome { unit, agree: true });
                    telemetry.paired(paired);
                }
            }
        });
        Self {
            seen,
            handle,
            agent,
            answering,
        }
    }

    pub fn log(&self) -> String {
        self.seen.lock().unwrap().log.join("\n")
    }

    pub fn wait(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !done(self) {
            assert!(Instant::now() < end, "{what} did not happen:\n{}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn stands_on(&self, n: u8) -> bool {
        self.seen.lock().unwrap().answer == Some(digest(n))
            && self
                .handle
                .state()
                .is_some_and(|state| state.active.is_some_and(|active| active.confirmed))
    }

    pub fn update(&self, server: &Server, n: u8, rollout: u64) {
        server.fleet().want(n, rollout, Mode::Activate);
        self.handle.ring();
        self.wait(&format!("version {n}"), |device| device.stands_on(n));
    }

    pub fn stop(mut self) {
        self.answering.store(false, Ordering::Relaxed);
        self.handle.stop();
        self.agent.take().unwrap().join().unwrap().unwrap();
    }
}

fn window(image: Digest) -> ServingWindow {
    ServingWindow {
        image,
        seconds: 1,
        answers: 2,
        errors: 0,
        rejected_inputs: 0,
        flagged_inputs: 0,
        cascaded: 0,
        degraded: 0,
        latency_us: Sketch::new(),
        confidence: [0; 10],
        classes: vec![],
    }
}
