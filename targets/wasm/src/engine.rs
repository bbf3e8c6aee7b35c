//! A session behind JavaScript values, whoever drives it.

use crate::Tensors;
use crate::object::{array, error, hex, object};
use js_sys::Uint8Array;
use sanderling_session::{
    Dim, ImageRgb, Input, ModelBytes, Pipeline, PortInfo, Prepared, Session, SessionError, SessionOptions,
    TensorView,
};
use std::io::{self, Read};
use wasm_bindgen::JsValue;

/// A session, with the bundle's own processing around it where it has any; else with why there is none.
pub enum Engine {
    /// With its processing.
    Pipeline(Pipeline),
    /// Without.
    Session(Session, SessionError),
}

/// Loads a bundle from the bytes of a `.sdl` file. `memory_limit` is in bytes.
///
/// # Errors
/// An `Error` of JavaScript with [`SessionError`]'s text and its variant in `code`.
pub fn session(bytes: &Uint8Array, memory_limit: f64, options: &SessionOptions) -> Result<Session, JsValue> {
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
    let bytes =
        ModelBytes::read_from(&mut reader, len).map_err(|error| js_sys::Error::new(&error.to_string()))?;
    Session::from_bundle(bytes, &options).map_err(|problem| error(&problem))
}

/// An image of 8-bit channels, red, green and blue, row by row.
#[must_use]
pub fn image(width: u32, height: u32, rgb: &[u8]) -> Input<'_> {
    Input::Image(ImageRgb {
        width: width as usize,
        height: height as usize,
        rgb,
    })
}

impl Engine {
    /// Puts the bundle's processing around a session.
    ///
    /// # Errors
    /// [`SessionError::Description`] for a description that cannot be.
    pub fn of(session: Session) -> Result<Self, SessionError> {
        Ok(match Pipeline::check(&session) {
            Ok(()) => Self::Pipeline(Pipeline::new(session)?),
            Err(why) => Self::Session(session, why),
        })
    }

    /// The session inside.
    #[must_use]
    pub fn session(&self) -> &Session {
        match self {
            Self::Pipeline(pipeline) => pipeline.session(),
            Self::Session(session, _) => session,
        }
    }

    /// The session inside, to run it.
    pub fn session_mut(&mut self) -> &mut Session {
        match self {
            Self::Pipeline(pipeline) => pipeline.session_mut(),
            Self::Session(session, _) => session,
        }
    }

    /// The pipeline.
    ///
    /// # Errors
    /// Why there is none.
    pub fn pipeline(&mut self) -> Result<&mut Pipeline, SessionError> {
        match self {
            Self::Pipeline(pipeline) => Ok(pipeline),
            Self::Session(_, why) => Err(why.clone()),
        }
    }

    /// Hands inputs, resolved by the model's ports, to a call.
    ///
    /// # Errors
    /// Those of inputs that are no tensors, and the call's.
    pub fn with<T>(
        &mut self,
        inputs: Tensors,
        run: impl FnOnce(&mut Self, &[(&str, TensorView<'_>)]) -> Result<T, SessionError>,
    ) -> Result<T, SessionError> {
        let tensors = inputs.resolve(self.session().inputs())?;
        let views: Vec<_> = tensors
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor.view()))
            .collect();
        run(self, &views)
    }

    /// The inputs that a file or an image becomes; none where a rule answers without the model.
    ///
    /// # Errors
    /// As [`Pipeline::prepare`].
    pub fn prepare(&self, input: &Input<'_>) -> Result<Option<Tensors>, SessionError> {
        let prepared = match self {
            Self::Pipeline(pipeline) => pipeline.prepare(input)?,
            Self::Session(_, why) => return Err(why.clone()),
        };
        Ok(match prepared {
            Prepared::Inputs(tensors) => Some(Tensors::of(tensors)),
            Prepared::Answer(_) => None,
        })
    }

    /// Name, version, inputs, outputs and labels.
    #[must_use]
    pub fn describe(&self) -> JsValue {
        let session = self.session();
        let Some(manifest) = session.manifest() else {
            return JsValue::UNDEFINED;
        };
        let labels = match self {
            Self::Pipeline(pipeline) => array(pipeline.labels(), JsValue::from),
            Self::Session(..) => array([], |()| JsValue::UNDEFINED),
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
