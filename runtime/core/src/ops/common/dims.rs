//! Arithmetic on dimensions that may be names.

use crate::error::OpError;
use crate::shape::Dim;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Sum; a name survives adding zero.
#[must_use]
pub fn add(a: &Dim, b: &Dim) -> Dim {
    match (a, b) {
        (Dim::Fixed(0), other) | (other, Dim::Fixed(0)) => other.clone(),
        (Dim::Fixed(a), Dim::Fixed(b)) => Dim::Fixed(a.wrapping_add(*b)),
        _ => Dim::Unknown,
    }
}

/// Difference; a name less itself is zero.
#[must_use]
pub fn sub(a: &Dim, b: &Dim) -> Dim {
    match (a, b) {
        (a, Dim::Fixed(0)) => a.clone(),
        (Dim::Fixed(a), Dim::Fixed(b)) => Dim::Fixed(a.wrapping_sub(*b)),
        (Dim::Symbol(a), Dim::Symbol(b)) if a == b => Dim::Fixed(0),
        _ => Dim::Unknown,
    }
}

/// Product; a name survives multiplying by one.
#[must_use]
pub fn mul(a: &Dim, b: &Dim) -> Dim {
    match (a, b) {
        (Dim::Fixed(1), other) | (other, Dim::Fixed(1)) => other.clone(),
        (Dim::Fixed(0), _) | (_, Dim::Fixed(0)) => Dim::Fixed(0),
        (Dim::Fixed(a), Dim::Fixed(b)) => Dim::Fixed(a.wrapping_mul(*b)),
        _ => Dim::Unknown,
    }
}

/// Quotient, truncating; a name survives dividing by one.
#[must_use]
pub fn div(a: &Dim, b: &Dim) -> Dim {
    match (a, b) {
        (a, Dim::Fixed(1)) => a.clone(),
        (Dim::Fixed(a), Dim::Fixed(b)) if *b != 0 => Dim::Fixed(a.wrapping_div(*b)),
        (Dim::Symbol(a), Dim::Symbol(b)) if a == b => Dim::Fixed(1),
        _ => Dim::Unknown,
    }
}

/// Product of all: a number, one name, or unknown. None where a product of numbers overflows.
#[must_use]
pub fn product(dims: &[Dim]) -> Dim {
    dims.iter().fold(Dim::Fixed(1), |product, dim| mul(&product, dim))
}

/// Sum of all.
#[must_use]
pub fn sum<'a>(dims: impl Iterator<Item = &'a Dim>) -> Dim {
    dims.fold(Dim::Fixed(0), |sum, dim| add(&sum, dim))
}

/// What two dimensions that must be equal are: the better known of both.
///
/// # Errors
/// [`OpError::Shape`] where both are numbers and differ.
pub fn unify(a: &Dim, b: &Dim, what: &str) -> Result<Dim, OpError> {
    match (a, b) {
        (Dim::Fixed(x), Dim::Fixed(y)) if x != y => {
            Err(OpError::shape(format!("{what}: {x} and {y} must be equal")))
        }
        (Dim::Fixed(_), _) | (_, Dim::Unknown) => Ok(a.clone()),
        (_, Dim::Fixed(_)) | (Dim::Unknown, _) => Ok(b.clone()),
        (a, b) if a == b => Ok(a.clone()),
        _ => Ok(a.clone()),
    }
}

/// The dimension that makes `rest` × it equal to the product of `from` (Reshape's −1).
///
/// Names on both sides cancel: `[N, 4, 8]` as `[N, −1]` gives 32.
///
/// # Errors
/// [`OpError::Shape`] where numbers do not divide.
pub fn missing_factor(from: &[Dim], rest: &[Dim]) -> Result<Dim, OpError> {
    let mut names: Vec<&String> = Vec::new();
    let mut open = false;
    let mut number = |dims: &mut dyn Iterator<Item = &Dim>| -> i64 {
        dims.filter_map(|dim| match dim {
            Dim::Unknown => {
                open = true;
                None
            }
            dim => dim.fixed(),
        })
        .fold(1i64, i64::saturating_mul)
    };
    let (total, known) = (number(&mut from.iter()), number(&mut rest.iter()));
    names.extend(from.iter().filter_map(symbol));
    for name in rest.iter().filter_map(symbol) {
        match names.iter().position(|n| *n == name) {
            Some(at) => drop(names.swap_remove(at)),
            None => open = true,
        }
    }
    let divides = known != 0 && total % known == 0;
    if open || (!names.is_empty() && !divides) {
        return Ok(Dim::Unknown);
    }
    if !divides {
        // 0 elements as [0, −1]: ONNX leaves it open, NumPy refuses; so do we, unless nothing is asked.
        return Err(OpError::shape(format!(
            "{total} elements do not split evenly into groups of {known}"
        )));
    }
    match (total / known, names.as_slice()) {
        (n, []) => Ok(Dim::Fixed(n)),
        (1, [name]) => Ok(Dim::Symbol((*name).clone())),
        _ => Ok(Dim::Unknown),
    }
}

fn symbol(dim: &Dim) -> Option<&String> {
    match dim {
        Dim::Symbol(name) => Some(name),
        _ => None,
    }
}

/// Maps a dimension through `f` where it is a number; otherwise it is unknown.
///
/// # Errors
/// What `f` says.
pub fn map(dim: &Dim, f: impl FnOnce(usize) -> Result<usize, OpError>) -> Result<Dim, OpError> {
    match dim.fixed().and_then(|n| usize::try_from(n).ok()) {
        Some(n) => Ok(Dim::from(f(n)?)),
        None => Ok(Dim::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Dim::{Fixed, Unknown};
    use alloc::string::ToString;

    #[test]
    fn names_cancel() {
        let n = || Dim::Symbol("N".to_string());
        assert_eq!(missing_factor(&[n(), Fixed(4), Fixed(8)], &[n()]), Ok(Fixed(32)));
        assert_eq!(missing_factor(&[n(), Fixed(4)], &[Fixed(4)]), Ok(n()));
        assert_eq!(missing_factor(&[n(), Fixed(4)], &[Fixed(2)]), Ok(Unknown));
        assert_eq!(missing_factor(&[Fixed(6)], &[n()]), Ok(Unknown));
        assert!(missing_factor(&[Fixed(6)], &[Fixed(4)]).is_err());
        assert_eq!(sub(&n(), &n()), Fixed(0));
        assert_eq!(product(&[n(), Fixed(1)]), n());
    }
}
