//! The operators: one file each, one row each.
//!
//! To add one: a file here with a type that implements [`Operator`] (or a family's trait, such as
//! [`common::unary::Pointwise`]), its `mod` line and its row in [`ALL`]. What its family has in common is in
//! [`common`].

pub mod common;

pub mod abs;
pub mod add;
pub mod and;
pub mod arg_max;
pub mod arg_min;
pub mod average_pool;
pub mod batch_normalization;
pub mod cast;
pub mod cast_like;
pub mod ceil;
pub mod clip;
pub mod concat;
pub mod constant;
pub mod constant_of_shape;
pub mod conv;
pub mod conv_transpose;
pub mod cum_sum;
pub mod depth_to_space;
pub mod dequantize_linear;
pub mod div;
pub mod dropout;
pub mod elu;
pub mod equal;
pub mod erf;
pub mod exp;
pub mod expand;
pub mod flatten;
pub mod floor;
pub mod fused_conv;
pub mod fused_gemm;
pub mod fused_mat_mul;
pub mod gather;
pub mod gather_elements;
pub mod gelu;
pub mod gemm;
pub mod global_average_pool;
pub mod global_max_pool;
pub mod greater;
pub mod greater_or_equal;
pub mod hard_sigmoid;
pub mod hard_swish;
pub mod identity;
pub mod instance_normalization;
pub mod layer_normalization;
pub mod leaky_relu;
pub mod less;
pub mod less_or_equal;
pub mod log;
pub mod log_softmax;
pub mod lookup_table;
pub mod lrn;
pub mod mat_mul;
pub mod max;
pub mod max_pool;
pub mod mean;
pub mod microsoft_gelu;
pub mod min;
pub mod mod_;
pub mod mul;
pub mod neg;
pub mod non_zero;
pub mod not;
pub mod one_hot;
pub mod or;
pub mod p_relu;
pub mod pad;
pub mod pow;
pub mod qgemm;
pub mod qlinear_add;
pub mod qlinear_conv;
pub mod qlinear_global_average_pool;
pub mod qlinear_mat_mul;
pub mod qlinear_mul;
pub mod quantize_linear;
pub mod range;
pub mod reciprocal;
pub mod reduce_l1;
pub mod reduce_l2;
pub mod reduce_log_sum;
pub mod reduce_log_sum_exp;
pub mod reduce_max;
pub mod reduce_mean;
pub mod reduce_min;
pub mod reduce_prod;
pub mod reduce_sum;
pub mod reduce_sum_square;
pub mod relu;
pub mod reshape;
pub mod resize;
pub mod round;
pub mod shape;
pub mod sigmoid;
pub mod sign;
pub mod size;
pub mod slice;
pub mod softmax;
pub mod softplus;
pub mod space_to_depth;
pub mod split;
pub mod sqrt;
pub mod squeeze;
pub mod sub;
pub mod sum;
pub mod tanh;
pub mod tile;
pub mod top_k;
pub mod transpose;
pub mod unsqueeze;
pub mod upsample;
pub mod where_;
pub mod xor;

use crate::op::Operator;
use common::arg::Arg;
use common::binary::Binary;
use common::compare::{Compare, Logic};
use common::pool::Global;
use common::qlinear_binary::QLinearBinary;
use common::reduce::Reduce;
use common::softmax::Along;
use common::unary::Unary;
use common::variadic::Variadic;

/// Every operator of this crate.
pub const ALL: &[&dyn Operator] = &[
    &Unary(abs::Abs),
    &Binary(add::Add),
    &Logic(and::And),
    &Arg(arg_max::ArgMax),
    &Arg(arg_min::ArgMin),
    &average_pool::AveragePool,
    &batch_normalization::BatchNormalization,
    &cast::Cast,
    &cast_like::CastLike,
    &Unary(ceil::Ceil),
    &clip::Clip,
    &concat::Concat,
    &constant::Constant,
    &constant_of_shape::ConstantOfShape,
    &conv::Conv,
    &conv_transpose::ConvTranspose,
    &cum_sum::CumSum,
    &depth_to_space::DepthToSpace,
    &dequantize_linear::DequantizeLinear,
    &Binary(div::Div),
    &dropout::Dropout,
    &Unary(elu::Elu),
    &Compare(equal::Equal),
    &Unary(erf::Erf),
    &Unary(exp::Exp),
    &expand::Expand,
    &flatten::Flatten,
    &Unary(floor::Floor),
    &fused_conv::FusedConv,
    &fused_gemm::FusedGemm,
    &fused_mat_mul::FusedMatMul,
    &gather::Gather,
    &gather_elements::GatherElements,
    &Unary(gelu::Gelu),
    &gemm::Gemm,
    &Global(global_average_pool::GlobalAveragePool),
    &Global(global_max_pool::GlobalMaxPool),
    &Compare(greater::Greater),
    &Compare(greater_or_equal::GreaterOrEqual),
    &Unary(hard_sigmoid::HardSigmoid),
    &Unary(hard_swish::HardSwish),
    &identity::Identity,
    &instance_normalization::InstanceNormalization,
    &layer_normalization::LayerNormalization,
    &Unary(leaky_relu::LeakyRelu),
    &Compare(less::Less),
    &Compare(less_or_equal::LessOrEqual),
    &Unary(log::Log),
    &Along(log_softmax::LogSoftmax),
    &lookup_table::LookupTable,
    &lrn::Lrn,
    &mat_mul::MatMul,
    &Variadic(max::Max),
    &max_pool::MaxPool,
    &Variadic(mean::Mean),
    &Unary(microsoft_gelu::MicrosoftGelu),
    &Variadic(min::Min),
    &mod_::Mod,
    &Binary(mul::Mul),
    &Unary(neg::Neg),
    &non_zero::NonZero,
    &not::Not,
    &one_hot::OneHot,
    &Logic(or::Or),
    &p_relu::PRelu,
    &pad::Pad,
    &pow::Pow,
    &qgemm::QGemm,
    &QLinearBinary(qlinear_add::QLinearAdd),
    &qlinear_conv::QLinearConv,
    &qlinear_global_average_pool::QLinearGlobalAveragePool,
    &qlinear_mat_mul::QLinearMatMul,
    &QLinearBinary(qlinear_mul::QLinearMul),
    &quantize_linear::QuantizeLinear,
    &range::Range,
    &Unary(reciprocal::Reciprocal),
    &Reduce(reduce_l1::ReduceL1),
    &Reduce(reduce_l2::ReduceL2),
    &Reduce(reduce_log_sum::ReduceLogSum),
    &Reduce(reduce_log_sum_exp::ReduceLogSumExp),
    &Reduce(reduce_max::ReduceMax),
    &Reduce(reduce_mean::ReduceMean),
    &Reduce(reduce_min::ReduceMin),
    &Reduce(reduce_prod::ReduceProd),
    &Reduce(reduce_sum::ReduceSum),
    &Reduce(reduce_sum_square::ReduceSumSquare),
    &Unary(relu::Relu),
    &reshape::Reshape,
    &resize::Resize,
    &Unary(round::Round),
    &shape::Shape,
    &Unary(sigmoid::Sigmoid),
    &Unary(sign::Sign),
    &size::Size,
    &slice::Slice,
    &Along(softmax::Softmax),
    &Unary(softplus::Softplus),
    &space_to_depth::SpaceToDepth,
    &split::Split,
    &Unary(sqrt::Sqrt),
    &squeeze::Squeeze,
    &Binary(sub::Sub),
    &Variadic(sum::Sum),
    &Unary(tanh::Tanh),
    &tile::Tile,
    &top_k::TopK,
    &transpose::Transpose,
    &unsqueeze::Unsqueeze,
    &upsample::Upsample,
    &where_::Where,
    &Logic(xor::Xor),
];

/// The operators of image classifiers in int8: EfficientNet-Lite0 and PP-LCNet are made of them. Small devices and web pages
/// link these alone.
pub const VISION_INT8: &[&dyn Operator] = &[
    &concat::Concat,
    &dequantize_linear::DequantizeLinear,
    &flatten::Flatten,
    &lookup_table::LookupTable,
    &qgemm::QGemm,
    &QLinearBinary(qlinear_add::QLinearAdd),
    &qlinear_conv::QLinearConv,
    &qlinear_global_average_pool::QLinearGlobalAveragePool,
    &QLinearBinary(qlinear_mul::QLinearMul),
    &quantize_linear::QuantizeLinear,
    &reshape::Reshape,
    &shape::Shape,
    &slice::Slice,
    &Along(softmax::Softmax),
];
