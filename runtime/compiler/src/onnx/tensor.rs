//! `TensorProto` to [`Tensor`]: every way in which ONNX stores elements.

use std::path::Path;

use half::f16;
use sanderling_core::{DType, Tensor};

use super::proto::{EXTERNAL, TensorProto};
use crate::error::CompileError;

/// Reads a tensor. `budget` is how many bytes tensors may still take, and is reduced.
///
/// # Errors
/// [`CompileError`] naming the tensor, for an unknown dtype, data that does not fit the shape, or a full budget.
pub(super) fn read(
    tensor: &TensorProto,
    folder: Option<&Path>,
    budget: &mut u64,
) -> Result<Tensor, CompileError> {
    let name = &tensor.name;
    let malformed = |what: String| CompileError::Malformed {
        what: format!("tensor '{name}': {what}"),
    };
    let dtype = DType::from_code(tensor.data_type)
        .ok_or_else(|| malformed(format!("data type {} is not one of ONNX 1.22", tensor.data_type)))?;
    if dtype == DType::String {
        return Err(CompileError::Unsupported {
            what: format!("the string tensor '{name}'"),
            advice: "cut text processing out of the model and do it before",
        });
    }
    let shape: Option<Vec<usize>> = tensor.dims.iter().map(|&d| usize::try_from(d).ok()).collect();
    let shape = shape.ok_or_else(|| malformed(format!("a dimension of {:?} is negative", tensor.dims)))?;
    let elements = sanderling_core::shape::element_count(&shape);
    let expected = elements.and_then(|n| dtype.bytes_for(n).map(|bytes| (n, bytes)));
    let (elements, expected) =
        expected.ok_or_else(|| malformed(format!("shape {shape:?} has too many elements")))?;
    let left = *budget;
    *budget = left
        .checked_sub(expected as u64)
        .ok_or_else(|| CompileError::TooLarge {
            what: format!("bytes of tensors, at '{name}'"),
            found: expected as u64,
            limit: left,
        })?;
    let bytes = if tensor.data_location == EXTERNAL {
        super::external::read(tensor, folder, expected)?
    } else if let Some(raw) = &tensor.raw_data {
        raw.to_vec()
    } else {
        typed_bytes(tensor, dtype, elements).map_err(malformed)?
    };
    if bytes.len() != expected {
        return Err(malformed(format!(
            "{dtype}{shape:?} takes {expected} bytes, {} are there",
            bytes.len()
        )));
    }
    let bytes = if dtype == DType::Bool {
        bytes.iter().map(|&b| u8::from(b != 0)).collect()
    } else {
        bytes
    };
    Tensor::from_bytes(dtype, &shape, &bytes).map_err(|e| malformed(e.to_string()))
}

/// Elements from the typed fields, packed. Which field holds which dtype is said in `onnx.proto` at each field.
fn typed_bytes(tensor: &TensorProto, dtype: DType, elements: usize) -> Result<Vec<u8>, String> {
    use DType::*;
    let count = |field: &str, found: usize, wanted: usize| {
        (found == wanted)
            .then_some(())
            .ok_or_else(|| format!("{field} has {found} entries, {wanted} are needed"))
    };
    let ints = &tensor.int32_data;
    match dtype {
        F32 | Complex64 => {
            let parts = if dtype == Complex64 { 2 } else { 1 };
            count("float_data", tensor.float_data.len(), elements * parts)?;
            Ok(tensor.float_data.iter().flat_map(|x| x.to_le_bytes()).collect())
        }
        F64 | Complex128 => {
            let parts = if dtype == Complex128 { 2 } else { 1 };
            count("double_data", tensor.double_data.len(), elements * parts)?;
            Ok(tensor.double_data.iter().flat_map(|x| x.to_le_bytes()).collect())
        }
        I64 => {
            count("int64_data", tensor.int64_data.len(), elements)?;
            Ok(tensor.int64_data.iter().flat_map(|x| x.to_le_bytes()).collect())
        }
        U64 => {
            count("uint64_data", tensor.uint64_data.len(), elements)?;
            Ok(tensor.uint64_data.iter().flat_map(|x| x.to_le_bytes()).collect())
        }
        U32 => {
            count("uint64_data", tensor.uint64_data.len(), elements)?;
            Ok(tensor
                .uint64_data
                .iter()
                .flat_map(|&x| (x as u32).to_le_bytes())
                .collect())
        }
        // Old exporters put half floats into float_data.
        F16 if ints.is_empty() && tensor.float_data.len() == elements => Ok(tensor
            .float_data
            .iter()
            .flat_map(|&x| f16::from_f32(x).to_le_bytes())
            .collect()),
        I32 => {
            count("int32_data", ints.len(), elements)?;
            Ok(ints.iter().flat_map(|x| x.to_le_bytes()).collect())
        }
        I16 | U16 | F16 | BF16 => {
            count("int32_data", ints.len(), elements)?;
            Ok(ints.iter().flat_map(|&x| (x as u16).to_le_bytes()).collect())
        }
        Bool => {
            count("int32_data", ints.len(), elements)?;
            Ok(ints.iter().map(|&x| u8::from(x != 0)).collect())
        }
        // One byte an entry; the sub-byte types are packed into bytes first.
        I8 | U8 | F8E4M3FN | F8E4M3FNUZ | F8E5M2 | F8E5M2FNUZ | F8E8M0 | U4 | I4 | F4E2M1 | U2 | I2 => {
            count("int32_data", ints.len(), dtype.bytes_for(elements).unwrap_or(0))?;
            Ok(ints.iter().map(|&x| x as u8).collect())
        }
        String => Err("it holds strings".to_owned()),
    }
}
