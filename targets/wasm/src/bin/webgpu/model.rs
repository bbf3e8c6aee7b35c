//! A model that is started and polled.

use sanderling_session::{
    Handover, Input, LayersRun, Pipeline, Progress, SelfTestRun, Session, SessionError, TensorView,
};
use sanderling_wasm::engine::{Engine, image};
use sanderling_wasm::{Tensors, object};
use wasm_bindgen::prelude::*;

/// A model whose pipelines compile.
#[wasm_bindgen]
pub struct Coming(Handover);

impl Coming {
    pub(crate) fn of(handover: Handover) -> Self {
        Self(handover)
    }
}

#[wasm_bindgen]
impl Coming {
    /// The model, once it has run on the GPU; undefined while the device is waited for. It is given once.
    ///
    /// # Errors
    /// `Unsupported` where the GPU failed meanwhile, or has none of the model's operators: the CPU's module is as good then.
    pub fn poll(&mut self) -> Result<Option<GpuModel>, JsValue> {
        let Some(session) = self.0.poll() else {
            return match self.0.reason() {
                Some(reason) => Err(object::error(reason)),
                None => Ok(None),
            };
        };
        let unsupported = |message: &str| Err(object::coded("Unsupported", message, false));
        if let Some(fallback) = session.fallbacks().first() {
            return unsupported(&fallback.reason);
        }
        let by_gpu = format!("{}:", sanderling_gpu::NAME);
        if !session
            .kernels()
            .iter()
            .any(|row| row.kernel.starts_with(&by_gpu))
        {
            return unsupported("WebGPU computes none of this model's operators: they are not integers'");
        }
        let engine = Engine::of(session).map_err(|problem| object::error(&problem))?;
        Ok(Some(GpuModel { engine, run: None }))
    }
}

/// A model on the GPU; on the CPU from when that fails. One run goes on at a time: starting another gives it up.
#[wasm_bindgen]
pub struct GpuModel {
    engine: Engine,
    run: Option<Run>,
}

/// What is under way.
enum Run {
    Outputs,
    Answer(Option<usize>),
    /// By a rule, without the model.
    Known(JsValue),
    Layers(Box<LayersRun>),
    SelfTest(SelfTestRun),
}

impl GpuModel {
    fn start(&mut self, start: impl FnOnce(&mut Engine) -> Result<Run, SessionError>) -> Result<(), JsValue> {
        self.run = None;
        let run = start(&mut self.engine).map_err(|problem| object::error(&problem))?;
        self.run = Some(run);
        Ok(())
    }

    fn start_with(
        &mut self,
        inputs: Tensors,
        start: impl FnOnce(&mut Session, &[(&str, TensorView<'_>)]) -> Result<Run, SessionError>,
    ) -> Result<(), JsValue> {
        self.start(|engine| engine.with(inputs, |engine, views| start(engine.session_mut(), views)))
    }

    fn advance(&mut self) -> Result<Option<JsValue>, SessionError> {
        let session = match self.run.as_mut() {
            Some(Run::Answer(top)) => {
                let answer = self.engine.pipeline()?.poll(*top)?;
                return Ok(answer.map(|answer| object::answer(&answer)));
            }
            Some(Run::Known(answer)) => return Ok(Some(answer.clone())),
            _ => self.engine.session_mut(),
        };
        match self.run.as_mut() {
            Some(Run::Layers(run)) => Ok(session.poll_layers(run)?.map(object::layers)),
            Some(Run::SelfTest(run)) => Ok(session.poll_self_test(run)?.map(object::self_test)),
            Some(_) if session.poll()? == Progress::Pending => Ok(None),
            _ => {
                let nothing = || SessionError::Pipeline {
                    message: "no run was started".to_string(),
                };
                let outputs = session.results().ok_or_else(nothing)?;
                Ok(Some(object::outputs(&outputs)))
            }
        }
    }
}

/// Starts an answer of the bundle's own processing.
fn answer(pipeline: &mut Pipeline, input: &Input<'_>, top: Option<u32>) -> Result<Run, SessionError> {
    let known = pipeline.start(input)?;
    Ok(match known {
        Some(answer) => Run::Known(object::answer(&answer)),
        None => Run::Answer(top.map(|n| n as usize)),
    })
}

#[wasm_bindgen]
impl GpuModel {
    /// As [`Engine::describe`].
    #[must_use]
    pub fn describe(&self) -> JsValue {
        self.engine.describe()
    }

    /// As [`Engine::digest`].
    #[must_use]
    pub fn digest(&self) -> String {
        self.engine.digest()
    }

    /// Why the GPU computes no more: an array of texts, empty while it does.
    #[must_use]
    pub fn fallbacks(&self) -> JsValue {
        let fallbacks = self.engine.session().fallbacks();
        object::array(fallbacks, |fallback| fallback.reason.as_str().into())
    }

    /// Starts a run.
    ///
    /// # Errors
    /// As [`Session::start`].
    pub fn start_run(&mut self, inputs: Tensors) -> Result<(), JsValue> {
        self.start_with(inputs, |session, views| {
            session.start(views)?;
            Ok(Run::Outputs)
        })
    }

    /// Starts a run of every layer.
    ///
    /// # Errors
    /// As [`Session::start_layers`].
    pub fn start_layers(&mut self, inputs: Tensors) -> Result<(), JsValue> {
        self.start_with(inputs, |session, views| {
            Ok(Run::Layers(Box::new(session.start_layers(views)?)))
        })
    }

    /// Starts an answer to tensors, by name.
    ///
    /// # Errors
    /// As [`Pipeline::start`].
    pub fn start_tensors(&mut self, inputs: Tensors, top: Option<u32>) -> Result<(), JsValue> {
        self.start(|engine| {
            engine.with(inputs, |engine, views| {
                answer(engine.pipeline()?, &Input::Tensors(views), top)
            })
        })
    }

    /// Starts an answer to a file, or to the bytes of the one input.
    ///
    /// # Errors
    /// As [`Pipeline::start`].
    pub fn start_bytes(&mut self, bytes: &[u8], top: Option<u32>) -> Result<(), JsValue> {
        self.start(|engine| answer(engine.pipeline()?, &Input::Bytes(bytes), top))
    }

    /// Starts an answer to an image of 8-bit channels, red, green and blue, row by row.
    ///
    /// # Errors
    /// As [`Pipeline::start`].
    pub fn start_image(
        &mut self,
        width: u32,
        height: u32,
        rgb: &[u8],
        top: Option<u32>,
    ) -> Result<(), JsValue> {
        self.start(|engine| answer(engine.pipeline()?, &image(width, height, rgb), top))
    }

    /// Starts the golden vectors.
    pub fn start_self_test(&mut self) {
        self.run = Some(Run::SelfTest(SelfTestRun::default()));
    }

    /// What was started, once it is done, as the CPU's model gives it; undefined while the device is waited for.
    ///
    /// # Errors
    /// As [`Session::poll`]; the run is over then.
    pub fn poll(&mut self) -> Result<JsValue, JsValue> {
        match self.advance() {
            Ok(None) => Ok(JsValue::UNDEFINED),
            Ok(Some(value)) => {
                self.run = None;
                Ok(value)
            }
            Err(problem) => {
                self.run = None;
                Err(object::error(&problem))
            }
        }
    }

    /// The inputs that a file becomes; none where a rule answers without the model.
    ///
    /// # Errors
    /// As [`Pipeline::prepare`].
    pub fn prepare_bytes(&self, bytes: &[u8]) -> Result<Option<Tensors>, JsValue> {
        self.engine
            .prepare(&Input::Bytes(bytes))
            .map_err(|problem| object::error(&problem))
    }

    /// The inputs that an image becomes.
    ///
    /// # Errors
    /// As [`Pipeline::prepare`].
    pub fn prepare_image(&self, width: u32, height: u32, rgb: &[u8]) -> Result<Option<Tensors>, JsValue> {
        self.engine
            .prepare(&image(width, height, rgb))
            .map_err(|problem| object::error(&problem))
    }
}
