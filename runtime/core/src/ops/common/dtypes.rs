//! Which dtypes an operator takes, and how a computation is chosen by dtype.

use crate::error::OpError;
use crate::op::InferCx;
use crate::shape::TensorType;
use alloc::format;
use sanderling_bundle::DType;

/// A set of dtypes, with its name in words.
#[derive(Clone, Copy)]
pub struct Class {
    /// In words, for errors.
    pub name: &'static str,
    /// The set.
    pub holds: fn(DType) -> bool,
}

/// binary16, bfloat16, binary32, binary64.
pub const FLOATS: Class = Class {
    name: "float16, bfloat16, float32 or float64",
    holds: is_wide_float,
};
/// Eight- to 64-bit integers.
pub const INTS: Class = Class {
    name: "an integer of 8 to 64 bits",
    holds: is_wide_int,
};
/// Signed eight- to 64-bit integers, and floats.
pub const SIGNED: Class = Class {
    name: "a signed integer of 8 to 64 bits or a float",
    holds: |d| is_wide_float(d) || matches!(d, DType::I8 | DType::I16 | DType::I32 | DType::I64),
};
/// Floats and integers.
pub const NUMBERS: Class = Class {
    name: "an integer of 8 to 64 bits or a float",
    holds: |d| is_wide_float(d) || is_wide_int(d),
};
/// Floats, integers and bools.
pub const PLAIN: Class = Class {
    name: "an integer of 8 to 64 bits, a float or bool",
    holds: |d| is_wide_float(d) || is_wide_int(d) || d == DType::Bool,
};
/// Bools.
pub const BOOLS: Class = Class {
    name: "bool",
    holds: |d| d == DType::Bool,
};
/// Elements of whole bytes: what can be moved one by one.
pub const WHOLE_BYTES: Class = Class {
    name: "a dtype of whole bytes",
    holds: |d| d.bits() >= 8,
};
/// Integers that index.
pub const INDICES: Class = Class {
    name: "int32 or int64",
    holds: |d| matches!(d, DType::I32 | DType::I64),
};

fn is_wide_float(dtype: DType) -> bool {
    matches!(dtype, DType::F32 | DType::F64 | DType::F16 | DType::BF16)
}

fn is_wide_int(dtype: DType) -> bool {
    use DType::{I8, I16, I32, I64, U8, U16, U32, U64};
    matches!(dtype, I8 | I16 | I32 | I64 | U8 | U16 | U32 | U64)
}

/// binary16 or bfloat16: computed in binary32 (see [`super::widen`]).
#[must_use]
pub fn is_half(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::BF16)
}

/// A required input of a dtype of this class.
///
/// # Errors
/// [`OpError::MissingInput`], [`OpError::InputType`].
pub fn input_of<'a>(cx: &InferCx<'a>, index: usize, class: Class) -> Result<&'a TensorType, OpError> {
    let ty = cx.input(index)?;
    if (class.holds)(ty.dtype) {
        Ok(ty)
    } else {
        Err(OpError::InputType {
            index,
            expected: class.name,
            found: ty.dtype,
        })
    }
}

/// Holds that an input, where present, has this dtype.
///
/// # Errors
/// [`OpError::Shape`] naming both.
pub fn same_dtype(cx: &InferCx<'_>, index: usize, dtype: DType) -> Result<(), OpError> {
    match cx.optional(index) {
        Some(ty) if ty.dtype != dtype => Err(OpError::shape(format!(
            "input {index} is {}, the inputs before it are {}",
            ty.dtype.name(),
            dtype.name()
        ))),
        _ => Ok(()),
    }
}

/// For a dtype that the shape rule lets pass and the reference has no code for.
#[must_use]
pub fn no_code(dtype: DType) -> OpError {
    OpError::unsupported(format!("elements of {} in this operator", dtype.name()))
}

/// Evaluates an expression with a type name standing for the dtype's Rust type.
///
/// `with_dtype!(floats, dtype, T => expr)`: `expr` gives a `Result<_, OpError>`; a dtype outside the class is
/// [`OpError::Unsupported`]. Classes: `floats` (binary32, binary64), `ints`, `numbers` (both).
#[macro_export]
#[doc(hidden)]
macro_rules! with_dtype {
    (floats, $dtype:expr, $t:ident => $body:expr) => {
        $crate::with_dtype!(@ $dtype, $t, $body, F32 f32, F64 f64)
    };
    (ints, $dtype:expr, $t:ident => $body:expr) => {
        $crate::with_dtype!(@ $dtype, $t, $body,
            I8 i8, I16 i16, I32 i32, I64 i64, U8 u8, U16 u16, U32 u32, U64 u64)
    };
    (numbers, $dtype:expr, $t:ident => $body:expr) => {
        $crate::with_dtype!(@ $dtype, $t, $body, F32 f32, F64 f64,
            I8 i8, I16 i16, I32 i32, I64 i64, U8 u8, U16 u16, U32 u32, U64 u64)
    };
    (plain, $dtype:expr, $t:ident => $body:expr) => {
        $crate::with_dtype!(@ $dtype, $t, $body, F32 f32, F64 f64,
            I8 i8, I16 i16, I32 i32, I64 i64, U8 u8, U16 u16, U32 u32, U64 u64, Bool u8)
    };
    (@ $dtype:expr, $t:ident, $body:expr, $($variant:ident $rust:ty),*) => {
        match $dtype {
            $(sanderling_bundle::DType::$variant => {
                type $t = $rust;
                $body
            })*
            other => Err($crate::ops::common::dtypes::no_code(other)),
        }
    };
}
pub use with_dtype;
