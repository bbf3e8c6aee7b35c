//! The pack manifest: what the owner says about a model that the model file does not.
//!
//! It is a TOML file, `sanderling.toml`, beside the model. [`RecipeFile`] is the file as it is written, with
//! names of other files in it; [`Recipe`] is what the packer takes: plain data, everything read. A model without
//! a pack manifest is packed with [`Recipe::named`].
//!
//! ```toml
//! name = "cats"
//! version = "1.2.0"
//! model = "model.onnx"
//! notice = ["LICENSE"]
//!
//! [licence]
//! spdx = "Apache-2.0"
//! attribution = "Copyright 2026 The Cat Company"
//!
//! static_shapes = false        # true: fix symbolic dimensions at [dims], 1 by default; microcontrollers need it
//!
//! [dims]                       # sizes for golden vectors and the resource certificate
//! batch = 1
//!
//! [inputs.image]
//! range = [0.0, 255.0]
//! [inputs.image.pre.ImageU8]
//! height = 224
//! width = 224
//! layout = "Nchw"
//! channels = "Rgb"
//! mean = [127.0, 127.0, 127.0]
//! std = [128.0, 128.0, 128.0]
//! resize = { CenterCrop = { shorter = 256 } }
//!
//! [outputs.scores.classification]
//! labels = "labels.txt"
//! softmax = true
//! top_k = 5
//! ```

mod file;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sanderling_bundle::{CascadeDefaults, Classification, Licence, PreStep};

use crate::error::CompileError;
use crate::quantise::QuantiseOptions;

pub use file::RecipeFile;

/// What the owner says about a model: plain data, everything read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recipe {
    /// Model name: stable over versions.
    pub name: String,
    /// The owner's version.
    pub version: String,
    /// One sentence for people.
    pub description: String,
    /// Licence expression and attribution.
    pub licence: Licence,
    /// Texts of licences and notices.
    pub notice: Option<String>,
    /// Model card, Markdown.
    pub model_card: Option<String>,
    /// Version of the training data.
    pub data_version: Option<String>,
    /// Commit of the training code.
    pub source_commit: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Evaluation results.
    pub metrics: Vec<(String, f64)>,
    /// SHA-256 of the bundle that this one replaces.
    pub parent: Option<[u8; 32]>,
    /// Sizes of symbolic dimensions, for golden vectors and the resource certificate; 1 where absent.
    pub dims: BTreeMap<String, u64>,
    /// Whether symbolic dimensions are fixed at the sizes in `dims`, 1 where it names none: then the plan is static, which devices
    /// without a heap need.
    pub static_shapes: bool,
    /// By name of the input.
    pub inputs: BTreeMap<String, InputRecipe>,
    /// By name of the output.
    pub outputs: BTreeMap<String, OutputRecipe>,
    /// Golden vectors.
    pub golden: GoldenRecipe,
    /// Cascade defaults.
    pub cascade: Option<CascadeDefaults>,
    /// Weight quantisation.
    pub quantise: Option<QuantiseOptions>,
    /// Parts per million of distinct inputs on which this version may differ from its parent.
    pub allowed_disagreement_ppm: u32,
    /// Raised only when older releases must never run again.
    pub release_counter: u64,
}

/// What is said about one input.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct InputRecipe {
    /// Smallest and largest legal element.
    pub range: Option<(f64, f64)>,
    /// Meaning of the axes.
    pub layout: Option<String>,
    /// What the value is.
    pub semantic: Option<String>,
    /// How user data becomes it.
    pub pre: Option<PreStep>,
}

/// What is said about one output.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OutputRecipe {
    /// Meaning of the axes.
    pub layout: Option<String>,
    /// What the value is.
    pub semantic: Option<String>,
    /// How it becomes an answer.
    pub classification: Option<Classification>,
}

/// Which golden vectors to make.
#[derive(Debug, Clone, PartialEq)]
pub struct GoldenRecipe {
    /// How many with random inputs.
    pub random: u32,
    /// Seed of the random inputs.
    pub seed: u64,
    /// Tolerance of a float output, as a share of the expected value.
    pub rel: f32,
    /// Tolerance of a float output, as a share of the largest expected value of that output.
    pub abs: f32,
    /// Those with given inputs.
    pub vectors: Vec<GoldenInputs>,
}

impl Default for GoldenRecipe {
    /// One random vector of seed 0; 10⁻³ for both tolerances.
    fn default() -> Self {
        Self {
            random: 1,
            seed: 0,
            rel: 1e-3,
            abs: 1e-3,
            vectors: Vec::new(),
        }
    }
}

/// The inputs of a golden vector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoldenInputs {
    /// Short name.
    pub name: String,
    /// Where the inputs come from.
    pub description: String,
    /// Elements by name of the input: little-endian, row-major, in the shape that `dims` gives.
    pub inputs: BTreeMap<String, Vec<u8>>,
}

impl Recipe {
    /// For a model of which nothing is known but a name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: "0".to_owned(),
            ..Self::default()
        }
    }

    /// Reads a pack manifest and the files that it names, which are looked for in its folder; gives the model's
    /// path, too.
    ///
    /// # Errors
    /// [`CompileError::Io`] or [`CompileError::Manifest`], naming the file or the key.
    pub fn load(path: &Path) -> Result<(Self, PathBuf), CompileError> {
        let folder = path
            .parent()
            .filter(|p| !p.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let file = RecipeFile::parse(&file::read_text(path)?).map_err(|why| CompileError::Manifest {
            at: path.display().to_string(),
            why,
        })?;
        let model = folder.join(&file.model);
        Ok((file.read(folder)?, model))
    }
}

#[cfg(test)]
mod tests;
