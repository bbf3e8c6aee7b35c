//! Floats of eight and four bits.
//!
//! E4M3 and E5M2 as in "FP8 Formats for Deep Learning" (Micikevicius et al., 2022), their UZ variants (no
//! negative zero, one NaN) as in "8-bit Numerical Formats for Deep Neural Networks" (Noune et al., 2022), E2M1
//! and E8M0 as in the OCP Microscaling Formats 1.0. Conversion rounds to nearest even, once, from binary64.

/// What values too large for the format become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// The largest finite value.
    Saturate,
    /// Infinity, or NaN where there is none.
    Escape,
}

/// How a value between two powers of two rounds to one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerRounding {
    /// Away from zero.
    Up,
    /// Towards zero.
    Down,
    /// To the nearer; ties up.
    Nearest,
}

/// Which codes are special.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Special {
    /// All exponent bits set: infinities and NaN.
    Ieee,
    /// All bits set: NaN. No infinities.
    AllOnes,
    /// Only the code of negative zero: NaN. No infinities.
    NegativeZero,
    /// None: every code is a number.
    None,
}

/// A small float format.
#[derive(Debug, Clone, Copy)]
pub struct Minifloat {
    exponent_bits: u32,
    mantissa_bits: u32,
    bias: i32,
    special: Special,
}

/// 1-4-3, no infinities.
pub const E4M3FN: Minifloat = Minifloat::new(4, 3, 7, Special::AllOnes);
/// 1-4-3, no infinities, no negative zero.
pub const E4M3FNUZ: Minifloat = Minifloat::new(4, 3, 8, Special::NegativeZero);
/// 1-5-2.
pub const E5M2: Minifloat = Minifloat::new(5, 2, 15, Special::Ieee);
/// 1-5-2, no infinities, no negative zero.
pub const E5M2FNUZ: Minifloat = Minifloat::new(5, 2, 16, Special::NegativeZero);
/// 1-2-1, numbers only.
pub const E2M1: Minifloat = Minifloat::new(2, 1, 1, Special::None);

/// 2^exponent, for exponents of normal binary64 numbers.
fn power_of_two(exponent: i32) -> f64 {
    libm::scalbn(1.0, exponent)
}

impl Minifloat {
    const fn new(exponent_bits: u32, mantissa_bits: u32, bias: i32, special: Special) -> Self {
        Self {
            exponent_bits,
            mantissa_bits,
            bias,
            special,
        }
    }

    fn sign_shift(&self) -> u32 {
        self.exponent_bits + self.mantissa_bits
    }

    /// The code, without sign, of the largest finite value.
    fn largest(&self) -> u8 {
        let all = ((1u16 << self.sign_shift()) - 1) as u8;
        match self.special {
            Special::Ieee => all - (1 << self.mantissa_bits),
            Special::AllOnes => all - 1,
            Special::NegativeZero | Special::None => all,
        }
    }

    fn nan(&self) -> u8 {
        match self.special {
            // E2M1 has no NaN; the suite of ONNX has negative zero stand for it.
            Special::NegativeZero | Special::None => 1 << self.sign_shift(),
            Special::Ieee | Special::AllOnes => ((1u16 << self.sign_shift()) - 1) as u8,
        }
    }

    fn magnitude(&self, code: u8) -> f64 {
        let mantissa = f64::from(code & ((1 << self.mantissa_bits) - 1));
        let exponent = i32::from(code >> self.mantissa_bits);
        let unit = power_of_two(exponent.max(1) - self.bias - self.mantissa_bits as i32);
        let hidden = if exponent == 0 {
            0.0
        } else {
            f64::from(1u32 << self.mantissa_bits)
        };
        (mantissa + hidden) * unit
    }

    /// The value of a code.
    #[must_use]
    pub fn decode(&self, code: u8) -> f64 {
        let negative = code >> self.sign_shift() & 1 == 1;
        let unsigned = code & (((1u16 << self.sign_shift()) - 1) as u8);
        if self.special == Special::NegativeZero && negative && unsigned == 0 {
            return f64::NAN;
        }
        let value = if unsigned <= self.largest() {
            self.magnitude(unsigned)
        } else if self.special == Special::Ieee && unsigned == self.largest() + 1 {
            f64::INFINITY
        } else {
            f64::NAN
        };
        if negative { -value } else { value }
    }

    /// The code of a value, rounded to nearest even.
    #[must_use]
    pub fn encode(&self, x: f64, overflow: Overflow) -> u8 {
        let negative = x.is_sign_negative();
        if x.is_nan() {
            let has_sign = matches!(self.special, Special::Ieee | Special::AllOnes);
            let sign = u8::from(negative && has_sign);
            return self.nan() | sign << self.sign_shift();
        }
        let unsigned = self.encode_magnitude(libm::fabs(x));
        let signed = |code: u8| {
            if code == 0 && self.special == Special::NegativeZero {
                0
            } else {
                code | u8::from(negative) << self.sign_shift()
            }
        };
        match (unsigned, overflow, self.special) {
            (Some(code), ..) => signed(code),
            (None, Overflow::Saturate, _) | (None, _, Special::None) => signed(self.largest()),
            (None, Overflow::Escape, Special::Ieee) => signed(self.largest() + 1),
            (None, Overflow::Escape, Special::NegativeZero) => self.nan(),
            (None, Overflow::Escape, Special::AllOnes) => signed(self.nan()),
        }
    }

    /// None above the largest finite value, after rounding.
    fn encode_magnitude(&self, x: f64) -> Option<u8> {
        if x.is_infinite() {
            return None;
        }
        if x == 0.0 {
            return Some(0);
        }
        let exponent = libm::ilogb(x);
        let least = 1 - self.bias;
        let unit = exponent.max(least) - self.mantissa_bits as i32;
        // Scaling by a power of two is exact: every code's unit is far inside binary64's range.
        let steps = libm::rint(libm::scalbn(x, -unit)) as u64;
        let hidden = 1u64 << self.mantissa_bits;
        let biased = if exponent < least {
            0
        } else {
            (exponent + self.bias - 1) as u64
        };
        // A carry out of the mantissa goes on into the exponent.
        let code = biased * hidden + steps;
        u8::try_from(code).ok().filter(|&code| code <= self.largest())
    }
}

/// The value of an exponent-only code.
#[must_use]
pub fn decode_e8m0(code: u8) -> f64 {
    if code == 255 {
        f64::NAN
    } else {
        power_of_two(i32::from(code) - 127)
    }
}

/// The exponent-only code of a value; its sign is dropped, zero becomes the least power.
#[must_use]
pub fn encode_e8m0(x: f64, rounding: PowerRounding, overflow: Overflow) -> u8 {
    let x = libm::fabs(x);
    if x.is_nan() {
        return 255;
    }
    if x == 0.0 {
        return 0;
    }
    let floor = if x.is_infinite() {
        i32::MAX / 2
    } else {
        libm::ilogb(x)
    };
    let fraction = if x.is_infinite() {
        1.0
    } else {
        libm::scalbn(x, -floor)
    };
    let up = match rounding {
        PowerRounding::Up => fraction > 1.0,
        PowerRounding::Down => false,
        PowerRounding::Nearest => fraction >= 1.5,
    };
    match floor + i32::from(up) + 127 {
        ..=0 => 0,
        code @ 1..=254 => code as u8,
        _ if overflow == Overflow::Saturate => 254,
        _ => 255,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_those_of_the_papers() {
        assert_eq!(E4M3FN.decode(0x7e), 448.0);
        assert_eq!(E4M3FNUZ.decode(0x7f), 240.0);
        assert_eq!(E5M2.decode(0x7b), 57344.0);
        assert_eq!(E5M2FNUZ.decode(0x7f), 57344.0);
        assert_eq!(E2M1.decode(7), 6.0);
        assert_eq!(E4M3FN.decode(1), 1.0 / 512.0);
        assert!(E4M3FN.decode(0x7f).is_nan() && E4M3FNUZ.decode(0x80).is_nan());
        assert_eq!(E5M2.decode(0xfc), f64::NEG_INFINITY);
    }

    #[test]
    fn rounding_and_overflow() {
        assert_eq!(E2M1.encode(2.5, Overflow::Saturate), 4);
        assert_eq!(E2M1.encode(-100.0, Overflow::Escape), 15);
        assert_eq!(E4M3FN.encode(1e9, Overflow::Saturate), 0x7e);
        assert_eq!(E4M3FN.encode(1e9, Overflow::Escape), 0x7f);
        assert_eq!(E5M2.encode(-1e9, Overflow::Escape), 0xfc);
        assert_eq!(E4M3FNUZ.encode(-1e-9, Overflow::Saturate), 0);
        assert_eq!(E4M3FNUZ.encode(f64::INFINITY, Overflow::Escape), 0x80);
    }

    #[test]
    fn powers_of_two() {
        assert_eq!(decode_e8m0(127), 1.0);
        assert_eq!(encode_e8m0(1.2, PowerRounding::Up, Overflow::Saturate), 128);
        assert_eq!(encode_e8m0(1.2, PowerRounding::Down, Overflow::Saturate), 127);
        assert_eq!(encode_e8m0(1.5, PowerRounding::Nearest, Overflow::Saturate), 128);
        assert_eq!(encode_e8m0(f64::MAX, PowerRounding::Up, Overflow::Escape), 255);
    }
}
