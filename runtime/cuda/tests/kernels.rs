//! The kernels' sources: NVRTC takes them for every kind of device without a word, and their parameters are those of the launches.
#![allow(missing_docs, clippy::unwrap_used)]

mod host;

use sanderling_cuda::{Compiler, source};
use sanderling_launch::Kernel;
use std::path::Path;

/// Jetson Nano, TX2, Xavier, Orin, Thor; Turing and Hopper among the servers. Those that this NVRTC knows are compiled for.
const CAPABILITIES: &[u32] = &[53, 62, 72, 75, 87, 90, 101, 110];

#[test]
fn nvrtc_compiles_every_kernel_for_every_device_without_warnings() {
    if !host::nvrtc() {
        return;
    }
    let compiler = Compiler::find().unwrap();
    let known = |capability: &&u32| compiler.capabilities().contains(capability);
    let capabilities: Vec<u32> = CAPABILITIES.iter().filter(known).copied().collect();
    assert!(
        [75, 87, 90].iter().all(|needed| capabilities.contains(needed)),
        "{compiler:?}"
    );
    for &capability in &capabilities {
        for &kernel in Kernel::ALL {
            let code = compiler.compile(kernel, capability).unwrap();
            let named = format!("{} for sm_{capability}", kernel.name());
            // That old devices will be dropped some day is no fault of the kernel's.
            let said: Vec<&str> = code
                .log
                .lines()
                .filter(|line| !line.contains("are deprecated"))
                .collect();
            assert!(said.is_empty(), "{named}: {said:?}");
            assert!(code.image.starts_with(b"\x7fELF"), "{named} is no cubin");
        }
    }
    let (major, minor) = compiler.version();
    eprintln!(
        "NVRTC {major}.{minor}: {} kernels for {capabilities:?}, no warnings",
        Kernel::ALL.len()
    );
}

/// Devices from 6.1 on multiply four bytes by four in one instruction, and nothing is contracted.
#[test]
fn machine_code_has_the_instructions_that_are_meant() {
    if !host::nvrtc() {
        return;
    }
    let compiler = Compiler::find().unwrap();
    // Younger than anything that NVRTC knows: PTX, which can be read.
    let code = compiler.compile(Kernel::Conv, 9999).unwrap();
    let text = String::from_utf8(code.image).unwrap();
    assert!(text.contains("dp4a.s32.s32"), "{text}");
    assert!(text.contains("mul.rn.f32") && !text.contains("fma.rn.f32") && !text.contains("mad.f32"));
    assert!(text.contains("cvt.rni.s32.f32") && !text.contains("ftz"));
}

/// Names of the fields of a source's `Params`, all of them words.
fn fields(text: &str) -> Vec<&str> {
    let body = text
        .split("struct Params {")
        .nth(1)
        .unwrap()
        .split("};")
        .next()
        .unwrap();
    let words = body.split(';').map(str::trim).filter(|line| !line.is_empty());
    words
        .map(|line| {
            line.strip_prefix("u32 ")
                .or_else(|| line.strip_prefix("i32 "))
                .unwrap()
        })
        .collect()
}

#[test]
fn sources_and_launches_agree_on_parameters() {
    for &kernel in Kernel::ALL {
        let (name, text) = (kernel.name(), source(kernel));
        assert_eq!(fields(&text), kernel.params(), "{name}");
        let entries: Vec<&str> = text.lines().filter(|line| line.contains("__global__")).collect();
        let start = format!("extern \"C\" __global__ void {name}(u32* arena, const u32* __restrict__");
        assert!(
            entries.len() == 1 && entries[0].starts_with(&start) && entries[0].ends_with("const Params p) {"),
            "{entries:?}"
        );
    }
}

#[test]
fn every_file_is_a_kernel_or_shared() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels");
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let kernel = file.strip_suffix(".cu");
        let known = kernel.is_some_and(|name| Kernel::ALL.iter().any(|kernel| kernel.name() == name));
        assert!(known || file == "common.cuh", "{file}");
    }
}
