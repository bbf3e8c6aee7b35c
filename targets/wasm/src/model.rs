//! A loaded model that answers at once: the CPU's.

use crate::engine::{self, Engine, image};
use crate::{Tensors, object};
use js_sys::Uint8Array;
use sanderling_session::{Input, SessionError, SessionOptions};
use wasm_bindgen::prelude::*;

/// A loaded model.
#[wasm_bindgen]
pub struct Model(Engine);

impl Model {
    /// Loads a bundle from the bytes of a `.sdl` file. `memory_limit` is in bytes.
    ///
    /// # Errors
    /// An `Error` of JavaScript with [`SessionError`]'s text and its variant in `code`.
    pub fn load(bytes: &Uint8Array, memory_limit: f64, options: &SessionOptions) -> Result<Self, JsValue> {
        let session = engine::session(bytes, memory_limit, options)?;
        Engine::of(session)
            .map(Self)
            .map_err(|problem| object::error(&problem))
    }

    fn answer(&mut self, input: &Input<'_>, top: Option<u32>) -> Result<JsValue, SessionError> {
        let answer = self.0.pipeline()?.answer(input, top.map(|n| n as usize))?;
        Ok(object::answer(&answer))
    }
}

#[wasm_bindgen]
impl Model {
    /// Name, version, inputs, outputs and labels.
    #[must_use]
    pub fn describe(&self) -> JsValue {
        self.0.describe()
    }

    /// SHA-256 of the bundle, in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> String {
        self.0.digest()
    }

    /// Runs the model: an array of `{ name, type, shape, bytes }`.
    ///
    /// # Errors
    /// As [`Session::run`](sanderling_session::Session::run).
    pub fn run(&mut self, inputs: Tensors) -> Result<JsValue, JsValue> {
        let outputs = self.0.with(inputs, |engine, views| {
            engine.session_mut().run(views).map(|o| object::outputs(&o))
        });
        outputs.map_err(|problem| object::error(&problem))
    }

    /// Runs the model: every layer, with the digests of those that compute integers.
    ///
    /// # Errors
    /// As [`Session::layers`](sanderling_session::Session::layers).
    pub fn layers(&mut self, inputs: Tensors) -> Result<JsValue, JsValue> {
        let layers = self
            .0
            .with(inputs, |engine, views| engine.session_mut().layers(views));
        layers
            .map(object::layers)
            .map_err(|problem| object::error(&problem))
    }

    /// Answers to tensors, by name.
    ///
    /// # Errors
    /// As [`Pipeline::answer`](sanderling_session::Pipeline::answer).
    pub fn classify_tensors(&mut self, inputs: Tensors, top: Option<u32>) -> Result<JsValue, JsValue> {
        let answer = self.0.with(inputs, |engine, views| {
            engine
                .pipeline()?
                .answer(&Input::Tensors(views), top.map(|n| n as usize))
        });
        answer
            .map(|answer| object::answer(&answer))
            .map_err(|problem| object::error(&problem))
    }

    /// Answers to a file, or to the bytes of the one input.
    ///
    /// # Errors
    /// As [`Pipeline::answer`](sanderling_session::Pipeline::answer).
    pub fn classify_bytes(&mut self, bytes: &[u8], top: Option<u32>) -> Result<JsValue, JsValue> {
        self.answer(&Input::Bytes(bytes), top)
            .map_err(|problem| object::error(&problem))
    }

    /// Answers to an image of 8-bit channels, red, green and blue, row by row.
    ///
    /// # Errors
    /// As [`Pipeline::answer`](sanderling_session::Pipeline::answer).
    pub fn classify_image(
        &mut self,
        width: u32,
        height: u32,
        rgb: &[u8],
        top: Option<u32>,
    ) -> Result<JsValue, JsValue> {
        self.answer(&image(width, height, rgb), top)
            .map_err(|problem| object::error(&problem))
    }

    /// The inputs that a file becomes; none where a rule answers without the model.
    ///
    /// # Errors
    /// As [`Pipeline::prepare`](sanderling_session::Pipeline::prepare).
    pub fn prepare_bytes(&self, bytes: &[u8]) -> Result<Option<Tensors>, JsValue> {
        self.0
            .prepare(&Input::Bytes(bytes))
            .map_err(|problem| object::error(&problem))
    }

    /// The inputs that an image becomes.
    ///
    /// # Errors
    /// As [`Pipeline::prepare`](sanderling_session::Pipeline::prepare).
    pub fn prepare_image(&self, width: u32, height: u32, rgb: &[u8]) -> Result<Option<Tensors>, JsValue> {
        self.0
            .prepare(&image(width, height, rgb))
            .map_err(|problem| object::error(&problem))
    }

    /// Runs the golden vectors: an array of `{ name, failure }`; `failure` is null where the vector passed.
    ///
    /// # Errors
    /// As [`Session::self_test`](sanderling_session::Session::self_test).
    pub fn self_test(&mut self) -> Result<JsValue, JsValue> {
        let test = self
            .0
            .session_mut()
            .self_test()
            .map_err(|problem| object::error(&problem))?;
        Ok(object::self_test(test))
    }
}
