//! Plans a rollout over a million devices, then welcomes newcomers, and prints time and peak memory.
//!
//! `cargo run --release -p sanderling-rollout --example plan_million [DEVICES]`

use sanderling_rollout::*;
use sanderling_wire::{DeviceId, Digest, HardwareId, RolloutId, RuntimeInfo};
use std::error::Error;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let devices: u64 = std::env::args().nth(1).map_or(Ok(1_000_000), |n| n.parse())?;
    let release = |label: &str| Release {
        model: "magika".into(),
        ..Release::new(label, Digest::of(label.as_bytes()))
    };
    let policy = Policy {
        min_inputs_per_class: 0,
        ..Policy::default()
    };
    let mut target = release("v2");
    target.requires.operators = vec![":Conv".into(), ":GridSample".into()];
    let mut rollout = Rollout::start(RolloutId(1), [7; 16], target, release("v1"), policy, 1_000)?;
    let mut assignments = Assignments::default();
    let mut evidence = Evidence::default();
    let mut now = 1_000;
    let (mut slowest, mut rounds) = (0.0_f64, 0);
    println!("{devices} devices, peak memory before: {}", peak());
    while rollout.status.is_live() {
        let start = Instant::now();
        let inventory = fleet(devices, &rollout, &assignments, now)?;
        let built = start.elapsed().as_secs_f64();
        let input = Input {
            rollout: &rollout,
            assignments: &assignments,
            inventory: &inventory,
            evidence: &evidence,
            freeze: None,
            now,
        };
        let start = Instant::now();
        let made = plan(&input)?;
        let planned = start.elapsed().as_secs_f64();
        let start = Instant::now();
        apply(&mut rollout, &mut assignments, &made)?;
        let applied = start.elapsed().as_secs_f64();
        println!(
            "t {now}: inventory {built:.2} s, plan {planned:.2} s, apply {applied:.2} s, peak {}",
            peak()
        );
        made.sentences().for_each(|sentence| println!("  {sentence}"));
        slowest = slowest.max(planned);
        now += 4_000;
        evidence.paired.fleet.inputs += 500;
        if rounds == 1 {
            // A tenth of a per cent of the fleet fails, in both arms.
            let failed = assignments.rows().iter().step_by(1_000);
            let failures = failed
                .map(|row| DeviceEvent {
                    device: row.device,
                    at: now,
                })
                .collect();
            evidence.health.push(MetricEvidence {
                metric: "errors".into(),
                failures,
            });
        }
        rounds += 1;
        if rounds > 20 {
            return Err("the rollout does not come to its end".into());
        }
    }
    println!("slowest plan {slowest:.2} s, peak memory {}", peak());
    // As many devices again, of which none was in the rollout.
    let fresh = fleet(devices, &rollout, &Assignments::default(), now)?;
    let champions = [Champion {
        release: rollout.target,
        proven: true,
        contested: false,
    }];
    let start = Instant::now();
    let welcomes = newcomers(&fresh, &champions, None);
    let found = start.elapsed().as_secs_f64();
    welcomes
        .iter()
        .for_each(|welcome| println!("  {}", welcome.sentence()));
    println!("newcomers {found:.2} s, peak memory {}", peak());
    Ok(())
}

/// Devices of five classes, of which one in fifty lacks an operator and one in fifty is of another model; the others
/// have installed what they are assigned. Who is assigned nothing was never told what to run.
fn fleet(
    devices: u64,
    rollout: &Rollout,
    assignments: &Assignments,
    now: u64,
) -> Result<Inventory, Box<dyn Error>> {
    let mut builder = InventoryBuilder::with_capacity(devices as usize);
    let mut profiles = Vec::new();
    for class in ["pi4", "pi5", "jetson-orin-nano", "x86_64-linux", "browser"] {
        for operators in [&[":Conv", ":GridSample"][..], &[":Conv"]] {
            let runtime = RuntimeInfo {
                version: (0, 1, 0),
                numerics: 1,
                bundle_format: 1,
                operators: operators.iter().map(|op| (*op).into()).collect(),
                memory_limit: 0,
            };
            profiles.push(builder.profile(&HardwareId::new(class)?, &runtime));
        }
    }
    let versions = [&rollout.base, &rollout.target].map(|release| builder.version(Some(release.digest)));
    let ocr = Digest::of(b"ocr v1");
    let (foreign, untold) = (builder.version(Some(ocr)), builder.version(None));
    builder.model(ocr, "ocr");
    for release in [&rollout.base, &rollout.target] {
        builder.model(release.digest, &release.model);
    }
    for n in 0..devices {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        let id = DeviceId(id);
        let row = assignments.get(id);
        let target_at = row.and_then(|row| row.target_at);
        let version = versions[usize::from(target_at.is_some())];
        builder.device(Device {
            id,
            profile: profiles[2 * (n % 5) as usize + usize::from(n % 50 == 0)],
            version: if n % 50 == 1 { foreign } else { version },
            told: if row.is_some() { version } else { untold },
            running_since: target_at.unwrap_or(0),
            last_seen: now,
            frozen: false,
        });
    }
    Ok(builder.build()?)
}

/// Peak resident memory of this process (`VmHWM`), where the system tells it.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: Option<f64> = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    kib.map_or("unknown".into(), |kib| format!("{:.0} MB", kib * 1024.0 / 1e6))
}
