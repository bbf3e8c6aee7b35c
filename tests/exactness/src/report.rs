//! What a target says of a run, as lines that `cargo xtask everywhere` compares between targets.
//!
//! ```text
//! answer 285                 the greatest element of the first output
//! ms 11.204                  median of a few runs
//! layer <SHA-256> <value>    one line for each layer that computes integers
//! ```

use sanderling_session::{DType, ModelBytes, Session, SessionError, SessionOptions, TensorType, TensorView};
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
    let mut text = format!("answer {}\n", greatest(&mut session, &given)?);
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

/// The place of the greatest element of the first output.
fn greatest(session: &mut Session, given: &[(&str, TensorView<'_>)]) -> Result<usize, SessionError> {
    let outputs = session.run(given)?;
    let output = outputs.at(0).map(|view| view.to_tensor());
    let scores = output
        .as_ref()
        .and_then(|tensor| tensor.view().as_slice::<f32>().ok().map(<[f32]>::to_vec));
    let scores = scores.unwrap_or_default();
    let best = scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    Ok(best.map_or(0, |(index, _)| index))
}
