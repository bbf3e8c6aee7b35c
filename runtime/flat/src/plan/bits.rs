//! The only memory that checking a plan takes: a bit a value, lent by the caller.

use super::Damaged;

/// A set of small numbers, in memory that is lent.
pub(super) struct Bits<'s>(&'s mut [u8]);

impl<'s> Bits<'s> {
    /// The empty set of numbers below `count`.
    pub(super) fn new(scratch: &'s mut [u8], count: usize) -> Result<Self, Damaged> {
        let bytes = scratch.get_mut(..count.div_ceil(8)).ok_or(Damaged {
            what: "number of values (the scratch is too short for it)",
            offset: 8,
        })?;
        bytes.fill(0);
        Ok(Self(bytes))
    }

    pub(super) fn has(&self, n: usize) -> bool {
        self.0.get(n / 8).is_some_and(|byte| byte >> (n % 8) & 1 == 1)
    }

    /// Adds a number below the count.
    pub(super) fn set(&mut self, n: usize) {
        if let Some(byte) = self.0.get_mut(n / 8) {
            *byte |= 1 << (n % 8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_was_added_and_nothing_else() {
        let mut scratch = [0xff; 3];
        assert!(Bits::new(&mut scratch, 25).is_err());
        let mut bits = Bits::new(&mut scratch, 20).unwrap();
        for n in [0, 7, 8, 19] {
            assert!(!bits.has(n));
            bits.set(n);
        }
        let held: [usize; 4] = core::array::from_fn(|i| (0..100).filter(|&n| bits.has(n)).nth(i).unwrap());
        assert_eq!(held, [0, 7, 8, 19]);
        bits.set(1000);
        assert!(!bits.has(1000));
    }
}
