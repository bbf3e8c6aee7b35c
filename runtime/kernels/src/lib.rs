//! The arithmetic of the float path: GEMM, convolution, softmax and their kin.
//!
//! # Mental model
//!
//! A kernel is a function over plain slices and a small parameter struct. It knows nothing of graphs, tensors or
//! operators' attributes; `runtime/cpu` maps those onto it. Whatever a kernel needs from outside is an argument:
//! the instruction set and the worker pool come in a [`Ctx`], working memory comes as `scratch: &mut [f32]` whose
//! length a `*_scratch_len` query tells beforehand. **No kernel allocates**; only `Packed*::new` does, once, at load.
//!
//! Each kernel is written once, generic over [`sanderling_simd::Isa`], and instantiated per instruction set.
//!
//! # What holds for every kernel
//!
//! - **Deterministic on one instruction set, for any thread count**: blocking along a reduction depends on the shape
//!   alone, never on how the outputs were split over threads; a tail does the body's operations in the body's order.
//! - **A stated error bound** at the head of its file, tested against f64.
//! - Wrong lengths give [`Error`], never a panic and never an access outside the slices.
//! - All tensors are row-major ("C order"), NCHW for images, strides in elements.
//!
//! # Interface
//!
//! ```text
//! // ctx: which instructions, which threads ------------------------------------------------------------------
//! Best::detect() -> Best                                     // from sanderling_simd; hold it, pass it
//! #[derive(Copy)] struct Ctx<'a> { isa: Best, par: &'a dyn Parallel }
//! Ctx::inline(isa: Best) -> Ctx<'static>                     // this thread only
//! trait Parallel: Sync { fn threads(&self) -> usize; fn run(&self, tasks: usize, f: &(dyn Fn(Task) + Sync)); }
//! ThreadPool::new(threads: usize) -> ThreadPool              // feature `std`; implements Parallel
//!
//! // gemm: out = act(alpha * A*B + bias + residual) -----------------------------------------------------------
//! #[derive(Copy)] struct MatRef<'a> { data: &'a [f32], rows, cols, row_stride, col_stride: usize }
//! MatRef::row_major(data, rows, cols); MatRef::transposed(self)
//! PackedA::new(isa, MatRef) / PackedB::new(isa, MatRef)                     // once, at load
//! PackedA::from_int8(isa, &QuantMat) / PackedB::from_int8(isa, &QuantMat)   // stays 8 bit in memory
//! struct QuantMat<'a> { data: QuantData<'a> /* I8(&[i8]) | U8(&[u8]) */, rows, cols, row_stride, col_stride,
//!                       scales: &[f32], zero_points: &[i32] /* empty: 0 */, axis: QuantAxis /* Tensor|Row|Col */ }
//! enum Lhs<'a> { Plain(MatRef<'a>), Packed(&'a PackedA) }
//! enum Rhs<'a> { Plain(MatRef<'a>), Packed(&'a PackedB) }
//! enum Bias<'a> { None, PerRow(&'a [f32]), PerCol(&'a [f32]) }
//! struct Epilogue<'a> { alpha: f32, bias: Bias<'a>, residual: Option<&'a [f32]>, act: Option<Unary> }  // Default
//! gemm(ctx, lhs, rhs, out: &mut [f32], out_row_stride, &Epilogue, scratch) -> Result<()>
//! gemm_scratch_len(ctx, m, n, k) -> usize
//! gemm_batched(ctx, Batch { count, lhs_stride, rhs_stride, out_stride }, lhs: MatRef, rhs: MatRef,
//!              out, out_row_stride, &Epilogue, scratch) -> Result<()>       // stride 0 = the same matrix each time;
//! gemm_batched_scratch_len(ctx, count, m, n, k) -> usize                    // residual is laid out as `out`
//!
//! // convolution (NCHW; 1-d is height 1 or width 1) -----------------------------------------------------------
//! struct Conv2d { batch, in_channels, out_channels, in_h, in_w, kernel: [usize; 2], strides: [usize; 2],
//!                 dilations: [usize; 2], pads: [usize; 4] /* top, left, bottom, right */, groups }
//! Conv2d::out_hw(&self) -> Option<(usize, usize)>; Conv2d::scratch_len(&self, ctx) -> usize
//! PackedConv::new(isa, &Conv2d, weights: &[f32] /* [out, in/groups, kh, kw] */) -> Result<PackedConv>
//! PackedConv::from_int8(isa, &Conv2d, weights: QuantData, scales: &[f32] /* 1 or out */, zero_points: &[i32])
//! enum ConvWeights<'a> { Plain(&'a [f32]), Packed(&'a PackedConv) }
//! conv2d(ctx, &Conv2d, x, ConvWeights, bias: Option<&[f32]>, residual: Option<&[f32]>, act: Option<Unary>,
//!        y, scratch) -> Result<()>
//! struct ConvTranspose2d { batch, in_channels, out_channels, in_h, in_w, kernel, strides, dilations, pads,
//!                          output_padding: [usize; 2], groups }     // weights [in, out/groups, kh, kw]
//! conv_transpose2d(ctx, &ConvTranspose2d, x, w, bias, act, y, scratch) -> Result<()>; ::out_hw; ::scratch_len
//!
//! // pooling ---------------------------------------------------------------------------------------------------
//! struct Pool2d { planes /* N*C */, in_h, in_w, kernel, strides, dilations, pads, ceil_mode: bool }
//! Pool2d::out_hw(&self) -> Option<(usize, usize)>; Pool2d::scratch_len(&self, ctx) -> usize
//! max_pool2d(ctx, &Pool2d, x, y, scratch); avg_pool2d(ctx, &Pool2d, count_include_pad: bool, x, y, scratch)
//!                                                             // global pooling: reduce() over [N*C, H*W, 1]
//!
//! // element-wise ----------------------------------------------------------------------------------------------
//! enum Unary { Relu, Clip { min, max }, LeakyRelu { alpha }, Elu { alpha }, HardSigmoid { alpha, beta }, HardSwish,
//!              Sigmoid, Silu, Tanh, Gelu, GeluTanh, Erf, Exp, Log, Sqrt, Rsqrt, Reciprocal, Neg, Abs, Floor, Ceil,
//!              Round, Sign, Softplus, Softsign, Mish, Square, Affine { mul, add }, ... }
//! unary(ctx, Unary, x, y); unary_inplace(ctx, Unary, xy)
//! enum Binary { Add, Sub, Mul, Div, Min, Max, Pow, PRelu /* x, slope */, ... }
//! binary(ctx, Binary, shape: &[usize], a, a_strides: &[usize], b, b_strides, y) -> Result<()>   // stride 0 broadcasts
//! binary_inplace(ctx, Binary, shape, a_and_y: &mut [f32] /* contiguous */, b, b_strides) -> Result<()>
//! broadcast_strides(from: &[usize], to: &[usize], out: &mut [usize]) -> Result<()>
//! zip_broadcast<A, B, C>(shape, a, a_strides, b, b_strides, y, f: impl Fn(A, B) -> C) -> Result<()>  // any dtype
//! scale_shift(ctx, x, y, [outer, channels, inner], scale, shift, act: Option<Unary>) -> Result<()>   // batch norm
//!
//! // over [outer, axis, inner] ---------------------------------------------------------------------------------
//! struct Axis { outer, len, inner }
//! enum Reduce { Sum, Mean, Max, Min, Prod, SumSquare, L1, L2, LogSum, LogSumExp }
//! reduce(ctx, Reduce, Axis, x, y) -> Result<()>               // y: [outer, inner]
//! softmax(ctx, Axis, x, y), log_softmax(ctx, Axis, x, y), softmax_inplace(ctx, Axis, xy) -> Result<()>
//! layer_norm(ctx, rows, cols, x, scale, bias: Option<&[f32]>, eps, y), rms_norm(ctx, rows, cols, x, scale, eps, y)
//!
//! // movement (any Copy element type) --------------------------------------------------------------------------
//! transpose<T: Copy>(x, shape: &[usize], perm: &[usize], y) -> Result<()>
//! strided_copy<T: Copy>(x, offset: usize, shape: &[usize], strides: &[isize], y) -> Result<()>   // slice, expand
//! gather<T: Copy>(Axis, x, indices: &[i64], y) -> Result<()>  // y: [outer, indices, inner]; negatives count back
//!
//! // eight bits: see `quantised`; y = requantise(sum), docs/numerics.md ---------------------------------------------
//! struct QuantBytes<'a> { data: &'a [u8], bytes: Bytes /* Unsigned | Signed */, zero: u8 }
//! struct Requantise<'a> { starts: &'a [i32], multipliers: &'a [f32], zero: i32, least: i32, most: i32 }
//! PackedInt8::new(groups, rows, k, weight: impl Fn(row, i) -> i16); ::starts(bias, zero, bytes) -> Vec<i32>
//! qconv2d(ctx, &Conv2d, QuantBytes, &PackedInt8, &Requantise, y: &mut [u8], scratch); qconv2d_scratch_len(ctx, &Conv2d)
//! qproduct(ctx, rows, QuantBytes, &PackedInt8, &Requantise, y); qmean(ctx, planes, len, QuantBytes, &Requantise, y)
//! qpair(ctx, Pair::Add { first, second } | Pair::Mul, shape, (QuantBytes, strides), (..), &Requantise, y)
//! lookup(ctx, x: &[u8], table: &[u8], y)
//!
//! // (movement, continued)
//! resize_nearest<T: Copy>(planes, [in_h, in_w], x, rows: &[u32], cols: &[u32], y) -> Result<()>
//! resize_linear(ctx, planes, [in_h, in_w], x, rows: &[Tap], cols: &[Tap], y) -> Result<()> // Tap { lo, hi: u32, t: f32 }
//! ```
#![no_std]

extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

mod aligned;
mod binary;
mod conv;
mod ctx;
mod error;
mod gemm;
mod layout;
mod movement;
mod norm;
#[cfg(feature = "std")]
mod pool;
mod pool2d;
mod quantised;
mod reduce;
mod resize;
#[cfg(test)]
#[path = "tests/same_bytes.rs"]
mod same_bytes;
mod softmax;
#[cfg(test)]
mod testing;
mod unary;
mod vmath;
mod window;

pub use binary::{Binary, binary, binary_inplace, zip_broadcast};
pub use conv::{Conv2d, ConvTranspose2d, ConvWeights, PackedConv, conv_transpose2d, conv2d};
pub use ctx::{Ctx, Inline, Parallel, Task};
pub use error::{Error, Result};
pub use gemm::{
    Batch, Bias, Epilogue, Lhs, MatRef, PackedA, PackedB, QuantAxis, QuantData, QuantMat, Rhs, gemm,
    gemm_batched, gemm_batched_scratch_len, gemm_scratch_len,
};
pub use layout::broadcast_strides;
pub use movement::{gather, strided_copy, transpose};
pub use norm::{layer_norm, rms_norm, scale_shift};
#[cfg(feature = "std")]
pub use pool::ThreadPool;
pub use pool2d::{Pool2d, avg_pool2d, max_pool2d};
pub use quantised::{
    Bytes, PackedInt8, Pair, QuantBytes, Requantise, lookup, qconv2d, qconv2d_scratch_len, qmean, qpair,
    qproduct,
};
pub use reduce::{Axis, Reduce, reduce};
pub use resize::{Tap, resize_linear, resize_nearest};
pub use sanderling_simd::Best;
pub use softmax::{log_softmax, softmax, softmax_inplace};
pub use unary::{Unary, unary, unary_inplace};
