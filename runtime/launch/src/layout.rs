//! Where an element of an eight-bit tensor lies on a device.
//!
//! One axis is *packed*: four of its elements share a word, element `i` in bits `8·(i mod 4)` and up, and its end is padded to a
//! whole word. It is the innermost; the other axes stand before it in their own order. Convolutions pack the channels
//! (NHWC, then), products the last axis. What the padding holds is undefined.

use alloc::vec::Vec;

/// Elements in a word.
pub const LANES: usize = 4;

/// A shape and its packed axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    shape: Vec<usize>,
    axis: usize,
}

impl Layout {
    /// Of a tensor of this shape, `axis` packed. A scalar is a tensor of one element.
    #[must_use]
    pub fn new(shape: &[usize], axis: usize) -> Self {
        let shape = if shape.is_empty() {
            alloc::vec![1]
        } else {
            shape.to_vec()
        };
        let axis = axis.min(shape.len() - 1);
        Self { shape, axis }
    }

    /// Channels packed: axis 1 of [N, C, …].
    #[must_use]
    pub fn channels(shape: &[usize]) -> Self {
        Self::new(shape, 1)
    }

    /// The last axis packed.
    #[must_use]
    pub fn rows(shape: &[usize]) -> Self {
        Self::new(shape, shape.len().saturating_sub(1))
    }

    /// What suits a tensor of which nothing else is known: channels for images, the last axis for all else.
    #[must_use]
    pub fn usual(shape: &[usize]) -> Self {
        if shape.len() == 4 {
            Self::channels(shape)
        } else {
            Self::rows(shape)
        }
    }

    /// The tensor's shape; never empty.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The packed axis.
    #[must_use]
    pub fn axis(&self) -> usize {
        self.axis
    }

    /// Words along the packed axis.
    #[must_use]
    pub fn packed(&self) -> usize {
        self.shape[self.axis].div_ceil(LANES)
    }

    /// Axes that are not packed, in order.
    pub fn outer(&self) -> impl Iterator<Item = usize> + use<> {
        let axis = self.axis;
        (0..self.shape.len()).filter(move |&i| i != axis)
    }

    /// Words in all.
    #[must_use]
    pub fn words(&self) -> usize {
        self.outer().map(|i| self.shape[i]).product::<usize>() * self.packed()
    }

    /// Distance in words of neighbours along an axis; 0 for the packed one, whose neighbours are lanes.
    #[must_use]
    pub fn stride(&self, axis: usize) -> usize {
        if axis == self.axis {
            return 0;
        }
        let inner = self.outer().filter(|&i| i > axis);
        inner.map(|i| self.shape[i]).product::<usize>() * self.packed()
    }

    /// A tensor's bytes, row-major, as words.
    #[must_use]
    pub fn pack(&self, bytes: &[u8]) -> Vec<u32> {
        let mut words = alloc::vec![0; self.words()];
        for (place, &byte) in self.places().zip(bytes) {
            words[place / LANES] |= u32::from(byte) << (8 * (place % LANES));
        }
        words
    }

    /// The way back of [`Layout::pack`].
    pub fn unpack(&self, words: &[u32], bytes: &mut [u8]) {
        for (place, byte) in self.places().zip(bytes) {
            *byte = (words[place / LANES] >> (8 * (place % LANES))) as u8;
        }
    }

    /// For each element in row-major order its place, counted in bytes.
    fn places(&self) -> impl Iterator<Item = usize> + '_ {
        let rank = self.shape.len();
        let steps: Vec<usize> = (0..rank)
            .map(|i| if i == self.axis { 1 } else { self.stride(i) * LANES })
            .collect();
        let mut index = alloc::vec![0usize; rank];
        let mut next = 0;
        let count = self.shape.iter().product();
        (0..count).map(move |_| {
            let place = next;
            for i in (0..rank).rev() {
                index[i] += 1;
                next += steps[i];
                if index[i] < self.shape[i] {
                    break;
                }
                next -= steps[i] * index[i];
                index[i] = 0;
            }
            place
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    #[test]
    fn channels_are_innermost() {
        // Two channels of 1 × 3.
        let layout = Layout::channels(&[1, 2, 1, 3]);
        assert_eq!(layout.pack(&[1, 2, 3, 4, 5, 6]), [0x0401, 0x0502, 0x0603]);
        assert_eq!((layout.stride(0), layout.stride(2), layout.stride(3)), (3, 3, 1));
    }

    #[test]
    fn a_scalar_is_one_word() {
        assert_eq!(Layout::usual(&[]).pack(&[7]), [7]);
    }

    proptest! {
        #[test]
        fn unpacking_gives_what_was_packed(
            shape in proptest::collection::vec(0usize..6, 0..5), axis in 0usize..5, seed in 0u8..255,
        ) {
            let layout = Layout::new(&shape, axis);
            let len = layout.shape().iter().product::<usize>();
            let bytes: Vec<u8> = (0..len).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed)).collect();
            let mut back = vec![0; len];
            layout.unpack(&layout.pack(&bytes), &mut back);
            prop_assert_eq!(back, bytes);
        }
    }
}
