//! The kernels' own sources on a CPU, behind the driver's functions: what tests load as libcuda.
#![allow(dead_code)]

use libloading::Library;
use sanderling_launch::Kernel;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Compute capabilities that the kernels are compiled for: without and with an instruction for four products of bytes.
const FORMS: &[u32] = &[530, 870];

/// What the tests' driver can be told and asked, in the order of its list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Knob {
    /// CUDA's version, as the driver counts.
    Version,
    /// Devices.
    Devices,
    /// Compute capability.
    Capability,
    /// Whether it has pools of memory.
    Pools,
    /// Memory in MiB.
    FreeMib,
    /// What each launch fails with, once it runs.
    LaunchError,
    /// Allocations until memory is out; -1 for no end.
    Allocations,
    /// Images to refuse.
    Refused,
    /// Allocations that were not given back.
    InUse,
    /// Launches so far.
    Launches,
    /// Modules loaded so far.
    Loaded,
}

/// The driver.
pub(crate) struct Driver {
    library: Library,
}

impl Driver {
    /// Compiles it, and loads it under the name by which cudarc asks for the real one.
    pub(crate) fn load() -> &'static Self {
        static DRIVER: OnceLock<Driver> = OnceLock::new();
        DRIVER.get_or_init(|| {
            let path = build();
            // SAFETY: it was built a line before, and has nothing that runs when it is loaded.
            let library = unsafe { Library::new(&path) }.unwrap();
            // What is loaded needs its file no more.
            std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
            Driver { library }
        })
    }

    /// Sets everything as it was at first.
    pub(crate) fn afresh(&self) -> &Self {
        // SAFETY: the function is of this type.
        unsafe {
            self.library
                .get::<unsafe extern "C" fn() -> i32>(b"emulate_afresh\0")
                .unwrap()()
        };
        self
    }

    /// Turns a knob.
    pub(crate) fn set(&self, knob: Knob, value: i32) -> &Self {
        // SAFETY: the function is of this type.
        unsafe {
            self.library
                .get::<unsafe extern "C" fn(i32, i32) -> i32>(b"emulate\0")
                .unwrap()(knob as i32, value)
        };
        self
    }

    /// Reads a knob.
    pub(crate) fn get(&self, knob: Knob) -> i32 {
        // SAFETY: the function is of this type.
        unsafe {
            self.library
                .get::<unsafe extern "C" fn(i32) -> i32>(b"emulated\0")
                .unwrap()(knob as i32)
        }
    }
}

/// Loads NVRTC for this process from the file that `SANDERLING_NVRTC` names, as `cargo xtask test` sets it; without that, what the
/// system has is used. False where there is none and none need be.
pub(crate) fn nvrtc() -> bool {
    static KEPT: OnceLock<Option<Library>> = OnceLock::new();
    let kept = KEPT.get_or_init(|| {
        let path = std::env::var_os("SANDERLING_NVRTC")?;
        // SAFETY: it is NVRTC, which sets itself up when it is loaded.
        let library = unsafe { Library::new(&path) };
        Some(library.unwrap_or_else(|e| panic!("SANDERLING_NVRTC: {e}; `cargo xtask setup` installs NVRTC")))
    });
    let found = sanderling_cuda::Compiler::find();
    if kept.is_none() && found.is_err() {
        eprintln!(
            "passed over: NVRTC is not installed; `cargo xtask setup` installs it for `cargo xtask test`"
        );
        return false;
    }
    found.unwrap();
    true
}

/// A kernel's source for the host, and the way to launch it.
fn kernel(kernel: Kernel, form: u32) -> String {
    let (name, source) = (kernel.name(), sanderling_cuda::source(kernel));
    format!(
        "#include \"host.hpp\"\n#define __CUDA_ARCH__ {form}\n#define {name} {name}_{form}\n{source}\n#undef {name}\n\
         extern const unsigned params_{name}_{form} = sizeof(Params);\n\
         void run_{name}_{form}(unsigned blocks, unsigned threads, void* arena, void* constants, const void* params) {{\n\
             Params p;\n\
             std::memcpy(&p, params, sizeof p);\n\
             blockDim = {{threads, 1, 1}};\n\
             for (unsigned block = 0; block < blocks; block++) {{\n\
                 for (unsigned thread = 0; thread < threads; thread++) {{\n\
                     blockIdx = {{block, 0, 0}};\n\
                     threadIdx = {{thread, 0, 0}};\n\
                     {name}_{form}((u32*)arena, (const u32*)constants, p);\n\
                 }}\n\
             }}\n\
         }}\n"
    )
}

/// The list of kernels that the driver looks into.
fn table() -> String {
    let all: Vec<(&str, u32)> = Kernel::ALL
        .iter()
        .flat_map(|kernel| FORMS.iter().map(|&form| (kernel.name(), form)))
        .collect();
    let declared = all.iter().map(|(name, form)| {
        format!(
            "extern const unsigned params_{name}_{form};\n\
             void run_{name}_{form}(unsigned, unsigned, void*, void*, const void*);\n"
        )
    });
    let rows = all.iter().map(|(name, form)| {
        format!("    {{\"{name}\", {form}, params_{name}_{form}, run_{name}_{form}}},\n")
    });
    format!(
        "#include \"host.hpp\"\n{}extern const HostKernel host_kernels[] = {{\n{}}};\n\
         extern const unsigned host_kernel_count = {};\n",
        declared.collect::<String>(),
        rows.collect::<String>(),
        all.len()
    )
}

fn build() -> PathBuf {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/host");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("driver-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let mut files = vec![sources.join("driver.cpp")];
    let mut write = |name: String, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        files.push(path);
    };
    write("table.cpp".into(), table());
    for &form in FORMS {
        for &each in Kernel::ALL {
            write(format!("{}_{form}.cpp", each.name()), kernel(each, form));
        }
    }
    let library = folder.join("libcuda.so");
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    let output = Command::new(&compiler)
        .args([
            "-std=c++14",
            "-O2",
            "-ffp-contract=off",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-fPIC",
            "-shared",
        ])
        // The name by which it is found again, and no name of a kernel for others to meet.
        .args(["-Wl,-soname,libcuda.so", "-fvisibility=hidden"])
        .arg("-I")
        .arg(&sources)
        .args(&files)
        .arg("-o")
        .arg(&library)
        .output()
        .unwrap_or_else(|e| panic!("{}: {e}; the tests need a C++ compiler", compiler.display()));
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    library
}
