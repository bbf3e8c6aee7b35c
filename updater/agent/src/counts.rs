//! Counting answers, and telling inputs apart: what a host hands in of its serving. Time is the caller's.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use sanderling_wire::{Digest, RolloutId, ServingWindow, Sketch};

/// Most classes named in a window.
const MAX_CLASSES: usize = 16;
/// Most classes counted; what comes beyond is counted nowhere but in the total.
const MAX_COUNTED: usize = 4096;

/// One answer, as it is counted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counted {
    /// Microseconds that it took.
    pub micros: u64,
    /// Score of the best label.
    pub confidence: f32,
    /// Index of the best label; none for an answer by rule.
    pub class: Option<u32>,
    /// Whether the input was flagged.
    pub flagged: bool,
    /// Whether the cloud answered.
    pub cascaded: bool,
    /// Whether the cloud should have answered.
    pub degraded: bool,
}

/// A [`ServingWindow`] that is being filled.
#[derive(Debug, Clone)]
pub struct Counts {
    classes: BTreeMap<u32, u32>,
    window: ServingWindow,
}

impl Counts {
    /// None yet, of an image.
    #[must_use]
    pub fn new(image: Digest) -> Self {
        let window = ServingWindow {
            image,
            seconds: 0,
            answers: 0,
            errors: 0,
            rejected_inputs: 0,
            flagged_inputs: 0,
            cascaded: 0,
            degraded: 0,
            latency_us: Sketch::new(),
            confidence: [0; 10],
            classes: Vec::new(),
        };
        Self {
            classes: BTreeMap::new(),
            window,
        }
    }

    /// Counts an answer.
    pub fn answered(&mut self, answer: Counted) {
        let window = &mut self.window;
        window.answers += 1;
        window.latency_us.add(answer.micros as f64);
        window.flagged_inputs += u64::from(answer.flagged);
        window.cascaded += u64::from(answer.cascaded);
        window.degraded += u64::from(answer.degraded);
        // Confidence lies in [0, 1]; the cast of a NaN is 0.
        window.confidence[((answer.confidence * 10.0) as usize).min(9)] += 1;
        if let Some(class) = answer.class
            && (self.classes.len() < MAX_COUNTED || self.classes.contains_key(&class))
        {
            *self.classes.entry(class).or_insert(0) += 1;
        }
    }

    /// Counts an input that cannot be answered.
    pub fn rejected(&mut self) {
        self.window.rejected_inputs += 1;
    }

    /// Counts a run that failed.
    pub fn failed(&mut self) {
        self.window.errors += 1;
    }

    /// The window of so many seconds; none where nothing happened.
    #[must_use]
    pub fn close(mut self, seconds: u32) -> Option<ServingWindow> {
        self.window.seconds = seconds;
        let mut classes: Vec<(u32, u32)> = self.classes.into_iter().collect();
        classes.sort_by_key(|&(class, count)| (core::cmp::Reverse(count), class));
        classes.truncate(MAX_CLASSES);
        self.window.classes = classes;
        let window = self.window;
        (window.answers + window.errors + window.rejected_inputs > 0).then_some(window)
    }
}

/// The name of an input within a rollout, by the hash of its bytes: tells inputs apart, and says nothing of them to who
/// lacks them.
#[must_use]
pub fn unit(rollout: RolloutId, input: &[u8; 32]) -> u64 {
    let salted = [b"sanderling-pair-v1", &rollout.0.to_le_bytes()[..], input].concat();
    let Digest(hash) = Digest::of(&salted);
    let [a, b, c, d, e, f, g, h, ..] = hash;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_differ_by_rollout() {
        assert_ne!(unit(RolloutId(1), &[0; 32]), unit(RolloutId(2), &[0; 32]));
    }

    /// Devices of every version name an input alike.
    #[test]
    fn a_unit_is_what_it_was() {
        assert_eq!(unit(RolloutId(7), &[3; 32]), 0xa76a3de6256398b4);
    }

    #[test]
    fn nothing_is_no_window() {
        assert_eq!(Counts::new(Digest([1; 32])).close(1), None);
    }
}
