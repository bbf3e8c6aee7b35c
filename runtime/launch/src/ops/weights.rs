//! Weights as the kernel `conv` reads them.
//!
//! With x' and w' signed bytes, zx' and zw' their zero points and n elements of a window,
//!
//! ```text
//! Σ (x' − zx')(w' − zw') = Σ x'w' − zw' Σ x' − zx' Σ w' + n·zx'·zw'
//! ```
//!
//! of which the kernel computes the first two sums and everything else is known here, in what its sum starts with. Padding
//! holds zx', and lanes past the last input channel have w' = zw', so that each adds nothing whatever it reads.

use crate::layout::LANES;
use alloc::vec::Vec;
use sanderling_core::ops::common::qlinear::Quantisation;
use sanderling_core::ops::common::requantise::Multiplier;
use sanderling_core::{DType, OpError, TensorView};

/// Sizes of a product with weights.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// Output channels of a group.
    pub(super) outputs: usize,
    /// Input channels of a group.
    pub(super) inputs: usize,
    /// Groups; with several, outputs and inputs are whole words.
    pub(super) groups: usize,
    /// Kernel elements.
    pub(super) kernel: usize,
}

/// What the kernel's constants are made of.
pub(super) struct Weights {
    pub(super) words: Vec<u32>,
    pub(super) starts: Vec<u32>,
    /// Empty where all are zero.
    pub(super) zeros: Vec<u32>,
    pub(super) multipliers: Vec<u32>,
}

/// Weights and what is known of their surroundings.
pub(super) struct Packing<'a> {
    pub(super) sizes: Sizes,
    pub(super) weights: TensorView<'a>,
    pub(super) scales: Quantisation,
    /// Scale of the input, and its zero point as a signed byte's.
    pub(super) x: (f32, i32),
    /// Scale of the output.
    pub(super) y: f32,
    /// One an output; none is zero.
    pub(super) bias: Option<Vec<i32>>,
}

impl Packing<'_> {
    /// Packs; `at` gives the index of the weight of (output, input, kernel element).
    ///
    /// # Errors
    /// [`OpError::Data`] for scales that give no multiplier.
    pub(super) fn pack(&self, at: impl Fn(usize, usize, usize) -> usize) -> Result<Weights, OpError> {
        let Sizes {
            outputs,
            inputs,
            groups,
            kernel,
        } = self.sizes;
        let all = outputs * groups;
        let (words_out, words_in) = (all.div_ceil(LANES), inputs.div_ceil(LANES));
        let bytes = self.weights.bytes();
        let flip = signed_flip(self.weights.dtype());
        let zero = |o: usize| self.scales.of(o).1 - i32::from(flip);
        let mut packed = Weights {
            words: Vec::with_capacity(words_out * LANES * kernel * words_in),
            starts: Vec::with_capacity(words_out * LANES),
            zeros: Vec::new(),
            multipliers: Vec::with_capacity(words_out * LANES),
        };
        for word in 0..words_out {
            for k in 0..kernel {
                for c in 0..words_in {
                    for lane in 0..LANES {
                        let o = word * LANES + lane;
                        let element = |i: usize| match c * LANES + i {
                            _ if o >= all => 0,
                            input if input >= inputs => zero(o) as u8,
                            input => bytes[at(o, input, k)] ^ flip,
                        };
                        packed
                            .words
                            .push(u32::from_le_bytes(core::array::from_fn(element)));
                    }
                }
            }
        }
        let mut zeros = alloc::vec![0u32; words_out * LANES];
        for o in 0..words_out * LANES {
            if o >= all {
                packed.starts.push(0);
                packed.multipliers.push(1f32.to_bits());
                continue;
            }
            let weight = |i: usize, k: usize| i32::from((bytes[at(o, i, k)] ^ flip) as i8);
            let elements = (0..inputs).flat_map(|i| (0..kernel).map(move |k| (i, k)));
            let sum = elements.fold(0i32, |sum, (i, k)| sum.wrapping_add(weight(i, k)));
            // Lanes past the last input: as much in n as in the sum of weights.
            let (zx, zw, n) = (self.x.1, zero(o), (inputs * kernel) as i32);
            let known = n.wrapping_mul(zw).wrapping_sub(sum).wrapping_mul(zx);
            let bias = self.bias.as_ref().map_or(0, |bias| bias[o]);
            packed.starts.push(bias.wrapping_add(known) as u32);
            zeros[o] = zw as u32;
            let multiplier = Multiplier::of_product(self.x.0, self.scales.of(o).0, self.y)?;
            packed.multipliers.push(multiplier.get().to_bits());
        }
        if zeros.iter().any(|&zero| zero != 0) {
            packed.zeros = zeros;
        }
        Ok(packed)
    }
}

/// What turns a byte of this type into a signed one.
pub(super) fn signed_flip(dtype: DType) -> u8 {
    if dtype == DType::U8 { 0x80 } else { 0 }
}
