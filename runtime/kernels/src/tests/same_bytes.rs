//! A chain of kernels whose bytes are written down: AVX2, AVX-512 and NEON must all give them, on any machine.

use std::vec;
use std::vec::Vec;

use crate::testing::{Rng, contexts, fused};
use crate::{
    Axis, Conv2d, ConvWeights, Ctx, Epilogue, Lhs, MatRef, Reduce, Rhs, Unary, conv2d, gemm,
    gemm_scratch_len, layer_norm, reduce, softmax, unary_inplace,
};

/// FNV-1a over the bits.
fn digest(values: &[f32]) -> u64 {
    let bytes = values.iter().flat_map(|v| v.to_bits().to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// A small network: convolution, depthwise, layer norm, product, softmax, reduction, functions in between.
fn network(ctx: Ctx<'_>) -> Vec<f32> {
    let mut rng = Rng::new(2026);
    let full = Conv2d {
        batch: 1,
        in_channels: 5,
        out_channels: 14,
        in_h: 19,
        in_w: 23,
        kernel: [3, 3],
        strides: [2, 1],
        dilations: [1, 1],
        pads: [1, 1, 1, 1],
        groups: 1,
    };
    let deep = Conv2d {
        in_channels: 14,
        in_h: 10,
        kernel: [5, 3],
        strides: [1, 2],
        groups: 14,
        ..full
    };
    let mut x = rng.vec(5 * 19 * 23);
    for (conv, act) in [(full, Unary::Gelu), (deep, Unary::HardSwish)] {
        let (oh, ow) = conv.out_hw().unwrap();
        let w = rng.vec(conv.out_channels * conv.in_channels / conv.groups * conv.kernel[0] * conv.kernel[1]);
        let bias = rng.vec(conv.out_channels);
        let mut y = vec![0.0; conv.out_channels * oh * ow];
        let mut scratch = vec![0.0; conv.scratch_len(ctx)];
        conv2d(
            ctx,
            &conv,
            &x,
            ConvWeights::Plain(&w),
            Some(&bias),
            None,
            Some(act),
            &mut y,
            &mut scratch,
        )
        .unwrap();
        x = y;
    }
    let (rows, cols) = (14, x.len() / 14);
    let (scale, bias) = (rng.vec(cols), rng.vec(cols));
    let mut y = vec![0.0; x.len()];
    layer_norm(ctx, rows, cols, &x, &scale, Some(&bias), 1e-5, &mut y).unwrap();
    let w = rng.vec(cols * 67);
    let mut z = vec![0.0; rows * 67];
    let (a, b) = (MatRef::row_major(&y, rows, cols), MatRef::row_major(&w, cols, 67));
    let mut scratch = vec![0.0; gemm_scratch_len(ctx, rows, 67, cols)];
    gemm(
        ctx,
        Lhs::Plain(a),
        Rhs::Plain(b),
        &mut z,
        67,
        &Epilogue::default(),
        &mut scratch,
    )
    .unwrap();
    for f in [
        Unary::Tanh,
        Unary::Softplus,
        Unary::Log,
        Unary::GeluTanh,
        Unary::Erf,
        Unary::Exp,
    ] {
        unary_inplace(ctx, f, &mut z);
    }
    let axis = Axis {
        outer: rows,
        len: 67,
        inner: 1,
    };
    let mut s = vec![0.0; rows * 67];
    softmax(ctx, axis, &z, &mut s).unwrap();
    let mut l2 = vec![0.0; rows];
    reduce(ctx, Reduce::L2, axis, &s, &mut l2).unwrap();
    [x, y, z, s, l2].concat()
}

#[test]
fn every_fused_instruction_set_gives_these_bytes() {
    for ctx in contexts().into_iter().filter(|ctx| fused(ctx.isa)) {
        let values = network(ctx);
        assert!(values.iter().all(|v| v.is_finite()), "{ctx:?}");
        assert_eq!(digest(&values), DIGEST, "{ctx:?}: {:x}", digest(&values));
    }
}

/// Changes when a kernel's order of operations does, on purpose or not.
const DIGEST: u64 = 0x3809_386d_44f3_2191;
