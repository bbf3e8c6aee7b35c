//! Canary by stages: a few devices first, more as the gates pass, the control arm last.
//!
//! A stage is a number of devices on the target. Once the gates pass, the next stage begins in the same plan. The last
//! devices of the order are the control arm: they keep the base until the stages are through, and are upgraded then.

use super::Strategy;
use crate::draft::Draft;

/// The strategy `canary`.
pub(crate) struct Canary;

impl Strategy for Canary {
    fn name(&self) -> &'static str {
        "canary"
    }

    fn about(&self) -> &'static str {
        "by stages, each a random sample of the fleet; the control arm last"
    }

    fn decide(&self, draft: &mut Draft<'_>) {
        let stages = &draft.policy().stages;
        let population = draft.population();
        // Never the whole fleet, so that a canary always has something to be compared with, if there are two devices.
        let control = draft.policy().control.of(population).min(population - 1);
        let upgrades_control = control > 0 && stages.last().is_some_and(|last| last.is_everything());
        let last = stages.len() - usize::from(!upgrades_control);
        loop {
            let stage = usize::from(draft.stage());
            let total = stages
                .get(stage)
                .map_or(population, |s| s.size(population).min(population - control));
            draft.assign_up_to(total);
            let open = draft.open_questions();
            if !open.is_empty() {
                return draft.hold(open);
            }
            if stage >= last {
                return draft.complete();
            }
            draft.advance();
        }
    }
}
