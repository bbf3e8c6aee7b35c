//! Reading and writing single elements of any dtype, packed ones included, through one wide value.
//!
//! [`Wide`] holds any element exactly: integers as i128, floats as binary64 (every narrower float is exact in
//! it). Cast and quantisation go through it: slow, and each conversion is written once.

use super::minifloat::{self, Overflow};
use crate::error::OpError;
use half::{bf16, f16};
use sanderling_bundle::DType;

/// An element's value, exactly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Wide {
    /// Of an integer or bool.
    Int(i128),
    /// Of a float.
    Float(f64),
}

impl Wide {
    /// As binary64, rounded where it must be.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        match self {
            Self::Int(n) => n as f64,
            Self::Float(x) => x,
        }
    }
}

/// Reads the `i`th element of packed bytes.
pub type Reader = fn(&[u8], usize) -> Wide;

fn bytes_at<const N: usize>(bytes: &[u8], i: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[i * N..][..N]);
    out
}

/// Bits of the `i`th element of `bits` bits, first element in the low bits.
fn packed(bytes: &[u8], i: usize, bits: usize) -> u8 {
    let per_byte = 8 / bits;
    (bytes[i / per_byte] >> (i % per_byte * bits)) & ((1u8 << bits) - 1)
}

fn signed(value: u8, bits: u32) -> i128 {
    i128::from((value << (8 - bits)) as i8 >> (8 - bits))
}

macro_rules! read {
    (int $t:ty) => {
        |b, i| Wide::Int(<$t>::from_le_bytes(bytes_at(b, i)).into())
    };
    (float $t:ty) => {
        |b, i| Wide::Float(<$t>::from_le_bytes(bytes_at(b, i)).into())
    };
}

/// How elements of `dtype` are read.
///
/// # Errors
/// [`OpError::Unsupported`] for strings and complex numbers.
pub fn reader(dtype: DType) -> Result<Reader, OpError> {
    Ok(match dtype {
        DType::F32 => read!(float f32),
        DType::F64 => read!(float f64),
        DType::F16 => read!(float f16),
        DType::BF16 => read!(float bf16),
        DType::I8 => read!(int i8),
        DType::I16 => read!(int i16),
        DType::I32 => read!(int i32),
        DType::I64 => read!(int i64),
        DType::U8 => read!(int u8),
        DType::U16 => read!(int u16),
        DType::U32 => read!(int u32),
        DType::U64 => read!(int u64),
        DType::Bool => |b, i| Wide::Int(i128::from(b[i] != 0)),
        DType::U4 => |b, i| Wide::Int(packed(b, i, 4).into()),
        DType::I4 => |b, i| Wide::Int(signed(packed(b, i, 4), 4)),
        DType::U2 => |b, i| Wide::Int(packed(b, i, 2).into()),
        DType::I2 => |b, i| Wide::Int(signed(packed(b, i, 2), 2)),
        DType::F4E2M1 => |b, i| Wide::Float(minifloat::E2M1.decode(packed(b, i, 4))),
        DType::F8E4M3FN => |b, i| Wide::Float(minifloat::E4M3FN.decode(b[i])),
        DType::F8E4M3FNUZ => |b, i| Wide::Float(minifloat::E4M3FNUZ.decode(b[i])),
        DType::F8E5M2 => |b, i| Wide::Float(minifloat::E5M2.decode(b[i])),
        DType::F8E5M2FNUZ => |b, i| Wide::Float(minifloat::E5M2FNUZ.decode(b[i])),
        DType::F8E8M0 => |b, i| Wide::Float(minifloat::decode_e8m0(b[i])),
        DType::String | DType::Complex64 | DType::Complex128 => return Err(super::dtypes::no_code(dtype)),
    })
}

/// Writes elements of one dtype.
#[derive(Debug, Clone, Copy)]
pub struct Writer {
    dtype: DType,
    /// What becomes of values too large for an 8-bit or smaller float.
    pub overflow: Overflow,
    /// How values between two powers of two round in the exponent-only type.
    pub e8m0: minifloat::PowerRounding,
}

impl Writer {
    /// For a dtype, with ONNX's defaults: saturating small floats, exponents rounded up.
    ///
    /// # Errors
    /// [`OpError::Unsupported`] for strings and complex numbers.
    pub fn new(dtype: DType) -> Result<Self, OpError> {
        reader(dtype)?;
        Ok(Self {
            dtype,
            overflow: Overflow::Saturate,
            e8m0: minifloat::PowerRounding::Up,
        })
    }

    /// Writes the `i`th element. Integers from integers wrap; from floats they truncate, and saturate from eight
    /// bits on.
    pub fn write(&self, bytes: &mut [u8], i: usize, value: Wide) {
        macro_rules! int {
            ($t:ty) => {{
                let n = match value {
                    Wide::Int(n) => n as $t,
                    Wide::Float(x) => x as $t,
                };
                put(bytes, i, n.to_le_bytes());
            }};
        }
        let float = || value.to_f64();
        match self.dtype {
            DType::F32 => {
                let x = match value {
                    Wide::Int(n) => n as f32,
                    Wide::Float(x) => x as f32,
                };
                put(bytes, i, x.to_le_bytes());
            }
            DType::F64 => put(bytes, i, float().to_le_bytes()),
            DType::F16 => put(bytes, i, f16::from_f64(float()).to_le_bytes()),
            DType::BF16 => put(bytes, i, bf16::from_f64(float()).to_le_bytes()),
            DType::I8 => int!(i8),
            DType::I16 => int!(i16),
            DType::I32 => int!(i32),
            DType::I64 => int!(i64),
            DType::U8 => int!(u8),
            DType::U16 => int!(u16),
            DType::U32 => int!(u32),
            DType::U64 => int!(u64),
            DType::Bool => {
                bytes[i] = u8::from(match value {
                    Wide::Int(n) => n != 0,
                    Wide::Float(x) => x != 0.0,
                });
            }
            DType::U4 | DType::I4 => pack(bytes, i, 4, low_bits(value)),
            DType::U2 | DType::I2 => pack(bytes, i, 2, low_bits(value)),
            DType::F4E2M1 => pack(bytes, i, 4, minifloat::E2M1.encode(float(), Overflow::Saturate)),
            DType::F8E4M3FN => bytes[i] = minifloat::E4M3FN.encode(float(), self.overflow),
            DType::F8E4M3FNUZ => bytes[i] = minifloat::E4M3FNUZ.encode(float(), self.overflow),
            DType::F8E5M2 => bytes[i] = minifloat::E5M2.encode(float(), self.overflow),
            DType::F8E5M2FNUZ => bytes[i] = minifloat::E5M2FNUZ.encode(float(), self.overflow),
            DType::F8E8M0 => bytes[i] = minifloat::encode_e8m0(float(), self.e8m0, self.overflow),
            // `new` has refused these.
            DType::String | DType::Complex64 | DType::Complex128 => {}
        }
    }
}

fn put<const N: usize>(bytes: &mut [u8], i: usize, element: [u8; N]) {
    bytes[i * N..][..N].copy_from_slice(&element);
}

/// For four and two bits, where floats wrap as integers do: ONNX leaves it open, its test cases have it so.
fn low_bits(value: Wide) -> u8 {
    match value {
        Wide::Int(n) => n as u8,
        Wide::Float(x) => x as i64 as u8,
    }
}

fn pack(bytes: &mut [u8], i: usize, bits: usize, value: u8) {
    let per_byte = 8 / bits;
    let (shift, mask) = (i % per_byte * bits, (1u8 << bits) - 1);
    let byte = &mut bytes[i / per_byte];
    *byte = *byte & !(mask << shift) | (value & mask) << shift;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dtype_writes_what_it_reads() {
        for &dtype in DType::ALL {
            let (Ok(read), Ok(mut writer)) = (reader(dtype), Writer::new(dtype)) else {
                assert!(matches!(
                    dtype,
                    DType::String | DType::Complex64 | DType::Complex128
                ));
                continue;
            };
            writer.overflow = Overflow::Escape;
            let patterns: u32 = 1 << dtype.bits().min(16);
            for pattern in 0..patterns {
                let mut bytes = [0u8; 8];
                bytes[..4].copy_from_slice(&pattern.to_le_bytes());
                if dtype == DType::Bool && pattern > 1 {
                    continue;
                }
                let value = read(&bytes, 0);
                let mut again = [0u8; 8];
                writer.write(&mut again, 0, value);
                let read_again = read(&again, 0);
                let nan = |v| matches!(v, Wide::Float(x) if x.is_nan());
                assert!(
                    read_again == value || (nan(value) && nan(read_again)),
                    "{dtype} {pattern:#x}"
                );
            }
        }
    }

    #[test]
    fn packed_neighbours_are_left_alone() {
        let mut bytes = [0xffu8];
        Writer::new(DType::I4)
            .unwrap()
            .write(&mut bytes, 0, Wide::Int(-8));
        assert_eq!(bytes, [0xf8]);
        assert_eq!(reader(DType::I4).unwrap()(&bytes, 1), Wide::Int(-1));
        Writer::new(DType::U2)
            .unwrap()
            .write(&mut bytes, 3, Wide::Float(1.9));
        assert_eq!(bytes, [0x78]);
    }
}
