//! Prints the measured error rates and power of the gates: the tables of docs/rollout-gates.md.
//!
//! `cargo run --release -p sanderling-rollout --example gate_figures`

#[path = "../tests/support/simulation.rs"]
mod simulation;

use sanderling_rollout::Counts;
use sanderling_rollout::gates::agreement::{ln_e_above, upper_bound};
use simulation::{ALLOWED, LIMIT, World, policy, simulate};

fn main() {
    let policy = policy();
    println!(
        "Release as good as allowed (differs on {:.0} %, same hazard), alpha 5 %:\n",
        100.0 * ALLOWED
    );
    println!("| devices | rollouts | first failures | stopped by agreement | by health | together |");
    println!("|---:|---:|---:|---:|---:|---:|");
    for (devices, runs) in [(12, 20_000), (100, 4_000), (1_000, 400)] {
        for hazard in [0.002, 0.01, 0.05] {
            let world = World {
                devices,
                hazard,
                inputs: 3,
                ..World::NULL
            };
            let figures = simulate(&world, &policy, runs);
            println!(
                "| {devices} | {runs} | {:.1} % a tick | {:.2} % | {:.2} % | {:.2} % |",
                100.0 * hazard,
                100.0 * figures.by_agreement,
                100.0 * figures.by_health,
                100.0 * figures.stopped()
            );
        }
    }

    println!("\nAnswers differ more often than allowed, 12 devices, 3 inputs a tick on one device:\n");
    println!("| differ | rollouts | stopped | median inputs | median devices reached | promoted |");
    println!("|---:|---:|---:|---:|---:|---:|");
    for differ in [0.06, 0.08, LIMIT, 0.15, 0.2, 0.4, 0.8] {
        let world = World {
            differ,
            hazard: 0.0,
            ..World::NULL
        };
        let figures = simulate(&world, &policy, 4_000);
        println!(
            "| {:.0} % | 4000 | {:.1} % | {} | {} | {:.1} % |",
            100.0 * differ,
            100.0 * figures.by_agreement,
            figures.inputs,
            figures.reached,
            100.0 * figures.promoted
        );
    }

    println!("\nDevices on the target fail more often (0.5 % a tick on the base):\n");
    println!("| devices | hazard ratio | rollouts | stopped | median devices reached |");
    println!("|---:|---:|---:|---:|---:|");
    for (devices, runs) in [(12, 4_000), (100, 1_000), (1_000, 100)] {
        for ratio in [2.0, 4.0, 8.0, 16.0] {
            let world = World {
                devices,
                differ: 0.0,
                hazard: 0.005,
                ratio,
                ..World::NULL
            };
            let figures = simulate(&world, &policy, runs);
            println!(
                "| {devices} | {ratio} | {runs} | {:.1} % | {} |",
                100.0 * figures.by_health,
                figures.reached
            );
        }
    }

    println!("\nDistinct inputs to promote (upper bound under the limit, risk 5 %):\n");
    println!("| limit | none differs | 1 % differ | 4 % differ |");
    println!("|---:|---:|---:|---:|");
    for limit in [0.02, 0.05, 0.1, 0.15, 0.2, 0.3] {
        let needed = |share: f64| {
            let found = (1..200_000_u64).find(|&n| upper_bound(counts(n, share), 0.05) <= limit);
            found.map_or("never".into(), |n| n.to_string())
        };
        let columns = [0.0, 0.01, 0.04].map(|share| {
            if share < limit {
                needed(share)
            } else {
                "never".into()
            }
        });
        println!("| {:.0} % | {} |", 100.0 * limit, columns.join(" | "));
    }

    println!("\nDiffering inputs among the first n that stop (allowance 4 %, alpha 2.5 %, one class):\n");
    println!("| n | 3 | 5 | 10 | 20 | 50 | 100 | 500 |");
    let least = |n: u64| {
        let stops = |d: &u64| {
            ln_e_above(
                Counts {
                    inputs: n,
                    disagreements: *d,
                },
                ALLOWED,
            ) >= (1.0 / 0.025_f64).ln()
        };
        (0..=n).find(stops).map_or("-".into(), |d| d.to_string())
    };
    println!(
        "| stops at | {} |",
        [3, 5, 10, 20, 50, 100, 500].map(least).join(" | ")
    );
}

/// So many inputs, of which this share differs, rounded up.
fn counts(inputs: u64, share: f64) -> Counts {
    Counts {
        inputs,
        disagreements: (share * inputs as f64).ceil() as u64,
    }
}
