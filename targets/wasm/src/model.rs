//! A loaded model.

use crate::Tensors;
use crate::object::{array, error, object};
use js_sys::{Uint8Array, Uint32Array};
use sanderling_session::{
    Answer, Dim, ImageRgb, Input, ModelBytes, Pipeline, PortInfo, Prepared, Session, SessionError,
    SessionOptions, TensorView,
};
use std::io::{self, Read};
use wasm_bindgen::prelude::*;

/// A loaded model.
#[wasm_bindgen]
pub struct Model(Engine);

/// With the bundle's own processing where it has any; else the session, and why there is none.
enum Engine {
    Pipeline(Pipeline),
    Session(Session, SessionError),
}

impl Model {
    /// Loads a bundle from the bytes of a `.sdl` file. `memory_limit` is in bytes.
    ///
    /// # Errors
    /// An `Error` of JavaScript with [`SessionError`]'s text and its variant in `code`.
    pub fn load(bytes: &Uint8Array, memory_limit: f64, options: &SessionOptions) -> Result<Self, JsValue> {
        // Numbers of JavaScript: below zero and NaN become 0, which nothing fits.
        let options = SessionOptions {
            memory_limit: memory_limit as u64,
            ..options.clone()
        };
        let len = bytes.length() as usize;
        if len as u64 > options.memory_limit {
            return Err(error(&SessionError::TooLarge {
                what: "content",
                bytes: len as u64,
                limit: options.memory_limit,
            }));
        }
        let mut reader = JsReader { bytes, at: 0 };
        let bytes = ModelBytes::read_from(&mut reader, len)
            .map_err(|error| js_sys::Error::new(&error.to_string()))?;
        Self::of(bytes, &options).map_err(|problem| error(&problem))
    }

    fn of(bytes: ModelBytes, options: &SessionOptions) -> Result<Self, SessionError> {
        let session = Session::from_bundle(bytes, options)?;
        Ok(Self(match Pipeline::check(&session) {
            Ok(()) => Engine::Pipeline(Pipeline::new(session)?),
            Err(why) => Engine::Session(session, why),
        }))
    }

    fn session(&self) -> &Session {
        match &self.0 {
            Engine::Pipeline(pipeline) => pipeline.session(),
            Engine::Session(session, _) => session,
        }
    }

    fn session_mut(&mut self) -> &mut Session {
        match &mut self.0 {
            Engine::Pipeline(pipeline) => pipeline.session_mut(),
            Engine::Session(session, _) => session,
        }
    }

    fn with<T>(
        &mut self,
        inputs: Tensors,
        run: impl FnOnce(&mut Self, &[(&str, TensorView<'_>)]) -> Result<T, SessionError>,
    ) -> Result<T, JsValue> {
        let tensors = inputs.resolve(self.session().inputs());
        let result = tensors.and_then(|tensors| {
            let views: Vec<_> = tensors
                .iter()
                .map(|(name, tensor)| (name.as_str(), tensor.view()))
                .collect();
            run(self, &views)
        });
        result.map_err(|problem| error(&problem))
    }

    fn prepare(&self, input: &Input<'_>) -> Result<Option<Tensors>, SessionError> {
        let prepared = match &self.0 {
            Engine::Pipeline(pipeline) => pipeline.prepare(input)?,
            Engine::Session(_, why) => return Err(why.clone()),
        };
        Ok(match prepared {
            Prepared::Inputs(tensors) => Some(Tensors::of(tensors)),
            Prepared::Answer(_) => None,
        })
    }

    fn answer(&mut self, input: &Input<'_>, top: Option<u32>) -> Result<JsValue, SessionError> {
        match &mut self.0 {
            Engine::Pipeline(pipeline) => pipeline
                .answer(input, top.map(|n| n as usize))
                .map(|a| answer(&a)),
            Engine::Session(_, why) => Err(why.clone()),
        }
    }
}

#[wasm_bindgen]
impl Model {
    /// Name, version, inputs, outputs and labels.
    #[must_use]
    pub fn describe(&self) -> JsValue {
        let session = self.session();
        let Some(manifest) = session.manifest() else {
            return JsValue::UNDEFINED;
        };
        let labels = match &self.0 {
            Engine::Pipeline(pipeline) => array(pipeline.labels(), JsValue::from),
            Engine::Session(..) => array([], |()| JsValue::UNDEFINED),
        };
        object(&[
            ("name", manifest.name.as_str().into()),
            ("version", manifest.version.as_str().into()),
            ("description", manifest.description.as_str().into()),
            ("inputs", array(session.inputs(), port)),
            ("outputs", array(session.outputs(), port)),
            ("labels", labels),
        ])
    }

    /// SHA-256 of the bundle, in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> String {
        self.session()
            .digest()
            .map_or_else(String::new, |digest| hex(&digest))
    }

    /// Runs the model: an array of `{ name, type, shape, bytes }`.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn run(&mut self, inputs: Tensors) -> Result<JsValue, JsValue> {
        self.with(inputs, |model, views| {
            let outputs = model.session_mut().run(views)?;
            Ok(array(outputs.iter(), |(name, view)| {
                object(&[
                    ("name", name.into()),
                    ("type", view.dtype().name().into()),
                    ("shape", shape(view.shape())),
                    ("bytes", Uint8Array::from(view.bytes()).into()),
                ])
            }))
        })
    }

    /// Runs the model: every layer, with the digests of those that compute integers.
    ///
    /// # Errors
    /// As [`Session::layers`].
    pub fn layers(&mut self, inputs: Tensors) -> Result<JsValue, JsValue> {
        self.with(inputs, |model, views| {
            let layers = model.session_mut().layers(views)?;
            Ok(array(layers, |layer| {
                object(&[
                    ("node", layer.node.into()),
                    ("operator", layer.operator.into()),
                    ("value", layer.value.into()),
                    ("type", layer.ty.to_string().into()),
                    (
                        "digest",
                        layer.digest.map_or(JsValue::NULL, |digest| hex(&digest).into()),
                    ),
                ])
            }))
        })
    }

    /// Answers to tensors, by name.
    ///
    /// # Errors
    /// As [`Pipeline::answer`].
    pub fn classify_tensors(&mut self, inputs: Tensors, top: Option<u32>) -> Result<JsValue, JsValue> {
        self.with(inputs, |model, views| model.answer(&Input::Tensors(views), top))
    }

    /// Answers to a file, or to the bytes of the one input.
    ///
    /// # Errors
    /// As [`Pipeline::answer`].
    pub fn classify_bytes(&mut self, bytes: &[u8], top: Option<u32>) -> Result<JsValue, JsValue> {
        self.answer(&Input::Bytes(bytes), top)
            .map_err(|problem| error(&problem))
    }

    /// Answers to an image of 8-bit channels, red, green and blue, row by row.
    ///
    /// # Errors
    /// As [`Pipeline::answer`].
    pub fn classify_image(
        &mut self,
        width: u32,
        height: u32,
        rgb: &[u8],
        top: Option<u32>,
    ) -> Result<JsValue, JsValue> {
        self.answer(&image(width, height, rgb), top)
            .map_err(|problem| error(&problem))
    }

    /// The inputs that a file becomes; none where a rule answers without the model.
    ///
    /// # Errors
    /// As [`Pipeline::prepare`].
    pub fn prepare_bytes(&self, bytes: &[u8]) -> Result<Option<Tensors>, JsValue> {
        self.prepare(&Input::Bytes(bytes))
            .map_err(|problem| error(&problem))
    }

    /// The inputs that an image becomes.
    ///
    /// # Errors
    /// As [`Pipeline::prepare`].
    pub fn prepare_image(&self, width: u32, height: u32, rgb: &[u8]) -> Result<Option<Tensors>, JsValue> {
        self.prepare(&image(width, height, rgb))
            .map_err(|problem| error(&problem))
    }

    /// Runs the golden vectors: an array of `{ name, failure }`; `failure` is null where the vector passed.
    ///
    /// # Errors
    /// As [`Session::self_test`].
    pub fn self_test(&mut self) -> Result<JsValue, JsValue> {
        let test = self
            .session_mut()
            .self_test()
            .map_err(|problem| error(&problem))?;
        Ok(array(test.vectors, |vector| {
            object(&[
                ("name", vector.name.into()),
                ("failure", vector.failure.map_or(JsValue::NULL, JsValue::from)),
            ])
        }))
    }
}

fn image(width: u32, height: u32, rgb: &[u8]) -> Input<'_> {
    Input::Image(ImageRgb {
        width: width as usize,
        height: height as usize,
        rgb,
    })
}

fn port(port: &PortInfo) -> JsValue {
    let ty = port.ty.as_ref();
    let dims = ty.map_or(&[][..], |ty| &ty.shape);
    object(&[
        ("name", port.name.as_str().into()),
        ("type", ty.map_or(JsValue::NULL, |ty| ty.dtype.name().into())),
        ("shape", array(dims, dim)),
        (
            "range",
            port.range
                .map_or(JsValue::NULL, |(low, high)| array([low, high], JsValue::from)),
        ),
    ])
}

/// A number, the name of a dimension that a run decides, or null.
fn dim(dim: &Dim) -> JsValue {
    match dim {
        Dim::Fixed(n) => JsValue::from(*n as f64),
        Dim::Symbol(name) => JsValue::from(&**name),
        Dim::Unknown => JsValue::NULL,
    }
}

fn shape(dims: &[usize]) -> JsValue {
    let dims: Vec<u32> = dims.iter().map(|&dim| dim as u32).collect();
    js_sys::Array::from(&Uint32Array::from(&dims[..])).into()
}

fn answer(answer: &Answer) -> JsValue {
    let scored = array(&answer.top, |scored| {
        object(&[
            ("label", scored.label.as_str().into()),
            ("index", JsValue::from(scored.index as u32)),
            ("score", scored.score.into()),
        ])
    });
    object(&[
        ("label", answer.label.as_str().into()),
        ("confidence", answer.confidence.into()),
        ("top", scored),
        ("rule", answer.rule.into()),
        ("belowThreshold", answer.below_threshold.into()),
        ("flagged", answer.flagged.into()),
    ])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads an array of JavaScript straight to where it is kept.
struct JsReader<'a> {
    bytes: &'a Uint8Array,
    at: u32,
}

impl Read for JsReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.bytes.length().saturating_sub(self.at);
        let count = left.min(u32::try_from(buffer.len()).unwrap_or(u32::MAX));
        let part = self.bytes.subarray(self.at, self.at + count);
        part.copy_to(&mut buffer[..count as usize]);
        self.at += count;
        Ok(count as usize)
    }
}
