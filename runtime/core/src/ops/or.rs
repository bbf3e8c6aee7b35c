//! a ∨ b, with broadcasting. ONNX `Or` 1, 7.

use super::common::compare::Connective;

/// ONNX `Or`.
pub struct Or;

impl Connective for Or {
    const NAME: &'static str = "Or";

    fn of(a: bool, b: bool) -> bool {
        a || b
    }
}
