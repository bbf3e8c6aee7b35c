//! The machine's clocks and its random numbers.

use crate::error::DriverError;
use sanderling_agent::{Entropy, Now};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Something that tells the time.
pub trait Clock: Send {
    /// Both clocks.
    fn now(&self) -> Now;
}

/// The machine's clocks.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose uptime begins now.
    #[must_use]
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        // A wall clock before 1970 is no wall clock.
        let unix_s = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        Now {
            unix_s,
            uptime_ms: millis(self.start.elapsed()),
        }
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The operating system's random numbers.
#[derive(Debug)]
pub struct OsEntropy(());

impl OsEntropy {
    /// Checks that there are some.
    ///
    /// # Errors
    /// [`DriverError::Entropy`].
    pub fn new() -> Result<Self, DriverError> {
        getrandom::fill(&mut [0; 8]).map_err(|error| DriverError::Entropy(error.to_string()))?;
        Ok(Self(()))
    }
}

impl Entropy for OsEntropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        getrandom::fill(bytes)
            .expect("a source that has given random numbers once gives them ever after (getrandom(2))");
    }
}
