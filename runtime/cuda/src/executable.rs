//! A prepared segment: buffers, launches, and a run that is asked about until it is done.

use crate::device::Device;
use crate::error::failure;
use cudarc::driver::result::DriverError;
use cudarc::driver::{CudaEvent, CudaFunction, CudaSlice, LaunchConfig, PinnedHostSlice, PushKernelArg};
use sanderling_core::backend::{Executable, Located, MemoryUse, Progress};
use sanderling_core::{CoreError, Tensor, TensorType, TensorView};
use sanderling_launch::kernel::MAX_PARAMS;
use sanderling_launch::{Border, Program, Step, WORKGROUP};
use std::ops::Range;
use std::rc::Rc;

/// Threads of a block: whole groups. More than one, as a processor holds few blocks at a time.
const THREADS: u32 = 2 * WORKGROUP;

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Run {
    Idle,
    Submitted,
    Done,
}

struct Launch {
    function: CudaFunction,
    params: [u32; MAX_PARAMS],
    blocks: u32,
}

struct Input {
    border: Border,
    words: PinnedHostSlice<u32>,
}

struct Output {
    border: Border,
    words: PinnedHostSlice<u32>,
    host: Tensor,
}

pub(crate) struct CudaExecutable {
    device: Rc<Device>,
    arena: CudaSlice<u32>,
    constants: CudaSlice<u32>,
    launches: Vec<Launch>,
    inputs: Vec<Input>,
    outputs: Vec<Output>,
    done: CudaEvent,
    kernels: Vec<(usize, String)>,
    memory: MemoryUse,
    run: Run,
}

impl CudaExecutable {
    pub(crate) fn new(device: Rc<Device>, program: Program) -> Result<Self, CoreError> {
        let kernels = program.kernels();
        let mut launches = Vec::with_capacity(program.steps.len());
        for step in &program.steps {
            launches.push(launch(&device, step)?);
        }
        let memory = |result: Result<CudaSlice<u32>, DriverError>| device.attempt("taking memory", result);
        let mut arena = memory(device.stream.alloc_zeros(program.arena.max(1) as usize))?;
        let mut constants = memory(device.stream.alloc_zeros(program.constants.len().max(1)))?;
        device.attempt("copying weights", {
            device.stream.memcpy_htod(&program.constants[..], &mut constants)
        })?;
        for (offset, words) in &program.preset {
            copy_in(&device, &mut arena, *offset, &words[..])?;
        }
        let mut scratch = 0;
        let mut pinned = |border: &Border| {
            let words = border.layout.words();
            scratch += 4 * words as u64;
            pinned(&device, words)
        };
        let mut inputs = Vec::with_capacity(program.inputs.len());
        for border in program.inputs {
            let words = pinned(&border)?;
            inputs.push(Input { border, words });
        }
        let mut outputs = Vec::with_capacity(program.outputs.len());
        for border in program.outputs {
            let shape = border.ty.concrete().unwrap_or_default();
            let host = Tensor::zeros(border.ty.dtype, &shape).map_err(|e| failure(e.to_string()))?;
            let words = pinned(&border)?;
            outputs.push(Output { border, words, host });
        }
        let done = device.attempt("making an event", device.context.new_event(None))?;
        // What the program holds has left the host before it is dropped.
        device.attempt("copying weights", device.stream.synchronize())?;
        Ok(Self {
            memory: MemoryUse {
                arena: arena.num_bytes() as u64,
                scratch,
                packed: constants.num_bytes() as u64,
            },
            device,
            arena,
            constants,
            launches,
            inputs,
            outputs,
            done,
            kernels,
            run: Run::Idle,
        })
    }

    /// Queues the inputs, all launches, the outputs, and the event that says that all of it happened.
    fn queue(&mut self) -> Result<(), CoreError> {
        let device = &self.device;
        for input in self.inputs.iter().filter(|input| input.border.layout.words() > 0) {
            copy_in(device, &mut self.arena, input.border.offset, &input.words)?;
        }
        for launch in &self.launches {
            let config = LaunchConfig {
                grid_dim: (launch.blocks, 1, 1),
                block_dim: (THREADS, 1, 1),
                shared_mem_bytes: 0,
            };
            let mut queued = device.stream.launch_builder(&launch.function);
            queued
                .arg(&mut self.arena)
                .arg(&self.constants)
                .arg(&launch.params);
            // SAFETY: the kernel takes two pointers and a struct of at most MAX_PARAMS words (the tests hold both to
            // the sources), copied here. `Program` laid arena and constants out so that every thread below the step's
            // count stays inside of them; the others do nothing. Both live until the stream has come past this launch:
            // drop waits.
            let result = unsafe { queued.launch(config) };
            device.attempt("launching a kernel", result)?;
        }
        for output in &mut self.outputs {
            let words = output.border.layout.words();
            let range = range(output.border.offset, words);
            let Some(from) = self.arena.try_slice(range).filter(|_| words > 0) else {
                continue;
            };
            device.attempt(
                "copying outputs",
                device.stream.memcpy_dtoh(&from, &mut output.words),
            )?;
        }
        device.attempt("recording an event", self.done.record(&device.stream))
    }

    fn take_outputs(&mut self) -> Result<(), CoreError> {
        for output in &mut self.outputs {
            let layout = &output.border.layout;
            // Its own event is past: the stream is.
            let words = self.device.attempt("reading outputs", output.words.as_slice())?;
            layout.unpack(&words[..layout.words()], output.host.view_mut().bytes_mut());
        }
        Ok(())
    }
}

fn launch(device: &Device, step: &Step) -> Result<Launch, CoreError> {
    let mut params = [0; MAX_PARAMS];
    let given = params.get_mut(..step.params.len());
    given
        .ok_or_else(|| failure(format!("{} takes too many parameters", step.kernel.name())))?
        .copy_from_slice(&step.params);
    Ok(Launch {
        function: device.function(step.kernel)?,
        params,
        blocks: step.threads.div_ceil(THREADS).max(1),
    })
}

/// Words of the arena.
fn range(offset: u32, words: usize) -> Range<usize> {
    offset as usize..offset as usize + words
}

/// Memory of the host that the device reads and writes by itself; all zero.
fn pinned(device: &Device, words: usize) -> Result<PinnedHostSlice<u32>, CoreError> {
    // Cached: the host reads it. (cudarc's own choice of write-combining is slow to read.)
    // SAFETY: it is written whole, two lines below, before anyone reads it.
    let slice = unsafe { device.context.alloc_pinned_with_flags(words.max(1), 0) };
    let mut slice: PinnedHostSlice<u32> = device.attempt("taking memory of the host", slice)?;
    device
        .attempt("taking memory of the host", slice.as_mut_slice())?
        .fill(0);
    Ok(slice)
}

/// Queues a copy into the arena.
fn copy_in<S>(device: &Device, arena: &mut CudaSlice<u32>, offset: u32, words: &S) -> Result<(), CoreError>
where
    S: cudarc::driver::HostSlice<u32> + ?Sized,
{
    let end = (offset as usize).saturating_add(words.len());
    match arena.try_slice_mut(offset as usize..end) {
        Some(mut to) => device.attempt("copying to the device", device.stream.memcpy_htod(words, &mut to)),
        None => Err(failure("a value lies outside of the arena")),
    }
}

impl Executable for CudaExecutable {
    fn submit(&mut self, inputs: &[Located<'_>]) -> Result<(), CoreError> {
        self.device.check()?;
        // Nobody waits for a run that is under way any more. It ends on the stream before this one begins.
        self.run = Run::Idle;
        if inputs.len() != self.inputs.len() {
            let message = format!(
                "{} inputs for a segment that reads {}",
                inputs.len(),
                self.inputs.len()
            );
            return Err(CoreError::Graph { message });
        }
        for (own, input) in self.inputs.iter_mut().zip(inputs) {
            let Located::Host(view) = input else {
                return Err(failure("an input lies on another device"));
            };
            let given = TensorType::fixed(view.dtype(), view.shape());
            if given != own.border.ty {
                return Err(CoreError::Input {
                    name: format!("value {}", own.border.value.index()),
                    message: format!("is {given}, the segment was prepared for {}", own.border.ty),
                });
            }
            let packed = own.border.layout.pack(view.bytes());
            // Where a run before has not copied its own inputs yet, this waits until it has.
            let words = self.device.attempt("writing inputs", own.words.as_mut_slice())?;
            words[..packed.len()].copy_from_slice(&packed);
        }
        self.run = Run::Submitted;
        let queued = self.queue();
        if queued.is_err() {
            // What was queued must end before its memory is used again.
            let _ = self.device.stream.synchronize();
            self.run = Run::Idle;
        }
        queued
    }

    fn poll(&mut self) -> Result<Progress, CoreError> {
        match self.run {
            Run::Done => return Ok(Progress::Ready),
            Run::Idle => return Err(failure("there is no run to ask about")),
            Run::Submitted => self.device.check()?,
        }
        let bound = self.device.context.bind_to_thread();
        let complete = bound.and_then(|()| self.done.try_is_complete());
        if !self.device.attempt("a run", complete)? {
            return Ok(Progress::Pending);
        }
        self.run = Run::Idle;
        self.take_outputs()?;
        self.run = Run::Done;
        Ok(Progress::Ready)
    }

    fn output(&self, index: usize) -> Option<Located<'_>> {
        let output = self.outputs.get(index)?;
        Some(Located::Host(output.host.view()))
    }

    fn read_output(&mut self, index: usize) -> Result<Option<TensorView<'_>>, CoreError> {
        let host = self.outputs.get(index).map(|output| output.host.view());
        Ok(host.filter(|_| self.run == Run::Done))
    }

    fn memory_use(&self) -> MemoryUse {
        self.memory
    }

    fn kernels(&self) -> Vec<(usize, String)> {
        self.kernels.clone()
    }
}

impl Drop for CudaExecutable {
    fn drop(&mut self) {
        // A run may be under way. A device that is lost says so here; there is nothing left to wait for then.
        let _ = self.device.stream.synchronize();
    }
}
