//! The operators with kernels: a file each, or a file for a family that differs in one number; a row each.

use crate::op::CpuOp;

mod cast;
mod clip;
mod compare;
mod concat;
mod conv;
mod conv_transpose;
mod elementwise;
mod gather;
mod matmul;
mod movement;
mod norm;
mod pool;
mod qlinear;
mod qlinear_conv;
mod qlinear_pointwise;
mod qlinear_product;
mod quantize_linear;
mod reduce;
mod resize;
mod softmax;
mod views;

/// Every operator of this crate.
pub const ALL: &[&dyn CpuOp] = &[
    &elementwise::ABS,
    &elementwise::ADD,
    &pool::AVERAGE_POOL,
    &norm::BatchNormalization,
    &cast::Cast,
    &elementwise::CEIL,
    &clip::Clip,
    &concat::Concat,
    &conv::CONV,
    &conv_transpose::ConvTranspose,
    &norm::DequantizeLinear,
    &elementwise::DIV,
    &views::DROPOUT,
    &elementwise::ELU,
    &compare::EQUAL,
    &elementwise::ERF,
    &elementwise::EXP,
    &movement::Expand,
    &views::FLATTEN,
    &elementwise::FLOOR,
    &conv::FUSED_CONV,
    &matmul::FUSED_GEMM,
    &matmul::FUSED_MAT_MUL,
    &gather::Gather,
    &elementwise::GELU,
    &elementwise::MICROSOFT_GELU,
    &matmul::GEMM,
    &reduce::GLOBAL_AVERAGE_POOL,
    &reduce::GLOBAL_MAX_POOL,
    &compare::GREATER,
    &compare::GREATER_OR_EQUAL,
    &elementwise::HARD_SIGMOID,
    &elementwise::HARD_SWISH,
    &views::IDENTITY,
    &norm::LayerNormalization,
    &elementwise::LEAKY_RELU,
    &compare::LESS,
    &compare::LESS_OR_EQUAL,
    &elementwise::LOG,
    &softmax::LOG_SOFTMAX,
    &matmul::MAT_MUL,
    &qlinear_pointwise::LookupTable,
    &elementwise::MAX,
    &pool::MAX_POOL,
    &elementwise::MIN,
    &elementwise::MUL,
    &elementwise::NEG,
    &elementwise::POW,
    &qlinear_product::Q_GEMM,
    &qlinear_pointwise::Q_LINEAR_ADD,
    &qlinear_conv::QLinearConv,
    &qlinear_pointwise::QLinearGlobalAveragePool,
    &qlinear_product::Q_LINEAR_MAT_MUL,
    &qlinear_pointwise::Q_LINEAR_MUL,
    &quantize_linear::QuantizeLinear,
    &elementwise::RECIPROCAL,
    &reduce::REDUCE_L1,
    &reduce::REDUCE_L2,
    &reduce::REDUCE_LOG_SUM,
    &reduce::REDUCE_LOG_SUM_EXP,
    &reduce::REDUCE_MAX,
    &reduce::REDUCE_MEAN,
    &reduce::REDUCE_MIN,
    &reduce::REDUCE_PROD,
    &reduce::REDUCE_SUM,
    &reduce::REDUCE_SUM_SQUARE,
    &elementwise::RELU,
    &views::RESHAPE,
    &resize::Resize,
    &elementwise::ROUND,
    &elementwise::SIGMOID,
    &elementwise::SIGN,
    &movement::Slice,
    &softmax::SOFTMAX,
    &elementwise::SOFTPLUS,
    &elementwise::SQRT,
    &views::SQUEEZE,
    &elementwise::SUB,
    &elementwise::SUM,
    &elementwise::TANH,
    &movement::Transpose,
    &views::UNSQUEEZE,
];

/// Kernels for `sanderling_core::ops::VISION_INT8`; what works on shapes alone runs by its reference.
pub const VISION_INT8: &[&dyn CpuOp] = &[
    &concat::Concat,
    &norm::DequantizeLinear,
    &views::FLATTEN,
    &qlinear_pointwise::LookupTable,
    &qlinear_product::Q_GEMM,
    &qlinear_pointwise::Q_LINEAR_ADD,
    &qlinear_conv::QLinearConv,
    &qlinear_pointwise::QLinearGlobalAveragePool,
    &qlinear_pointwise::Q_LINEAR_MUL,
    &quantize_linear::QuantizeLinear,
    &views::RESHAPE,
    &softmax::SOFTMAX,
];

/// Runs an expression with `T` as an unsigned integer of an element's size: for those that only move elements.
macro_rules! by_size {
    ($bits:expr, $T:ident => $run:expr) => {
        match $bits {
            8 => {
                type $T = u8;
                $run
            }
            16 => {
                type $T = u16;
                $run
            }
            32 => {
                type $T = u32;
                $run
            }
            64 => {
                type $T = u64;
                $run
            }
            bits => Err(sanderling_core::OpError::unsupported(alloc::format!(
                "moving elements of {bits} bits"
            ))),
        }
    };
}
use by_size;
