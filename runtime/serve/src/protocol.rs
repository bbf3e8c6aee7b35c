//! Messages of the Open Inference Protocol v2 (REST), and tensors in them.
//!
//! Source: the protocol's specification, "Open Inference Protocol (V2 Inference Protocol)", HTTP/REST API.

use crate::ServeError;
use sanderling_session::{DType, Tensor, TensorType, TensorView};
use serde::{Deserialize, Serialize};

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
    pub inputs: Vec<TensorData>,
    /// Outputs wanted; all where absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
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
    pub outputs: Vec<TensorData>,
}

/// The protocol's error body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What is wrong.
    pub error: String,
}

/// A tensor in a message: `data` is a flat list, or lists in lists, row-major.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TensorData {
    /// Name.
    pub name: String,
    /// Dimensions.
    pub shape: Vec<usize>,
    /// `FP32`, `INT64` …
    pub datatype: String,
    /// Elements.
    pub data: serde_json::Value,
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

/// Calls a macro with the Rust type of each dtype that has a JSON form.
macro_rules! by_dtype {
    ($dtype:expr, $call:ident, $otherwise:expr) => {
        match $dtype {
            DType::U8 | DType::Bool => $call!(u8),
            DType::U16 => $call!(u16),
            DType::U32 => $call!(u32),
            DType::U64 => $call!(u64),
            DType::I8 => $call!(i8),
            DType::I16 => $call!(i16),
            DType::I32 => $call!(i32),
            DType::I64 => $call!(i64),
            DType::F32 => $call!(f32),
            DType::F64 => $call!(f64),
            _ => $otherwise,
        }
    };
}

impl TensorData {
    /// A tensor as a message holds it.
    ///
    /// # Errors
    /// [`ServeError::Tensor`] for a dtype without a JSON form, and for NaN and infinities, which JSON has no words for.
    pub fn from_view(name: &str, view: TensorView<'_>) -> Result<Self, ServeError> {
        let problem = |message: &str| ServeError::Tensor {
            name: name.to_string(),
            message: message.to_string(),
        };
        let datatype = datatype_name(view.dtype()).ok_or_else(|| problem("its dtype has no form in JSON"))?;
        macro_rules! values {
            ($t:ty) => {{
                let values = view
                    .as_slice::<$t>()
                    .map_err(|error| problem(&error.to_string()))?;
                serde_json::to_value(values).map_err(|error| problem(&error.to_string()))?
            }};
        }
        let mut data = by_dtype!(
            view.dtype(),
            values,
            return Err(problem("its dtype has no form in JSON"))
        );
        let elements = data.as_array_mut().into_iter().flatten();
        if view.dtype() == DType::Bool {
            elements.for_each(|element| *element = (element.as_u64() == Some(1)).into());
        } else if elements.into_iter().any(|element| element.is_null()) {
            return Err(problem("it holds NaN or an infinity, which JSON cannot"));
        }
        Ok(Self {
            name: name.to_string(),
            shape: view.shape().to_vec(),
            datatype: datatype.to_string(),
            data,
        })
    }

    /// The tensor.
    ///
    /// # Errors
    /// [`ServeError::Tensor`] for an unknown datatype, another number of elements than the shape's, or elements
    /// that are not of the datatype.
    pub fn to_tensor(&self) -> Result<Tensor, ServeError> {
        let problem = |message: String| ServeError::Tensor {
            name: self.name.clone(),
            message,
        };
        let dtype = parse_datatype(&self.datatype)
            .ok_or_else(|| problem(format!("datatype '{}' is not known", self.datatype)))?;
        let mut flat = Vec::new();
        flatten(&self.data, 0, &mut flat).map_err(problem)?;
        macro_rules! tensor {
            ($t:ty) => {{
                let values: Result<Vec<$t>, String> = flat
                    .iter()
                    .map(|value| element(value, &self.datatype))
                    .collect();
                let bytes: Vec<u8> = values
                    .map_err(problem)?
                    .iter()
                    .flat_map(|v| v.to_le_bytes())
                    .collect();
                Tensor::from_bytes(dtype, &self.shape, &bytes).map_err(|error| problem(error.to_string()))
            }};
        }
        by_dtype!(
            dtype,
            tensor,
            Err(problem("its dtype has no form in JSON".to_string()))
        )
    }
}

/// Deepest nesting of lists in `data`: as many as a tensor could have dimensions.
const MAX_DEPTH: usize = 16;

fn flatten<'a>(
    value: &'a serde_json::Value,
    depth: usize,
    flat: &mut Vec<&'a serde_json::Value>,
) -> Result<(), String> {
    match value {
        serde_json::Value::Array(list) if depth < MAX_DEPTH => {
            list.iter().try_for_each(|v| flatten(v, depth + 1, flat))
        }
        serde_json::Value::Array(_) => Err(format!("its data is nested more than {MAX_DEPTH} deep")),
        other => {
            flat.push(other);
            Ok(())
        }
    }
}

fn element<T: serde::de::DeserializeOwned>(value: &serde_json::Value, datatype: &str) -> Result<T, String> {
    let number = match value {
        serde_json::Value::Bool(flag) if datatype == "BOOL" => u8::from(*flag).into(),
        other => other.clone(),
    };
    serde_json::from_value(number).map_err(|_| format!("element {value} is not of datatype {datatype}"))
}
