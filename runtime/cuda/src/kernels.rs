//! The kernels as text: one file a kernel, each behind what all share.

use sanderling_launch::Kernel;

const COMMON: &str = include_str!("../kernels/common.cuh");

/// The whole source of a kernel. Its entry point has the kernel's name and takes the arena, the constants, and the words of
/// [`Kernel::params`] as one struct by value.
#[must_use]
pub fn source(kernel: Kernel) -> String {
    [COMMON, file(kernel)].join("\n")
}

fn file(kernel: Kernel) -> &'static str {
    match kernel {
        Kernel::Conv => include_str!("../kernels/conv.cu"),
        Kernel::Depthwise => include_str!("../kernels/depthwise.cu"),
        Kernel::MaxPool => include_str!("../kernels/max_pool.cu"),
        Kernel::Mean => include_str!("../kernels/mean.cu"),
        Kernel::Binary => include_str!("../kernels/binary.cu"),
        Kernel::Lookup => include_str!("../kernels/lookup.cu"),
        Kernel::Copy => include_str!("../kernels/copy.cu"),
        Kernel::Reshape => include_str!("../kernels/reshape.cu"),
    }
}
