//! The kernels and what each is told: the contract between this crate, `shaders/*.wgsl` and the CUDA sources.
//!
//! A kernel is launched with at least [`Step::threads`](crate::Step::threads) threads in groups of [`WORKGROUP`]; a thread whose number is
//! not below the step's count does nothing. Parameters are words in the order of the fields below. Offsets and strides count
//! words of the arena, or of the constants where it says so. Eight-bit operands are read as signed bytes after an
//! exclusive or with `flip`: 0x80808080 turns u8 into i8, and their zero points, given here, have moved along.
//!
//! `y_zero`, `y_least` and `y_most` are the output's zero point and range around it: numerics.md, section 2.

use alloc::vec::Vec;

/// Threads of a group.
pub const WORKGROUP: u32 = 64;
/// Most parameter words of a kernel.
pub const MAX_PARAMS: usize = 32;

/// Turns bytes of u8 into i8, and back.
pub const FLIP: u32 = 0x8080_8080;

macro_rules! kernels {
    ($($(#[$doc:meta])* $name:ident = $file:literal { $($(#[$about:meta])* $field:ident),* $(,)? })*) => {
        /// A kernel.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kernel { $($(#[$doc])* $name),* }

        impl Kernel {
            /// All kernels.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Its name, that of its file and of its entry point.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $file),* }
            }

            /// Names of its parameters, in order.
            #[must_use]
            pub fn params(self) -> &'static [&'static str] {
                match self { $(Self::$name => &[$(stringify!($field)),*]),* }
            }
        }

        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy, PartialEq, Eq)]
            pub struct $name { $($(#[$about])* pub $field: u32),* }

            impl Parameters for $name {
                const KERNEL: Kernel = Kernel::$name;

                fn words(&self) -> Vec<u32> {
                    alloc::vec![$(self.$field),*]
                }
            }
        )*
    };
}

/// What a kernel is told.
pub trait Parameters {
    /// Which.
    const KERNEL: Kernel;

    /// In order.
    fn words(&self) -> Vec<u32>;
}

kernels! {
    /// Convolution; input and output channels of a group are whole words. A thread computes four outputs of four
    /// neighbours in a row; threads count words of output channels first, then fours of a row.
    Conv = "conv" {
        /// Input.
        x,
        /// Output.
        y,
        /// Constants: weights as signed bytes, by [word of outputs][kernel row][column][word of inputs][lane of the outputs].
        weights,
        /// Constants: what the sum of each output channel begins with.
        starts,
        /// Constants: multiplier of each output channel, binary32.
        multipliers,
        /// Constants: zero point of each output channel's weights; 0xffffffff where all are 0.
        zeros,
        /// N.
        batch,
        /// Input rows.
        in_h,
        /// Input columns.
        in_w,
        /// Words of an input pixel.
        in_c,
        /// Output rows.
        out_h,
        /// Output columns.
        out_w,
        /// Words of an output pixel.
        out_c,
        /// Words of one group's input pixel.
        group_in,
        /// Words of one group's output pixel.
        group_out,
        /// Kernel rows.
        kernel_h,
        /// Kernel columns.
        kernel_w,
        /// Rows from one output to the next.
        stride_h,
        /// Columns from one output to the next.
        stride_w,
        /// Rows of padding above; i32.
        pad_h,
        /// Columns of padding to the left; i32.
        pad_w,
        /// Rows between the kernel's rows.
        dilation_h,
        /// Columns between the kernel's columns.
        dilation_w,
        /// See above.
        flip,
        /// Four times the input's zero point, signed: what padding holds.
        pad_word,
        /// i32.
        y_zero,
        /// i32.
        y_least,
        /// i32.
        y_most,
    }
    /// Convolution of each channel by itself. A thread computes one word.
    Depthwise = "depthwise" {
        /// Input.
        x,
        /// Output.
        y,
        /// Constants: weights as signed bytes, by [kernel row][column][word of channels].
        weights,
        /// Constants: what the sum of each channel begins with.
        starts,
        /// Constants: multiplier of each channel, binary32.
        multipliers,
        /// Constants: zero points of the weights, signed bytes, as words of channels.
        zeros,
        /// N.
        batch,
        /// Input rows.
        in_h,
        /// Input columns.
        in_w,
        /// Words of a pixel.
        channels,
        /// Output rows.
        out_h,
        /// Output columns.
        out_w,
        /// Kernel rows.
        kernel_h,
        /// Kernel columns.
        kernel_w,
        /// Rows from one output to the next.
        stride_h,
        /// Columns from one output to the next.
        stride_w,
        /// Rows of padding above; i32.
        pad_h,
        /// Columns of padding to the left; i32.
        pad_w,
        /// Rows between the kernel's rows.
        dilation_h,
        /// Columns between the kernel's columns.
        dilation_w,
        /// See above.
        flip,
        /// Zero point of the input; i32.
        x_zero,
        /// i32.
        y_zero,
        /// i32.
        y_least,
        /// i32.
        y_most,
    }
    /// The greatest of each window. A thread computes one word.
    MaxPool = "max_pool" {
        /// Input.
        x,
        /// Output.
        y,
        /// N.
        batch,
        /// Input rows.
        in_h,
        /// Input columns.
        in_w,
        /// Words of a pixel.
        channels,
        /// Output rows.
        out_h,
        /// Output columns.
        out_w,
        /// Window rows.
        kernel_h,
        /// Window columns.
        kernel_w,
        /// Rows from one output to the next.
        stride_h,
        /// Columns from one output to the next.
        stride_w,
        /// Rows of padding above; i32.
        pad_h,
        /// Columns of padding to the left; i32.
        pad_w,
        /// Rows between the window's rows.
        dilation_h,
        /// Columns between the window's columns.
        dilation_w,
        /// See above.
        flip,
    }
    /// The mean of each channel's pixels. A thread computes one word.
    Mean = "mean" {
        /// Input.
        x,
        /// Output.
        y,
        /// N.
        batch,
        /// Words of a pixel.
        channels,
        /// Pixels.
        pixels,
        /// See above.
        flip,
        /// Zero point of the input; i32.
        x_zero,
        /// binary32.
        multiplier,
        /// i32.
        y_zero,
        /// i32.
        y_least,
        /// i32.
        y_most,
    }
    /// Sum or product of two tensors, with broadcasting. A thread computes one word.
    Binary = "binary" {
        /// First operand.
        a,
        /// Second operand.
        b,
        /// Output.
        y,
        /// Words of the output.
        words,
        /// Words of the output's packed axis.
        packed,
        /// Size of the output's second outer axis of four.
        dim1,
        /// Of the third.
        dim2,
        /// Of the fourth.
        dim3,
        /// Strides of the first operand along the outer axes.
        a0,
        /// Second.
        a1,
        /// Third.
        a2,
        /// Fourth.
        a3,
        /// Strides of the second operand.
        b0,
        /// Second.
        b1,
        /// Third.
        b2,
        /// Fourth.
        b3,
        /// 1 where the first operand has one element on the packed axis, for all.
        a_splat,
        /// 1 where the second has.
        b_splat,
        /// See above.
        a_flip,
        /// See above.
        b_flip,
        /// Zero point of the first operand; i32.
        a_zero,
        /// Of the second.
        b_zero,
        /// 1 for a product, whose factors are not looked at.
        is_product,
        /// Factor of the first operand in a sum; i32.
        a_factor,
        /// Of the second.
        b_factor,
        /// binary32.
        multiplier,
        /// i32.
        y_zero,
        /// i32.
        y_least,
        /// i32.
        y_most,
    }
    /// A function of one byte. A thread computes one word.
    Lookup = "lookup" {
        /// Input.
        x,
        /// Output, laid out alike.
        y,
        /// Words.
        words,
        /// Constants: 256 bytes.
        table,
    }
    /// Copies a box of elements: indices of the source are affine in those of the output. A thread writes one word, of
    /// which it leaves the lanes outside of the box as they are.
    Copy = "copy" {
        /// Source, at the box's first element; the packed axis counts from `x_lane`.
        x,
        /// Output, at the box's first word.
        y,
        /// Threads.
        words,
        /// Words that the box touches along the output's packed axis.
        packed,
        /// The box's first element on the packed axis, within its word.
        first,
        /// The box's elements on the packed axis.
        len,
        /// Size of the box's second outer axis of four.
        dim1,
        /// Third.
        dim2,
        /// Fourth.
        dim3,
        /// Strides of the output along the outer axes.
        y0,
        /// Second.
        y1,
        /// Third.
        y2,
        /// Fourth.
        y3,
        /// Strides of the source, in words, along the output's outer axes; i32.
        x0,
        /// Second.
        x1,
        /// Third.
        x2,
        /// Fourth.
        x3,
        /// Along the output's packed axis.
        xp,
        /// Strides of the source, in elements of its packed axis, along the output's outer axes; i32.
        l0,
        /// Second.
        l1,
        /// Third.
        l2,
        /// Fourth.
        l3,
        /// Along the output's packed axis.
        lp,
        /// The first element on the source's packed axis.
        x_lane,
    }
    /// The same elements in row-major order under another shape. A thread writes one word. Shapes have five axes.
    Reshape = "reshape" {
        /// Source.
        x,
        /// Output.
        y,
        /// Words of the output.
        words,
        /// Packed axis of the source.
        x_axis,
        /// Packed axis of the output.
        y_axis,
        /// Source's shape.
        x0,
        /// Second.
        x1,
        /// Third.
        x2,
        /// Fourth.
        x3,
        /// Fifth.
        x4,
        /// Output's shape.
        y0,
        /// Second.
        y1,
        /// Third.
        y2,
        /// Fourth.
        y3,
        /// Fifth.
        y4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_fit() {
        for kernel in Kernel::ALL {
            assert!(kernel.params().len() <= MAX_PARAMS, "{}", kernel.name());
        }
    }
}
