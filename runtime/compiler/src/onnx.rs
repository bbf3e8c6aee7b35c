//! Reads ONNX.
//!
//! Bytes become protobuf messages ([`proto`]), messages become a [`Graph`] (`import.rs`): every name is a
//! numbered value, initialisers and `Constant` nodes are constants, attributes are typed, and the nodes stand in
//! an order in which values are written before they are read. Nothing is optimised here and nothing is computed.
//!
//! The file may come from anywhere. Sizes are checked before memory is taken ([`Limits`]), external data is read
//! only from the model's own folder, and every fault is reported with the node or tensor that has it. Faults that
//! can stand side by side (missing operators, names that nothing defines) are reported together.

mod external;
mod import;
mod operators;
pub mod proto;
mod scan;
mod tensor;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use prost::Message;
use prost::bytes::Bytes;
use sanderling_core::{Graph, OpTable, Tensor};

use crate::error::CompileError;

/// What the importer accepts, checked before memory is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the model file. Protobuf itself ends at 2 GiB; larger models have external data.
    pub file_bytes: u64,
    /// Bytes of all tensors together, external ones included.
    pub tensor_bytes: u64,
    /// Nodes, those of nested graphs included.
    pub nodes: usize,
    /// Graphs within graphs. Protobuf decoding itself stops a little above 30.
    pub depth: usize,
}

impl Default for Limits {
    /// 2 GiB of file, 16 GiB of tensors, 1 Mi nodes, 30 levels.
    fn default() -> Self {
        Self {
            file_bytes: 2 << 30,
            tensor_bytes: 16 << 30,
            nodes: 1 << 20,
            depth: 30,
        }
    }
}

/// A model as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// The graph, checked and in order.
    pub graph: Graph,
    /// ONNX IR version.
    pub ir_version: i64,
    /// Opset versions by domain; the empty domain is ONNX's own.
    pub opsets: Vec<(String, i64)>,
    /// Program that made the file, and its version.
    pub producer: (String, String),
    /// Free key-value pairs of the file.
    pub metadata: Vec<(String, String)>,
    /// SHA-256 of the file.
    pub sha256: [u8; 32],
}

/// Reads an ONNX file; external data is looked for in its folder.
///
/// # Errors
/// [`CompileError`] for a file that cannot be read, is not ONNX, is damaged, too large, or uses what `table` lacks.
pub fn read_file(path: &Path, table: OpTable<'_>, limits: &Limits) -> Result<Model, CompileError> {
    let io = |source| CompileError::Io {
        path: path.to_path_buf(),
        source,
    };
    let file = open_regular(path).map_err(io)?;
    let len = file.metadata().map_err(io)?.len();
    too_large("bytes of model file", len, limits.file_bytes)?;
    let mut bytes = Vec::new();
    // A file that grows while it is read (or a device) still ends at the limit.
    file.take(limits.file_bytes + 1)
        .read_to_end(&mut bytes)
        .map_err(io)?;
    let folder = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    read_bytes(bytes, Some(folder), table, limits)
}

/// Reads an ONNX model from memory; `folder` is where its external data lies, if it may have any.
///
/// # Errors
/// As [`read_file`].
pub fn read_bytes(
    bytes: Vec<u8>,
    folder: Option<&Path>,
    table: OpTable<'_>,
    limits: &Limits,
) -> Result<Model, CompileError> {
    too_large("bytes of model file", bytes.len() as u64, limits.file_bytes)?;
    scan::top_level(&bytes)?;
    let sha256 = sanderling_bundle::sha256(&bytes);
    let model = proto::ModelProto::decode(Bytes::from(bytes)).map_err(|error| CompileError::Malformed {
        what: error.to_string(),
    })?;
    import::import(model, sha256, folder, table, limits)
}

/// Reads one serialised `TensorProto`, such as the data that comes with ONNX's test cases.
///
/// # Errors
/// [`CompileError`] for bytes that are no tensor, one of strings, or one larger than `limits` allow.
pub fn read_tensor(bytes: &[u8], limits: &Limits) -> Result<Tensor, CompileError> {
    too_large("bytes of tensor file", bytes.len() as u64, limits.file_bytes)?;
    let proto = proto::TensorProto::decode(bytes).map_err(|error| CompileError::Malformed {
        what: error.to_string(),
    })?;
    tensor::read(&proto, None, &mut limits.tensor_bytes.clone())
}

/// Opens a regular file: a pipe that nobody writes to would keep the caller waiting, a device may never end.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    if std::fs::metadata(path)?.is_file() {
        return File::open(path);
    }
    let words = "it is no regular file but a folder, a pipe or a device";
    Err(io::Error::new(io::ErrorKind::InvalidInput, words))
}

fn too_large(what: &str, found: u64, limit: u64) -> Result<(), CompileError> {
    (found <= limit)
        .then_some(())
        .ok_or_else(|| CompileError::TooLarge {
            what: what.into(),
            found,
            limit,
        })
}

#[cfg(test)]
mod tests;
