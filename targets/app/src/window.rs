//! Counting answers into windows.

use sanderling_wire::{Digest, ServingWindow, Sketch};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

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

/// A window that is being filled.
pub struct Window {
    started: Instant,
    classes: BTreeMap<u32, u32>,
    window: ServingWindow,
}

impl Window {
    /// A window of an image, from now on.
    #[must_use]
    pub fn new(image: Digest, now: Instant) -> Self {
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
            started: now,
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

    /// Whether it is old enough to be closed.
    #[must_use]
    pub fn is_due(&self, now: Instant, length: Duration) -> bool {
        now.duration_since(self.started) >= length
    }

    /// Closes it; none where nothing happened.
    #[must_use]
    pub fn close(mut self, now: Instant) -> Option<ServingWindow> {
        let seconds = now.duration_since(self.started).as_secs_f64().ceil();
        self.window.seconds = seconds as u32;
        let mut classes: Vec<(u32, u32)> = self.classes.into_iter().collect();
        classes.sort_by_key(|&(class, count)| (std::cmp::Reverse(count), class));
        classes.truncate(MAX_CLASSES);
        self.window.classes = classes;
        let window = self.window;
        (window.answers + window.errors + window.rejected_inputs > 0).then_some(window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts() {
        let start = Instant::now();
        let mut window = Window::new(Digest([1; 32]), start);
        for class in [3, 3, 5] {
            window.answered(Counted {
                micros: 900,
                confidence: 1.0,
                class: Some(class),
                ..Counted::default()
            });
        }
        window.answered(Counted {
            micros: 1100,
            confidence: 0.05,
            degraded: true,
            ..Counted::default()
        });
        window.rejected();
        let window = window.close(start + Duration::from_millis(1500)).unwrap();
        assert_eq!(
            (
                window.answers,
                window.rejected_inputs,
                window.degraded,
                window.seconds
            ),
            (4, 1, 1, 2)
        );
        assert_eq!(window.classes, [(3, 2), (5, 1)]);
        assert_eq!(window.confidence, [1, 0, 0, 0, 0, 0, 0, 0, 0, 3]);
        assert_eq!(window.latency_us.count(), 4);
    }

    #[test]
    fn nothing_is_no_window() {
        assert_eq!(
            Window::new(Digest([1; 32]), Instant::now()).close(Instant::now()),
            None
        );
    }
}
