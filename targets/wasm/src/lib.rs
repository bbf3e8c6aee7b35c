//! The browser's and Node's binding.
//!
//! # Mental model
//!
//! JavaScript holds three kinds of values: a [`Model`], the [`Tensors`] that go into a run, and plain objects that come out.
//! Everything here converts; what a model is and does is [`sanderling_session`]'s. The JavaScript of the npm package (the
//! folder `npm`) is written by hand around it: it fetches bytes, turns typed arrays into [`Tensors`] and back, and
//! moves all of it into a Web Worker.
//!
//! A table of operators is a value, so which of them are linked is said by who calls [`Model::load`]: one binary of this
//! crate lists all, another those of int8 image classifiers.
//!
//! A third binary is for WebGPU, whose outputs nobody may wait for: its model is started and polled, where [`Model`] answers at
//! once. Both are an [`engine::Engine`] inside.
//!
//! WebAssembly cannot unwind here: a panic throws a JavaScript error out of the panic hook, with its text, and the package
//! takes the module for dead from then on. None is known; the hook is there for the one that is not.
#![forbid(unsafe_code)]

pub mod engine;
mod model;
pub mod object;
mod tensors;

pub use model::Model;
pub use sanderling_session::SessionOptions;
pub use tensors::Tensors;

use object::{array, object};
use sanderling_bundle::FORMAT_MAJOR;
use sanderling_session::{NUMERICS, OpTable, RUNTIME_VERSION, operators_of};
use wasm_bindgen::prelude::*;

/// Instructions of this build: `scalar`, `simd128` or `relaxed`.
#[must_use]
#[wasm_bindgen]
pub fn instructions() -> String {
    sanderling_session::Best::detect().name().to_string()
}

/// What this build can run, as devices tell their fleet: `{ version, numerics, bundleFormat, operators }`.
#[must_use]
pub fn runtime(table: OpTable<'_>) -> JsValue {
    let version = RUNTIME_VERSION;
    object(&[
        (
            "version",
            array([version.major, version.minor, version.patch], JsValue::from),
        ),
        ("numerics", NUMERICS.into()),
        ("bundleFormat", FORMAT_MAJOR.into()),
        ("operators", array(operators_of(table), JsValue::from)),
    ])
}

/// Makes a panic an error of JavaScript. The package calls it once, before anything else.
#[wasm_bindgen]
pub fn throw_panics() {
    std::panic::set_hook(Box::new(|panic| wasm_bindgen::throw_str(&panic.to_string())));
}
