//! The firmware's memory, and where its bundle is.

use std::path::PathBuf;
use std::{env, fs};

/// QEMU's mps2-an386: 4 MiB of code memory, of data memory what a small Cortex-M4F has.
const CORTEX_M: &str = "MEMORY { FLASH : ORIGIN = 0x00000000, LENGTH = 1M
         RAM : ORIGIN = 0x20000000, LENGTH = 40K }\n";
/// QEMU's virt: the same sizes in its memory.
const RISC_V: &str = "MEMORY { FLASH : ORIGIN = 0x80000000, LENGTH = 1M
         RAM : ORIGIN = 0x80100000, LENGTH = 40K }
REGION_ALIAS(\"REGION_TEXT\", FLASH); REGION_ALIAS(\"REGION_RODATA\", FLASH);
REGION_ALIAS(\"REGION_DATA\", RAM); REGION_ALIAS(\"REGION_BSS\", RAM);
REGION_ALIAS(\"REGION_HEAP\", RAM); REGION_ALIAS(\"REGION_STACK\", RAM);\n";

fn main() {
    let var = |name: &str| env::var(name).unwrap_or_default();
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=SANDERLING_BUNDLE");
    if var("CARGO_CFG_TARGET_OS") != "none" {
        return;
    }
    let bundle = var("SANDERLING_BUNDLE");
    assert!(
        fs::metadata(&bundle).is_ok(),
        "SANDERLING_BUNDLE must name the bundle (absolute): sanderling pack examples/cortex-m/model -o fashion.sdl"
    );
    println!("cargo:rerun-if-changed={bundle}");
    let memory = match var("CARGO_CFG_TARGET_ARCH").as_str() {
        "arm" => CORTEX_M,
        _ => RISC_V,
    };
    let out = PathBuf::from(var("OUT_DIR"));
    // Sections of a bundle begin at multiples of 64 bytes.
    let source = format!("static BUNDLE: &Aligned<[u8]> = &Aligned(*include_bytes!({bundle:?}));\n");
    fs::write(out.join("bundle.rs"), source).expect("OUT_DIR can be written");
    fs::write(out.join("memory.x"), memory).expect("OUT_DIR can be written");
    println!("cargo:rustc-link-search={}", out.display());
    if memory == RISC_V {
        println!("cargo:rustc-link-arg-bins=-Tmemory.x");
    }
    println!("cargo:rustc-link-arg-bins=-Tlink.x");
}
