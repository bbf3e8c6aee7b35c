//! How a session runs.

use sanderling_bundle::Limits;
use sanderling_core::OpTable;
use sanderling_core::backend::Backend;
use sanderling_cpu::{Best, CpuTable, Profile};
use std::rc::Rc;

/// What happens to an input that breaks a rule. Either way it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnBadInput {
    /// The run is refused.
    #[default]
    Reject,
    /// The run goes on, and its outputs are flagged.
    Flag,
}

/// How a session runs.
#[derive(Clone)]
pub struct SessionOptions {
    /// Threads of the default backend, the calling one included.
    pub threads: usize,
    /// Instructions of the default backend; none for the best of this machine.
    pub instructions: Option<Best>,
    /// Most bytes of intermediates, scratch and packed weights, all prepared shapes together.
    pub memory_limit: u64,
    /// Backends by preference, before the CPU's, which takes what they leave, and everything when they fail.
    pub backends: Vec<Rc<dyn Backend>>,
    /// Operators that shapes and references come from.
    pub operators: OpTable<'static>,
    /// Kernels of the default backend.
    pub kernels: CpuTable,
    /// Shapes that stay prepared; the one used longest ago goes first. At least 1.
    pub shapes_kept: usize,
    /// What the bundle's reader accepts.
    pub limits: Limits,
    /// Whether to check every hash in a bundle when loading. Needless where the bundle's own hash was verified.
    pub verify_hashes: bool,
    /// What to do with NaN and infinity.
    pub non_finite: OnBadInput,
    /// What to do with elements outside of the declared range.
    pub out_of_range: OnBadInput,
    /// Where the default backend puts measured times.
    pub profile: Option<Rc<Profile>>,
}

impl Default for SessionOptions {
    /// One thread, 4 GiB, the CPU, every operator, four shapes, all checks on, bad input rejected.
    fn default() -> Self {
        Self::with(
            OpTable(sanderling_core::ops::ALL),
            CpuTable(sanderling_cpu::ops::ALL),
        )
    }
}

impl SessionOptions {
    /// The default, with these operators and kernels: what they do not list is not linked.
    #[must_use]
    pub fn with(operators: OpTable<'static>, kernels: CpuTable) -> Self {
        Self {
            threads: 1,
            instructions: None,
            memory_limit: 4 << 30,
            backends: Vec::new(),
            operators,
            kernels,
            shapes_kept: 4,
            limits: Limits::default(),
            verify_hashes: true,
            non_finite: OnBadInput::Reject,
            out_of_range: OnBadInput::Reject,
            profile: None,
        }
    }
}
