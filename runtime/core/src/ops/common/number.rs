//! Arithmetic of elements, as ONNX means it.
//!
//! Integers wrap (two's complement) and never trap: a division by zero gives zero. Floats follow IEEE 754, never
//! contracted, and take transcendental functions from libm, so that any host gives the same bytes.

use crate::tensor::Element;
use core::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub};

/// An element that can be computed with.
pub trait Number: Element + PartialOrd + Send + Sync {
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// The least value; −∞ for floats.
    const LEAST: Self;
    /// The greatest value; +∞ for floats.
    const GREATEST: Self;
    /// Sum.
    #[must_use]
    fn plus(self, other: Self) -> Self;
    /// Difference.
    #[must_use]
    fn minus(self, other: Self) -> Self;
    /// Product.
    #[must_use]
    fn times(self, other: Self) -> Self;
    /// Quotient; integers truncate towards zero.
    #[must_use]
    fn over(self, other: Self) -> Self;
    /// Remainder of the truncating division (C's `fmod`): the dividend's sign.
    #[must_use]
    fn fmod(self, other: Self) -> Self;
    /// Remainder of the flooring division (Python's `%`): the divisor's sign.
    #[must_use]
    fn modulo(self, other: Self) -> Self;
    /// Absolute value; the least integer stays itself.
    #[must_use]
    fn magnitude(self) -> Self;
    /// Power.
    #[must_use]
    fn power(self, exponent: Self) -> Self;
    /// The nearest value of this type: rounded for floats; truncated and saturated for integers.
    fn from_f64(x: f64) -> Self;
    /// As binary64; exact but for 64-bit integers above 2⁵³.
    fn to_f64(self) -> f64;

    /// The smaller; NaN where either is.
    #[must_use]
    fn least(self, other: Self) -> Self {
        if self <= other || is_nan(self) {
            self
        } else {
            other
        }
    }

    /// The greater; NaN where either is.
    #[must_use]
    fn greatest(self, other: Self) -> Self {
        if self >= other || is_nan(self) {
            self
        } else {
            other
        }
    }

    /// Square root, by binary64 for integers.
    #[must_use]
    fn root(self) -> Self {
        Self::from_f64(libm::sqrt(self.to_f64()))
    }

    /// Natural logarithm, by binary64 for integers.
    #[must_use]
    fn log(self) -> Self {
        Self::from_f64(libm::log(self.to_f64()))
    }

    /// e to this power, by binary64 for integers.
    #[must_use]
    fn exponential(self) -> Self {
        Self::from_f64(libm::exp(self.to_f64()))
    }
}

/// Whether `x` is NaN; never for integers.
#[must_use]
pub fn is_nan<T: Number>(x: T) -> bool {
    x.partial_cmp(&x).is_none()
}

/// A binary32 or binary64 number.
pub trait Float:
    Number
    + Neg<Output = Self>
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + AddAssign
    + MulAssign
    + DivAssign
{
    /// From binary32, exactly.
    fn of(x: f32) -> Self;
    /// From binary64, rounded.
    fn lit(x: f64) -> Self;
    /// eˣ.
    #[must_use]
    fn exp(self) -> Self;
    /// eˣ − 1.
    #[must_use]
    fn exp_m1(self) -> Self;
    /// ln x.
    #[must_use]
    fn ln(self) -> Self;
    /// ln (1 + x).
    #[must_use]
    fn ln_1p(self) -> Self;
    /// √x, correctly rounded.
    #[must_use]
    fn sqrt(self) -> Self;
    /// tanh x.
    #[must_use]
    fn tanh(self) -> Self;
    /// The error function.
    #[must_use]
    fn erf(self) -> Self;
    /// |x|.
    #[must_use]
    fn abs(self) -> Self;
    /// ⌊x⌋.
    #[must_use]
    fn floor(self) -> Self;
    /// ⌈x⌉.
    #[must_use]
    fn ceil(self) -> Self;
    /// The nearest integer, ties to even.
    #[must_use]
    fn round_even(self) -> Self;
}

/// An integer of eight to 64 bits.
pub trait Int: Number + Ord {
    /// Whether it has a sign.
    const SIGNED: bool;
    /// −x, wrapping.
    #[must_use]
    fn negated(self) -> Self;
    /// As i64; u64 wraps.
    fn to_i64(self) -> i64;
}

macro_rules! floats {
    ($($t:ident: $exp:ident $expm1:ident $log:ident $log1p:ident $sqrt:ident $tanh:ident $erf:ident $fabs:ident
        $floor:ident $ceil:ident $rint:ident $fmod:ident $pow:ident;)*) => {$(
        impl Number for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const LEAST: Self = $t::NEG_INFINITY;
            const GREATEST: Self = $t::INFINITY;
            fn plus(self, other: Self) -> Self { self + other }
            fn minus(self, other: Self) -> Self { self - other }
            fn times(self, other: Self) -> Self { self * other }
            fn over(self, other: Self) -> Self { self / other }
            fn fmod(self, other: Self) -> Self { libm::$fmod(self, other) }
            fn modulo(self, other: Self) -> Self {
                let rest = libm::$fmod(self, other);
                if rest != 0.0 && (rest < 0.0) != (other < 0.0) { rest + other } else { rest }
            }
            fn magnitude(self) -> Self { libm::$fabs(self) }
            fn power(self, exponent: Self) -> Self { libm::$pow(self, exponent) }
            fn from_f64(x: f64) -> Self { x as $t }
            fn to_f64(self) -> f64 { f64::from(self) }
            fn root(self) -> Self { libm::$sqrt(self) }
            fn log(self) -> Self { libm::$log(self) }
            fn exponential(self) -> Self { libm::$exp(self) }
        }

        impl Float for $t {
            fn of(x: f32) -> Self { Self::from(x) }
            fn lit(x: f64) -> Self { x as $t }
            fn exp(self) -> Self { libm::$exp(self) }
            fn exp_m1(self) -> Self { libm::$expm1(self) }
            fn ln(self) -> Self { libm::$log(self) }
            fn ln_1p(self) -> Self { libm::$log1p(self) }
            fn sqrt(self) -> Self { libm::$sqrt(self) }
            fn tanh(self) -> Self { libm::$tanh(self) }
            fn erf(self) -> Self { libm::$erf(self) }
            fn abs(self) -> Self { libm::$fabs(self) }
            fn floor(self) -> Self { libm::$floor(self) }
            fn ceil(self) -> Self { libm::$ceil(self) }
            fn round_even(self) -> Self { libm::$rint(self) }
        }
    )*};
}

floats! {
    f32: expf expm1f logf log1pf sqrtf tanhf erff fabsf floorf ceilf rintf fmodf powf;
    f64: exp expm1 log log1p sqrt tanh erf fabs floor ceil rint fmod pow;
}

macro_rules! ints {
    ($($t:ident $signed:literal;)*) => {$(
        impl Number for $t {
            const ZERO: Self = 0;
            const ONE: Self = 1;
            const LEAST: Self = $t::MIN;
            const GREATEST: Self = $t::MAX;
            fn plus(self, other: Self) -> Self { self.wrapping_add(other) }
            fn minus(self, other: Self) -> Self { self.wrapping_sub(other) }
            fn times(self, other: Self) -> Self { self.wrapping_mul(other) }
            fn over(self, other: Self) -> Self {
                if other == 0 { 0 } else { self.wrapping_div(other) }
            }
            fn fmod(self, other: Self) -> Self {
                if other == 0 { 0 } else { self.wrapping_rem(other) }
            }
            #[allow(unused_comparisons)]
            fn modulo(self, other: Self) -> Self {
                let rest = self.fmod(other);
                if rest != 0 && (rest < 0) != (other < 0) { rest.wrapping_add(other) } else { rest }
            }
            #[allow(unused_comparisons)]
            fn magnitude(self) -> Self {
                if self < 0 { Self::ZERO.wrapping_sub(self) } else { self }
            }
            #[allow(unused_comparisons)]
            fn power(self, exponent: Self) -> Self {
                if exponent < 0 {
                    return Self::from_f64(libm::pow(self as f64, exponent as f64));
                }
                let (mut base, mut left, mut product) = (self, exponent, 1 as $t);
                while left != 0 {
                    if left & 1 == 1 {
                        product = product.wrapping_mul(base);
                    }
                    base = base.wrapping_mul(base);
                    left >>= 1;
                }
                product
            }
            fn from_f64(x: f64) -> Self { x as $t }
            fn to_f64(self) -> f64 { self as f64 }
        }

        impl Int for $t {
            const SIGNED: bool = $signed;
            fn negated(self) -> Self { self.wrapping_neg() }
            fn to_i64(self) -> i64 { self as i64 }
        }
    )*};
}

ints! { i8 true; i16 true; i32 true; i64 true; u8 false; u16 false; u32 false; u64 false; }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_wrap_and_never_trap() {
        assert_eq!(i8::MIN.over(-1), i8::MIN);
        assert_eq!(7i32.over(0), 0);
        assert_eq!((-7i32).over(2), -3);
        assert_eq!((-7i32).modulo(3), 2);
        assert_eq!(7i32.modulo(-3), -2);
        assert_eq!((-7i32).fmod(3), -1);
        assert_eq!(7u8.modulo(0), 0);
        assert_eq!(i64::MIN.magnitude(), i64::MIN);
        assert_eq!(3i64.power(5), 243);
        assert_eq!(2i32.power(-1), 0);
        assert_eq!(2u8.power(9), 0);
    }

    #[test]
    fn floats_pass_nan_on() {
        assert!(f32::NAN.least(1.0).is_nan() && 1f32.least(f32::NAN).is_nan());
        assert!(f32::NAN.greatest(1.0).is_nan() && 1f32.greatest(f32::NAN).is_nan());
        assert_eq!((-4.3f64).modulo(2.0), libm::fmod(-4.3, 2.0) + 2.0);
        assert_eq!(0.5f32.round_even(), 0.0);
        assert_eq!(2.5f64.round_even(), 2.0);
        assert_eq!(f32::lit(0.1), 0.1f32);
    }
}
