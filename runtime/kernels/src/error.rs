//! What a kernel refuses: arguments whose lengths or shapes do not fit together.

use core::fmt;

/// The result of a kernel.
pub type Result<T> = core::result::Result<T, Error>;

/// Arguments that do not fit together. The caller is to blame: shapes were to be checked when the plan was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A slice is shorter than the shapes ask for.
    TooShort {
        /// The kernel.
        kernel: &'static str,
        /// The argument.
        argument: &'static str,
        /// Elements that it must hold.
        needed: usize,
        /// Elements that it holds.
        got: usize,
    },
    /// Two shapes, strides or parameters that contradict each other.
    Mismatch {
        /// The kernel.
        kernel: &'static str,
        /// What must hold.
        rule: &'static str,
    },
    /// A product of dimensions that does not fit the address space.
    Overflow {
        /// The kernel.
        kernel: &'static str,
    },
    /// Weights that were packed for another instruction set than the one in the context.
    OtherIsa {
        /// The kernel.
        kernel: &'static str,
        /// What they were packed for.
        packed: &'static str,
        /// What the context asks for.
        wanted: &'static str,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Error::TooShort {
                kernel,
                argument,
                needed,
                got,
            } => {
                write!(
                    f,
                    "{kernel}: `{argument}` holds {got} elements, {needed} are needed"
                )
            }
            Error::Mismatch { kernel, rule } => write!(f, "{kernel}: {rule}"),
            Error::Overflow { kernel } => {
                write!(f, "{kernel}: the shape has more elements than memory can hold")
            }
            Error::OtherIsa {
                kernel,
                packed,
                wanted,
            } => {
                write!(
                    f,
                    "{kernel}: the weights were packed for {packed}, pack them again for {wanted}"
                )
            }
        }
    }
}

impl core::error::Error for Error {}

/// `Ok` if a slice of `got` elements holds `needed`.
pub(crate) fn holds(kernel: &'static str, argument: &'static str, needed: usize, got: usize) -> Result<()> {
    if got >= needed {
        Ok(())
    } else {
        Err(Error::TooShort {
            kernel,
            argument,
            needed,
            got,
        })
    }
}

/// `Ok` if the rule holds.
pub(crate) fn rule(kernel: &'static str, holds: bool, rule: &'static str) -> Result<()> {
    if holds {
        Ok(())
    } else {
        Err(Error::Mismatch { kernel, rule })
    }
}

/// The product of dimensions.
pub(crate) fn product(kernel: &'static str, dims: &[usize]) -> Result<usize> {
    dims.iter()
        .try_fold(1usize, |n, &d| n.checked_mul(d))
        .ok_or(Error::Overflow { kernel })
}
