//! Messages of the Open Inference Protocol v2 (REST).
//!
//! Source: the protocol's specification, "Open Inference Protocol (V2 Inference Protocol)", HTTP/REST API.
//!
//! Lists in a request have a bound each, so that what is parsed stays within a small multiple of its text.

use crate::tensor_data::TensorData;
use sanderling_session::{DType, TensorType};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::marker::PhantomData;

/// Most inputs, and most outputs, that one message names.
const MAX_TENSORS: usize = 1024;

/// `GET /v2`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerMetadata {
    /// `sanderling`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Extensions it speaks.
    pub extensions: Vec<String>,
}

/// `GET /v2/models/{name}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelMetadata {
    /// The model's name.
    pub name: String,
    /// Versions that are served.
    pub versions: Vec<String>,
    /// `sanderling_sdl`.
    pub platform: String,
    /// What it takes.
    pub inputs: Vec<TensorMetadata>,
    /// What it gives.
    pub outputs: Vec<TensorMetadata>,
}

/// A tensor's name and type. Dimensions that a run decides are −1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorMetadata {
    /// Name.
    pub name: String,
    /// `FP32`, `INT64` …
    pub datatype: String,
    /// Dimensions, outermost first.
    pub shape: Vec<i64>,
}

/// `POST /v2/models/{name}/infer`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InferRequest {
    /// The caller's name for this request, given back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The model's inputs, all of them.
    #[serde(deserialize_with = "tensors")]
    pub inputs: Vec<TensorData>,
    /// Outputs wanted; all where absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "tensors")]
    pub outputs: Vec<RequestedOutput>,
}

/// An output that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestedOutput {
    /// Its name.
    pub name: String,
}

/// Answer to an [`InferRequest`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InferResponse {
    /// The model that answered.
    pub model_name: String,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_version: Option<String>,
    /// The request's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The outputs.
    #[serde(deserialize_with = "tensors")]
    pub outputs: Vec<TensorData>,
}

/// The protocol's error body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What is wrong.
    pub error: String,
}

/// (the protocol's name, ours).
const DATATYPES: &[(&str, DType)] = &[
    ("BOOL", DType::Bool),
    ("UINT8", DType::U8),
    ("UINT16", DType::U16),
    ("UINT32", DType::U32),
    ("UINT64", DType::U64),
    ("INT8", DType::I8),
    ("INT16", DType::I16),
    ("INT32", DType::I32),
    ("INT64", DType::I64),
    ("FP32", DType::F32),
    ("FP64", DType::F64),
];

/// The protocol's name of a dtype; none for those it has no JSON form for.
#[must_use]
pub fn datatype_name(dtype: DType) -> Option<&'static str> {
    DATATYPES.iter().find(|(_, d)| *d == dtype).map(|(name, _)| *name)
}

/// The dtype of a name of the protocol.
#[must_use]
pub fn parse_datatype(name: &str) -> Option<DType> {
    DATATYPES
        .iter()
        .find(|(n, _)| *n == name)
        .map(|(_, dtype)| *dtype)
}

impl TensorMetadata {
    pub(crate) fn new(name: &str, ty: Option<&TensorType>) -> Self {
        let shape = ty.map_or(Vec::new(), |ty| {
            ty.shape.iter().map(|dim| dim.fixed().unwrap_or(-1)).collect()
        });
        let datatype = ty.and_then(|ty| datatype_name(ty.dtype)).unwrap_or("UNKNOWN");
        Self {
            name: name.to_string(),
            datatype: datatype.to_string(),
            shape,
        }
    }

    /// Whether a tensor of this shape fits.
    #[must_use]
    pub fn takes(&self, shape: &[usize]) -> bool {
        let fits = |(want, got): (&i64, &usize)| *want < 0 || usize::try_from(*want) == Ok(*got);
        self.shape.len() == shape.len() && self.shape.iter().zip(shape).all(fits)
    }
}

/// A list of at most [`MAX_TENSORS`].
fn tensors<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    bounded(from, MAX_TENSORS)
}

/// A list of at most `most` elements: more are refused before they are kept.
pub(crate) fn bounded<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
    most: usize,
) -> Result<Vec<T>, D::Error> {
    struct Bounded<T>(usize, PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Bounded<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "a list of at most {}", self.0)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let mut kept = Vec::new();
            while let Some(element) = list.next_element()? {
                if kept.len() == self.0 {
                    return Err(A::Error::custom(format!(
                        "a list has more than {} elements",
                        self.0
                    )));
                }
                kept.push(element);
            }
            Ok(kept)
        }
    }
    from.deserialize_seq(Bounded(most, PhantomData))
}
