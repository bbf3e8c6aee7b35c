//! Whether a tensor is as expected: the suite's own tolerances for floats, equality for everything else.

use sanderling_core::Tensor;
use sanderling_core::ops::common::codec::{Wide, reader};

/// Relative tolerance of the suite's runner.
const RELATIVE: f64 = 1e-3;
/// Absolute tolerance of the suite's runner.
const ABSOLUTE: f64 = 1e-7;

/// What differs; none where nothing does.
#[must_use]
pub fn difference(got: &Tensor, want: &Tensor) -> Option<String> {
    if got.dtype() != want.dtype() || got.shape() != want.shape() {
        return Some(format!("it is {}, not {}", got.ty(), want.ty()));
    }
    let Ok(read) = reader(got.dtype()) else {
        return (got.bytes() != want.bytes()).then(|| "its bytes differ".to_owned());
    };
    let elements = 0..got.view().len();
    let pair = |i: usize| (read(got.bytes(), i), read(want.bytes(), i));
    let off: Vec<usize> = elements.filter(|&i| !close(pair(i))).collect();
    let &first = off.first()?;
    let (got, want) = pair(first);
    Some(format!(
        "{} elements differ, the first at {first}: {got:?}, not {want:?}",
        off.len()
    ))
}

fn close((got, want): (Wide, Wide)) -> bool {
    match (got, want) {
        (Wide::Float(got), Wide::Float(want)) => {
            got == want
                || (got.is_nan() && want.is_nan())
                || (got - want).abs() <= ABSOLUTE + RELATIVE * want.abs()
        }
        (got, want) => got == want,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_close_and_integers_equal() {
        let float = |x: f32| Tensor::from_slice(&[1], &[x]).unwrap();
        let int = |x: i32| Tensor::from_slice(&[1], &[x]).unwrap();
        assert_eq!(difference(&float(1.0), &float(1.0009)), None);
        assert_eq!(difference(&float(f32::NAN), &float(f32::NAN)), None);
        assert_eq!(difference(&float(f32::INFINITY), &float(f32::INFINITY)), None);
        assert!(difference(&float(1.0), &float(1.01)).is_some());
        assert!(difference(&float(f32::INFINITY), &float(1.0)).is_some());
        assert!(difference(&int(1_000_000), &int(1_000_001)).is_some());
        assert!(difference(&float(1.0), &int(1)).is_some());
    }
}
