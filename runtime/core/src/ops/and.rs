//! a ∧ b, with broadcasting. ONNX `And` 1, 7.

use super::common::compare::Connective;

/// ONNX `And`.
pub struct And;

impl Connective for And {
    const NAME: &'static str = "And";

    fn of(a: bool, b: bool) -> bool {
        a && b
    }
}
