//! Resampling: for each output index of an axis, which input indices count how much.
//!
//! ONNX's interpolations are products of one-dimensional ones, so each axis is resampled by itself, outermost
//! first. Coordinates are binary32, as onnxruntime's: on the border between two neighbours both take the same.
//! The filters are those of ONNX's Resize (opset 19): cubic after Keys ("Cubic convolution interpolation for
//! digital image processing", 1981), antialiasing by stretching the filter when shrinking.

use super::gather::AxisMap;
use super::number::Float;
use alloc::vec::Vec;

/// From an output index to a coordinate of the input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Coordinates {
    /// Centres of pixels stay: (x + ½) ÷ scale − ½.
    HalfPixel,
    /// As half_pixel, about the middle of the input where the scaled size was rounded.
    HalfPixelSymmetric,
    /// As half_pixel; 0 for an output of one.
    PytorchHalfPixel,
    /// First and last elements stay.
    AlignCorners,
    /// x ÷ scale.
    Asymmetric,
    /// (x + ½) ÷ scale.
    TfHalfPixelForNearest,
    /// The part of the input between `roi`'s begin and end, in units of its size less one.
    Crop {
        /// Begin.
        start: f32,
        /// End.
        end: f32,
    },
}

/// How `nearest` rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nearest {
    /// ½ goes down.
    RoundPreferFloor,
    /// ½ goes up.
    RoundPreferCeil,
    /// Down.
    Floor,
    /// Up.
    Ceil,
}

/// An interpolation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Filter {
    /// The nearest element.
    Nearest(Nearest),
    /// Between two elements.
    Linear,
    /// Among four elements, with Keys' parameter (−0.75, −0.5).
    Cubic(f32),
}

/// One axis to resample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Resample {
    /// Elements of the input.
    pub input: usize,
    /// Elements of the output.
    pub output: usize,
    /// Output over input, as asked for (the output's size is rounded down).
    pub scale: f32,
    /// Coordinates.
    pub coordinates: Coordinates,
    /// Interpolation.
    pub filter: Filter,
    /// Whether filters widen when shrinking.
    pub antialias: bool,
    /// Whether weights outside of the input are left out and the others made up to 1.
    pub exclude_outside: bool,
}

/// Input indices and weights of one output; none where it lies outside of a crop.
pub type Taps = Option<Vec<(usize, f32)>>;

impl Resample {
    /// Whether each output is the input of the same index.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        let crops = matches!(self.coordinates, Coordinates::Crop { .. });
        self.input == self.output && self.scale == 1.0 && !crops
    }

    /// The input's coordinate under output `x`.
    #[must_use]
    pub fn coordinate(&self, x: usize) -> f32 {
        let (x, input, scale) = (x as f32, self.input as f32, self.scale);
        let resized = scale * input;
        match self.coordinates {
            Coordinates::HalfPixel => (x + 0.5) / scale - 0.5,
            Coordinates::HalfPixelSymmetric => {
                let offset = input / 2.0 * (1.0 - self.output as f32 / resized);
                offset + (x + 0.5) / scale - 0.5
            }
            Coordinates::PytorchHalfPixel if self.output > 1 => (x + 0.5) / scale - 0.5,
            Coordinates::AlignCorners if self.output > 1 => x * (input - 1.0) / (resized - 1.0),
            Coordinates::PytorchHalfPixel | Coordinates::AlignCorners => 0.0,
            Coordinates::Asymmetric => x / scale,
            Coordinates::TfHalfPixelForNearest => (x + 0.5) / scale,
            Coordinates::Crop { start, end } if self.output > 1 => {
                start * (input - 1.0) + x * (end - start) * (input - 1.0) / (self.output as f32 - 1.0)
            }
            Coordinates::Crop { start, end } => 0.5 * (start + end) * (input - 1.0),
        }
    }

    /// Whether output `x` lies outside of the input, which only crops notice.
    fn is_outside(&self, x: f32) -> bool {
        matches!(self.coordinates, Coordinates::Crop { .. }) && (x < 0.0 || x > self.input as f32 - 1.0)
    }

    /// The nearest input of each output, by index.
    #[must_use]
    pub fn nearest(&self, rounding: Nearest) -> AxisMap {
        let last = self.input.saturating_sub(1) as f32;
        let one = |o: usize| {
            let x = self.coordinate(o);
            let rounded = match rounding {
                Nearest::RoundPreferFloor => libm::ceilf(x - 0.5),
                Nearest::RoundPreferCeil => libm::floorf(x + 0.5),
                Nearest::Floor => libm::floorf(x),
                Nearest::Ceil => libm::ceilf(x),
            };
            (!self.is_outside(x)).then(|| rounded.clamp(0.0, last) as usize)
        };
        (0..self.output).map(one).collect()
    }

    /// Inputs and weights of each output.
    #[must_use]
    pub fn taps(&self) -> Vec<Taps> {
        match self.filter {
            Filter::Nearest(rounding) => self
                .nearest(rounding)
                .into_iter()
                .map(|at| at.map(|at| alloc::vec![(at, 1.0)]))
                .collect(),
            Filter::Linear => self.filtered(1.0, |x| (1.0 - x).max(0.0)),
            Filter::Cubic(a) => self.filtered(2.0, move |x| keys(x, a)),
        }
    }

    /// Weights of a filter that reaches `radius` elements to either side.
    fn filtered(&self, radius: f32, filter: impl Fn(f32) -> f32) -> Vec<Taps> {
        let stretch = if self.antialias { self.scale.min(1.0) } else { 1.0 };
        let first = libm::floorf(-radius / stretch) as i64 + 1;
        (0..self.output)
            .map(|o| {
                let x = self.coordinate(o);
                if self.is_outside(x) {
                    return None;
                }
                let floor = libm::floorf(x);
                let mut taps: Vec<(i64, f32)> = (first..=1 - first)
                    .map(|i| {
                        (
                            floor as i64 + i,
                            filter(libm::fabsf((i as f32 - (x - floor)) * stretch)),
                        )
                    })
                    .collect();
                let inside = 0..self.input as i64;
                if self.exclude_outside {
                    taps.retain(|(at, _)| inside.contains(at));
                }
                if self.exclude_outside || self.antialias {
                    let sum: f32 = taps.iter().map(|(_, w)| w).sum();
                    taps.iter_mut().for_each(|(_, w)| *w /= sum);
                }
                let clamped = |at: i64| at.clamp(0, inside.end - 1) as usize;
                Some(
                    taps.iter()
                        .filter(|(_, w)| *w != 0.0)
                        .map(|&(at, w)| (clamped(at), w))
                        .collect(),
                )
            })
            .collect()
    }
}

/// Keys' cubic filter at distance `x` ≥ 0.
fn keys(x: f32, a: f32) -> f32 {
    if x <= 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
    } else {
        0.0
    }
}

/// Resamples one axis of `x`, whose neighbours are `behind` elements apart.
#[must_use]
pub fn resample<F: Float>(axis: &Resample, behind: usize, x: &[F], outside: F) -> Vec<F> {
    let taps = axis.taps();
    let (from, to) = (axis.input * behind, axis.output * behind);
    let blocks = x.len().checked_div(from).unwrap_or(0);
    let mut out = alloc::vec![F::ZERO; blocks * to];
    for (x, out) in x.chunks_exact(from.max(1)).zip(out.chunks_exact_mut(to.max(1))) {
        for (out, taps) in out.chunks_exact_mut(behind.max(1)).zip(&taps) {
            let Some(taps) = taps else {
                out.fill(outside);
                continue;
            };
            for &(at, weight) in taps {
                let row = &x[at * behind..][..behind];
                let weight = F::of(weight);
                out.iter_mut().zip(row).for_each(|(o, &x)| *o += x * weight);
            }
        }
    }
    out
}
