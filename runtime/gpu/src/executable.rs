//! A prepared segment: buffers, launches, and a run that is asked about until it is done.

use crate::device::{Device, PARAMS_STRIDE, bind};
use crate::fault::failure;
use sanderling_core::backend::{Executable, Located, MemoryUse, Progress};
use sanderling_core::{CoreError, Tensor, TensorType, TensorView};
use sanderling_launch::{Border, Program, WORKGROUP};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Most groups along one axis of a launch: WebGPU's default limit.
const MAX_GROUPS: u32 = 65_535;

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Run {
    Idle,
    Submitted,
    Done,
}

/// What the callback of a mapping leaves.
const WAITING: u8 = 0;
const MAPPED: u8 = 1;
const FAILED: u8 = 2;

struct Launch {
    pipeline: wgpu::ComputePipeline,
    params: u32,
    groups: [u32; 2],
}

struct Output {
    border: Border,
    /// Its first byte in the buffer that is read back.
    at: u64,
    host: Tensor,
}

pub(crate) struct GpuExecutable {
    device: Rc<Device>,
    bound: wgpu::BindGroup,
    arena: wgpu::Buffer,
    /// Constants and parameters.
    read_only: [wgpu::Buffer; 2],
    readback: wgpu::Buffer,
    readback_len: u64,
    launches: Vec<Launch>,
    inputs: Vec<Border>,
    outputs: Vec<Output>,
    kernels: Vec<(usize, String)>,
    memory: MemoryUse,
    run: Run,
    mapped: Arc<AtomicU8>,
}

impl GpuExecutable {
    pub(crate) fn new(device: Rc<Device>, program: Program) -> Result<Self, CoreError> {
        use wgpu::BufferUsages as Usage;
        let mut readback_len = 0;
        let mut outputs = Vec::with_capacity(program.outputs.len());
        for border in &program.outputs {
            let shape = border.ty.concrete().unwrap_or_default();
            let host = Tensor::zeros(border.ty.dtype, &shape).map_err(|e| failure(e.to_string()))?;
            outputs.push(Output {
                border: border.clone(),
                at: readback_len,
                host,
            });
            readback_len += border.layout.words() as u64 * 4;
        }
        let arena_len = u64::from(program.arena) * 4;
        let constants_len = program.constants.len() as u64 * 4;
        let arena = device.buffer(
            "arena",
            arena_len,
            Usage::STORAGE | Usage::COPY_DST | Usage::COPY_SRC,
        );
        let constants = device.buffer("constants", constants_len, Usage::STORAGE | Usage::COPY_DST);
        let params_len = PARAMS_STRIDE * program.steps.len().max(1) as u64;
        let params = device.buffer("parameters", params_len, Usage::UNIFORM | Usage::COPY_DST);
        let readback = readback(&device, readback_len);
        // Without its memory there is nothing to write to.
        device.faults.check()?;
        let write = |buffer: &wgpu::Buffer, at: u64, words: &[u32]| {
            device.queue.write_buffer(buffer, at, bytemuck::cast_slice(words));
        };
        write(&constants, 0, &program.constants);
        for (offset, words) in &program.preset {
            write(&arena, u64::from(*offset) * 4, words);
        }
        let mut launches = Vec::with_capacity(program.steps.len());
        for (index, step) in program.steps.iter().enumerate() {
            let at = index as u64 * PARAMS_STRIDE;
            write(&params, at, &step.params);
            let groups = step.threads.div_ceil(WORKGROUP);
            let rows = groups.div_ceil(MAX_GROUPS).max(1);
            launches.push(Launch {
                pipeline: device.pipeline(step.kernel),
                params: at as u32,
                groups: [groups.div_ceil(rows), rows],
            });
        }
        let bound = bind(&device, &arena, &constants, &params);
        device.faults.check()?;
        Ok(Self {
            bound,
            read_only: [constants, params],
            launches,
            kernels: program.kernels(),
            memory: MemoryUse {
                arena: arena_len,
                scratch: params_len + readback_len,
                packed: constants_len,
            },
            inputs: program.inputs,
            outputs,
            arena,
            readback,
            readback_len,
            device,
            run: Run::Idle,
            mapped: Arc::new(AtomicU8::new(WAITING)),
        })
    }

    /// One pass of all launches, then the outputs to where they can be mapped.
    fn commands(&self) -> wgpu::CommandBuffer {
        let mut encoder = self.device.device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        for launch in &self.launches {
            pass.set_pipeline(&launch.pipeline);
            pass.set_bind_group(0, &self.bound, &[launch.params]);
            pass.dispatch_workgroups(launch.groups[0], launch.groups[1], 1);
        }
        drop(pass);
        for output in &self.outputs {
            let len = output.border.layout.words() as u64 * 4;
            if len > 0 {
                let from = u64::from(output.border.offset) * 4;
                encoder.copy_buffer_to_buffer(&self.arena, from, &self.readback, output.at, len);
            }
        }
        encoder.finish()
    }

    /// Copies what was mapped into the outputs.
    fn take_outputs(&mut self) -> Result<(), CoreError> {
        let range = self.readback.slice(..self.readback_len.max(4)).get_mapped_range();
        let range = range.map_err(|e| failure(format!("outputs could not be read back: {e}")))?;
        let words: Vec<u32> = bytemuck::pod_collect_to_vec(&range[..]);
        drop(range);
        self.readback.unmap();
        for output in &mut self.outputs {
            let first = (output.at / 4) as usize;
            let layout = &output.border.layout;
            layout.unpack(
                &words[first..first + layout.words()],
                output.host.view_mut().bytes_mut(),
            );
        }
        Ok(())
    }
}

/// A buffer that outputs are mapped from.
fn readback(device: &Device, len: u64) -> wgpu::Buffer {
    device.buffer(
        "outputs",
        len,
        wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
    )
}

impl Drop for GpuExecutable {
    /// In a browser a buffer that is only let go stays until the garbage collector looks for it.
    fn drop(&mut self) {
        let [constants, params] = &self.read_only;
        for buffer in [&self.arena, constants, params, &self.readback] {
            buffer.destroy();
        }
    }
}

impl Executable for GpuExecutable {
    fn submit(&mut self, inputs: &[Located<'_>]) -> Result<(), CoreError> {
        self.device.faults.check()?;
        if self.run == Run::Submitted {
            // Nobody waits for that run any more; its outputs still are to be mapped.
            let next = readback(&self.device, self.readback_len);
            std::mem::replace(&mut self.readback, next).destroy();
        }
        if inputs.len() != self.inputs.len() {
            let message = format!(
                "{} inputs for a segment that reads {}",
                inputs.len(),
                self.inputs.len()
            );
            return Err(CoreError::Graph { message });
        }
        for (border, input) in self.inputs.iter().zip(inputs) {
            let Located::Host(view) = input else {
                return Err(failure("an input lies on another device"));
            };
            let given = TensorType::fixed(view.dtype(), view.shape());
            if given != border.ty {
                return Err(CoreError::Input {
                    name: format!("value {}", border.value.index()),
                    message: format!("is {given}, the segment was prepared for {}", border.ty),
                });
            }
            let words = border.layout.pack(view.bytes());
            let at = u64::from(border.offset) * 4;
            self.device
                .queue
                .write_buffer(&self.arena, at, bytemuck::cast_slice(&words));
        }
        self.device.queue.submit([self.commands()]);
        // A complaint about this submission is this run's, and not another's that asks first: natively it is there already.
        self.device.faults.check()?;
        let mapped = Arc::new(AtomicU8::new(WAITING));
        self.mapped = mapped.clone();
        let faults = self.device.faults.clone();
        self.readback
            .slice(..self.readback_len.max(4))
            .map_async(wgpu::MapMode::Read, move |result| {
                mapped.store(if result.is_ok() { MAPPED } else { FAILED }, Ordering::Release);
                faults.tell();
            });
        self.run = Run::Submitted;
        Ok(())
    }

    fn poll(&mut self) -> Result<Progress, CoreError> {
        if self.run == Run::Done {
            return Ok(Progress::Ready);
        }
        // Its own errors come by the callbacks, which this calls; in a browser the event loop does.
        let polled = self.device.device.poll(wgpu::PollType::Poll);
        let failed = polled.is_err() || self.mapped.load(Ordering::Acquire) == FAILED;
        if failed || self.device.faults.is_lost() {
            self.run = Run::Idle;
            self.device.faults.check()?;
            return Err(failure(
                "outputs could not be mapped: the device was lost, or refused the run",
            ));
        }
        if self.mapped.load(Ordering::Acquire) != MAPPED {
            return Ok(Progress::Pending);
        }
        self.run = Run::Idle;
        self.take_outputs()?;
        self.device.faults.check()?;
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
