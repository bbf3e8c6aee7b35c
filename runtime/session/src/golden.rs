//! The golden vectors, run by the engine that serves.

use crate::session::{Outputs, Session};
use crate::validate::element_at;
use sanderling_bundle::{Expect, GoldenOutput, GoldenVector, value_digest};
use sanderling_core::{Tensor, TensorView};

/// How the golden vectors went.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize)]
pub struct SelfTest {
    /// One for each vector, in order.
    pub vectors: Vec<VectorResult>,
}

/// How one vector went.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct VectorResult {
    /// Its name.
    pub name: String,
    /// What is wrong, for people; none where it passed.
    pub failure: Option<String>,
    /// Largest |x − v| over the outputs that are compared by value.
    pub max_abs_error: f64,
    /// Largest |x − v| / (abs + rel·|v|): 1 is at the tolerance.
    pub of_tolerance: f64,
}

impl SelfTest {
    /// Whether there were vectors and all of them passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        !self.vectors.is_empty() && self.vectors.iter().all(|vector| vector.failure.is_none())
    }
}

/// Runs a vector, and waits.
pub(crate) fn run(session: &mut Session, vector: &GoldenVector<'_>) -> VectorResult {
    let outputs = with_inputs(vector, move |inputs| {
        session.run(inputs).map_err(|error| error.to_string())
    });
    result(vector, outputs)
}

/// Starts a vector's run; [`result`] is for its outputs.
///
/// # Errors
/// The result, where it fails before it runs.
pub(crate) fn start(session: &mut Session, vector: &GoldenVector<'_>) -> Result<(), VectorResult> {
    let started = with_inputs(vector, |inputs| {
        session.start(inputs).map_err(|error| error.to_string())
    });
    started.map_err(|why| result(vector, Err(why)))
}

/// What a vector says of a run's outputs, or of what kept it from having any.
pub(crate) fn result(vector: &GoldenVector<'_>, outputs: Result<Outputs<'_>, String>) -> VectorResult {
    let mut result = VectorResult {
        name: vector.name.to_string(),
        failure: None,
        max_abs_error: 0.0,
        of_tolerance: 0.0,
    };
    let judged = outputs.and_then(|outputs| judge(&outputs, vector, &mut result));
    result.failure = judged.err();
    result
}

fn with_inputs<T>(
    vector: &GoldenVector<'_>,
    run: impl FnOnce(&[(&str, TensorView<'_>)]) -> Result<T, String>,
) -> Result<T, String> {
    let tensor = |input: &sanderling_bundle::GoldenInput<'_>| {
        let shape = shape(&input.dims).ok_or("an input's shape is too large")?;
        Tensor::from_bytes(input.dtype, &shape, input.bytes).map_err(|error| error.to_string())
    };
    let tensors = vector
        .inputs
        .iter()
        .map(tensor)
        .collect::<Result<Vec<_>, String>>()?;
    let named: Vec<_> = vector
        .inputs
        .iter()
        .zip(&tensors)
        .map(|(i, tensor)| (i.name, tensor.view()))
        .collect();
    run(&named)
}

fn judge(outputs: &Outputs<'_>, vector: &GoldenVector<'_>, result: &mut VectorResult) -> Result<(), String> {
    if vector.outputs.is_empty() {
        return Err("it expects nothing".to_string());
    }
    for expected in &vector.outputs {
        let found = outputs
            .get(expected.name)
            .ok_or_else(|| format!("output '{}' is not there", expected.name))?;
        compare(expected, &found, result).map_err(|why| format!("output '{}': {why}", expected.name))?;
    }
    Ok(())
}

fn shape(dims: &[u64]) -> Option<Vec<usize>> {
    dims.iter().map(|&dim| usize::try_from(dim).ok()).collect()
}

fn compare(
    expected: &GoldenOutput<'_>,
    found: &TensorView<'_>,
    result: &mut VectorResult,
) -> Result<(), String> {
    let dims: Vec<u64> = found.shape().iter().map(|&n| n as u64).collect();
    if expected.dtype != found.dtype() || expected.dims != dims {
        return Err(format!(
            "expected {}{:?}, found {}{dims:?}",
            expected.dtype.name(),
            expected.dims,
            found.dtype().name()
        ));
    }
    let (bytes, abs, rel) = match &expected.expect {
        Expect::Exact { digest } if *digest == value_digest(found.dtype(), &dims, found.bytes()) => {
            return Ok(());
        }
        Expect::Exact { .. } => return Err("its bytes differ from the golden ones".to_string()),
        Expect::Close { bytes, abs, rel } => (bytes, f64::from(*abs), f64::from(*rel)),
    };
    let golden =
        Tensor::from_bytes(found.dtype(), found.shape(), bytes).map_err(|error| error.to_string())?;
    for index in 0..found.len() {
        let (x, v) = (element_at(found, index), element_at(&golden.view(), index));
        if x == v || (x.is_nan() && v.is_nan()) {
            continue;
        }
        let (error, tolerance) = ((x - v).abs(), abs + rel * v.abs());
        // Written so that NaN fails.
        if !(x.is_finite() && v.is_finite() && error <= tolerance) {
            return Err(format!(
                "element {index} is {x}, golden {v}, tolerance {tolerance:e}"
            ));
        }
        result.max_abs_error = result.max_abs_error.max(error);
        result.of_tolerance = result.of_tolerance.max(error / tolerance);
    }
    Ok(())
}
