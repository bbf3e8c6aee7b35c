//! The manifest: everything about a model that is not tensors and not the plan.
//!
//! It is plain data. `sanderling pack` fills it, the session reads it to turn files into inputs and outputs
//! into answers, the fleet server reads it to know which devices can run the model, and `sanderling inspect`
//! prints it as JSON. In a bundle it is a `u16` schema number (little-endian) followed by postcard; postcard
//! has no field names, so any change of these types is a new schema number and the old type is kept to read
//! the version before.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digest::Sha256Digest;
use crate::dtype::DType;
use crate::error::BundleError;
use crate::format::SectionKind;

/// Number of the schema that this build writes.
pub const MANIFEST_SCHEMA: u16 = 1;

/// All that is known about a packed model besides weights and plan. The default is empty and says nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Model name: stable over versions, e.g. `"magika"`.
    pub name: String,
    /// The owner's version of the model, free text, e.g. `"3.3.0-int8"`.
    pub version: String,
    /// One sentence for people.
    pub description: String,
    /// The plan's inputs, in order.
    pub inputs: Vec<ValueSpec>,
    /// The plan's outputs, in order.
    pub outputs: Vec<ValueSpec>,
    /// How user data becomes inputs, at most one entry an input; absent means [`PreStep::Raw`].
    pub pre: Vec<PreProcessing>,
    /// How outputs become answers, at most one entry an output; absent means [`PostStep::Raw`].
    pub post: Vec<PostProcessing>,
    /// Where the model comes from.
    pub lineage: Lineage,
    /// Under which terms it may be used. The full texts are in the bundle's notice section.
    pub licence: Licence,
    /// Oldest runtime that may run this bundle.
    pub min_runtime: RuntimeVersion,
    /// Operators that the plan uses, `domain:OpType`, sorted, each once; ONNX's own domain is `ai.onnx`.
    pub operators: Vec<String>,
    /// What each golden vector is, in the order of the golden section.
    pub golden: Vec<GoldenNote>,
    /// What running the model takes.
    pub resources: Resources,
    /// When to ask a bigger model, unless configuration says otherwise.
    pub cascade: Option<CascadeDefaults>,
    /// Share of distinct inputs, in parts per million, on which this version may answer differently from its
    /// parent: the rollout's paired-agreement gate tests against it. From the release's own evaluation.
    pub allowed_disagreement_ppm: u32,
    /// Raised by the owner only when older releases must never run again.
    pub release_counter: u64,
}

/// One input or output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValueSpec {
    /// Name in the graph.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Dimensions, outermost first.
    pub dims: Vec<Dim>,
    /// Smallest and largest legal element, both included, where declared.
    pub range: Option<(f64, f64)>,
    /// Meaning of the axes, e.g. `"NCHW"`, where known.
    pub layout: Option<String>,
    /// What the value is, e.g. `"image"`, `"probabilities"`, where known.
    pub semantic: Option<String>,
}

/// A dimension of an input or output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dim {
    /// Always this many.
    Fixed(u64),
    /// Any number; the same name means the same number within one run.
    Symbol(String),
}

/// Pre-processing of one input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PreProcessing {
    /// Name of the input that the step makes.
    pub input: String,
    /// The step.
    pub step: PreStep,
}

/// How user data becomes one input tensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum PreStep {
    /// The bytes are the tensor's elements, little-endian, row-major.
    Raw,
    /// The start and the end of a file, a token per byte; see [`BytesHeadTail`].
    BytesHeadTail(BytesHeadTail),
    /// A decoded 8-bit image; see [`ImageU8`].
    ImageU8(ImageU8),
}

/// Takes the start and the end of a file, one integer token per byte; makes `[1, head + tail]`.
///
/// - At most `block` bytes are read from either end of the file (the same ones where it is shorter).
/// - With `strip_ascii_whitespace`, leading whitespace (space, `\t \n \v \f \r`) is dropped from the start
///   block, trailing whitespace from the end block.
/// - Head: the first `head` bytes of the start block, padded with `padding_token` behind them. Tail: the last
///   `tail` bytes of the end block, padded in front of them.
/// - A file with fewer than `min_bytes` bytes, or whose start block has fewer after stripping, is not given to
///   the model: the answer comes from `short`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BytesHeadTail {
    /// Tokens from the start.
    pub head: u32,
    /// Tokens from the end.
    pub tail: u32,
    /// Bytes read from either end, at least `head` and `tail`.
    pub block: u32,
    /// Token where there is no byte, outside 0..=255.
    pub padding_token: i32,
    /// Whether whitespace around the content is dropped.
    pub strip_ascii_whitespace: bool,
    /// Bytes that are needed for an answer by the model.
    pub min_bytes: u32,
    /// The answer for shorter files; without it they are padded and given to the model like others.
    pub short: Option<ShortAnswer>,
}

/// Labels for files that are too short for the model. Their confidence is 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShortAnswer {
    /// A file of zero bytes.
    pub empty: String,
    /// Short, and valid UTF-8.
    pub text: String,
    /// Short, and not valid UTF-8.
    pub binary: String,
}

/// Resizes an image of 8-bit channels and normalises: element = (channel − `mean`) / `std`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageU8 {
    /// Height of the input, in pixels.
    pub height: u32,
    /// Width of the input, in pixels.
    pub width: u32,
    /// Order of the tensor's axes.
    pub layout: ImageLayout,
    /// Order of the channels.
    pub channels: Channels,
    /// Subtracted from each channel, in units of 0..=255.
    pub mean: [f32; 3],
    /// Divides each channel after the mean, in units of 0..=255; not zero.
    pub std: [f32; 3],
    /// How the image is brought to size.
    pub resize: Resize,
}

/// Order of an image tensor's axes, batch first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImageLayout {
    /// Channels before rows: `[1, 3, height, width]`.
    Nchw,
    /// Channels innermost: `[1, height, width, 3]`.
    Nhwc,
}

/// Order of an image's channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Channels {
    /// Red first.
    Rgb,
    /// Blue first.
    Bgr,
}

/// How an image is brought to the model's size; bilinear, half-pixel centres.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resize {
    /// Both sides scaled on their own; the aspect ratio changes.
    Stretch,
    /// Scaled so that the shorter side has this many pixels, then the centre cut out.
    CenterCrop {
        /// Pixels of the shorter side before the cut.
        shorter: u32,
    },
    /// Scaled to fit, centred, the rest filled with this channel value.
    Letterbox {
        /// Channel value of the border, 0..=255.
        fill: u8,
    },
}

/// Post-processing of one output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PostProcessing {
    /// Name of the output that the step reads.
    pub output: String,
    /// The step.
    pub step: PostStep,
}

/// How one output tensor becomes an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum PostStep {
    /// The tensor is the answer.
    Raw,
    /// One score per label along the last axis; see [`Classification`].
    Classification(Classification),
}

/// Picks the labels with the highest scores along the last axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Classification {
    /// One per element of the last axis, in order.
    pub labels: Vec<Label>,
    /// Whether the output is logits, to be put through softmax first. Otherwise it is probabilities already.
    pub softmax: bool,
    /// How many labels an answer lists unless the caller asks for another number.
    pub top_k: u32,
    /// Score that the best label needs, for labels that have none of their own; 0 accepts any.
    pub threshold: f32,
}

/// One class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Label {
    /// The model's name for it.
    pub name: String,
    /// What the answer calls it, where that differs.
    pub answer: Option<String>,
    /// Score needed, where it differs from [`Classification::threshold`].
    pub threshold: Option<f32>,
    /// What the answer says when this label is the best and its score is too low; the label itself where absent.
    pub below_threshold: Option<String>,
}

/// Where a model comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lineage {
    /// Version of the training data.
    pub data_version: Option<String>,
    /// Commit of the training code.
    pub source_commit: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// SHA-256 of the source model file that was packed.
    pub source_sha256: Option<Sha256Digest>,
    /// SHA-256 of the bundle that this one replaces.
    pub parent: Option<Sha256Digest>,
    /// Evaluation results, name and value.
    pub metrics: Vec<(String, f64)>,
    /// What quantisation did, if the weights were quantised at packing.
    pub quantisation: Option<Quantisation>,
}

/// What quantisation did to the weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantisation {
    /// The scheme, e.g. `"weights int8, per channel, symmetric"`.
    pub scheme: String,
    /// One row per weight tensor that was changed.
    pub layers: Vec<QuantisedLayer>,
}

/// What quantisation did to one weight tensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuantisedLayer {
    /// Name of the weight tensor.
    pub name: String,
    /// Largest absolute difference of a weight.
    pub max_error: f32,
    /// Signal to quantisation noise, in decibels: 10·log10(Σw² / Σ(w−ŵ)²).
    pub sqnr_db: f32,
    /// Bytes before.
    pub bytes_before: u64,
    /// Bytes after, scales included.
    pub bytes_after: u64,
}

/// Under which terms a model may be used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Licence {
    /// SPDX licence expression, e.g. `"Apache-2.0"`.
    pub spdx: String,
    /// Copyright line or short attribution.
    pub attribution: String,
}

/// A runtime version; versions order as numbers do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RuntimeVersion {
    /// Incompatible changes.
    pub major: u16,
    /// Additions.
    pub minor: u16,
    /// Corrections.
    pub patch: u16,
}

impl fmt::Display for RuntimeVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for RuntimeVersion {
    type Err = BundleError;

    /// Reads `major.minor.patch`.
    fn from_str(text: &str) -> Result<Self, BundleError> {
        let invalid = || BundleError::Invalid {
            item: String::from(text),
            why: "a runtime version is three numbers, as in 0.1.0",
        };
        let mut parts = text
            .split('.')
            .map(|part| part.parse::<u16>().map_err(|_| invalid()));
        let mut next = || parts.next().ok_or_else(invalid)?;
        let version = Self {
            major: next()?,
            minor: next()?,
            patch: next()?,
        };
        parts.next().is_none().then_some(version).ok_or_else(invalid)
    }
}

/// What a golden vector is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoldenNote {
    /// Short name, unique in the bundle.
    pub name: String,
    /// Where its input comes from.
    pub description: String,
}

/// What running the model takes (design: the resource certificate). Loaders refuse what does not fit, before
/// they allocate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// The symbolic dimensions' values that `arena_bytes` and `macs` were computed for, sorted by name.
    pub for_dims: Vec<(String, u64)>,
    /// Peak bytes of intermediates, inputs and outputs; `None` where a shape depends on data.
    pub arena_bytes: Option<u64>,
    /// Bytes of constants, each distinct tensor counted once.
    pub constant_bytes: u64,
    /// Bytes of the sections that must stay readable while the model runs: plan, tensor table, tensors.
    pub flash_bytes: u64,
    /// Multiply-accumulates of one run; `None` where a shape depends on data.
    pub macs: Option<u64>,
    /// Bytes of stack that one run needs at most, where a target's build measured it.
    pub stack_bytes: Option<u64>,
}

/// When to ask a bigger model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CascadeDefaults {
    /// Answers with a lower confidence are passed on.
    pub confidence_threshold: f32,
    /// Name of the model at the endpoint.
    pub endpoint_model: String,
}

impl Manifest {
    /// Encodes the manifest as a section: schema number, then postcard.
    ///
    /// # Errors
    /// [`BundleError::Invalid`] if postcard cannot encode it; none of these types can cause that.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, BundleError> {
        let out = Vec::from(MANIFEST_SCHEMA.to_le_bytes());
        postcard::to_extend(self, out).map_err(|_| BundleError::Invalid {
            item: self.name.clone(),
            why: "the manifest does not encode",
        })
    }

    /// Decodes a section that begins at `offset` in the file.
    pub(crate) fn decode(bytes: &[u8], offset: u64) -> Result<Self, BundleError> {
        let corrupt = |what| BundleError::Corrupt {
            section: Some(SectionKind::Manifest),
            offset,
            what,
        };
        let (schema, rest) = bytes
            .split_first_chunk()
            .ok_or_else(|| corrupt("no schema number"))?;
        match u16::from_le_bytes(*schema) {
            MANIFEST_SCHEMA => {
                let (manifest, rest) = postcard::take_from_bytes::<Self>(rest)
                    .map_err(|_| corrupt("the manifest does not decode"))?;
                if !rest.is_empty() {
                    return Err(corrupt("bytes after the manifest"));
                }
                manifest.check()?;
                Ok(manifest)
            }
            found => Err(BundleError::WrongVersion {
                found,
                supported: (MANIFEST_SCHEMA, MANIFEST_SCHEMA),
            }),
        }
    }

    /// The labels of the first classification output, if the model classifies.
    #[must_use]
    pub fn labels(&self) -> Option<&[Label]> {
        self.post.iter().find_map(|p| match &p.step {
            PostStep::Classification(c) => Some(c.labels.as_slice()),
            PostStep::Raw => None,
        })
    }
}
