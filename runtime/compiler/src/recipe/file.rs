//! The pack manifest as text: keys, defaults, and the files that it names.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use sanderling_bundle::{CascadeDefaults, Classification, Label, Licence, PreStep};
use serde::Deserialize;

use super::{GoldenInputs, GoldenRecipe, InputRecipe, OutputRecipe, Recipe};
use crate::error::CompileError;
use crate::onnx::open_regular;
use crate::quantise::QuantiseOptions;

/// Most bytes of a text: the pack manifest, labels, a licence.
const MAX_TEXT_LEN: u64 = 16 << 20;
/// Most bytes of an input of a golden vector: more than a bundle takes of all of them.
const MAX_GOLDEN_LEN: u64 = 256 << 20;

/// The pack manifest as it is written. Unknown keys are refused: most are misspelt.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecipeFile {
    name: String,
    version: String,
    #[serde(default)]
    description: String,
    #[serde(default = "default_model")]
    pub(super) model: PathBuf,
    model_card: Option<PathBuf>,
    #[serde(default)]
    notice: Vec<PathBuf>,
    #[serde(default)]
    licence: LicenceFile,
    #[serde(default)]
    lineage: LineageFile,
    #[serde(default)]
    static_shapes: bool,
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
    pub(super) fn read(self, folder: &Path) -> Result<Recipe, CompileError> {
        let text = |path: &PathBuf| read_text(&folder.join(path));
        let notice: Vec<String> = self.notice.iter().map(text).collect::<Result<_, _>>()?;
        let model_card = self.model_card.as_ref().map(text).transpose()?;
        let inputs = self.inputs.into_iter().map(|(name, input)| (name, input.into()));
        let outputs = self.outputs.into_iter().map(|(name, output)| {
            let output = output.read(&name, folder)?;
            Ok((name, output))
        });
        let outputs = outputs.collect::<Result<_, CompileError>>()?;
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
            static_shapes: self.static_shapes,
            inputs: inputs.collect(),
            outputs,
            golden: self.golden.read(folder)?,
            cascade: self.cascade,
            quantise: self.quantise.map(Into::into),
            allowed_disagreement_ppm: self.allowed_disagreement_ppm,
            release_counter: self.release_counter,
        })
    }
}

impl From<InputFile> for InputRecipe {
    fn from(
        InputFile {
            range,
            layout,
            semantic,
            pre,
        }: InputFile,
    ) -> Self {
        Self {
            range,
            layout,
            semantic,
            pre,
        }
    }
}

impl From<QuantiseFile> for QuantiseOptions {
    fn from(file: QuantiseFile) -> Self {
        let WeightType::Int8 = file.weights;
        let min_elements = file.min_elements.unwrap_or(Self::default().min_elements);
        Self {
            skip: file.skip,
            min_elements,
        }
    }
}

impl OutputFile {
    fn read(self, name: &str, folder: &Path) -> Result<OutputRecipe, CompileError> {
        let classification = self.classification.map(|c| c.read(name, folder)).transpose()?;
        Ok(OutputRecipe {
            layout: self.layout,
            semantic: self.semantic,
            classification,
        })
    }
}

impl GoldenFile {
    fn read(self, folder: &Path) -> Result<GoldenRecipe, CompileError> {
        let Self {
            random,
            seed,
            rel,
            abs,
            vectors,
        } = self;
        let vectors = vectors
            .into_iter()
            .map(|vector| vector.read(folder))
            .collect::<Result<_, _>>()?;
        Ok(GoldenRecipe {
            random,
            seed,
            rel,
            abs,
            vectors,
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
            Ok((name, read_bytes(&path, MAX_GOLDEN_LEN)?))
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

pub(super) fn read_text(path: &Path) -> Result<String, CompileError> {
    let bytes = read_bytes(path, MAX_TEXT_LEN)?;
    String::from_utf8(bytes).map_err(|_| CompileError::Manifest {
        at: path.display().to_string(),
        why: "it is no UTF-8 text".to_owned(),
    })
}

fn read_bytes(path: &Path, limit: u64) -> Result<Vec<u8>, CompileError> {
    let io = |source| CompileError::Io {
        path: path.to_path_buf(),
        source,
    };
    let mut bytes = Vec::new();
    let file = open_regular(path).map_err(io)?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > limit {
        return Err(CompileError::TooLarge {
            what: format!("bytes of {}", path.display()),
            found: bytes.len() as u64,
            limit,
        });
    }
    Ok(bytes)
}

/// Lines of a text file, without empty ones at the end.
fn read_lines(path: &Path) -> Result<Vec<String>, CompileError> {
    Ok(read_text(path)?
        .trim_end()
        .lines()
        .map(|line| line.trim().to_owned())
        .collect())
}
