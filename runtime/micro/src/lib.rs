//! Runs a packed integer model where it lies in flash, in an arena that the caller lends, without a heap.
//!
//! A [`Session`] is the plan, the tensors and a table of [operators](Operator), all borrowed, and the arena that `pack` laid
//! out: each value has its place there. [`Session::new`] checks once that everything fits (the certificate, every operator,
//! every shape, every place) and says what does not; [`Session::run`] then walks the nodes and writes each output beside its
//! inputs. Nothing is allocated, nothing unlisted is linked, and nothing is kept between nodes but the arena, so that the
//! stack is that of the deepest kernel and no model's size changes it.
//!
//! The bytes are those of docs/numerics.md. How a sum is requantised is a type, [`Fpu`] or [`NoFpu`], with the same results.
//!
//! ```
//! use sanderling_micro::{Fpu, Limits, Session, ops};
//! # fn answer<'a>(bundle: &'a [u8], pixels: &[u8], arena: &'a mut [u8]) -> Result<(), sanderling_micro::MicroError<'a>> {
//! let limits = Limits { stack_bytes: 8192 };
//! let mut session = Session::new(bundle, ops::All::<Fpu>::TABLE, arena, &limits)?;
//! session.set_input(0, pixels)?;
//! session.run()?;
//! let logits = session.output(0)?.bytes;
//! # Ok(())
//! # }
//! ```
#![no_std]
#![forbid(unsafe_code)]

mod arena;
mod error;
mod node;
pub mod ops;
mod rounding;
mod session;
mod tensor;

pub use error::{Fault, MicroError};
pub use node::Node;
pub use ops::Operator;
pub use rounding::{Fpu, NoFpu, Rounding};
pub use session::{Layer, Limits, Session};
pub use tensor::{MAX_RANK, Shape, Tensor};
