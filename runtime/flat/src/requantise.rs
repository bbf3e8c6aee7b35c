//! From an integer sum to eight bits: docs/numerics.md section 2, the step in which every quantised operator ends.
//!
//! `clamp(rne(f32(acc) ⊗ m)) + zero`, in binary32. [`Requantise::apply`] computes it with floats; [`in_integers`] does
//! with 32-bit integers alone, as hardware without exact binary32 must (WGSL, cores without an FPU), and both are
//! held to the same vectors.

use crate::dtype::DType;

/// Scales that give no multiplier.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum ScaleError {
    /// Their quotient is not a positive, normal number.
    NotNormal {
        /// The quotient.
        multiplier: f32,
    },
    /// A mean of none, or of 2²³ elements and more, whose sum could wrap.
    Mean {
        /// Of how many elements.
        elements: usize,
    },
    /// A result that has not eight bits.
    NotEightBits {
        /// Its type.
        dtype: DType,
    },
}

/// A multiplier: a normal, positive, finite binary32 number, so that no product with an integer is subnormal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Multiplier(f32);

impl Multiplier {
    /// # Errors
    /// [`ScaleError::NotNormal`] for another number.
    pub fn new(multiplier: f32) -> Result<Self, ScaleError> {
        if multiplier.is_normal() && multiplier > 0.0 {
            return Ok(Self(multiplier));
        }
        Err(ScaleError::NotNormal { multiplier })
    }

    /// Of a product: `(sx ⊗ sw) ⊘ sy`.
    ///
    /// # Errors
    /// As [`Multiplier::new`].
    pub fn of_product(x: f32, w: f32, y: f32) -> Result<Self, ScaleError> {
        Self::new(x * w / y)
    }

    /// Of the mean of `n` elements: `sx ⊘ (sy ⊗ f32(n))`.
    ///
    /// # Errors
    /// As [`Multiplier::new`]; [`ScaleError::Mean`].
    pub fn of_mean(x: f32, y: f32, n: usize) -> Result<Self, ScaleError> {
        if !(1..1 << 23).contains(&n) {
            return Err(ScaleError::Mean { elements: n });
        }
        Self::new(x / (y * n as f32))
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> f32 {
        self.0
    }
}

/// Two integer factors and a multiplier that add tensors of different scales: numerics.md, QLinearAdd.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Addition {
    /// Factor of the first, at most 2²².
    pub a: i32,
    /// Factor of the second, at most 2²².
    pub b: i32,
    /// Of the sum of both.
    pub multiplier: Multiplier,
}

impl Addition {
    /// From the scales of both and of the result.
    ///
    /// # Errors
    /// As [`Multiplier::new`].
    pub fn new(a: f32, b: f32, y: f32) -> Result<Self, ScaleError> {
        const UNIT: f32 = 1.0 / 4_194_304.0; // 2⁻²²
        let (a, b) = (a / y, b / y);
        let multiplier = Multiplier::new(a.max(b) * UNIT)?;
        let factor = |ratio: f32| libm::rintf(ratio / multiplier.0) as i32;
        Ok(Self {
            a: factor(a),
            b: factor(b),
            multiplier,
        })
    }

    /// The sum of two centred values.
    #[must_use]
    pub const fn sum(&self, a: i32, b: i32) -> i32 {
        a.wrapping_mul(self.a).wrapping_add(b.wrapping_mul(self.b))
    }
}

/// What an accumulator becomes: the range of the output's type around its zero point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Requantise {
    zero: i32,
    least: i32,
    most: i32,
}

impl Requantise {
    /// To `dtype` with this zero point.
    ///
    /// # Errors
    /// [`ScaleError::NotEightBits`] for other dtypes than u8 and i8.
    pub const fn to(dtype: DType, zero: i32) -> Result<Self, ScaleError> {
        let (least, most) = match dtype {
            DType::U8 => (0, 255),
            DType::I8 => (-128, 127),
            dtype => return Err(ScaleError::NotEightBits { dtype }),
        };
        Ok(Self {
            zero,
            least: least - zero,
            most: most - zero,
        })
    }

    /// Least and greatest result, less the zero point.
    #[must_use]
    pub fn range(&self) -> (i32, i32) {
        (self.least, self.most)
    }

    /// The quantised value. Products are rounded to nearest, halves to even, and never contracted.
    #[must_use]
    pub fn apply(&self, acc: i32, multiplier: Multiplier) -> i32 {
        let value = libm::rintf(acc as f32 * multiplier.0);
        value.clamp(self.least as f32, self.most as f32) as i32 + self.zero
    }

    /// The same for FPUs that multiply and add, and round to integers only towards zero, as the Cortex-M4F's: bounds are
    /// integers, so that the clamp may come first, and adding 3·2²² to what is small rounds it to an integer, halves to even.
    #[must_use]
    pub fn apply_by_addition(&self, acc: i32, multiplier: Multiplier) -> i32 {
        const SHIFT: f32 = 12_582_912.0; // 3·2²², whose unit in the last place is 1
        let (least, most) = (self.least as f32, self.most as f32);
        let product = acc as f32 * multiplier.0;
        // Not `clamp`, whose panic would link the printing of floats; not `max`, which is a call where there is no instruction.
        let above = if product < least { least } else { product };
        let value = if above > most { most } else { above };
        (value + SHIFT).to_bits() as i32 - SHIFT.to_bits() as i32 + self.zero
    }

    /// The same by 32-bit integers.
    #[must_use]
    pub fn apply_in_integers(&self, acc: i32, multiplier: Multiplier) -> i32 {
        let magnitude = in_integers(acc.unsigned_abs(), multiplier.0.to_bits());
        let value = if acc < 0 { -magnitude } else { magnitude };
        value.clamp(self.least, self.most) + self.zero
    }
}

/// `rne(f32(magnitude) ⊗ m)`, at most 2²³, by 32-bit integers; `bits` are those of a [`Multiplier`].
#[must_use]
pub fn in_integers(magnitude: u32, bits: u32) -> i32 {
    if magnitude == 0 {
        return 0;
    }
    // f32(magnitude) = a · 2^(top - 23), with a of 24 bits.
    let mut top = 31 - magnitude.leading_zeros() as i32;
    let mut a = if top > 23 {
        shift_rne(magnitude, (top - 23) as u32)
    } else {
        magnitude << (23 - top)
    };
    if a == 1 << 24 {
        (a, top) = (1 << 23, top + 1);
    }
    // The product with m's significand, 48 bits in two words, from 16-bit halves.
    let b = (bits & 0x007f_ffff) | 0x0080_0000;
    let middle = (a & 0xffff) * (b >> 16) + (a >> 16) * (b & 0xffff);
    let (low, carry) = ((a & 0xffff) * (b & 0xffff)).overflowing_add(middle << 16);
    let high = (a >> 16) * (b >> 16) + (middle >> 16) + u32::from(carry);
    // Rounded to 24 bits: ⊗. What falls off beyond the first bit only matters as "some": a sticky bit.
    let wide = high >= 1 << 15;
    let kept = if wide { 8 } else { 9 };
    let sticky = u32::from(low << (kept + 1) != 0);
    let half = (low >> (31 - kept)) & 1;
    let leading = (high << kept) | (low >> (32 - kept));
    let mut product = shift_rne((leading << 2) | (half << 1) | sticky, 2);
    let mut exponent = top - 23 + (bits >> 23) as i32 - 127 + i32::from(wide);
    if product == 1 << 24 {
        (product, exponent) = (1 << 23, exponent + 1);
    }
    // product · 2^exponent, to an integer.
    match -exponent {
        ..=0 => 1 << 23,
        shift @ 1..=24 => shift_rne(product, shift as u32) as i32,
        _ => 0,
    }
}

/// `x ÷ 2^shift`, to nearest, halves to even. `shift` is from 1 to 31.
fn shift_rne(x: u32, shift: u32) -> u32 {
    let (quotient, rest, half) = (x >> shift, x & ((1 << shift) - 1), 1 << (shift - 1));
    quotient + u32::from(rest > half || (rest == half && quotient & 1 == 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_do_what_floats_do() {
        // A generator of its own: a few million cases, the same on every run.
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let outputs = [
            Requantise::to(DType::U8, 3).unwrap(),
            Requantise::to(DType::I8, -7).unwrap(),
        ];
        for case in 0..3_000_000u32 {
            let acc = (random() as i32) >> (random() % 31);
            // Near the range; every eighth anywhere.
            let exponent = if case % 8 == 0 {
                random() % 254 + 1
            } else {
                (127 + 8 + u64::from(acc.unsigned_abs().leading_zeros()) - 32).saturating_sub(random() % 12)
            };
            let mantissa =
                random() as u32 & 0x007f_ffff & !(0x007f_ffffu32.wrapping_shr(random() as u32 % 40));
            let Ok(m) = Multiplier::new(f32::from_bits(((exponent as u32) << 23) | mantissa)) else {
                continue;
            };
            let output = outputs[case as usize & 1];
            let expected = output.apply(acc, m);
            let found = [output.apply_in_integers(acc, m), output.apply_by_addition(acc, m)];
            assert_eq!(found, [expected; 2], "acc {acc}, multiplier {:e}", m.get());
        }
    }

    #[test]
    fn multipliers_are_normal() {
        for value in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e-39] {
            assert!(Multiplier::new(value).is_err(), "{value}");
        }
    }

    #[test]
    fn sums_never_wrap() {
        let addition = Addition::new(1.0, 1.0, 0.001).unwrap();
        assert_eq!((addition.a, addition.b), (1 << 22, 1 << 22));
        assert!(i64::from(addition.a) * 255 * 2 < 1 << 31);
    }
}
