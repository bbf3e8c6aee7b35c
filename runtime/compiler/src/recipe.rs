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

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sanderling_bundle::{CascadeDefaults, Classification, Label, Licence, PreStep};
use serde::Deserialize;

use crate::error::CompileError;
use crate::quantise::QuantiseOptions;

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
        let file = RecipeFile::parse(&read_text(path)?).map_err(|why| CompileError::Manifest {
            at: path.display().to_string(),
            why,
        })?;
        let model = folder.join(&file.model);
        Ok((file.read(folder)?, model))
    }
}

/// The pack manifest as it is written. Unknown keys are refused: most are misspelt.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecipeFile {
    name: String,
    version: String,
    #[serde(default)]
    description: String,
    #[serde(default = "default_model")]
    model: PathBuf,
    model_card: Option<PathBuf>,
    #[serde(default)]
    notice: Vec<PathBuf>,
    #[serde(default)]
    licence: LicenceFile,
    #[serde(default)]
    lineage: LineageFile,
    #[serde(default)]
    dims: BTreeMap<String, u64>,
    #[serde(default)]
    inputs: BTreeMap<String, InputFile>,
    #[serde(default)]
    outputs: BTreeMap<String, OutputFile>,
    #[serde(default)]
    golden: GoldenFile,
    cascade: Option<CascadeDefaults>,
    quantise: Option<QuantiseFile>,
    #[serde(default)]
    allowed_disagreement_ppm: u32,
    #[serde(default)]
    release_counter: u64,
}

fn default_model() -> PathBuf {
    "model.onnx".into()
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LicenceFile {
    spdx: String,
    attribution: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LineageFile {
    data_version: Option<String>,
    source_commit: Option<String>,
    owner: Option<String>,
    metrics: BTreeMap<String, f64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct InputFile {
    range: Option<(f64, f64)>,
    layout: Option<String>,
    semantic: Option<String>,
    pre: Option<PreStep>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct OutputFile {
    layout: Option<String>,
    semantic: Option<String>,
    classification: Option<ClassificationFile>,
}

/// Labels are lines of a text file; what is special about some of them is said in tables by name.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClassificationFile {
    labels: PathBuf,
    #[serde(default)]
    softmax: bool,
    #[serde(default = "default_top_k")]
    top_k: u32,
    #[serde(default)]
    threshold: f32,
    /// Score that a label needs, by label.
    #[serde(default)]
    thresholds: BTreeMap<String, f32>,
    /// What the answer calls a label, by label.
    #[serde(default)]
    answers: BTreeMap<String, String>,
    /// What to answer below the threshold: the answer, and a file with the labels that it is for. The empty file
    /// name is for all others.
    #[serde(default)]
    below_threshold: BTreeMap<String, PathBuf>,
}

fn default_top_k() -> u32 {
    1
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct GoldenFile {
    random: u32,
    seed: u64,
    rel: f32,
    abs: f32,
    vectors: Vec<GoldenVectorFile>,
}

impl Default for GoldenFile {
    fn default() -> Self {
        let GoldenRecipe {
            random,
            seed,
            rel,
            abs,
            ..
        } = GoldenRecipe::default();
        Self {
            random,
            seed,
            rel,
            abs,
            vectors: Vec::new(),
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct GoldenVectorFile {
    name: String,
    #[serde(default)]
    description: String,
    inputs: BTreeMap<String, PathBuf>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct QuantiseFile {
    weights: WeightType,
    #[serde(default)]
    skip: Vec<String>,
    min_elements: Option<usize>,
}

/// Types that weights can be quantised to.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WeightType {
    Int8,
}

impl RecipeFile {
    /// Parses the text of a pack manifest.
    ///
    /// # Errors
    /// What is wrong, with line and column.
    pub fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    /// Reads the files that it names from `folder`.
    fn read(self, folder: &Path) -> Result<Recipe, CompileError> {
        let text = |path: &PathBuf| read_text(&folder.join(path));
        let notice: Vec<String> = self.notice.iter().map(text).collect::<Result<_, _>>()?;
        let model_card = self.model_card.as_ref().map(text).transpose()?;
        let mut outputs = BTreeMap::new();
        for (name, output) in self.outputs {
            let classification = output.classification.map(|c| c.read(&name, folder)).transpose()?;
            outputs.insert(
                name,
                OutputRecipe {
                    layout: output.layout,
                    semantic: output.semantic,
                    classification,
                },
            );
        }
        let vectors = self
            .golden
            .vectors
            .into_iter()
            .map(|v| v.read(folder))
            .collect::<Result<_, _>>()?;
        let GoldenFile {
            random,
            seed,
            rel,
            abs,
            ..
        } = self.golden;
        let quantise = self.quantise.map(|q| {
            let WeightType::Int8 = q.weights;
            let default = QuantiseOptions::default();
            QuantiseOptions {
                skip: q.skip,
                min_elements: q.min_elements.unwrap_or(default.min_elements),
            }
        });
        let inputs = self.inputs.into_iter().map(
            |(
                name,
                InputFile {
                    range,
                    layout,
                    semantic,
                    pre,
                },
            )| {
                (
                    name,
                    InputRecipe {
                        range,
                        layout,
                        semantic,
                        pre,
                    },
                )
            },
        );
        Ok(Recipe {
            name: self.name,
            version: self.version,
            description: self.description,
            licence: Licence {
                spdx: self.licence.spdx,
                attribution: self.licence.attribution,
            },
            notice: (!notice.is_empty()).then(|| notice.join("\n\n")),
            model_card,
            data_version: self.lineage.data_version,
            source_commit: self.lineage.source_commit,
            owner: self.lineage.owner,
            metrics: self.lineage.metrics.into_iter().collect(),
            parent: None,
            dims: self.dims,
            inputs: inputs.collect(),
            outputs,
            golden: GoldenRecipe {
                random,
                seed,
                rel,
                abs,
                vectors,
            },
            cascade: self.cascade,
            quantise,
            allowed_disagreement_ppm: self.allowed_disagreement_ppm,
            release_counter: self.release_counter,
        })
    }
}

impl ClassificationFile {
    fn read(self, output: &str, folder: &Path) -> Result<Classification, CompileError> {
        let at = |key: &str| format!("outputs.{output}.classification.{key}");
        let names = read_lines(&folder.join(&self.labels))?;
        let known = |key: &str, name: &String| {
            let why = || format!("'{name}' is not in {}", self.labels.display());
            names
                .contains(name)
                .then_some(())
                .ok_or_else(|| CompileError::Manifest {
                    at: at(key),
                    why: why(),
                })
        };
        self.thresholds
            .keys()
            .try_for_each(|name| known("thresholds", name))?;
        self.answers.keys().try_for_each(|name| known("answers", name))?;
        let (mut below, mut otherwise) = (BTreeMap::new(), None);
        for (answer, path) in &self.below_threshold {
            if path.as_os_str().is_empty() {
                otherwise = Some(answer.clone());
                continue;
            }
            for name in read_lines(&folder.join(path))? {
                known("below_threshold", &name)?;
                below.insert(name, answer.clone());
            }
        }
        let label = |name: String| Label {
            answer: self.answers.get(&name).cloned(),
            threshold: self.thresholds.get(&name).copied(),
            below_threshold: below.get(&name).or(otherwise.as_ref()).cloned(),
            name,
        };
        Ok(Classification {
            labels: names.iter().cloned().map(label).collect(),
            softmax: self.softmax,
            top_k: self.top_k,
            threshold: self.threshold,
        })
    }
}

impl GoldenVectorFile {
    fn read(self, folder: &Path) -> Result<GoldenInputs, CompileError> {
        let read = |(name, path): (String, PathBuf)| {
            let path = folder.join(path);
            let bytes = std::fs::read(&path).map_err(|source| CompileError::Io { path, source })?;
            Ok((name, bytes))
        };
        let inputs = self
            .inputs
            .into_iter()
            .map(read)
            .collect::<Result<_, CompileError>>()?;
        Ok(GoldenInputs {
            name: self.name,
            description: self.description,
            inputs,
        })
    }
}

fn read_text(path: &Path) -> Result<String, CompileError> {
    std::fs::read_to_string(path).map_err(|source| CompileError::Io {
        path: path.to_path_buf(),
        source,
    })
}

/// Lines of a text file, without empty ones at the end.
fn read_lines(path: &Path) -> Result<Vec<String>, CompileError> {
    Ok(read_text(path)?
        .trim_end()
        .lines()
        .map(|line| line.trim().to_owned())
        .collect())
}

#[cfg(test)]
mod tests;
