//! Answers by input: a bounded least-recently-used map whose entries age.

use std::collections::BTreeMap;
use std::time::Duration;

/// SHA-256 of what was asked.
pub type Key = [u8; 32];

/// How much is kept, and how long it is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheConfig {
    /// Most answers; 0 keeps none. The one used longest ago goes first.
    pub entries: usize,
    /// Answers younger than this are given without asking.
    pub fresh_for: Duration,
    /// Answers younger than this are given where the endpoint is away, flagged as degraded.
    pub stale_for: Duration,
}

impl Default for CacheConfig {
    /// 256 answers, fresh for ten minutes, usable in need for a day.
    fn default() -> Self {
        Self {
            entries: 256,
            fresh_for: Duration::from_secs(600),
            stale_for: Duration::from_secs(86_400),
        }
    }
}

#[derive(Debug)]
struct Entry<T> {
    answer: T,
    stored: Duration,
    used: u64,
}

#[derive(Debug)]
pub(super) struct Cache<T> {
    config: CacheConfig,
    entries: BTreeMap<Key, Entry<T>>,
    /// By last use; uses are counted, so they are distinct.
    order: BTreeMap<u64, Key>,
    uses: u64,
}

impl<T: Clone> Cache<T> {
    pub(super) fn new(config: CacheConfig) -> Self {
        Self {
            config,
            entries: BTreeMap::new(),
            order: BTreeMap::new(),
            uses: 0,
        }
    }

    pub(super) fn fresh(&mut self, key: &Key, now: Duration) -> Option<T> {
        self.younger_than(key, now, self.config.fresh_for)
    }

    pub(super) fn stale(&mut self, key: &Key, now: Duration) -> Option<T> {
        self.younger_than(key, now, self.config.stale_for)
    }

    fn younger_than(&mut self, key: &Key, now: Duration, age: Duration) -> Option<T> {
        let entry = self.entries.get_mut(key)?;
        if now.saturating_sub(entry.stored) >= age {
            return None;
        }
        self.uses += 1;
        self.order.remove(&entry.used);
        self.order.insert(self.uses, *key);
        entry.used = self.uses;
        Some(entry.answer.clone())
    }

    pub(super) fn store(&mut self, key: Key, now: Duration, answer: T) {
        if self.config.entries == 0 {
            return;
        }
        self.uses += 1;
        let entry = Entry {
            answer,
            stored: now,
            used: self.uses,
        };
        if let Some(old) = self.entries.insert(key, entry) {
            self.order.remove(&old.used);
        }
        self.order.insert(self.uses, key);
        if self.entries.len() > self.config.entries
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.entries.remove(&oldest);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        debug_assert_eq!(self.entries.len(), self.order.len());
        self.entries.len()
    }
}
