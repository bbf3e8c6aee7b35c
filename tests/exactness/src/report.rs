//! What a target says of a run, as lines that `cargo xtask everywhere` compares between targets.
//!
//! ```text
//! answer 285                 the greatest element of the first output; none where it has no numbers
//! ms 11.204                  median of a few runs
//! layer <SHA-256> <value>    one line for each layer that computes integers
//! ```

use sanderling_session::{DType, ModelBytes, Session, SessionError, SessionOptions, TensorType, TensorView};
use std::cmp::Ordering;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

/// Timed runs.
const RUNS: usize = 5;

/// Loads a bundle, feeds its one float input from a file of little-endian binary32, and reports.
///
/// # Errors
/// What cannot be read or run, in words.
pub fn report(bundle: &Path, input: &Path, options: &SessionOptions) -> Result<String, String> {
    let named = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let bytes = ModelBytes::read(bundle).map_err(|e| named(bundle, &e))?;
    let session = Session::from_bundle(bytes, options).map_err(|e| named(bundle, &e))?;
    let data = std::fs::read(input).map_err(|e| named(input, &e))?;
    of_session(session, &data).map_err(|e| named(bundle, &e))
}

fn of_session(mut session: Session, data: &[u8]) -> Result<String, SessionError> {
    let port = session.inputs().first().cloned().ok_or(SessionError::Pipeline {
        message: "the model has no input".into(),
    })?;
    let dims = port.ty.as_ref().map_or(&[][..], |ty: &TensorType| &ty.shape);
    let shape: Vec<usize> = dims
        .iter()
        .map(|dim| dim.fixed().map_or(1, |n| n as usize))
        .collect();
    let dtype = port.ty.as_ref().map_or(DType::F32, |ty| ty.dtype);
    let view = TensorView::new(dtype, &shape, data)?;
    let given = [(port.name.as_str(), view)];
    let layers = session.layers(&given)?;
    let answer = session.run(&given)?.at(0).and_then(|output| greatest(&output));
    let answer = answer.map_or_else(|| "none".to_string(), |place| place.to_string());
    let mut text = format!("answer {answer}\n");
    let mut times = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let start = Instant::now();
        session.run(&given)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    // Writing to a String does not fail.
    let _ = writeln!(text, "ms {:.3}", times[RUNS / 2]);
    for fallback in session.fallbacks() {
        let _ = writeln!(text, "fallback {}: {}", fallback.backend, fallback.reason);
    }
    for layer in layers {
        if let Some(digest) = layer.digest {
            let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            let _ = writeln!(text, "layer {hex} {}", layer.value);
        }
    }
    Ok(text)
}

/// The place of the greatest element, the last of equal ones; none for no elements, and for types that models do not answer in.
fn greatest(tensor: &TensorView<'_>) -> Option<usize> {
    fn last<T: Copy>(elements: &[T], order: fn(&T, &T) -> Ordering) -> Option<usize> {
        let places = elements.iter().enumerate();
        places.max_by(|a, b| order(a.1, b.1)).map(|(place, _)| place)
    }
    macro_rules! among {
        ($($dtype:ident $element:ty),*) => {
            match tensor.dtype() {
                DType::F32 => last(tensor.as_slice::<f32>().ok()?, f32::total_cmp),
                $(DType::$dtype => last(tensor.as_slice::<$element>().ok()?, Ord::cmp),)*
                _ => None,
            }
        };
    }
    among!(I8 i8, U8 u8, I16 i16, U16 u16, I32 i32, U32 u32, I64 i64, U64 u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sanderling_core::OpError;
    use sanderling_session::Tensor;

    #[test]
    fn the_greatest_integers_and_floats() {
        let of = |tensor: Result<Tensor, OpError>| greatest(&tensor.unwrap().view());
        assert_eq!(of(Tensor::from_slice(&[3], &[1.0f32, 4.0, -9.0])), Some(1));
        assert_eq!(of(Tensor::from_slice(&[3], &[-3i8, -128, -1])), Some(2));
        assert_eq!(of(Tensor::from_slice(&[1, 3], &[3u8, 200, 100])), Some(1));
        assert_eq!(of(Tensor::from_slice(&[3], &[i64::MAX, 0, 5])), Some(0));
        assert_eq!(of(Tensor::from_slice::<f32>(&[0], &[])), None);
    }
}
