//! The backend: which nodes it takes, and how a segment gets ready.

use crate::device::{Device, GpuError, GpuOptions};
use crate::executable::GpuExecutable;
use crate::fault::News;
use sanderling_core::CoreError;
use sanderling_core::backend::{Backend, Executable, MemoryRequirements, Segment};
use sanderling_core::infer::Facts;
use sanderling_core::plan::NodeView;
use sanderling_launch::{LaunchTable, Program, Seen};
use std::rc::Rc;

/// Computes on a GPU.
pub struct GpuBackend {
    device: Rc<Device>,
    ops: LaunchTable,
}

impl GpuBackend {
    /// Opens a device.
    ///
    /// # Errors
    /// [`GpuError`] where there is none to be used.
    pub async fn open(ops: LaunchTable, options: GpuOptions) -> Result<Self, GpuError> {
        let device = Rc::new(Device::open(options).await?);
        Ok(Self { device, ops })
    }

    /// Opens a device and waits for it. Browsers cannot wait: there, use [`GpuBackend::open`].
    ///
    /// # Errors
    /// As [`GpuBackend::open`].
    #[cfg(not(target_family = "wasm"))]
    pub fn open_blocking(ops: LaunchTable, options: GpuOptions) -> Result<Self, GpuError> {
        pollster::block_on(Self::open(ops, options))
    }

    /// The device's name, for people.
    #[must_use]
    pub fn adapter(&self) -> &str {
        &self.device.adapter
    }

    /// Waits for the next news of the device, for those who may not block: after a poll that is pending, wait for this and
    /// poll again. Natively it is polling that hears the news.
    #[must_use]
    pub fn news(&self) -> News {
        self.device.faults.news()
    }

    /// Whether the device is gone for good.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.device.faults.is_lost()
    }

    /// Gives the device up, as if it had been lost: every executable fails from now on, recoverably.
    pub fn destroy(&self) {
        self.device.faults.lose("it was given up".into());
        self.device.device.destroy();
    }
}

impl Backend for GpuBackend {
    fn name(&self) -> &str {
        crate::NAME
    }

    fn memory(&self) -> MemoryRequirements {
        MemoryRequirements {
            alignment: 16,
            max_binding: self.device.limits.buffer,
            channel_multiple: sanderling_launch::layout::LANES as u32,
        }
    }

    fn supports(&self, node: &NodeView<'_>, facts: &Facts) -> bool {
        !self.device.faults.is_lost() && self.ops.find(&Seen { node: *node, facts }).is_some()
    }

    fn prepare(&self, segment: &Segment<'_>) -> Result<Box<dyn Executable>, CoreError> {
        self.device.faults.check()?;
        let program = Program::on_device(self.ops, segment, self.device.limits, crate::NAME)?;
        Ok(Box::new(GpuExecutable::new(self.device.clone(), program)?))
    }
}
