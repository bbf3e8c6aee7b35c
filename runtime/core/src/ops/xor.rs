//! a ⊻ b, with broadcasting. ONNX `Xor` 1, 7.

use super::common::compare::Connective;

/// ONNX `Xor`.
pub struct Xor;

impl Connective for Xor {
    const NAME: &'static str = "Xor";

    fn of(a: bool, b: bool) -> bool {
        a != b
    }
}
