//! NVRTC: a kernel's text becomes code for one kind of device.
//!
//! Code is the device's own (cubin) where NVRTC makes it, which any driver of that CUDA version or newer takes as it is.
//! For a device younger than NVRTC it is PTX of the youngest kind that it knows, which the driver translates.
//!
//! Products are never contracted with sums (`--fmad=false`), subnormals stay, and the kernels say each rounding
//! themselves: docs/numerics.md, section 2.

use crate::error::CudaError;
use crate::kernels::source;
use crate::library;
use cudarc::nvrtc::result::{self, NvrtcError};
use cudarc::nvrtc::sys;
use sanderling_launch::Kernel;
use std::ffi::{CStr, CString};

/// What is said to NVRTC beside the device.
const OPTIONS: &[&str] = &["--std=c++14", "--fmad=false", "--ftz=false", "--prec-div=true"];

/// NVRTC, found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiler {
    version: (u32, u32),
    /// Compute capabilities that it makes code for, as 87 for 8.7; ascending.
    capabilities: Vec<u32>,
}

/// Code of one kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// For the driver: cubin, or PTX with a zero at its end.
    pub image: Vec<u8>,
    /// What NVRTC said; empty where it has nothing against the kernel.
    pub log: String,
}

/// For which devices NVRTC shall make code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// For one compute capability.
    Cubin(u32),
    /// For the driver to translate, for this capability and younger ones.
    Ptx(u32),
}

impl Target {
    /// As NVRTC's option.
    fn option(self) -> String {
        match self {
            Self::Cubin(capability) => format!("--gpu-architecture=sm_{capability}"),
            Self::Ptx(capability) => format!("--gpu-architecture=compute_{capability}"),
        }
    }
}

impl Compiler {
    /// Loads NVRTC.
    ///
    /// # Errors
    /// [`CudaError::NoCompiler`], [`CudaError::OldCompiler`].
    pub fn find() -> Result<Self, CudaError> {
        library::compiler()?;
        let failed = |error: NvrtcError| CudaError::Driver {
            what: "NVRTC's version",
            message: error.to_string(),
        };
        let (mut major, mut minor, mut count) = (0, 0, 0);
        // SAFETY: it writes two numbers where it is told to.
        unsafe { sys::nvrtcVersion(&mut major, &mut minor) }
            .result()
            .map_err(failed)?;
        // SAFETY: it writes one number where it is told to.
        unsafe { sys::nvrtcGetNumSupportedArchs(&mut count) }
            .result()
            .map_err(failed)?;
        let mut capabilities = vec![0; usize::try_from(count).unwrap_or(0)];
        // SAFETY: it writes as many numbers as it said a line before.
        unsafe { sys::nvrtcGetSupportedArchs(capabilities.as_mut_ptr()) }
            .result()
            .map_err(failed)?;
        let known = |number: i32| u32::try_from(number).unwrap_or(0);
        let mut capabilities: Vec<u32> = capabilities.into_iter().map(known).collect();
        capabilities.sort_unstable();
        Ok(Self {
            version: (known(major), known(minor)),
            capabilities,
        })
    }

    /// Its version, as CUDA's.
    #[must_use]
    pub fn version(&self) -> (u32, u32) {
        self.version
    }

    /// Compute capabilities that it makes code for, as 87 for 8.7; ascending.
    #[must_use]
    pub fn capabilities(&self) -> &[u32] {
        &self.capabilities
    }

    /// What to make for a device; none where it is older than anything that NVRTC knows.
    pub(crate) fn target(&self, capability: u32) -> Option<Target> {
        let older = self
            .capabilities
            .iter()
            .copied()
            .filter(|&known| known <= capability);
        match older.max() {
            Some(known) if known == capability => Some(Target::Cubin(known)),
            youngest => youngest.map(Target::Ptx),
        }
    }

    /// Compiles a kernel for the devices of a compute capability, as 87 for 8.7.
    ///
    /// # Errors
    /// What NVRTC says.
    pub fn compile(&self, kernel: Kernel, capability: u32) -> Result<Code, String> {
        match self.target(capability) {
            Some(target) => compile(kernel, target),
            None => Err(format!("NVRTC makes no code for sm_{capability}")),
        }
    }
}

/// What a kernel is compiled from and how: code of the same recipe is the same.
pub(crate) fn recipe(kernel: Kernel, target: Target, compiler: &Compiler) -> String {
    let (major, minor) = compiler.version;
    let options = OPTIONS.join(" ");
    format!(
        "nvrtc {major}.{minor} {options} {}\n{}",
        target.option(),
        source(kernel)
    )
}

pub(crate) fn compile(kernel: Kernel, target: Target) -> Result<Code, String> {
    let name = kernel.name();
    let failed = |error: NvrtcError| format!("NVRTC on {name}: {error}");
    let unfit = |_| format!("{name}: a zero in its text");
    let text = CString::new(source(kernel)).map_err(unfit)?;
    let file = CString::new(format!("{name}.cu")).map_err(unfit)?;
    let program = Program(result::create_program(&text, Some(&file)).map_err(failed)?);
    let device = target.option();
    let options: Vec<&str> = OPTIONS.iter().copied().chain([device.as_str()]).collect();
    // SAFETY: the program was made above and lives until the end of this function.
    let compiled = unsafe { result::compile_program(program.0, &options) };
    // SAFETY: as above.
    let log = unsafe { result::get_program_log(program.0) }.map_err(failed)?;
    let log = bytes(log);
    let log =
        CStr::from_bytes_until_nul(&log).map_or_else(|_| String::new(), |text| text.to_string_lossy().into());
    compiled.map_err(|error| format!("NVRTC on {name}: {error}\n{log}"))?;
    let image = match target {
        Target::Cubin(_) => cubin(&program).map_err(failed)?,
        // SAFETY: as above.
        Target::Ptx(_) => bytes(unsafe { result::get_ptx(program.0) }.map_err(failed)?),
    };
    Ok(Code {
        image,
        log: log.trim().to_string(),
    })
}

fn cubin(program: &Program) -> Result<Vec<u8>, NvrtcError> {
    let mut len = 0;
    // SAFETY: the program is compiled; it writes one number where it is told to.
    unsafe { sys::nvrtcGetCUBINSize(program.0, &mut len) }.result()?;
    let mut image = vec![0u8; len];
    // SAFETY: the program is compiled; it writes as many bytes as it said a line before.
    unsafe { sys::nvrtcGetCUBIN(program.0, image.as_mut_ptr().cast()) }.result()?;
    Ok(image)
}

/// C's characters as bytes.
fn bytes(chars: Vec<std::ffi::c_char>) -> Vec<u8> {
    chars.into_iter().map(|c| c.to_ne_bytes()[0]).collect()
}

/// A program of NVRTC's, given back at the end.
struct Program(sys::nvrtcProgram);

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: NVRTC made it, and nobody else gives it back. That this failed could help nobody.
        let _ = unsafe { result::destroy_program(self.0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_gets_its_own_code_or_the_nearest_older_ones_ptx() {
        let compiler = Compiler {
            version: (12, 6),
            capabilities: vec![53, 72, 75, 80, 87, 90],
        };
        let of = |capability| compiler.target(capability);
        assert_eq!(of(87), Some(Target::Cubin(87)));
        assert_eq!(of(86), Some(Target::Ptx(80)));
        assert_eq!(of(110), Some(Target::Ptx(90)));
        assert_eq!(of(50), None);
    }

    #[test]
    fn a_recipe_names_all_that_code_depends_on() {
        let compiler = |minor| Compiler {
            version: (12, minor),
            capabilities: vec![87],
        };
        let base = recipe(Kernel::Conv, Target::Cubin(87), &compiler(6));
        for other in [
            recipe(Kernel::Mean, Target::Cubin(87), &compiler(6)),
            recipe(Kernel::Conv, Target::Cubin(72), &compiler(6)),
            recipe(Kernel::Conv, Target::Ptx(87), &compiler(6)),
            recipe(Kernel::Conv, Target::Cubin(87), &compiler(8)),
        ] {
            assert_ne!(base, other);
        }
        assert!(base.contains("--fmad=false"));
    }
}
