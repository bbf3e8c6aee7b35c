//! A first look at the outermost protobuf fields: is it a model at all, and is it whole?
//!
//! Protobuf has no signature, and a decoder's error on a ZIP archive or on half a file helps nobody. One walk
//! over the top-level tags and lengths (protobuf encoding guide, "Message Structure") tells the cases apart.

use crate::error::CompileError;

/// Field numbers of `ModelProto`, known and yet to come; a file with others at the top is not a model.
const HIGHEST_FIELD: u64 = 64;
const GRAPH: u64 = 7;

/// Checks that the fields at the top are those of a model and end where the file ends.
pub(super) fn top_level(bytes: &[u8]) -> Result<(), CompileError> {
    let not_onnx = || CompileError::NotOnnx {
        looks_like: sanderling_bundle::describe_file(bytes).filter(|kind| !kind.contains("an ONNX model")),
    };
    let mut at = 0usize;
    let mut has_graph = false;
    while at < bytes.len() {
        let Some((tag, after_tag)) = varint(bytes, at) else {
            return Err(not_onnx());
        };
        let (field, wire) = (tag >> 3, tag & 7);
        if field == 0 || field > HIGHEST_FIELD {
            return Err(not_onnx());
        }
        let end = match wire {
            0 => varint(bytes, after_tag).map(|(_, end)| end as u64),
            1 => Some(after_tag as u64 + 8),
            2 => varint(bytes, after_tag).map(|(len, start)| (start as u64).saturating_add(len)),
            5 => Some(after_tag as u64 + 4),
            _ => return Err(not_onnx()),
        };
        let found = bytes.len() as u64;
        match end {
            // Only a file that began as a model is a model cut short.
            Some(expected) if expected > found && field == GRAPH && at > 0 => {
                return Err(CompileError::Truncated { expected, found });
            }
            // At most `found`, so it fits.
            Some(end) if end <= found => at = end as usize,
            _ => return Err(not_onnx()),
        }
        has_graph |= field == GRAPH && wire == 2;
    }
    has_graph.then_some(()).ok_or_else(not_onnx)
}

/// A base-128 number at `at`, and where it ends.
fn varint(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for (i, &byte) in bytes.get(at..)?.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f).checked_shl(7 * i as u32)?;
        if byte & 0x80 == 0 {
            return Some((value, at + i + 1));
        }
    }
    None
}
