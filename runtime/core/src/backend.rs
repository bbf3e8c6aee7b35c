//! Who computes: the contract of CPU, GPU and CUDA backends.
//!
//! A backend prepares a segment of a plan for one set of shapes once, and then takes it as often as wanted:
//! [`Executable::submit`] hands over the inputs, [`Executable::poll`] says whether the outputs are there.
//! Nothing here waits: in a browser nothing may. [`run_blocking`] is for those who can.
//!
//! Tensors carry where they are ([`Located`]): a segment's output on a device goes into the next segment of the
//! same backend without a way through the host. There is no `Send` bound: wgpu in a browser is not.

use crate::error::CoreError;
use crate::graph::ValueId;
use crate::infer::Facts;
use crate::plan::{Constants, NodeView, PlanView};
use crate::shape::TensorType;
use crate::tensor::TensorView;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::any::Any;
use core::ops::Range;

/// What a backend asks of memory: parameters of the planner, never constants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryRequirements {
    /// Alignment of every tensor, bytes, a power of two.
    pub alignment: u64,
    /// Largest single binding, bytes.
    pub max_binding: u64,
    /// Channels are padded to a multiple of this.
    pub channel_multiple: u32,
}

/// A tensor and where it is.
#[derive(Clone, Copy)]
pub enum Located<'a> {
    /// In the host's memory.
    Host(TensorView<'a>),
    /// In a device's.
    Device(DeviceTensor<'a>),
}

/// A tensor in a device's memory. Only the backend that made it can read it.
#[derive(Clone, Copy)]
pub struct DeviceTensor<'a> {
    /// [`Backend::name`] of its owner.
    pub backend: &'a str,
    /// Type; concrete.
    pub ty: &'a TensorType,
    /// The owner's handle.
    pub handle: &'a dyn Any,
}

/// A run of nodes for one backend, with what is known of their values.
#[derive(Clone)]
pub struct Segment<'a> {
    /// The plan.
    pub plan: PlanView<'a>,
    /// Nodes, by index.
    pub nodes: Range<usize>,
    /// Types and known data.
    pub facts: &'a Facts,
    /// Values it reads that come from outside and are not known, in the order of `submit`.
    pub inputs: &'a [ValueId],
    /// Values it writes that are read outside, in the order of `output`.
    pub outputs: &'a [ValueId],
    /// The plan's constants; a backend may keep them for as long as the executable lives.
    pub constants: Rc<dyn Constants>,
    /// Most bytes of memory the executable may take, scratch included.
    pub memory_limit: u64,
}

/// Whether a submitted run is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Not yet: poll again.
    Pending,
    /// Outputs can be read until the next `submit`.
    Ready,
}

/// A way to compute.
pub trait Backend {
    /// Short name: `cpu`, `gpu`, `cuda`.
    fn name(&self) -> &str;

    /// What it asks of memory.
    fn memory(&self) -> MemoryRequirements;

    /// Whether it computes this node for these facts.
    fn supports(&self, node: &NodeView<'_>, facts: &Facts) -> bool;

    /// Gets a segment ready: chooses kernels, lays out and takes memory, repacks weights.
    ///
    /// # Errors
    /// [`CoreError`] naming the node at fault, or [`CoreError::TooLarge`], before memory is taken.
    fn prepare(&self, segment: &Segment<'_>) -> Result<Box<dyn Executable>, CoreError>;
}

/// A prepared segment. Dropping it gives its memory back.
pub trait Executable {
    /// Starts a run. Host inputs are read before this returns.
    ///
    /// # Errors
    /// [`CoreError`] where an input is not of the prepared type, or the device is gone.
    fn submit(&mut self, inputs: &[Located<'_>]) -> Result<(), CoreError>;

    /// Looks whether the run is done.
    ///
    /// # Errors
    /// [`CoreError::Backend`] where the run failed.
    fn poll(&mut self) -> Result<Progress, CoreError>;

    /// An output of a run that is done, where it lies.
    fn output(&self, index: usize) -> Option<Located<'_>>;

    /// An output of a run that is done, in the host's memory. Pending where it must first be read back.
    ///
    /// # Errors
    /// [`CoreError::Backend`] where reading back failed.
    fn read_output(&mut self, index: usize) -> Result<Option<TensorView<'_>>, CoreError>;

    /// Bytes of memory taken, by purpose.
    fn memory_use(&self) -> MemoryUse;

    /// Names of the kernels chosen, one for each node that is computed, for people.
    fn kernels(&self) -> Vec<(usize, String)>;
}

/// Bytes that an executable holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryUse {
    /// Intermediates.
    pub arena: u64,
    /// Kernels' scratch.
    pub scratch: u64,
    /// Repacked weights.
    pub packed: u64,
}

/// Submits and polls until done. For backends that finish without the caller's event loop (the CPU's does at once).
///
/// # Errors
/// What submitting or polling says.
pub fn run_blocking(
    executable: &mut dyn Executable,
    inputs: &[Located<'_>],
    mut wait: impl FnMut(),
) -> Result<(), CoreError> {
    executable.submit(inputs)?;
    while executable.poll()? == Progress::Pending {
        wait();
    }
    Ok(())
}
