//! Element types, with the codes that ONNX gives them.
//!
//! A [`DType`] says how one element is stored. Most take whole bytes, little-endian. The sub-byte types are
//! packed, the first element in the low bits of the first byte, each tensor padded with zero bits to a whole
//! byte, as `onnx.proto` says. Strings have no fixed width: they are held as lists, never as raw bytes.
//!
//! The codes are those of `TensorProto.DataType` in `onnx.proto` (IR version 13), so that a code in a bundle,
//! in a plan and in an ONNX file mean the same.

use core::fmt;

macro_rules! dtypes {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $bits:expr, $name:literal;)*) => {
        /// The type of a tensor's elements. The discriminant is the `TensorProto.DataType` code of ONNX.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum DType {
            $($(#[$doc])* $variant = $code,)*
        }

        impl DType {
            /// Every element type, in the order of the codes.
            pub const ALL: &'static [DType] = &[$(DType::$variant),*];

            /// The type that has this `TensorProto.DataType` code, if it is a known one.
            #[must_use]
            pub const fn from_code(code: i32) -> Option<DType> {
                match code {
                    $($code => Some(DType::$variant),)*
                    _ => None,
                }
            }

            /// Bits that one element takes in a packed tensor; 0 for [`DType::String`].
            #[must_use]
            pub const fn bits(self) -> usize {
                match self {
                    $(DType::$variant => $bits,)*
                }
            }

            /// The lower-case name, as NumPy and ONNX's documentation spell it (`"float32"`, `"int8"`).
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(DType::$variant => $name,)*
                }
            }
        }
    };
}

dtypes! {
    /// IEEE 754 binary32.
    F32 = 1, 32, "float32";
    /// Unsigned, 8 bits.
    U8 = 2, 8, "uint8";
    /// Signed, 8 bits.
    I8 = 3, 8, "int8";
    /// Unsigned, 16 bits.
    U16 = 4, 16, "uint16";
    /// Signed, 16 bits.
    I16 = 5, 16, "int16";
    /// Signed, 32 bits.
    I32 = 6, 32, "int32";
    /// Signed, 64 bits.
    I64 = 7, 64, "int64";
    /// UTF-8 strings, of no fixed width.
    String = 8, 0, "string";
    /// One byte, 0 or 1.
    Bool = 9, 8, "bool";
    /// IEEE 754 binary16.
    F16 = 10, 16, "float16";
    /// IEEE 754 binary64.
    F64 = 11, 64, "float64";
    /// Unsigned, 32 bits.
    U32 = 12, 32, "uint32";
    /// Unsigned, 64 bits.
    U64 = 13, 64, "uint64";
    /// Two binary32: real, imaginary.
    Complex64 = 14, 64, "complex64";
    /// Two binary64: real, imaginary.
    Complex128 = 15, 128, "complex128";
    /// bfloat16: the upper half of a binary32.
    BF16 = 16, 16, "bfloat16";
    /// 8-bit float, 4 exponent bits, no infinities.
    F8E4M3FN = 17, 8, "float8e4m3fn";
    /// 8-bit float, 4 exponent bits, no infinities, no negative zero.
    F8E4M3FNUZ = 18, 8, "float8e4m3fnuz";
    /// 8-bit float, 5 exponent bits, IEEE-like.
    F8E5M2 = 19, 8, "float8e5m2";
    /// 8-bit float, 5 exponent bits, no infinities, no negative zero.
    F8E5M2FNUZ = 20, 8, "float8e5m2fnuz";
    /// Unsigned, 4 bits, two to a byte.
    U4 = 21, 4, "uint4";
    /// Signed, 4 bits, two to a byte.
    I4 = 22, 4, "int4";
    /// 4-bit float, 2 exponent bits, two to a byte.
    F4E2M1 = 23, 4, "float4e2m1";
    /// 8-bit power of two: exponent only, the scale type of the MX formats.
    F8E8M0 = 24, 8, "float8e8m0";
    /// Unsigned, 2 bits, four to a byte.
    U2 = 25, 2, "uint2";
    /// Signed, 2 bits, four to a byte.
    I2 = 26, 2, "int2";
}

impl DType {
    /// The `TensorProto.DataType` code.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The type that has this [`name`](DType::name), if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<DType> {
        DType::ALL.iter().copied().find(|d| d.name() == name)
    }

    /// Bytes that `elements` of this type take, packed. `None` for strings and where the count overflows.
    #[must_use]
    pub const fn bytes_for(self, elements: usize) -> Option<usize> {
        match self.bits() {
            0 => None,
            bits if bits % 8 == 0 => elements.checked_mul(bits / 8),
            bits => {
                let per_byte = 8 / bits;
                Some(elements.div_ceil(per_byte))
            }
        }
    }

    /// Whether several elements share a byte.
    #[must_use]
    pub const fn is_packed(self) -> bool {
        matches!(self.bits(), 1..=7)
    }

    /// Whether this is a real floating-point type (complex types are not counted).
    #[must_use]
    pub const fn is_float(self) -> bool {
        use DType::*;
        matches!(
            self,
            F32 | F16 | F64 | BF16 | F8E4M3FN | F8E4M3FNUZ | F8E5M2 | F8E5M2FNUZ | F4E2M1 | F8E8M0
        )
    }

    /// Whether this is an integer type (`Bool` is not counted).
    #[must_use]
    pub const fn is_integer(self) -> bool {
        use DType::*;
        matches!(
            self,
            U8 | I8 | U16 | I16 | I32 | I64 | U32 | U64 | U4 | I4 | U2 | I2
        )
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_onnx_and_go_round() {
        for (i, &d) in DType::ALL.iter().enumerate() {
            assert_eq!(usize::from(d.code()), i + 1);
            assert_eq!(DType::from_code(i32::from(d.code())), Some(d));
            assert_eq!(DType::from_name(d.name()), Some(d));
        }
        assert_eq!(DType::from_code(0), None);
        assert_eq!(DType::from_code(27), None);
        assert_eq!(DType::from_code(-1), None);
    }

    #[test]
    fn sizes_are_packed_and_checked() {
        assert_eq!(DType::F32.bytes_for(3), Some(12));
        assert_eq!(DType::I4.bytes_for(3), Some(2));
        assert_eq!(DType::U2.bytes_for(5), Some(2));
        assert_eq!(DType::U2.bytes_for(0), Some(0));
        assert_eq!(DType::Complex128.bytes_for(2), Some(32));
        assert_eq!(DType::String.bytes_for(1), None);
        assert_eq!(DType::F32.bytes_for(usize::MAX), None);
        assert_eq!(DType::I4.bytes_for(usize::MAX), Some(usize::MAX / 2 + 1));
    }
}
