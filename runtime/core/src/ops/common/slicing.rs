//! Slices along axes: begin, end and step as ONNX (and Python) clamp them.

use crate::error::OpError;
use crate::shape::normalise_axis;
use alloc::format;
use alloc::vec::Vec;

/// A slice along one axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Axis.
    pub axis: usize,
    /// First element taken.
    pub start: i64,
    /// Step; may be negative.
    pub step: i64,
    /// Elements taken.
    pub len: usize,
}

/// A slice's lists before the sizes are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// Begins.
    pub starts: Vec<i64>,
    /// Ends.
    pub ends: Vec<i64>,
    /// Axes.
    pub axes: Vec<usize>,
    /// Steps.
    pub steps: Vec<i64>,
}

impl Spec {
    /// From ONNX's lists; without `axes` the first ones, without `steps` ones.
    ///
    /// # Errors
    /// [`OpError::Shape`] for lists of different lengths, a step of zero or an axis outside.
    pub fn new(
        starts: Vec<i64>,
        ends: Vec<i64>,
        axes: Option<Vec<i64>>,
        steps: Option<Vec<i64>>,
        rank: usize,
    ) -> Result<Self, OpError> {
        let count = starts.len();
        let axes = match axes {
            Some(axes) => axes
                .iter()
                .map(|&axis| normalise_axis("axes", axis, rank))
                .collect::<Result<Vec<_>, _>>()?,
            None => (0..count).collect(),
        };
        let steps = steps.unwrap_or_else(|| alloc::vec![1; count]);
        let fits = [ends.len(), axes.len(), steps.len()]
            .iter()
            .all(|&len| len == count);
        if !fits || steps.contains(&0) || axes.iter().any(|&axis| axis >= rank) {
            return Err(OpError::shape(format!(
                "starts {starts:?}, ends {ends:?}, axes {axes:?} and steps {steps:?} do not fit each other or rank {rank}"
            )));
        }
        Ok(Self {
            starts,
            ends,
            axes,
            steps,
        })
    }

    /// The `i`th entry over an axis of `size` elements.
    #[must_use]
    pub fn cut(&self, i: usize, size: usize) -> Cut {
        let (size, step) = (size as i64, self.steps[i]);
        // A negative step may stop before element 0, which is written −1 here.
        let (low, high) = if step > 0 { (0, size) } else { (-1, size - 1) };
        let clamp = |at: i64| (if at < 0 { at.saturating_add(size) } else { at }).clamp(low, high.max(low));
        let (start, end) = (clamp(self.starts[i]), clamp(self.ends[i]));
        let distance = if step > 0 { end - start } else { start - end };
        let len = if distance > 0 {
            (distance - 1) as u64 / step.unsigned_abs() + 1
        } else {
            0
        };
        Cut {
            axis: self.axes[i],
            start,
            step,
            len: len as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn clamped_as_python() {
        let check = |start, end, step, size, want: (i64, usize)| {
            let spec = Spec::new(vec![start], vec![end], None, Some(vec![step]), 1).unwrap();
            let cut = spec.cut(0, size);
            assert_eq!((cut.start, cut.len), want, "[{start}:{end}:{step}] of {size}");
        };
        check(0, i64::MAX, 1, 5, (0, 5));
        check(-2, i64::MAX, 1, 5, (3, 2));
        check(1, -1, 2, 6, (1, 2));
        check(-1, i64::MIN, -1, 5, (4, 5));
        check(10, 0, -2, 5, (4, 2));
        check(3, 2, 1, 5, (3, 0));
        check(0, 1000, 1, 0, (0, 0));
        check(-1, i64::MIN, -1, 0, (-1, 0));
        check(i64::MIN, i64::MAX, i64::MAX, 5, (0, 1));
    }

    #[test]
    fn lists_that_do_not_fit() {
        assert!(Spec::new(vec![0], vec![], None, None, 1).is_err());
        assert!(Spec::new(vec![0], vec![1], None, Some(vec![0]), 1).is_err());
        assert!(Spec::new(vec![0, 0], vec![1, 1], None, None, 1).is_err());
        assert!(Spec::new(vec![0], vec![1], Some(vec![1]), None, 1).is_err());
    }
}
