//! A session with the bundle's own pre- and post-processing around it: a file or an image in, a label out.
//!
//! Both ends are data in the manifest, so that every device does the same. Decoding (PNG, WAV …) stays outside:
//! an image comes in as 8-bit RGB, a file as its bytes.

mod answer;
mod bytes;
mod image;

pub use answer::{Answer, Scored};
pub use bytes::{FileBlocks, FileEnds};
pub use image::ImageRgb;

use crate::error::SessionError;
use crate::model::PortInfo;
use crate::session::{Outputs, Session};
use answer::Classifier;
use sanderling_bundle::{PostStep, PreStep};
use sanderling_core::backend::Progress;
use sanderling_core::{DType, Tensor, TensorType, TensorView};

/// What a pipeline takes.
#[derive(Clone, Copy)]
pub enum Input<'a> {
    /// A whole file, or the elements of the one input where the bundle names no pre-processing.
    Bytes(&'a [u8]),
    /// The two ends of a file, for those who do not want to read the middle; see [`FileBlocks`].
    Ends(FileEnds<'a>),
    /// A decoded image.
    Image(ImageRgb<'a>),
    /// Every input by name, as the model takes it.
    Tensors(&'a [(&'a str, TensorView<'a>)]),
}

/// What pre-processing made.
#[derive(Debug, Clone, PartialEq)]
pub enum Prepared {
    /// Inputs of the model.
    Inputs(Vec<(String, Tensor)>),
    /// The answer, by a rule: the model is not asked.
    Answer(Answer),
}

/// A session between the bundle's pre- and post-processing.
pub struct Pipeline {
    session: Session,
    classifier: Classifier,
}

impl Pipeline {
    /// Puts the steps of the bundle's manifest around a session.
    ///
    /// # Errors
    /// As [`Pipeline::check`].
    pub fn new(session: Session) -> Result<Self, SessionError> {
        let classifier = classifier(&session)?;
        Ok(Self { session, classifier })
    }

    /// Whether there are steps to put around a session: [`Pipeline::new`] would take it.
    ///
    /// # Errors
    /// [`SessionError::Description`] where the bundle names no classification, a step that this build lacks, or an
    /// input or output that the plan has not.
    pub fn check(session: &Session) -> Result<(), SessionError> {
        classifier(session).map(drop)
    }

    /// The session inside.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The session inside, to warm it up or to test it.
    pub fn session_mut(&mut self) -> &mut Session {
        &mut self.session
    }

    /// The labels' names, in the order of the scores.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.classifier.labels()
    }

    /// How many bytes of either end of a file the model looks at; none where it takes something else.
    #[must_use]
    pub fn block(&self) -> Option<usize> {
        let steps = &self.session.manifest()?.pre;
        steps.iter().find_map(|pre| match &pre.step {
            PreStep::BytesHeadTail(step) => Some(step.block as usize),
            _ => None,
        })
    }

    /// Prepares, runs and classifies. `top_k` is how many labels the answer lists; none leaves it to the bundle.
    ///
    /// # Errors
    /// As [`Pipeline::prepare`] and [`Session::run`].
    pub fn answer(&mut self, input: &Input<'_>, top_k: Option<usize>) -> Result<Answer, SessionError> {
        if let Input::Tensors(tensors) = input {
            return self.answer_tensors(tensors, top_k);
        }
        match self.prepare(input)? {
            Prepared::Answer(answer) => Ok(answer),
            Prepared::Inputs(tensors) => {
                let views: Vec<_> = tensors
                    .iter()
                    .map(|(name, tensor)| (name.as_str(), tensor.view()))
                    .collect();
                self.answer_tensors(&views, top_k)
            }
        }
    }

    fn answer_tensors(
        &mut self,
        tensors: &[(&str, TensorView<'_>)],
        top_k: Option<usize>,
    ) -> Result<Answer, SessionError> {
        self.answer_and(tensors, top_k, |_| ()).map(|(answer, ())| answer)
    }

    /// Runs and classifies tensors, and lets `look` take what it wants of the outputs.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn answer_and<T>(
        &mut self,
        tensors: &[(&str, TensorView<'_>)],
        top_k: Option<usize>,
        look: impl FnOnce(&Outputs<'_>) -> T,
    ) -> Result<(Answer, T), SessionError> {
        let outputs = self.session.run(tensors)?;
        let mut answer = self
            .classifier
            .classify(&outputs.iter().collect::<Vec<_>>(), top_k)?;
        answer.flagged = outputs.flags().any();
        Ok((answer, look(&outputs)))
    }

    /// Starts an answer and does not wait: for browsers, which may not. An answer by a rule is there at once; of any other,
    /// [`Pipeline::poll`] tells.
    ///
    /// # Errors
    /// As [`Pipeline::prepare`] and [`Session::start`].
    pub fn start(&mut self, input: &Input<'_>) -> Result<Option<Answer>, SessionError> {
        match self.prepare(input)? {
            Prepared::Answer(answer) => Ok(Some(answer)),
            Prepared::Inputs(tensors) => {
                let views: Vec<_> = tensors
                    .iter()
                    .map(|(name, tensor)| (name.as_str(), tensor.view()))
                    .collect();
                self.session.start(&views)?;
                Ok(None)
            }
        }
    }

    /// Goes on with the answer that was started; none while a device is waited for.
    ///
    /// # Errors
    /// As [`Pipeline::answer`].
    pub fn poll(&mut self, top_k: Option<usize>) -> Result<Option<Answer>, SessionError> {
        if self.session.poll()? == Progress::Pending {
            return Ok(None);
        }
        let Some(outputs) = self.session.results() else {
            let message = "no answer was started".to_string();
            return Err(SessionError::Pipeline { message });
        };
        let mut answer = self
            .classifier
            .classify(&outputs.iter().collect::<Vec<_>>(), top_k)?;
        answer.flagged = outputs.flags().any();
        Ok(Some(answer))
    }

    /// Pre-processing alone.
    ///
    /// # Errors
    /// [`SessionError::Pipeline`] where the input is not of the kind that the bundle prepares.
    pub fn prepare(&self, input: &Input<'_>) -> Result<Prepared, SessionError> {
        if let Input::Tensors(tensors) = input {
            let owned = tensors
                .iter()
                .map(|(name, view)| (name.to_string(), view.to_tensor()));
            return Ok(Prepared::Inputs(owned.collect()));
        }
        let ports = self.session.inputs();
        let [port] = ports else {
            let message = format!("the model has {} inputs: give tensors by name", ports.len());
            return Err(SessionError::Pipeline { message });
        };
        let steps = self.session.manifest().map_or(&[][..], |manifest| &manifest.pre);
        let step = steps
            .iter()
            .find(|pre| pre.input == port.name)
            .map_or(&PreStep::Raw, |pre| &pre.step);
        let dtype = port.ty.as_ref().map_or(DType::F32, |ty| ty.dtype);
        let tensor = match (step, input) {
            (PreStep::BytesHeadTail(step), Input::Bytes(file)) => {
                match bytes::prepare(step, &FileEnds::of(file, step.block as usize), dtype)? {
                    Ok(tensor) => tensor,
                    Err(label) => return Ok(Prepared::Answer(Answer::by_rule(label))),
                }
            }
            (PreStep::BytesHeadTail(step), Input::Ends(ends)) => match bytes::prepare(step, ends, dtype)? {
                Ok(tensor) => tensor,
                Err(label) => return Ok(Prepared::Answer(Answer::by_rule(label))),
            },
            (PreStep::ImageU8(step), Input::Image(image)) => image::prepare(step, image, dtype)?,
            (PreStep::Raw, Input::Bytes(bytes)) => raw(port, bytes)?,
            (step, _) => {
                let message = format!("the model takes {}, this is {}", wanted(step), given(input));
                return Err(SessionError::Pipeline { message });
            }
        };
        Ok(Prepared::Inputs(vec![(port.name.clone(), tensor)]))
    }

    /// Post-processing alone: of outputs that were computed elsewhere.
    ///
    /// # Errors
    /// [`SessionError::Pipeline`] where the classified output is absent or not one score for each label.
    pub fn classify(
        &self,
        outputs: &[(&str, TensorView<'_>)],
        top_k: Option<usize>,
    ) -> Result<Answer, SessionError> {
        self.classifier.classify(outputs, top_k)
    }

    /// Whether both make the same answer of the same outputs.
    pub(crate) fn classifies_like(&self, other: &Self) -> bool {
        self.classifier == other.classifier
    }
}

fn classifier(session: &Session) -> Result<Classifier, SessionError> {
    let refuse = |message: &str| {
        Err(SessionError::Description {
            message: message.to_string(),
        })
    };
    let Some(manifest) = session.manifest() else {
        return refuse(
            "a graph carries no pre- or post-processing: pack it first, or run the session itself",
        );
    };
    let classified = manifest.post.iter().find_map(|post| match &post.step {
        PostStep::Classification(classes) => Some((post.output.clone(), classes.clone())),
        _ => None,
    });
    let Some((output, classes)) = classified else {
        return refuse("the bundle says of no output how it becomes a label: run the session itself");
    };
    if session.outputs().iter().all(|port| port.name != output) {
        return refuse(&format!(
            "the bundle classifies by output '{output}', which its plan has not"
        ));
    }
    for pre in &manifest.pre {
        if session.inputs().iter().all(|port| port.name != pre.input) {
            return refuse(&format!(
                "the bundle prepares input '{}', which its plan has not",
                pre.input
            ));
        }
    }
    Classifier::new(output, classes)
}

fn wanted(step: &PreStep) -> &'static str {
    match step {
        PreStep::BytesHeadTail(_) => "a file",
        PreStep::ImageU8(_) => "an RGB image",
        PreStep::Raw => "the bytes of its input tensor",
        _ => "something that this build cannot prepare",
    }
}

fn given(input: &Input<'_>) -> &'static str {
    match input {
        Input::Bytes(_) => "a file's bytes",
        Input::Ends(_) => "the ends of a file",
        Input::Image(_) => "an image",
        Input::Tensors(_) => "tensors",
    }
}

/// The elements as they are. One dimension that the model leaves open follows from their number.
fn raw(port: &PortInfo, bytes: &[u8]) -> Result<Tensor, SessionError> {
    let dtype = port.ty.as_ref().map_or(DType::U8, |ty| ty.dtype);
    let shape = match port.ty.as_ref().and_then(TensorType::concrete) {
        Some(shape) => shape,
        None => {
            let elements = bytes.len() as u64 * 8 / dtype.bits().max(1) as u64;
            port.shape_of(usize::try_from(elements).unwrap_or(usize::MAX))?
        }
    };
    Tensor::from_bytes(dtype, &shape, bytes).map_err(|_| SessionError::Pipeline {
        message: format!(
            "{} bytes are not a tensor {}",
            bytes.len(),
            TensorType::fixed(dtype, &shape)
        ),
    })
}

/// Writes numbers as elements of any of the dtypes that pre-processing makes.
pub(crate) fn tensor_of(
    dtype: DType,
    shape: &[usize],
    numbers: impl Iterator<Item = f32>,
) -> Result<Tensor, SessionError> {
    fn make<T: sanderling_core::Element>(shape: &[usize], numbers: Vec<T>) -> Result<Tensor, SessionError> {
        Ok(Tensor::from_slice(shape, &numbers)?)
    }
    match dtype {
        DType::F32 => make(shape, numbers.collect::<Vec<f32>>()),
        DType::F16 => make(shape, numbers.map(half::f16::from_f32).collect::<Vec<_>>()),
        // Tokens and channels are small whole numbers: the casts are exact.
        DType::I32 => make(shape, numbers.map(|x| x as i32).collect::<Vec<_>>()),
        DType::I64 => make(shape, numbers.map(|x| x as i64).collect::<Vec<_>>()),
        DType::U8 => make(shape, numbers.map(|x| x as u8).collect::<Vec<_>>()),
        DType::I16 => make(shape, numbers.map(|x| x as i16).collect::<Vec<_>>()),
        other => Err(SessionError::Description {
            message: format!("pre-processing does not make {} tensors", other.name()),
        }),
    }
}
