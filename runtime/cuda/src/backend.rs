//! The backend: which nodes it takes, and how a segment gets ready.

use crate::compile::Compiler;
use crate::device::Device;
use crate::error::CudaError;
use crate::executable::CudaExecutable;
use sanderling_core::CoreError;
use sanderling_core::backend::{Backend, Executable, MemoryRequirements, Segment};
use sanderling_core::infer::Facts;
use sanderling_core::plan::NodeView;
use sanderling_launch::{LaunchTable, Program, Seen};
use std::path::PathBuf;
use std::rc::Rc;

/// Which device, and where compiled kernels are kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CudaOptions {
    /// The device's number, from 0; `CUDA_VISIBLE_DEVICES` chooses and orders them.
    pub device: usize,
    /// A folder for compiled kernels, made where it is missing. None compiles them anew in each process. Only who may run
    /// this program should be able to write there.
    pub cache: Option<PathBuf>,
}

/// Computes on an NVIDIA GPU.
pub struct CudaBackend {
    device: Rc<Device>,
    ops: LaunchTable,
}

impl CudaBackend {
    /// Opens a device.
    ///
    /// # Errors
    /// [`CudaError`] where there is none to be used: what is missing, and what to do.
    pub fn open(ops: LaunchTable, options: CudaOptions) -> Result<Self, CudaError> {
        let device = Rc::new(Device::open(options)?);
        Ok(Self { device, ops })
    }

    /// The device's name, for people.
    #[must_use]
    pub fn device(&self) -> &str {
        &self.device.name
    }

    /// Its compute capability, as 87 for 8.7.
    #[must_use]
    pub fn capability(&self) -> u32 {
        self.device.capability
    }

    /// What compiles its kernels.
    #[must_use]
    pub fn compiler(&self) -> &Compiler {
        &self.device.compiler
    }
}

impl Backend for CudaBackend {
    fn name(&self) -> &str {
        crate::NAME
    }

    fn memory(&self) -> MemoryRequirements {
        MemoryRequirements {
            alignment: 16,
            max_binding: self.device.max_buffer,
            channel_multiple: sanderling_launch::layout::LANES as u32,
        }
    }

    fn supports(&self, node: &NodeView<'_>, facts: &Facts) -> bool {
        !self.device.is_lost() && self.ops.find(&Seen { node: *node, facts }).is_some()
    }

    fn prepare(&self, segment: &Segment<'_>) -> Result<Box<dyn Executable>, CoreError> {
        self.device.check()?;
        let program = Program::on_device(self.ops, segment, self.device.limits()?, crate::NAME)?;
        Ok(Box::new(CudaExecutable::new(self.device.clone(), program)?))
    }
}
