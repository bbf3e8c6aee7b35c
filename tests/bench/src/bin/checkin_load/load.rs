//! The open loop: a schedule made beforehand, and connections that take from it.

use crate::connection::Connection;
use crate::fleet::Fleet;
use crate::server;
use anyhow::{Context, ensure};
use clap::ValueEnum;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// How requests follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Spacing {
    /// Exponential gaps: independent devices.
    Poisson,
    /// Equal gaps.
    Even,
}

/// What is loaded, and how.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) fleet: Rc<Fleet>,
    pub(crate) connections: usize,
    pub(crate) spacing: Spacing,
    pub(crate) seed: u64,
}

/// What came of a step.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// From the intended time to the reply read, microseconds, sorted; of check-ins that succeeded.
    latencies: Vec<u64>,
    /// Check-ins that did not.
    pub(crate) errors: u64,
    /// Why the first of them did not.
    pub(crate) reason: Option<String>,
    /// From the first intended time to the last reply.
    pub(crate) span: Duration,
}

impl Outcome {
    /// Check-ins a second that succeeded.
    pub(crate) fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.span.as_secs_f64()
    }

    /// The `q`-quantile in milliseconds (nearest rank); infinite where nothing succeeded.
    pub(crate) fn quantile_ms(&self, q: f64) -> f64 {
        let rank = (q * self.latencies.len() as f64).ceil() as usize;
        self.latencies
            .get(rank.saturating_sub(1))
            .map_or(f64::INFINITY, |&us| us as f64 / 1000.0)
    }
}

/// The part of a step that its connections share.
struct Step {
    fleet: Rc<Fleet>,
    start: Instant,
    due: RefCell<std::vec::IntoIter<Duration>>,
    latencies: RefCell<Vec<u64>>,
    errors: RefCell<Vec<String>>,
}

impl Bench {
    /// One check-in of each device, at a leisurely rate.
    pub(crate) async fn warm_up(&self, devices: usize) -> anyhow::Result<()> {
        const RATE: f64 = 800.0;
        // Even spacing makes exactly one each.
        let calm = Self {
            fleet: Rc::clone(&self.fleet),
            spacing: Spacing::Even,
            ..*self
        };
        let outcome = calm
            .run(RATE, Duration::from_secs_f64(devices as f64 / RATE))
            .await;
        ensure!(
            outcome.errors == 0,
            "{} check-ins failed while warming up: {:?}",
            outcome.errors,
            outcome.reason
        );
        Ok(())
    }

    /// Sends `rate` check-ins a second for `length` and waits for the last reply.
    pub(crate) async fn run(&self, rate: f64, length: Duration) -> Outcome {
        let due = schedule(rate, length, self.spacing, self.seed);
        let step = Rc::new(Step {
            fleet: Rc::clone(&self.fleet),
            // Time to prepare the first requests.
            start: Instant::now() + Duration::from_millis(100),
            latencies: RefCell::new(Vec::with_capacity(due.len())),
            due: RefCell::new(due.into_iter()),
            errors: RefCell::default(),
        });
        let lanes: Vec<_> = (0..self.connections)
            .map(|_| tokio::task::spawn_local(lane(Rc::clone(&step))))
            .collect();
        for lane in lanes {
            if let Err(error) = lane.await {
                step.errors.borrow_mut().push(error.to_string());
            }
        }
        let mut latencies = step.latencies.take();
        latencies.sort_unstable();
        let errors = step.errors.take();
        Outcome {
            latencies,
            errors: errors.len() as u64,
            reason: errors.into_iter().next(),
            span: step.start.elapsed(),
        }
    }
}

/// One connection: takes the next intended time and the next device, prepares, waits, sends, reads.
async fn lane(step: Rc<Step>) {
    let mut connection = Connection::new(step.fleet.address);
    loop {
        let due = step.due.borrow_mut().next();
        let Some(due) = due else { return };
        if let Err(error) = check_in(&step, &mut connection, step.start + due).await {
            step.errors.borrow_mut().push(format!("{error:#}"));
        }
    }
}

async fn check_in(step: &Step, connection: &mut Connection, intended: Instant) -> anyhow::Result<()> {
    let mut device = step
        .fleet
        .take()
        .context("every device has a request under way")?;
    let exchanged = async {
        let request = device.check_in(server::now().0)?;
        sleep_until(intended).await;
        let reply = connection.exchange(&request).await?;
        ensure!(
            reply.status == 200,
            "status {}: {}",
            reply.status,
            String::from_utf8_lossy(reply.body)
        );
        device.read_reply(&step.fleet.trust, reply.body, server::now().0)
    };
    let exchanged = exchanged.await;
    step.fleet.give_back(device);
    exchanged?;
    let latency = u64::try_from(intended.elapsed().as_micros()).unwrap_or(u64::MAX);
    step.latencies.borrow_mut().push(latency);
    Ok(())
}

/// Intended times from the start of a step.
fn schedule(rate: f64, length: Duration, spacing: Spacing, seed: u64) -> Vec<Duration> {
    let mut state = seed;
    let (mut at, mut times) = (0.0, Vec::new());
    while at < length.as_secs_f64() {
        times.push(Duration::from_secs_f64(at));
        at += match spacing {
            Spacing::Even => 1.0 / rate,
            // The inverse of the exponential distribution; the argument lies in (0, 1].
            Spacing::Poisson => -(1.0 - uniform(&mut state)).ln() / rate,
        };
    }
    times
}

/// A number in [0, 1) by SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
fn uniform(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}
