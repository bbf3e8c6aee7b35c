//! Every kernel is valid WGSL with either way to multiply, needs no capability of the device, and keeps the contract.
#![allow(missing_docs, clippy::unwrap_used)]

use naga::valid::{Capabilities, ValidationFlags, Validator};
use sanderling_shaders::{ALL, Dot, source};

fn parse(name: &str, dot: Dot) -> naga::Module {
    let text = source(name, dot).unwrap();
    naga::front::wgsl::parse_str(&text)
        .unwrap_or_else(|e| panic!("{}", e.emit_to_string_with_path(&text, name)))
}

#[test]
fn kernels_are_valid_without_capabilities() {
    for (name, _) in ALL {
        for dot in [Dot::Packed, Dot::Plain] {
            let module = parse(name, dot);
            Validator::new(ValidationFlags::all(), Capabilities::empty())
                .validate(&module)
                .unwrap_or_else(|e| panic!("{name} with {dot:?}: {e:?}"));
        }
    }
}

#[test]
fn kernels_have_one_entry_and_two_buffers() {
    for (name, _) in ALL {
        let module = parse(name, Dot::Packed);
        let [entry] = &module.entry_points[..] else {
            panic!("{name}: one entry point")
        };
        assert_eq!((entry.name.as_str(), entry.workgroup_size), (*name, [64, 1, 1]));
        let storage = module
            .global_variables
            .iter()
            .filter(|(_, variable)| matches!(variable.space, naga::AddressSpace::Storage { .. }));
        assert_eq!(storage.count(), 2, "{name}: the arena and the constants");
    }
}

#[test]
fn only_the_packed_form_takes_the_language_feature() {
    for (name, _) in ALL {
        assert!(
            !source(name, Dot::Plain).unwrap().contains("dot4I8Packed"),
            "{name}"
        );
    }
    assert!(source("conv", Dot::Packed).unwrap().contains("dot4I8Packed"));
    assert!(source("no such kernel", Dot::Plain).is_none());
}

#[test]
fn every_file_is_a_kernel_or_shared() {
    let shared = ["common.wgsl", "dot_packed.wgsl", "dot_plain.wgsl"];
    for entry in std::fs::read_dir(env!("CARGO_MANIFEST_DIR")).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let Some(name) = file.strip_suffix(".wgsl") else {
            continue;
        };
        let known = ALL.iter().any(|(kernel, _)| *kernel == name);
        assert!(known || shared.contains(&file.as_str()), "{file}");
    }
}
