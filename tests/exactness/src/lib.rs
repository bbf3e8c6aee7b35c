//! The vectors of docs/numerics.md as data: what every implementation of the integer operators must give, to the byte.
//!
//! One JSON file an operator lies in `vectors/`; `numerics.py` makes them in NumPy, without a line in common with the
//! Rust code. A backend's tests take [`vectors`], compute, and compare bytes.
#![forbid(unsafe_code)]

pub mod chains;
pub mod models;
pub mod node;
pub mod random;
pub mod report;

use sanderling_core::{Attribute, DType, Tensor};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// One operator applied to one set of inputs.
#[derive(Debug, Clone)]
pub struct Vector {
    /// File and position, for messages.
    pub name: String,
    /// Operator domain; empty for ONNX's own.
    pub domain: &'static str,
    /// Operator name.
    pub op: String,
    /// An opset version of the domain in which the operator is what the vector shows.
    pub opset: u16,
    /// Attributes.
    pub attributes: Vec<(String, Attribute)>,
    /// Inputs; none where left out.
    pub inputs: Vec<Option<Tensor>>,
    /// The output.
    pub output: Tensor,
}

/// The requantisation alone: numerics.md, section 2.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Requantisation {
    /// Accumulator.
    pub acc: i32,
    /// Multiplier.
    pub multiplier: f32,
    /// Zero point.
    pub zero: i32,
    /// Type of the output.
    pub dtype: DType,
    /// The output.
    pub output: i32,
}

/// A tensor and its digest: numerics.md, section 5.
#[derive(Debug, Clone, PartialEq)]
pub struct Digest {
    /// The tensor.
    pub tensor: Tensor,
    /// SHA-256, hexadecimal.
    pub sha256: String,
}

/// Operators that ONNX's own domain does not have: theirs, and its version.
const DOMAINS: &[(&str, &str, u16)] = &[
    ("LookupTable", "ai.sanderling", 1),
    ("QGemm", "com.microsoft", 1),
    ("QLinearAdd", "com.microsoft", 1),
    ("QLinearGlobalAveragePool", "com.microsoft", 1),
    ("QLinearMul", "com.microsoft", 1),
];
/// An opset that every other operator of the vectors is in.
const OPSET: u16 = 19;
const REQUANTISE: &str = "requantise.json";
const DIGEST: &str = "digest.json";

#[derive(Deserialize)]
struct JsonVector {
    op: String,
    attributes: BTreeMap<String, JsonAttribute>,
    inputs: Vec<Option<JsonTensor>>,
    output: JsonTensor,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum JsonAttribute {
    Int(i64),
    Float(f32),
    Ints(Vec<i64>),
}

#[derive(Deserialize)]
struct JsonTensor {
    dtype: String,
    shape: Vec<usize>,
    data: Vec<i64>,
}

/// Every vector of an operator.
///
/// # Errors
/// What cannot be read, naming the file.
pub fn vectors() -> Result<Vec<Vector>, String> {
    let mut found = Vec::new();
    for (file, text) in files()?
        .into_iter()
        .filter(|(file, _)| file != REQUANTISE && file != DIGEST)
    {
        let rows: Vec<JsonVector> = serde_json::from_str(&text).map_err(|e| format!("{file}: {e}"))?;
        for (i, row) in rows.into_iter().enumerate() {
            let name = format!("{file}, vector {i}");
            found.push(vector(name.clone(), row).map_err(|e| format!("{name}: {e}"))?);
        }
    }
    Ok(found)
}

/// Every vector of the requantisation.
///
/// # Errors
/// As [`vectors`].
pub fn requantisations() -> Result<Vec<Requantisation>, String> {
    let text = file(REQUANTISE)?;
    let rows: Vec<(i32, u32, i32, String, i32)> =
        serde_json::from_str(&text).map_err(|e| format!("{REQUANTISE}: {e}"))?;
    rows.into_iter()
        .map(|(acc, bits, zero, dtype, output)| {
            Ok(Requantisation {
                acc,
                multiplier: f32::from_bits(bits),
                zero,
                dtype: dtype_of(&dtype)?,
                output,
            })
        })
        .collect()
}

/// Every vector of the digest.
///
/// # Errors
/// As [`vectors`].
pub fn digests() -> Result<Vec<Digest>, String> {
    #[derive(Deserialize)]
    struct Row {
        tensor: JsonTensor,
        sha256: String,
    }
    let text = file(DIGEST)?;
    let rows: Vec<Row> = serde_json::from_str(&text).map_err(|e| format!("{DIGEST}: {e}"))?;
    rows.into_iter()
        .map(|row| {
            Ok(Digest {
                tensor: tensor(row.tensor)?,
                sha256: row.sha256,
            })
        })
        .collect()
}

/// The text of a file.
fn file(name: &str) -> Result<String, String> {
    let found = files()?.into_iter().find(|(file, _)| file == name);
    found.map(|(_, text)| text).ok_or(format!("{name} is missing"))
}

/// Names and texts of the files, by name.
fn files() -> Result<Vec<(String, String)>, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let named = |e: std::io::Error| format!("{}: {e}", folder.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(named)? {
        let path = entry.map_err(named)?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.extension().is_some_and(|extension| extension == "json") {
            files.push((name, std::fs::read_to_string(&path).map_err(named)?));
        }
    }
    files.sort();
    Ok(files)
}

fn vector(name: String, row: JsonVector) -> Result<Vector, String> {
    let own = DOMAINS.iter().find(|(op, ..)| *op == row.op);
    let (domain, opset) = own.map_or(("", OPSET), |&(_, domain, opset)| (domain, opset));
    let attributes = row.attributes.into_iter().map(|(name, value)| {
        let value = match value {
            JsonAttribute::Int(value) => Attribute::Int(value),
            JsonAttribute::Float(value) => Attribute::Float(value),
            JsonAttribute::Ints(list) => Attribute::Ints(list),
        };
        (name, value)
    });
    let inputs = row.inputs.into_iter().map(|input| input.map(tensor).transpose());
    Ok(Vector {
        name,
        domain,
        op: row.op,
        opset,
        attributes: attributes.collect(),
        inputs: inputs.collect::<Result<_, _>>()?,
        output: tensor(row.output)?,
    })
}

fn dtype_of(name: &str) -> Result<DType, String> {
    match name {
        "uint8" => Ok(DType::U8),
        "int8" => Ok(DType::I8),
        "int32" => Ok(DType::I32),
        "float32" => Ok(DType::F32),
        other => Err(format!("the vectors hold no {other}")),
    }
}

/// The low bytes of each number, little-endian: two's complement for integers, the bits for floats.
fn tensor(json: JsonTensor) -> Result<Tensor, String> {
    let dtype = dtype_of(&json.dtype)?;
    let size = dtype.bits() / 8;
    let bytes: Vec<u8> = json
        .data
        .iter()
        .flat_map(|value| value.to_le_bytes().into_iter().take(size))
        .collect();
    Tensor::from_bytes(dtype, &json.shape, &bytes).map_err(|e| e.to_string())
}
