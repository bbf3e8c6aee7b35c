//! Golden vectors: inputs with the outputs that they must give.
//!
//! A device runs them with the engine that will serve, before it activates a bundle. Integer outputs are exact
//! on every backend, so a digest is enough; float outputs are compared with the values themselves, within a
//! tolerance that the packer chose and the owner's signature covers. They prove that this device computes this
//! bundle, not that the model is good.
//!
//! The section is postcard, and decoding borrows names and values from the bundle's bytes.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::digest::Sha256Digest;
use crate::dtype::DType;
use crate::error::BundleError;
use crate::format::SectionKind;

/// Inputs with the outputs that they must give.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GoldenVector<'a> {
    /// Short name, unique in the bundle; the manifest has its description.
    pub name: &'a str,
    /// A value for every input of the plan.
    #[serde(borrow)]
    pub inputs: Vec<GoldenInput<'a>>,
    /// What to expect, for one or more outputs of the plan.
    #[serde(borrow)]
    pub outputs: Vec<GoldenOutput<'a>>,
}

/// The value of one input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GoldenInput<'a> {
    /// Name of the input.
    pub name: &'a str,
    /// Element type.
    pub dtype: DType,
    /// Dimensions.
    pub dims: Vec<u64>,
    /// Elements, little-endian, row-major. Not aligned.
    pub bytes: &'a [u8],
}

/// What one output must be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GoldenOutput<'a> {
    /// Name of the output.
    pub name: &'a str,
    /// Element type.
    pub dtype: DType,
    /// Dimensions.
    pub dims: Vec<u64>,
    /// The value, or its digest.
    #[serde(borrow)]
    pub expect: Expect<'a>,
}

/// How an output is judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Expect<'a> {
    /// The same bytes: [`value_digest`](crate::value_digest) of the output is this.
    Exact {
        /// The digest.
        digest: Sha256Digest,
    },
    /// Every element x of the output is finite where the expected value v is, and |x − v| ≤ `abs` + `rel`·|v|.
    Close {
        /// Expected elements, little-endian, row-major, in the output's dtype. Not aligned.
        bytes: &'a [u8],
        /// Absolute tolerance.
        abs: f32,
        /// Relative tolerance.
        rel: f32,
    },
}

/// Encodes the vectors as a section.
///
/// # Errors
/// [`BundleError::Invalid`] if lengths and shapes do not fit.
pub(crate) fn encode(vectors: &[GoldenVector<'_>]) -> Result<Vec<u8>, BundleError> {
    for vector in vectors {
        if let Some(why) = fault(vector) {
            return Err(BundleError::Invalid {
                item: vector.name.into(),
                why,
            });
        }
    }
    postcard::to_allocvec(vectors).map_err(|_| BundleError::Invalid {
        item: "golden vectors".into(),
        why: "they do not encode",
    })
}

/// Decodes a section that begins at `offset` in the file and checks that lengths and shapes fit.
pub(crate) fn decode(bytes: &[u8], offset: u64) -> Result<Vec<GoldenVector<'_>>, BundleError> {
    let corrupt = |what| BundleError::Corrupt {
        section: Some(SectionKind::Golden),
        offset,
        what,
    };
    let (vectors, rest) = postcard::take_from_bytes::<Vec<GoldenVector<'_>>>(bytes)
        .map_err(|_| corrupt("the golden vectors do not decode"))?;
    if !rest.is_empty() {
        return Err(corrupt("bytes after the golden vectors"));
    }
    vectors
        .iter()
        .find_map(fault)
        .map_or(Ok(vectors), |what| Err(corrupt(what)))
}

/// What is wrong with a vector, if anything.
fn fault(vector: &GoldenVector<'_>) -> Option<&'static str> {
    let fits = |dtype: DType, dims: &[u64], len: usize| {
        let elements = dims.iter().try_fold(1u64, |n, &d| n.checked_mul(d));
        let elements = elements.and_then(|n| usize::try_from(n).ok());
        elements.and_then(|n| dtype.bytes_for(n)) == Some(len)
    };
    if vector
        .inputs
        .iter()
        .any(|i| !fits(i.dtype, &i.dims, i.bytes.len()))
    {
        return Some("a golden input's length does not fit its shape");
    }
    let mut outputs = vector.outputs.iter();
    outputs.find_map(|output| match output.expect {
        Expect::Exact { .. } => None,
        Expect::Close { bytes, .. } if !fits(output.dtype, &output.dims, bytes.len()) => {
            Some("a golden output's length does not fit its shape")
        }
        // Written so that NaN is refused as well.
        Expect::Close { abs, rel, .. } if !(abs >= 0.0 && rel >= 0.0) => {
            Some("a golden output's tolerance is negative or not a number")
        }
        Expect::Close { .. } => None,
    })
}
