//! What JavaScript gives: files, two clocks, random numbers; and errors as it takes them.

use crate::files::{FileError, Files};
use js_sys::{Error, Reflect};
use sanderling_agent::{Entropy, Now};
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    /// The package's `Medium`: files of the Origin Private File System.
    pub type Handles;
    #[wasm_bindgen(method, catch)]
    fn size(this: &Handles, file: &str) -> Result<f64, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn read(this: &Handles, file: &str, at: f64, buffer: &mut [u8]) -> Result<f64, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn write(this: &Handles, file: &str, at: f64, bytes: &[u8]) -> Result<f64, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn truncate(this: &Handles, file: &str, length: f64) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    fn flush(this: &Handles, file: &str) -> Result<(), JsValue>;

    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues, catch)]
    fn get_random_values(bytes: &mut [u8]) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn performance_now() -> f64;
}

fn thrown(error: &JsValue) -> FileError {
    let text = |name: &str| {
        Reflect::get(error, &name.into())
            .ok()
            .and_then(|value| value.as_string())
    };
    FileError {
        full: text("name").as_deref() == Some("QuotaExceededError"),
        detail: text("message").unwrap_or_else(|| "the browser gave no reason".to_string()),
    }
}

impl Files for Handles {
    fn size(&self, file: &'static str) -> Result<u64, FileError> {
        self.size(file)
            .map(|size| size as u64)
            .map_err(|error| thrown(&error))
    }
    fn read(&self, file: &'static str, at: u64, buffer: &mut [u8]) -> Result<usize, FileError> {
        let count = self
            .read(file, at as f64, buffer)
            .map_err(|error| thrown(&error))?;
        Ok((count as usize).min(buffer.len()))
    }
    fn write(&self, file: &'static str, at: u64, bytes: &[u8]) -> Result<usize, FileError> {
        let count = self.write(file, at as f64, bytes);
        count.map(|count| count as usize).map_err(|error| thrown(&error))
    }
    fn truncate(&self, file: &'static str, length: u64) -> Result<(), FileError> {
        let done = self.truncate(file, length as f64);
        done.map_err(|error| thrown(&error))
    }
    fn flush(&self, file: &'static str) -> Result<(), FileError> {
        self.flush(file).map_err(|error| thrown(&error))
    }
}

/// The browser's clocks: the wall's, and one that runs forward since the worker's start.
pub(crate) fn now() -> Now {
    Now {
        unix_s: (js_sys::Date::now() / 1000.0) as u64,
        uptime_ms: performance_now() as u64,
    }
}

/// The browser's random numbers.
pub(crate) struct Random(());

impl Random {
    /// Checks that there are some.
    pub(crate) fn new() -> Result<Self, JsValue> {
        get_random_values(&mut [0; 8]).map_err(|problem| error("Unsupported", &thrown(&problem).detail))?;
        Ok(Self(()))
    }
}

impl Entropy for Random {
    fn fill(&mut self, bytes: &mut [u8]) {
        // It takes 65 536 bytes at a time.
        for part in bytes.chunks_mut(1 << 16) {
            get_random_values(part)
                .expect("a source that has given random numbers once gives them ever after (Web Cryptography, 10.1.1)");
        }
    }
}

/// An error with our text, and `code`.
pub(crate) fn error(code: &str, message: &str) -> JsValue {
    let thrown = Error::new(message);
    // A fresh object takes any property.
    let _ = Reflect::set(&thrown, &"code".into(), &code.into());
    thrown.into()
}
