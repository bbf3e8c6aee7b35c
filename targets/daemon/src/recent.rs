//! The inputs answered last, each once, kept in memory on the device for the next trial.

use sanderling_app::pairs::InputHash;
use std::collections::{HashSet, VecDeque};

/// A bounded memory of distinct inputs; the oldest makes room.
pub(crate) struct Recent<T> {
    samples: VecDeque<(InputHash, T)>,
    known: HashSet<InputHash>,
    capacity: usize,
}

impl<T> Recent<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            samples: VecDeque::with_capacity(capacity),
            known: HashSet::with_capacity(capacity),
            capacity,
        }
    }

    /// Remembers an input, unless it is remembered already.
    pub(crate) fn add(&mut self, hash: InputHash, sample: T) {
        if self.capacity == 0 || !self.known.insert(hash) {
            return;
        }
        if self.samples.len() == self.capacity
            && let Some((oldest, _)) = self.samples.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.samples.push_back((hash, sample));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(InputHash, T)> {
        self.samples.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_newest_distinct_ones() {
        let mut recent = Recent::new(2);
        for n in [1, 1, 2, 3, 3] {
            recent.add([n; 32], n);
        }
        assert_eq!(recent.iter().map(|(_, n)| *n).collect::<Vec<_>>(), [2, 3]);
        recent.add([1; 32], 1);
        assert_eq!(recent.iter().map(|(_, n)| *n).collect::<Vec<_>>(), [3, 1]);
    }
}
