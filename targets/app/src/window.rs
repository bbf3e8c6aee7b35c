//! Counting answers into windows.

pub use sanderling_agent::Counted;
use sanderling_agent::Counts;
use sanderling_wire::{Digest, ServingWindow};
use std::time::{Duration, Instant};

/// A window that is being filled.
pub struct Window {
    started: Instant,
    counts: Counts,
}

impl Window {
    /// A window of an image, from now on.
    #[must_use]
    pub fn new(image: Digest, now: Instant) -> Self {
        Self {
            started: now,
            counts: Counts::new(image),
        }
    }

    /// Counts an answer.
    pub fn answered(&mut self, answer: Counted) {
        self.counts.answered(answer);
    }

    /// Counts an input that cannot be answered.
    pub fn rejected(&mut self) {
        self.counts.rejected();
    }

    /// Counts a run that failed.
    pub fn failed(&mut self) {
        self.counts.failed();
    }

    /// Whether it is old enough to be closed.
    #[must_use]
    pub fn is_due(&self, now: Instant, length: Duration) -> bool {
        now.duration_since(self.started) >= length
    }

    /// Closes it; none where nothing happened.
    #[must_use]
    pub fn close(self, now: Instant) -> Option<ServingWindow> {
        let seconds = now.duration_since(self.started).as_secs_f64().ceil();
        self.counts.close(seconds as u32)
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
