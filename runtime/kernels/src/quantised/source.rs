//! What lies under the taps of a window, for a block of neighbouring pixels: as pairs, or as quads in their two parts.

use sanderling_simd::Isa;

use crate::conv::Conv2d;

/// Where the bytes under the taps come from.
pub(super) struct Source<'a> {
    pub(super) conv: &'a Conv2d,
    pub(super) out_w: usize,
    /// The planes of a group.
    pub(super) x: &'a [u8],
    pub(super) zero: u8,
    pub(super) flip: i32,
    /// First pixel of the block.
    pub(super) first: usize,
}

impl Source<'_> {
    /// Fills the pairs [k/2][block]; `taps` has room for two rows of `block` bytes. Pixels past `len` may be anything.
    #[inline(always)]
    pub(super) fn fill<I: Isa>(
        &self,
        isa: I,
        k: usize,
        len: usize,
        block: usize,
        pairs: &mut [f32],
        taps: &mut [u8],
    ) {
        let (one, two) = taps.split_at_mut(block);
        let flip = isa.splat_i(self.flip);
        let wide = len.next_multiple_of(I::LANES);
        for (half, pairs) in pairs.chunks_exact_mut(block).take(k.div_ceil(2)).enumerate() {
            let low = self.tap(2 * half, len, wide, one);
            // The weight of a tap past the end is zero.
            let high = self.tap((2 * half + 1).min(k - 1), len, wide, two);
            for i in (0..wide).step_by(I::LANES) {
                // SAFETY: both rows have `wide` bytes, a multiple of LANES.
                let (low, high) =
                    unsafe { (isa.load_u8(low[i..].as_ptr()), isa.load_u8(high[i..].as_ptr())) };
                let (low, high) = (isa.xor_i(low, flip), isa.xor_i(high, flip));
                let both = isa.or_i(low, isa.shl_i::<16>(high));
                isa.store(&mut pairs[i..], isa.with_bits(both));
            }
        }
    }

    /// Fills the quads: [k/4][block] of `x >> 1`, then [k/4][block] of `x & 1`. `taps` has room for four rows of `block` bytes.
    #[inline(always)]
    pub(super) fn fill_quads<I: Isa>(
        &self,
        isa: I,
        k: usize,
        len: usize,
        block: usize,
        words: &mut [f32],
        taps: &mut [u8],
    ) {
        let steps = k.div_ceil(4);
        let (high, low) = words.split_at_mut(steps * block);
        let every = |byte: u8| isa.splat_i(i32::from_ne_bytes([byte; 4]));
        let (flip, seven, one) = (every(self.flip as u8), every(0x7f), every(1));
        let wide = len.next_multiple_of(I::LANES);
        let mut rows = taps.chunks_exact_mut(block);
        let mut rows: [&mut [u8]; 4] = core::array::from_fn(|_| rows.next().unwrap_or_default());
        for (step, (high, low)) in high
            .chunks_exact_mut(block)
            .zip(low.chunks_exact_mut(block))
            .enumerate()
        {
            let mut tap = 4 * step;
            let taps: [&[u8]; 4] = rows.each_mut().map(|row| {
                // The weight of a tap past the end is zero.
                let bytes = self.tap(tap.min(k - 1), len, wide, row);
                tap += 1;
                &bytes[..wide]
            });
            for i in (0..wide).step_by(I::LANES) {
                // SAFETY: all rows have `wide` bytes, a multiple of LANES.
                let [a, b, c, d] = taps.map(|tap| unsafe { isa.load_u8(tap[i..].as_ptr()) });
                let (ab, cd) = (isa.or_i(a, isa.shl_i::<8>(b)), isa.or_i(c, isa.shl_i::<8>(d)));
                let x = isa.xor_i(isa.or_i(ab, isa.shl_i::<16>(cd)), flip);
                isa.store(&mut high[i..], isa.with_bits(isa.and_i(isa.shr_i::<1>(x), seven)));
                isa.store(&mut low[i..], isa.with_bits(isa.and_i(x, one)));
            }
        }
    }

    /// The bytes of the block's pixels under one tap, at least `wide` of them: where they lie, or copied to `row`.
    #[inline(always)]
    fn tap<'b>(&'b self, tap: usize, len: usize, wide: usize, row: &'b mut [u8]) -> &'b [u8] {
        let conv = self.conv;
        let window = conv.kernel[0] * conv.kernel[1];
        let plane = conv.in_h * conv.in_w;
        let (channel, at) = (tap / window, tap % window);
        let pointwise = window == 1 && conv.strides == [1, 1] && conv.pads == [0; 4];
        if pointwise {
            let start = channel * plane + self.first;
            if let Some(bytes) = self.x.get(start..start + wide) {
                return bytes;
            }
            row[..len].copy_from_slice(&self.x[start..start + len]);
            return row;
        }
        let plane = &self.x[channel * plane..][..plane];
        self.copy(plane, at / conv.kernel[1], at % conv.kernel[1], &mut row[..len]);
        row
    }

    /// Copies what lies under one tap of the window, row by row of the output.
    #[inline(always)]
    fn copy(&self, plane: &[u8], ky: usize, kx: usize, out: &mut [u8]) {
        let conv = self.conv;
        let shift = (kx * conv.dilations[1]) as isize - conv.pads[1] as isize;
        // Output columns from `begin` to `end` lie on the image.
        let step = conv.strides[1];
        let begin = (-shift).max(0).cast_unsigned().div_ceil(step);
        let end = match conv.in_w as isize - shift {
            under @ 1.. => under.cast_unsigned().div_ceil(step),
            _ => 0,
        };
        let mut done = 0;
        while done < out.len() {
            let (oy, ox) = ((self.first + done) / self.out_w, (self.first + done) % self.out_w);
            let run = (self.out_w - ox).min(out.len() - done);
            let part = &mut out[done..done + run];
            done += run;
            let iy = (oy * conv.strides[0] + ky * conv.dilations[0]).wrapping_sub(conv.pads[0]);
            if iy >= conv.in_h {
                part.fill(self.zero);
                continue;
            }
            let begin = begin.clamp(ox, ox + run);
            let end = end.clamp(begin, ox + run);
            part[..begin - ox].fill(self.zero);
            part[end - ox..].fill(self.zero);
            let under = &mut part[begin - ox..end - ox];
            if under.is_empty() {
                continue;
            }
            let from = ((begin * step) as isize + shift).cast_unsigned();
            let row = &plane[iy * conv.in_w..][..conv.in_w][from..];
            match step {
                1 => under.copy_from_slice(&row[..under.len()]),
                _ => under
                    .iter_mut()
                    .zip(row.iter().step_by(step))
                    .for_each(|(to, &byte)| *to = byte),
            }
        }
    }
}
