//! What moves elements: `Transpose`, `Concat`.

use super::{LaunchOp, MAX_RANK};
use crate::layout::Layout;
use crate::lower::{Lowering, Walk};
use crate::node::Seen;
use alloc::vec::Vec;
use sanderling_core::OpError;
use sanderling_core::shape::normalise_axis;

pub(super) struct Transpose;
pub(super) struct Concat;

impl LaunchOp for Transpose {
    fn supports(&self, seen: &Seen<'_>) -> bool {
        seen.bytes(0).is_some_and(|shape| shape.len() <= MAX_RANK) && seen.output_bytes().is_some()
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<(), OpError> {
        let (x, y) = (lowering.input(0)?, lowering.output()?);
        let shape = lowering.shape(x)?;
        let order = match lowering.node().attrs().ints("perm")? {
            Some(list) => list.iter().map(|axis| axis as usize).collect(),
            None => (0..shape.len()).rev().collect::<Vec<_>>(),
        };
        let x_layout = lowering
            .layout(x)
            .cloned()
            .unwrap_or_else(|| Layout::usual(&shape));
        let y_layout = Layout::usual(&lowering.shape(y)?);
        // Axis `order[i]` of the source is axis i of the output.
        let along = |axis: usize| order.iter().position(|&from| from == axis);
        let walks = (0..shape.len())
            .map(|axis| along(axis).map(Walk::along))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| OpError::attribute("perm", "is not a permutation"))?;
        let from = lowering.operand(x, &x_layout)?;
        let to = lowering.result(y, y_layout.clone());
        let begins = alloc::vec![0; shape.len()];
        lowering.copy(
            (from, &x_layout),
            (to, &y_layout),
            &begins,
            y_layout.shape(),
            &walks,
        )
    }
}

impl LaunchOp for Concat {
    fn supports(&self, seen: &Seen<'_>) -> bool {
        let inputs = seen.node.inputs().len();
        (0..inputs).all(|i| seen.bytes(i).is_some_and(|shape| shape.len() <= MAX_RANK))
            && seen.output_bytes().is_some()
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<(), OpError> {
        let y = lowering.output()?;
        let shape = lowering.shape(y)?;
        let axis = lowering.node().attrs().int_or("axis", 1)?;
        let axis = normalise_axis("axis", axis, shape.len())?;
        let y_layout = match lowering.layout(lowering.input(0)?) {
            Some(first) => Layout::new(&shape, first.axis()),
            None => Layout::usual(&shape),
        };
        let to = lowering.result(y, y_layout.clone());
        let mut begins = alloc::vec![0; shape.len()];
        for index in 0..lowering.node().node.inputs().len() {
            let x = lowering.input(index)?;
            let layout = Layout::new(&lowering.shape(x)?, y_layout.axis());
            let walks: Vec<Walk> = (0..shape.len()).map(Walk::along).collect();
            let from = lowering.operand(x, &layout)?;
            lowering.copy((from, &layout), (to, &y_layout), &begins, layout.shape(), &walks)?;
            begins[axis] += layout.shape()[axis];
        }
        Ok(())
    }
}
