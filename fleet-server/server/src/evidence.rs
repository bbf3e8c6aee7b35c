//! What was counted, as the planner wants it: in the order of the commits, with times that agree with it.

use sanderling_rollout::{Counts, DeviceEvent, Evidence, HealthMetric, MetricEvidence, PairedEvidence};
use sanderling_store::{HealthRow, PairedCount};

/// Makes the times of evidence agree with its order, which is that of the commits. A time is taken when a request comes in:
/// requests may be committed in another order, and the clock may be set back.
fn order_times(health: &mut [HealthRow], now: u64) {
    let mut latest = 0;
    for row in health {
        latest = row.at.max(latest).min(now);
        row.at = latest;
    }
}

/// Evidence of a rollout, for a plan at `now`.
pub(crate) fn gather(
    metrics: &[HealthMetric],
    paired: Vec<PairedCount>,
    mut health: Vec<HealthRow>,
    now: u64,
) -> Evidence {
    order_times(&mut health, now);
    let mut counted = PairedEvidence::default();
    for PairedCount {
        hardware,
        inputs,
        disagreements,
    } in paired
    {
        let counts = Counts {
            inputs,
            disagreements,
        };
        match hardware {
            None => counted.fleet = counts,
            Some(class) => counted.classes.push((class, counts)),
        }
    }
    let of_kind = |kind: &str| -> Vec<DeviceEvent> {
        let rows = health.iter().filter(|row| row.kind == kind);
        rows.map(|row| DeviceEvent {
            device: row.device,
            at: row.at,
        })
        .collect()
    };
    // A device that went back by itself fails the metric `fallback`.
    let kind_of = |metric: &str| {
        if metric == "fallback" {
            "fell_back".to_owned()
        } else {
            metric.to_owned()
        }
    };
    let metric = |metric: &HealthMetric| MetricEvidence {
        metric: metric.name.clone(),
        failures: of_kind(&kind_of(&metric.name)),
    };
    Evidence {
        paired: counted,
        self_test_failures: of_kind("self_test_failed"),
        crash_loops: of_kind("crash_loop"),
        health: metrics.iter().map(metric).collect(),
    }
}
