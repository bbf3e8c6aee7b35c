//! A device that is open: queue, limits, and the pipelines compiled so far.

use crate::fault::Faults;
use sanderling_launch::{Kernel, Limits};
use sanderling_shaders::{Dot, source};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Bytes of one launch's parameters in their buffer: WebGPU's default alignment of offsets.
pub(crate) const PARAMS_STRIDE: u64 = 256;
/// Bytes that a launch reads of them.
const PARAMS_LEN: u64 = 4 * sanderling_launch::kernel::MAX_PARAMS as u64;
/// Most bytes of a buffer, whatever the device has: offsets are words in i32.
const MAX_BUFFER: u64 = 1 << 31;

/// Which device, and how to use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GpuOptions {
    /// Whether a device that is emulated on the CPU will do. It is slower than the CPU's own backend.
    pub software: bool,
    /// The way to multiply bytes; none for the device's own where it has one.
    pub dot: Option<Dot>,
}

/// Why there is no GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum GpuError {
    /// The system has none that can be used.
    NoAdapter {
        /// What it said.
        message: String,
    },
    /// All there is, is emulated.
    OnlySoftware {
        /// Its name.
        adapter: String,
    },
    /// It cannot be opened.
    NoDevice {
        /// Its name.
        adapter: String,
        /// What it said.
        message: String,
    },
}

impl fmt::Display for GpuError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAdapter { message } => write!(
                f,
                "no GPU was found ({message}); install its Vulkan, Metal or Direct3D 12 driver, or use the backend cpu"
            ),
            Self::OnlySoftware { adapter } => write!(
                f,
                "the only GPU is {adapter}, which the CPU emulates; ask for software GPUs too, or use the backend cpu"
            ),
            Self::NoDevice { adapter, message } => write!(f, "the GPU {adapter} cannot be opened: {message}"),
        }
    }
}

impl std::error::Error for GpuError {}

/// An open device.
pub(crate) struct Device {
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    pub(crate) bindings: wgpu::BindGroupLayout,
    pub(crate) limits: Limits,
    pub(crate) faults: Faults,
    pub(crate) adapter: String,
    layout: wgpu::PipelineLayout,
    dot: Dot,
    pipelines: RefCell<BTreeMap<Kernel, wgpu::ComputePipeline>>,
}

impl Device {
    pub(crate) async fn open(options: GpuOptions) -> Result<Self, GpuError> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
        let request = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        };
        let adapter = instance.request_adapter(&request).await;
        let adapter = adapter.map_err(|e| GpuError::NoAdapter {
            message: e.to_string(),
        })?;
        let info = adapter.get_info();
        let name = if info.name.is_empty() {
            "of the browser".to_string()
        } else {
            info.name
        };
        if info.device_type == wgpu::DeviceType::Cpu && !options.software {
            return Err(GpuError::OnlySoftware { adapter: name });
        }
        let offered = adapter.limits();
        // Larger models than the defaults allow, where the device can.
        let required = wgpu::Limits {
            max_buffer_size: offered.max_buffer_size.min(MAX_BUFFER),
            max_storage_buffer_binding_size: offered.max_storage_buffer_binding_size.min(MAX_BUFFER),
            ..wgpu::Limits::default()
        };
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("sanderling"),
            required_limits: required.clone(),
            ..Default::default()
        };
        let opened = adapter.request_device(&descriptor).await;
        let (device, queue) = opened.map_err(|e| GpuError::NoDevice {
            adapter: name.clone(),
            message: e.to_string(),
        })?;
        let faults = Faults::default();
        watch(&device, &faults);
        let packed = wgpu::WgslLanguageFeatures::Packed4x8IntegerDotProduct;
        let has_dot = instance.wgsl_language_features().contains(packed);
        let bindings = bindings(&device);
        let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &[Some(&bindings)],
            immediate_size: 0,
        });
        let buffer = required
            .max_storage_buffer_binding_size
            .min(required.max_buffer_size);
        Ok(Self {
            limits: Limits {
                buffer,
                memory: u64::MAX,
            },
            dot: options
                .dot
                .unwrap_or(if has_dot { Dot::Packed } else { Dot::Plain }),
            pipelines: RefCell::default(),
            adapter: name,
            device,
            queue,
            bindings,
            faults,
            layout,
        })
    }

    /// The pipeline of a kernel, compiled at first use.
    pub(crate) fn pipeline(&self, kernel: Kernel) -> wgpu::ComputePipeline {
        let compile = || {
            let text = source(kernel.name(), self.dot).unwrap_or_default();
            let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: Some(kernel.name()),
                source: wgpu::ShaderSource::Wgsl(text.into()),
            });
            self.device
                .create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                    label: Some(kernel.name()),
                    layout: Some(&self.layout),
                    module: &module,
                    entry_point: Some(kernel.name()),
                    compilation_options: Default::default(),
                    cache: None,
                })
        };
        self.pipelines
            .borrow_mut()
            .entry(kernel)
            .or_insert_with(compile)
            .clone()
    }

    /// A buffer of at least four bytes.
    pub(crate) fn buffer(&self, label: &str, len: u64, usage: wgpu::BufferUsages) -> wgpu::Buffer {
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size: len.max(4),
            usage,
            mapped_at_creation: false,
        })
    }
}

/// Hears what the device has to say: without this, wgpu panics.
fn watch(device: &wgpu::Device, faults: &Faults) {
    let errors = faults.clone();
    device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
        errors.complain(match error {
            wgpu::Error::OutOfMemory { .. } => "the device is out of memory".to_string(),
            other => other.to_string(),
        });
    }));
    let lost = faults.clone();
    device.set_device_lost_callback(move |reason, message| {
        lost.lose(match message.is_empty() {
            true => format!("{reason:?}"),
            false => message,
        });
    });
}

/// Arena, constants, parameters.
fn bindings(device: &wgpu::Device) -> wgpu::BindGroupLayout {
    let entry = |binding, ty, has_dynamic_offset, len| wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty,
            has_dynamic_offset,
            min_binding_size: std::num::NonZeroU64::new(len),
        },
        count: None,
    };
    let storage = |read_only| wgpu::BufferBindingType::Storage { read_only };
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: None,
        entries: &[
            entry(0, storage(false), false, 4),
            entry(1, storage(true), false, 4),
            entry(2, wgpu::BufferBindingType::Uniform, true, PARAMS_LEN),
        ],
    })
}

/// Arena, constants, parameters of one segment.
pub(crate) fn bind(
    device: &Device,
    arena: &wgpu::Buffer,
    constants: &wgpu::Buffer,
    params: &wgpu::Buffer,
) -> wgpu::BindGroup {
    let entry = |binding, resource| wgpu::BindGroupEntry { binding, resource };
    let window = wgpu::BufferBinding {
        buffer: params,
        offset: 0,
        size: std::num::NonZeroU64::new(PARAMS_LEN),
    };
    device.device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &device.bindings,
        entries: &[
            entry(0, arena.as_entire_binding()),
            entry(1, constants.as_entire_binding()),
            entry(2, wgpu::BindingResource::Buffer(window)),
        ],
    })
}
