//! Dimensions that are numbers, names or open, and the types of tensors made of them.

use crate::OpError;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use sanderling_bundle::DType;

/// Most elements of one tensor: keeps every size computation inside `u64` and most inside memory.
pub const MAX_ELEMENTS: u64 = 1 << 40;

/// One dimension of a shape, or one integer of a small tensor that holds shapes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Dim {
    /// A number. As a dimension never negative; as an element of a shape-holding tensor it may be −1.
    Fixed(i64),
    /// A number that only a run knows, by name: two dimensions of one name are equal.
    Symbol(String),
    /// A number that only a run knows.
    Unknown,
}

impl Dim {
    /// The number, where it is one.
    #[must_use]
    pub fn fixed(&self) -> Option<i64> {
        match self {
            Self::Fixed(n) => Some(*n),
            _ => None,
        }
    }
}

impl From<usize> for Dim {
    fn from(n: usize) -> Self {
        // A dimension above i64::MAX has no memory that could hold it; MAX_ELEMENTS refuses it.
        Self::Fixed(i64::try_from(n).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(n) => write!(f, "{n}"),
            Self::Symbol(name) => f.write_str(name),
            Self::Unknown => f.write_str("?"),
        }
    }
}

/// Element type and shape of a tensor.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TensorType {
    /// Element type.
    pub dtype: DType,
    /// Outermost dimension first; empty for a scalar.
    pub shape: Vec<Dim>,
}

impl TensorType {
    /// A type with every dimension known.
    #[must_use]
    pub fn fixed(dtype: DType, shape: &[usize]) -> Self {
        Self {
            dtype,
            shape: shape.iter().map(|&n| Dim::from(n)).collect(),
        }
    }

    /// Number of dimensions.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// The shape, where every dimension is a number.
    #[must_use]
    pub fn concrete(&self) -> Option<Vec<usize>> {
        self.shape
            .iter()
            .map(|dim| dim.fixed().and_then(|n| usize::try_from(n).ok()))
            .collect()
    }

    /// Size of the packed bytes, where every dimension is a number and the dtype has a size.
    #[must_use]
    pub fn byte_len(&self) -> Option<usize> {
        self.dtype.bytes_for(element_count(&self.concrete()?)?)
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[", self.dtype.name())?;
        for (i, dim) in self.shape.iter().enumerate() {
            write!(f, "{}{dim}", if i == 0 { "" } else { "," })?;
        }
        f.write_str("]")
    }
}

/// Product of dimensions; none above [`MAX_ELEMENTS`].
#[must_use]
pub fn element_count(shape: &[usize]) -> Option<usize> {
    let count = shape.iter().try_fold(1u64, |n, &dim| n.checked_mul(dim as u64))?;
    (count <= MAX_ELEMENTS).then_some(count)?.try_into().ok()
}

/// An axis in `−rank..rank` as an index.
///
/// # Errors
/// [`OpError::Attribute`] for an axis outside.
pub fn normalise_axis(name: &str, axis: i64, rank: usize) -> Result<usize, OpError> {
    let shifted = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(shifted)
        .ok()
        .filter(|&axis| axis < rank.max(1))
        .ok_or_else(|| OpError::attribute(name, format!("is {axis}, the rank is {rank}")))
}

/// The shape that `a` and `b` broadcast to (ONNX multidirectional, as NumPy).
///
/// An unknown dimension against a fixed one other than 1 is taken to be that one: the run checks.
///
/// # Errors
/// [`OpError::Shape`] where two fixed dimensions differ and none is 1.
pub fn broadcast(a: &[Dim], b: &[Dim]) -> Result<Vec<Dim>, OpError> {
    let rank = a.len().max(b.len());
    let one = Dim::Fixed(1);
    let at = |shape: &[Dim], i: usize| {
        (i + shape.len())
            .checked_sub(rank)
            .map_or(one.clone(), |i| shape[i].clone())
    };
    (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (x, y) if x == y => Ok(x),
            (Dim::Fixed(1), other) | (other, Dim::Fixed(1)) => Ok(other),
            (Dim::Fixed(x), Dim::Fixed(y)) => Err(OpError::shape(format!(
                "dimensions {x} and {y} (axis {i} of {rank}) do not broadcast: they are neither equal nor 1"
            ))),
            (Dim::Fixed(n), _) | (_, Dim::Fixed(n)) => Ok(Dim::Fixed(n)),
            _ => Ok(Dim::Unknown),
        })
        .collect()
}

/// Row-major strides of a shape, in elements.
#[must_use]
pub fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = alloc::vec![1; shape.len()];
    for i in (1..shape.len()).rev() {
        strides[i - 1] = strides[i] * shape[i];
    }
    strides
}

#[cfg(test)]
mod tests {
    use super::*;
    use Dim::{Fixed, Symbol, Unknown};
    use alloc::string::ToString;
    use alloc::vec;

    #[test]
    fn broadcasting() {
        let n = || Symbol("N".to_string());
        let check = |a: &[Dim], b: &[Dim], want: Option<Vec<Dim>>| {
            assert_eq!(broadcast(a, b).ok(), want);
            assert_eq!(broadcast(b, a).ok(), want);
        };
        check(&[Fixed(3), Fixed(1)], &[Fixed(4)], Some(vec![Fixed(3), Fixed(4)]));
        check(&[n()], &[n()], Some(vec![n()]));
        check(&[n()], &[Fixed(1)], Some(vec![n()]));
        check(&[n()], &[Fixed(5)], Some(vec![Fixed(5)]));
        check(&[n()], &[Unknown], Some(vec![Unknown]));
        check(&[], &[Fixed(2)], Some(vec![Fixed(2)]));
        check(&[Fixed(2)], &[Fixed(3)], None);
    }

    #[test]
    fn axes() {
        assert_eq!(normalise_axis("axis", -1, 3), Ok(2));
        assert_eq!(normalise_axis("axis", 2, 3), Ok(2));
        assert!(normalise_axis("axis", 3, 3).is_err());
        assert!(normalise_axis("axis", -4, 3).is_err());
        assert_eq!(normalise_axis("axis", 0, 0), Ok(0));
    }

    #[test]
    fn counting_does_not_overflow() {
        assert_eq!(element_count(&[]), Some(1));
        assert_eq!(element_count(&[usize::MAX, 2]), None);
        assert_eq!(element_count(&[1 << 21, 1 << 21]), None);
    }
}
