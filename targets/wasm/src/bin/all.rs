//! The module with every operator.
#![forbid(unsafe_code)]

use js_sys::Uint8Array;
use sanderling_session::OpTable;
use sanderling_wasm::{Model, SessionOptions};
use wasm_bindgen::prelude::*;

/// Loads a bundle; see [`Model::load`].
///
/// # Errors
/// See [`Model::load`].
#[wasm_bindgen]
pub fn load(bytes: &Uint8Array, memory_limit: f64) -> Result<Model, JsValue> {
    Model::load(bytes, memory_limit, &SessionOptions::default())
}

/// What this build can run; see [`sanderling_wasm::runtime`].
#[must_use]
#[wasm_bindgen]
pub fn runtime() -> JsValue {
    sanderling_wasm::runtime(OpTable(sanderling_core::ops::ALL))
}

/// Nothing runs by itself.
fn main() {}
