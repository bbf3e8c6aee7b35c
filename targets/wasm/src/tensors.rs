//! What goes into a run.

use crate::object;
use sanderling_session::{DType, PortInfo, SessionError, Tensor};
use wasm_bindgen::prelude::*;

/// Named tensors, gathered by JavaScript one by one.
#[wasm_bindgen]
#[derive(Default)]
pub struct Tensors(Vec<Given>);

/// One as it was given; what its shape is may follow from the model.
struct Given {
    name: String,
    dtype: DType,
    shape: Option<Vec<usize>>,
    bytes: Vec<u8>,
}

#[wasm_bindgen]
impl Tensors {
    /// None yet.
    #[must_use]
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one: type by its ONNX name (`float32`, `uint8` …), shape, little-endian elements. Without a shape it takes
    /// the model's.
    ///
    /// # Errors
    /// `InputType` for a type that is none.
    pub fn add(
        &mut self,
        name: String,
        dtype: &str,
        shape: Option<Vec<u32>>,
        bytes: Vec<u8>,
    ) -> Result<(), JsValue> {
        let Some(dtype) = DType::from_name(dtype) else {
            return Err(object::error(&SessionError::InputType {
                name,
                expected: "one of ONNX's types, as in float32 or uint8".to_string(),
                found: format!("'{dtype}'"),
            }));
        };
        let shape = shape.map(|dims| dims.into_iter().map(|dim| dim as usize).collect());
        self.0.push(Given {
            name,
            dtype,
            shape,
            bytes,
        });
        Ok(())
    }
}

impl Tensors {
    /// What pre-processing made.
    pub(crate) fn of(prepared: Vec<(String, Tensor)>) -> Self {
        let given = prepared.into_iter().map(|(name, tensor)| Given {
            name,
            dtype: tensor.dtype(),
            shape: Some(tensor.shape().to_vec()),
            bytes: tensor.bytes().to_vec(),
        });
        Self(given.collect())
    }

    /// All of them, with their shapes.
    ///
    /// # Errors
    /// [`SessionError::Pipeline`] for bytes that are no tensor of a port.
    pub fn resolve(self, ports: &[PortInfo]) -> Result<Vec<(String, Tensor)>, SessionError> {
        let tensors = self.0.into_iter().map(|given| given.resolve(ports));
        tensors.collect()
    }
}

impl Given {
    fn resolve(self, ports: &[PortInfo]) -> Result<(String, Tensor), SessionError> {
        let port = ports.iter().find(|port| port.name == self.name);
        let elements = self.bytes.len() / (self.dtype.bits() / 8).max(1);
        let shape = match (self.shape, port) {
            (Some(shape), _) => shape,
            (None, Some(port)) => port.shape_of(elements)?,
            // The session says that the name does not exist.
            (None, None) => vec![elements],
        };
        let tensor =
            Tensor::from_bytes(self.dtype, &shape, &self.bytes).map_err(|error| SessionError::Pipeline {
                message: format!("input '{}': {error}", self.name),
            })?;
        Ok((self.name, tensor))
    }
}
