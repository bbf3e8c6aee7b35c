//! A device that is open: its stream, its memory, and the kernels loaded so far.

use crate::backend::CudaOptions;
use crate::cache::Cache;
use crate::compile::{self, Compiler, Target};
use crate::error::{CudaError, failure, opening, text};
use crate::library;
use cudarc::driver::result::DriverError;
use cudarc::driver::sys::{CUdevice_attribute, CUresult};
use cudarc::driver::{CudaContext, CudaFunction, CudaStream};
use cudarc::nvrtc::Ptx;
use sanderling_core::CoreError;
use sanderling_launch::{Kernel, Limits};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most bytes of a buffer, whatever the device has: offsets are words in 32 bits, some signed.
const MAX_BUFFER: u64 = 1 << 31;

/// An open device.
pub(crate) struct Device {
    pub(crate) context: Arc<CudaContext>,
    /// Everything happens on this one, in order.
    pub(crate) stream: Arc<CudaStream>,
    pub(crate) name: String,
    /// As 87 for 8.7.
    pub(crate) capability: u32,
    /// Largest buffer.
    pub(crate) max_buffer: u64,
    pub(crate) compiler: Compiler,
    target: Target,
    cache: Cache,
    functions: RefCell<BTreeMap<Kernel, CudaFunction>>,
    /// Why the device is gone for good.
    lost: RefCell<Option<String>>,
}

impl Device {
    pub(crate) fn open(options: CudaOptions) -> Result<Self, CudaError> {
        library::driver()?;
        let count = device_count()?;
        let index = options.device;
        if index >= count {
            return Err(CudaError::NoDevice { index, count });
        }
        let compiler = Compiler::find()?;
        let context = CudaContext::new(index).map_err(opening("opening the device"))?;
        let name = context.name().map_err(opening("the device's name"))?;
        let attribute = |which| {
            context
                .attribute(which)
                .map_err(opening("the compute capability"))
        };
        let major = attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
        let minor = attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
        let capability = u32::try_from(10 * major + minor).unwrap_or(0);
        let target = compiler.target(capability);
        let target = target.ok_or_else(|| CudaError::NoCode {
            device: name.clone(),
            capability,
            compiler: compiler.version(),
            least: compiler.capabilities().first().copied().unwrap_or(0),
        })?;
        // SAFETY: events order buffers between streams; everything of this context happens on one stream, in order.
        unsafe { context.disable_event_tracking() };
        let stream = context.new_stream().map_err(opening("making a stream"))?;
        let (_, total) = context
            .mem_get_info()
            .map_err(opening("the size of its memory"))?;
        Ok(Self {
            context,
            stream,
            name,
            capability,
            max_buffer: (total as u64).min(MAX_BUFFER),
            compiler,
            target,
            cache: Cache::new(options.cache),
            functions: RefCell::default(),
            lost: RefCell::default(),
        })
    }

    /// What fits now: others use the device too, and a Jetson's memory is the whole board's.
    pub(crate) fn limits(&self) -> Result<Limits, CoreError> {
        let (free, _) = self.attempt("the size of its memory", self.context.mem_get_info())?;
        let free = free as u64;
        Ok(Limits {
            buffer: free.min(self.max_buffer),
            memory: free,
        })
    }

    /// A kernel, ready to be launched.
    pub(crate) fn function(&self, kernel: Kernel) -> Result<CudaFunction, CoreError> {
        if let Some(function) = self.functions.borrow().get(&kernel) {
            return Ok(function.clone());
        }
        let recipe = compile::recipe(kernel, self.target, &self.compiler);
        let function = match self.cache.get(&recipe) {
            // The driver may refuse what an older one took.
            Some(image) => self.load(kernel, image).or_else(|_| {
                self.cache.forget(&recipe);
                self.compile(kernel, &recipe)
            }),
            None => self.compile(kernel, &recipe),
        }?;
        self.functions.borrow_mut().insert(kernel, function.clone());
        Ok(function)
    }

    fn compile(&self, kernel: Kernel, recipe: &str) -> Result<CudaFunction, CoreError> {
        let code = compile::compile(kernel, self.target).map_err(failure)?;
        let function = self.load(kernel, code.image.clone());
        let function = self.attempt("loading a kernel", function)?;
        self.cache.put(recipe, &code.image);
        Ok(function)
    }

    fn load(&self, kernel: Kernel, image: Vec<u8>) -> Result<CudaFunction, DriverError> {
        // PTX is taken by its bytes too, with the zero that NVRTC ends it with.
        let module = self.context.load_module(Ptx::from_binary(image))?;
        module.load_function(kernel.name())
    }

    /// A result of the driver as one of ours. After any error but a lack of memory, the context is good for nothing more.
    pub(crate) fn attempt<T>(&self, what: &str, result: Result<T, DriverError>) -> Result<T, CoreError> {
        result.map_err(|error| {
            if error.0 == CUresult::CUDA_ERROR_OUT_OF_MEMORY {
                return failure(format!("the device is out of memory ({what})"));
            }
            let message = format!("{what}: {}", text(error));
            self.lost.borrow_mut().get_or_insert_with(|| message.clone());
            failure(format!("the device was lost: {message}"))
        })
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.lost.borrow().is_some()
    }

    /// # Errors
    /// [`CoreError::Backend`] for a device that is lost.
    pub(crate) fn check(&self) -> Result<(), CoreError> {
        match &*self.lost.borrow() {
            Some(message) => Err(failure(format!("the device was lost: {message}"))),
            None => Ok(()),
        }
    }
}

/// Devices that there are; none where the driver finds none.
fn device_count() -> Result<usize, CudaError> {
    match CudaContext::device_count() {
        Ok(count) => Ok(usize::try_from(count).unwrap_or(0)),
        Err(DriverError(CUresult::CUDA_ERROR_NO_DEVICE)) => Ok(0),
        // What CUDA's toolkit has in a driver's place for linking.
        Err(DriverError(CUresult::CUDA_ERROR_STUB_LIBRARY)) => Err(CudaError::NoDriver),
        Err(error) => Err(opening("starting")(error)),
    }
}
