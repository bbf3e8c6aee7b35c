//! What the server has counted since the rollout began.
//!
//! Everything here only grows, in the order in which it was *committed* by the server: a device's clock orders
//! nothing, and a report that arrives late counts when it arrives. The gates are valid at any time because of
//! that; a count that is taken back, or inserted into the past, breaks them.

use crate::error::EvidenceFault;
use crate::policy::SILENCE;
use crate::{Error, UnixSeconds};
use sanderling_wire::{DeviceId, HardwareId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Paired outcomes: base and target answered the same input on the same device.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Distinct inputs.
    pub inputs: u64,
    /// Those on which the two decided differently.
    pub disagreements: u64,
}

/// Paired outcomes of a rollout.
///
/// The unit is a distinct input: an input seen again, on whatever device, says nothing new (deterministic
/// models give the same answer again), so its *first* outcome counts, once in `fleet` and once in its class.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PairedEvidence {
    /// Distinct inputs over the whole fleet.
    pub fleet: Counts,
    /// Distinct inputs within each hardware class that reported any.
    pub classes: Vec<(HardwareId, Counts)>,
}

/// Something that happened to a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeviceEvent {
    /// The device.
    pub device: DeviceId,
    /// When the server committed the report.
    pub at: UnixSeconds,
}

/// First failures by one health metric, of devices of either arm.
///
/// What a failure is (an error share over a limit, a latency sketch over one) is the server's to judge, by the same
/// rule in both arms. A device fails a metric at most once in a rollout, after it entered.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct MetricEvidence {
    /// Name of a [`crate::HealthMetric`]. Metrics that the policy does not list are ignored.
    pub metric: String,
    /// First failures, in order of commit.
    pub failures: Vec<DeviceEvent>,
}

/// All that the gates rest on, beside the inventory.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Evidence {
    /// Paired outcomes.
    pub paired: PairedEvidence,
    /// Devices whose self-test refused the target.
    pub self_test_failures: Vec<DeviceEvent>,
    /// Devices that crashed again and again on the target.
    pub crash_loops: Vec<DeviceEvent>,
    /// First failures, by metric.
    pub health: Vec<MetricEvidence>,
}

impl Evidence {
    /// Checks the contract above, as far as it shows.
    ///
    /// # Errors
    /// [`Error::Evidence`], which names the class or metric.
    pub fn check(&self, now: UnixSeconds) -> Result<(), Error> {
        let mut seen = BTreeSet::new();
        check_counts("the whole fleet", self.paired.fleet)?;
        for (class, counts) in &self.paired.classes {
            check_counts(class.as_str(), *counts)?;
            if !seen.insert(class.as_str()) {
                return Err(EvidenceFault::Twice {
                    name: class.to_string(),
                }
                .into());
            }
        }
        let mut seen = BTreeSet::from([SILENCE]);
        for metric in &self.health {
            if !seen.insert(metric.metric.as_str()) {
                return Err(EvidenceFault::Twice {
                    name: metric.metric.clone(),
                }
                .into());
            }
            let disorder = metric
                .failures
                .windows(2)
                .position(|pair| pair[0].at > pair[1].at);
            if let Some(before) = disorder {
                let metric = metric.metric.clone();
                return Err(EvidenceFault::Order {
                    metric,
                    position: before + 1,
                }
                .into());
            }
            check_past(&metric.metric, &metric.failures, now)?;
        }
        check_past("a self-test failure", &self.self_test_failures, now)?;
        check_past("a crash loop", &self.crash_loops, now)
    }
}

fn check_counts(place: &str, counts: Counts) -> Result<(), Error> {
    let Counts {
        inputs,
        disagreements,
    } = counts;
    if disagreements > inputs {
        let place = place.into();
        return Err(EvidenceFault::Counts {
            inputs,
            disagreements,
            place,
        }
        .into());
    }
    Ok(())
}

fn check_past(what: &str, events: &[DeviceEvent], now: UnixSeconds) -> Result<(), Error> {
    match events.iter().find(|event| event.at > now) {
        Some(event) => Err(EvidenceFault::Future {
            what: what.into(),
            at: event.at,
            now,
        }
        .into()),
        None => Ok(()),
    }
}
