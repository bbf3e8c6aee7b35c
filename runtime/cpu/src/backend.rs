//! The backend: a table of kernels, a set of references, instructions and threads.

use crate::env::Env;
use crate::executable::CpuExecutable;
use crate::op::CpuTable;
use crate::profile::Profile;
use crate::shared::SharedForms;
use crate::{layout, select};
use alloc::boxed::Box;
use alloc::rc::Rc;
use sanderling_core::OpTable;
use sanderling_core::backend::{Backend, Executable, MemoryRequirements, Segment};
use sanderling_core::error::CoreError;
use sanderling_core::infer::Facts;
use sanderling_core::plan::NodeView;
use sanderling_kernels::{Best, Inline, Parallel};

/// Alignment of every tensor in the arena, in bytes: a cache line, and the widest vector.
pub const ALIGNMENT: usize = 64;

/// How kernels run.
#[derive(Clone)]
pub struct CpuOptions {
    /// Instructions to use.
    pub isa: Best,
    /// Threads to use.
    pub parallel: Rc<dyn Parallel>,
    /// Where to put measured times; none measures nothing.
    pub profile: Option<Rc<Profile>>,
}

impl CpuOptions {
    /// These instructions, on the calling thread.
    #[must_use]
    pub fn inline(isa: Best) -> Self {
        Self {
            isa,
            parallel: Rc::new(Inline),
            profile: None,
        }
    }

    /// The best instructions of this machine, on `threads` threads, the calling one included (0 counts as 1).
    /// Without the feature `std` there is the calling one only.
    #[must_use]
    pub fn detect(threads: usize) -> Self {
        Self {
            isa: Best::detect(),
            parallel: workers(threads),
            profile: None,
        }
    }
}

#[cfg(feature = "std")]
fn workers(threads: usize) -> Rc<dyn Parallel> {
    match threads {
        0 | 1 => Rc::new(Inline),
        _ => Rc::new(sanderling_kernels::ThreadPool::new(threads)),
    }
}

#[cfg(not(feature = "std"))]
fn workers(_threads: usize) -> Rc<dyn Parallel> {
    Rc::new(Inline)
}

/// Computes on the CPU.
pub struct CpuBackend {
    ops: CpuTable,
    references: OpTable<'static>,
    pub(crate) isa: Best,
    pub(crate) parallel: Rc<dyn Parallel>,
    pub(crate) profile: Option<Rc<Profile>>,
    pub(crate) shared: SharedForms,
}

impl CpuBackend {
    /// A backend with these kernels; operators without one run by their reference.
    #[must_use]
    pub fn new(ops: CpuTable, references: OpTable<'static>, options: CpuOptions) -> Self {
        let CpuOptions {
            isa,
            parallel,
            profile,
        } = options;
        Self {
            ops,
            references,
            isa,
            parallel,
            profile,
            shared: SharedForms::default(),
        }
    }

    pub(crate) fn ops(&self) -> CpuTable {
        self.ops
    }

    pub(crate) fn references(&self) -> OpTable<'static> {
        self.references
    }
}

impl Backend for CpuBackend {
    fn name(&self) -> &str {
        "cpu"
    }

    fn memory(&self) -> MemoryRequirements {
        MemoryRequirements {
            alignment: ALIGNMENT as u64,
            max_binding: u64::MAX,
            channel_multiple: 1,
        }
    }

    fn supports(&self, node: &NodeView<'_>, _facts: &Facts) -> bool {
        self.references
            .find(node.domain(), node.op_type(), node.opset())
            .is_some()
    }

    fn prepare(&self, segment: &Segment<'_>) -> Result<Box<dyn Executable>, CoreError> {
        let env = Env::new(self, segment)?;
        let selected = select::select(&env)?;
        let layout = layout::lay_out(&env, &selected)?;
        Ok(Box::new(CpuExecutable::new(&env, selected, layout)?))
    }
}
