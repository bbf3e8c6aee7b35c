//! The module for WebGPU: operators of image classifiers in int8, by the GPU where it takes them, else by the CPU.
//!
//! Nothing here waits, as a tab may not: JavaScript starts a run, polls it, and sleeps on [`Device::news`] in between.
//! Every call is a plain one, so that whatever breaks inside is thrown to the caller, and not lost in a promise.
#![forbid(unsafe_code)]

mod model;

use js_sys::futures::future_to_promise;
use js_sys::{Promise, Uint8Array};
use model::Coming;
use sanderling_gpu::{GpuBackend, GpuOptions};
use sanderling_launch::LaunchTable;
use sanderling_session::{CpuTable, Handover, OpTable, SessionOptions};
use sanderling_wasm::{engine, object};
use std::rc::Rc;
use wasm_bindgen::prelude::*;

/// An open GPU, for any number of models.
#[wasm_bindgen]
pub struct Device(Rc<GpuBackend>);

/// Opens the browser's GPU, an emulated one too: who calls has looked at what there is. A promise of a [`Device`], refused as
/// `Unsupported` where there is none that can be opened.
#[wasm_bindgen]
pub fn open_device() -> Promise {
    future_to_promise(async {
        let options = GpuOptions {
            software: true,
            dot: None,
        };
        let opened = GpuBackend::open(LaunchTable(sanderling_launch::ops::ALL), options).await;
        opened
            .map(|backend| JsValue::from(Device(Rc::new(backend))))
            .map_err(|error| object::coded("Unsupported", &error.to_string(), false))
    })
}

#[wasm_bindgen]
impl Device {
    /// Whether it is gone for good: open another.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.0.is_lost()
    }

    /// Resolves when there is a reason to poll again. It counts from this call on.
    pub fn news(&self) -> Promise {
        let news = self.0.news();
        future_to_promise(async move {
            news.await;
            Ok(JsValue::UNDEFINED)
        })
    }
}

/// Loads a bundle, and has the GPU compile its pipelines. `memory_limit` is in bytes, the GPU's included.
///
/// # Errors
/// As [`engine::session`].
#[wasm_bindgen]
pub fn load(bytes: &Uint8Array, memory_limit: f64, device: &Device) -> Result<Coming, JsValue> {
    let options = SessionOptions {
        backends: vec![device.0.clone()],
        ..SessionOptions::with(
            OpTable(sanderling_core::ops::VISION_INT8),
            CpuTable(sanderling_cpu::ops::VISION_INT8),
        )
    };
    let session = engine::session(bytes, memory_limit, &options)?;
    Handover::new(session)
        .map(Coming::of)
        .map_err(|problem| object::error(&problem))
}

/// Nothing runs by itself.
fn main() {}
