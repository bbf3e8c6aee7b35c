//! A function of one byte: our `LookupTable`.

use super::LaunchOp;
use crate::kernel::Lookup;
use crate::layout::Layout;
use crate::lower::Lowering;
use crate::node::Seen;
use sanderling_core::OpError;

pub(super) struct LookupTable;

impl LaunchOp for LookupTable {
    fn supports(&self, seen: &Seen<'_>) -> bool {
        seen.bytes(0).is_some()
            && seen.bytes(1) == Some(alloc::vec![256])
            && seen.is_known(1)
            && seen.output_bytes().is_some()
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<(), OpError> {
        let (x, y) = (lowering.input(0)?, lowering.output()?);
        let table = lowering.known(1).ok_or(OpError::NotConstant { index: 1 })?;
        let shape = lowering.shape(x)?;
        let layout = lowering
            .layout(x)
            .cloned()
            .unwrap_or_else(|| Layout::usual(&shape));
        let params = Lookup {
            x: 0,
            y: 0,
            words: layout.words() as u32,
            table: lowering.constant(Layout::rows(&[256]).pack(table.bytes())),
        };
        let places = [lowering.operand(x, &layout)?, lowering.result(y, layout.clone())];
        lowering.launch(layout.words(), &places, &params);
        Ok(())
    }
}
