//! SIGKILL at random moments of an update: fifty devices, each killed at its own moment, and nothing is lost.
//!
//! Whenever a device is looked at, it answers from the old image or from the new one, whole and verified; it goes on
//! answering after each start; it ends on the new image without help; and what it counted arrives once. The moments
//! are random but seeded: a failure names its seed.
#![allow(missing_docs, clippy::unwrap_used)]

use sanderling_e2e::fleet::{Device, Fleet, Line, PATIENCE, Versions};
use sanderling_e2e::wait_for;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Devices, each with a seed of its own.
const SEEDS: u64 = 50;
/// Kills are spread over this time from the rollout's start: downloads, self-tests, activations, trials, ends.
const SPREAD: Duration = Duration::from_secs(8);
/// Milliseconds between a device's inputs: fifty share two processors.
const EVERY_MS: u64 = 600;
/// A kill takes with it the window of telemetry that is open and what waits for the agent's thread, which may be in a
/// self-test: answers so long before it need not have been counted.
const OPEN_MS: u64 = 4_000;

struct Seeded {
    seed: u64,
    device: Device,
    /// When it was killed, Unix milliseconds.
    kills: Vec<u64>,
    /// Where it was with the update when it was killed.
    moments: Vec<&'static str>,
}

#[test]
fn killed_at_random_moments_of_an_update() {
    let began = Instant::now();
    let versions = Versions::pack();
    let fleet = Fleet::start(&versions, 2);
    let mut devices: Vec<Seeded> = (0..SEEDS)
        .map(|seed| {
            let mut device = fleet.device(&format!("seed-{seed}"), &versions.old);
            device.start(EVERY_MS);
            Seeded {
                seed,
                device,
                kills: Vec::new(),
                moments: Vec::new(),
            }
        })
        .collect();
    wait_for_fleet(&fleet, "the old version everywhere", |device| {
        device["active"] == versions.old.digest.as_str()
    });
    println!(
        "{SEEDS} devices answer from the old version after {:.1} s",
        began.elapsed().as_secs_f64()
    );
    let rollout = fleet.roll_out("100%");
    std::thread::scope(|scope| {
        for seeded in &mut devices {
            scope.spawn(|| kill_and_restart(seeded, [&versions.old.digest, &versions.new.digest]));
        }
    });
    print_moments(&devices);
    wait_for_fleet(&fleet, "the new version everywhere, confirmed", |device| {
        device["active"] == versions.new.digest.as_str() && device["confirmed"] == true
    });
    fleet.wait_completed(&rollout);
    println!(
        "{SEEDS} devices run the new version after {:.1} s",
        began.elapsed().as_secs_f64()
    );
    check_telemetry(&fleet, &mut devices);
    println!(
        "nothing lost, nothing doubled: {:.1} s",
        began.elapsed().as_secs_f64()
    );
}

/// Kills a device once or twice at its seed's moments, and looks at it each time.
fn kill_and_restart(seeded: &mut Seeded, [old, new]: [&String; 2]) {
    let Seeded {
        seed,
        device,
        kills,
        moments,
    } = seeded;
    let mut random = Random(*seed);
    // Two at most: three starts in a row without healthy answers are a crash loop, which ends a trial.
    let mut delay = SPREAD.mul_f64(random.uniform());
    for _ in 0..1 + random.below(2) {
        std::thread::sleep(delay);
        device.kill();
        kills.push(now_ms());
        let state = device.inspect().expect("a killed device has its state folder");
        let serving = state.pointer("/serving/image/digest").and_then(Value::as_str);
        let whole = serving.is_some_and(|digest| digest == old || digest == new);
        assert!(whole, "seed {seed} serves {serving:?} after a kill: {state:#}");
        moments.push(moment(&state, old));
        device.start(EVERY_MS);
        device.wait_for_answers();
        let last = device.lines().pop().expect("it has just answered");
        assert!(
            last.image == *old || last.image == *new,
            "seed {seed} answers from {}",
            last.image
        );
        delay = Duration::from_secs(3).mul_f64(random.uniform());
    }
}

/// Where a device is with the update.
fn moment(state: &Value, old: &str) -> &'static str {
    let slots = state["slots"].to_string();
    let serves_old = state.pointer("/serving/image/digest").and_then(Value::as_str) == Some(old);
    match (serves_old, state["trial"].is_null()) {
        (_, false) => "on trial",
        (false, true) => "confirmed",
        (true, true) if slots.contains("Filling") => "downloading",
        (true, true) if slots.contains("Held") => "self-test",
        (true, true) => "before the download",
    }
}

fn print_moments(devices: &[Seeded]) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let moments = devices.iter().flat_map(|seeded| &seeded.moments);
    moments.for_each(|moment| *counts.entry(moment).or_default() += 1);
    println!("kills by moment: {counts:?}");
    let busy = counts
        .iter()
        .filter(|(moment, _)| !["before the download", "confirmed"].contains(moment));
    assert!(
        busy.map(|(_, count)| count).sum::<usize>() > 0,
        "no kill hit the update: {counts:?}"
    );
}

/// Waits until every device is as it should be, and tells of the way there.
fn wait_for_fleet(fleet: &Fleet, what: &str, ready: impl Fn(&Value) -> bool) {
    let (mut looked, mut told) = (Instant::now(), BTreeMap::new());
    wait_for(what, PATIENCE, || {
        // Once a second: each look is a process, on a machine that has enough to do.
        if looked.elapsed() < Duration::from_secs(1) {
            return None;
        }
        looked = Instant::now();
        let devices = fleet.devices();
        let mut now: BTreeMap<String, usize> = BTreeMap::new();
        for device in &devices {
            let state = format!(
                "{} {}, confirmed: {}",
                device["phase"], device["active_name"], device["confirmed"]
            );
            *now.entry(state).or_default() += 1;
        }
        if now != told {
            println!("  {now:?}");
            told = now;
        }
        (devices.len() as u64 == SEEDS && devices.iter().all(&ready)).then_some(())
    });
}

/// Stops all in good order, lets them deliver what waits, and compares the server's sums with the answers given.
fn check_telemetry(fleet: &Fleet, devices: &mut [Seeded]) {
    for seeded in &mut *devices {
        seeded.device.stop();
    }
    let restarted_s = now_ms() / 1000;
    for seeded in &mut *devices {
        seeded.device.start_delivering();
    }
    let ids: Vec<String> = devices
        .iter()
        .map(|seeded| seeded.device.id().expect("every device is enrolled"))
        .collect();
    let answers: Vec<Vec<Line>> = devices.iter().map(|seeded| seeded.device.lines()).collect();
    let mut looked = Instant::now();
    wait_for("what waited in the outboxes", PATIENCE, || {
        if looked.elapsed() < Duration::from_secs(1) {
            return None;
        }
        looked = Instant::now();
        let known: Vec<Value> = ids.iter().map(|id| fleet.shown(id)).collect();
        let of = |id: &String| known.iter().find(|device| device["id"] == id.as_str());
        let arrived = ids
            .iter()
            .zip(&answers)
            .zip(&*devices)
            .all(|((id, lines), seeded)| {
                of(id).is_some_and(|device| {
                    let heard = device["last_seen"].as_u64() >= Some(restarted_s);
                    heard && counted(device, None) >= surely_counted(lines, &seeded.kills)
                })
            });
        arrived.then_some(())
    });
    let known: Vec<Value> = ids.iter().map(|id| fleet.shown(id)).collect();
    for ((id, lines), seeded) in ids.iter().zip(&answers).zip(&*devices) {
        let device = known
            .iter()
            .find(|device| device["id"] == id.as_str())
            .expect("it was there a moment ago");
        assert_eq!(device["dropped_records"], 0, "seed {}: {device:#}", seeded.seed);
        let images: Vec<&str> = device["serving"]
            .as_object()
            .expect("sums by image")
            .keys()
            .map(String::as_str)
            .collect();
        for image in images {
            let given = lines.iter().filter(|line| line.image == image).count() as u64;
            let sum = counted(device, Some(image));
            assert!(
                sum <= given,
                "seed {}: {given} answers from {image} were given, {sum} counted",
                seeded.seed
            );
        }
    }
}

/// Answers that the server counts for a device, from one image or from all.
fn counted(device: &Value, image: Option<&str>) -> u64 {
    let sums = device["serving"].as_object().into_iter().flatten();
    let sums = sums.filter(|(name, _)| image.is_none_or(|image| name.as_str() == image));
    sums.filter_map(|(_, sum)| sum["answers"].as_u64()).sum()
}

/// Answers that no kill can have taken with it.
fn surely_counted(lines: &[Line], kills: &[u64]) -> u64 {
    let open = |line: &&Line| {
        kills
            .iter()
            .any(|&kill| (kill.saturating_sub(OPEN_MS)..=kill).contains(&line.time_ms))
    };
    (lines.len() - lines.iter().filter(open).count()) as u64
}

fn now_ms() -> u64 {
    let elapsed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the clock is past 1970");
    u64::try_from(elapsed.as_millis()).expect("the clock is before the year 584 554 531")
}

/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In [0, 1).
    fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
