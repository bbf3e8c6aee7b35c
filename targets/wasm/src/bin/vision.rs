//! The small module: operators of image classifiers in int8, and nothing else.
#![forbid(unsafe_code)]

use js_sys::Uint8Array;
use sanderling_session::{CpuTable, OpTable};
use sanderling_wasm::{Model, SessionOptions};
use wasm_bindgen::prelude::*;

/// Loads a bundle; see [`Model::load`].
///
/// # Errors
/// See [`Model::load`].
#[wasm_bindgen]
pub fn load(bytes: &Uint8Array, memory_limit: f64) -> Result<Model, JsValue> {
    let options = SessionOptions::with(
        OpTable(sanderling_core::ops::VISION_INT8),
        CpuTable(sanderling_cpu::ops::VISION_INT8),
    );
    Model::load(bytes, memory_limit, &options)
}

/// What this build can run; see [`sanderling_wasm::runtime`].
#[must_use]
#[wasm_bindgen]
pub fn runtime() -> JsValue {
    sanderling_wasm::runtime(OpTable(sanderling_core::ops::VISION_INT8))
}

/// Nothing runs by itself.
fn main() {}
