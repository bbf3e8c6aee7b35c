//! A quantile sketch with relative error: DDSketch (Masson, Rim, Lee, VLDB 2019), with 2 % accuracy.
//!
//! Values fall into bins whose edges grow by the factor γ = (1+α)/(1−α); a quantile is then known to within a
//! factor of 1 ± α, at the tail as in the middle. Sketches of many devices merge by adding counts.

use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Relative accuracy α.
pub const ACCURACY: f64 = 0.02;
/// Most bins kept; beyond, the lowest two are merged, so that the upper quantiles stay exact to α.
pub const MAX_BINS: usize = 512;

/// Counts by bin, sorted by bin.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sketch {
    /// (bin, count): bin b holds values in (γ^(b−1), γ^b].
    bins: Vec<(i32, u32)>,
    /// Values that were zero or less.
    zeros: u32,
}

fn gamma() -> f64 {
    (1.0 + ACCURACY) / (1.0 - ACCURACY)
}

impl Sketch {
    /// An empty sketch.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bins: Vec::new(),
            zeros: 0,
        }
    }

    /// Counts one value. Zero, negative values and NaN are counted as zero.
    pub fn add(&mut self, value: f64) {
        if value > 0.0 && value.is_finite() {
            // An f64's logarithm over ln γ is within ±18 000: the cast is exact.
            self.add_bin(libm::ceil(libm::log(value) / libm::log(gamma())) as i32, 1);
        } else {
            self.zeros = self.zeros.saturating_add(1);
        }
    }

    fn add_bin(&mut self, bin: i32, count: u32) {
        match self.bins.binary_search_by_key(&bin, |&(b, _)| b) {
            Ok(at) => self.bins[at].1 = self.bins[at].1.saturating_add(count),
            Err(at) => self.bins.insert(at, (bin, count)),
        }
        if self.bins.len() > MAX_BINS {
            let (_, lowest) = self.bins.remove(0);
            self.bins[0].1 = self.bins[0].1.saturating_add(lowest);
        }
    }

    /// Adds another sketch's counts.
    pub fn merge(&mut self, other: &Self) {
        other
            .bins
            .iter()
            .for_each(|&(bin, count)| self.add_bin(bin, count));
        self.zeros = self.zeros.saturating_add(other.zeros);
    }

    /// Values counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        u64::from(self.zeros) + self.bins.iter().map(|&(_, count)| u64::from(count)).sum::<u64>()
    }

    /// The `q`-quantile (0 ≤ q ≤ 1) to within 2 %; none of an empty sketch.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = libm::floor(q.clamp(0.0, 1.0) * (count - 1) as f64) as u64;
        let mut seen = u64::from(self.zeros);
        if rank < seen {
            return Some(0.0);
        }
        for &(bin, count) in &self.bins {
            seen += u64::from(count);
            if rank < seen {
                return Some(2.0 * libm::pow(gamma(), f64::from(bin)) / (gamma() + 1.0));
            }
        }
        None
    }
}
