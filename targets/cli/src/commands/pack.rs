//! `sanderling pack`.

use crate::commands::files;
use crate::commands::model::read_onnx;
use crate::out::{Out, bytes, count};
use anyhow::{Context, anyhow, bail};
use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use sanderling_bundle::BundleView;
use sanderling_compiler::{CompileError, OptimiseOptions, Packed, Progress, Recipe, Stage};
use sanderling_core::{OpTable, ops};
use sanderling_wire::Digest;
use serde::Serialize;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The recipe's usual name.
const RECIPE: &str = "sanderling.toml";

/// Turn an ONNX model into a bundle.
#[derive(Args)]
#[command(
    after_help = "What the model file does not say (labels, pre-processing, licence …) stands in sanderling.toml. The one beside \
    the model is used where it names that model. The same model and recipe give the same bytes on any machine.\n\n\
    Examples:\n  sanderling pack model.onnx\n  sanderling pack model.onnx --name cats --version 2 --quantise int8\n  \
    sanderling pack examples/magika/sanderling.toml --out magika.sdl\n  \
    sanderling pack model.onnx --name cats --version 3 --parent cats-2.sdl --json | jq .sha256"
)]
pub(crate) struct Pack {
    /// An ONNX model, a recipe (.toml), or a folder with a sanderling.toml.
    model: PathBuf,
    /// File to write; by default NAME-VERSION.sdl in the current folder.
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Name of the model: stable over its versions. By default the recipe's, else the file's.
    #[arg(long, value_parser = one_line)]
    name: Option<String>,
    /// Version of the model, any text. By default the recipe's, else 0.
    #[arg(long, value_parser = one_line)]
    version: Option<String>,
    /// Store weights in a smaller type: int8, with a scale for each output channel. Activations stay float.
    #[arg(long, visible_alias = "quantize", value_name = "TYPE")]
    quantise: Option<WeightType>,
    /// Leave this weight, or the weights of this node, as they are; may be repeated.
    #[arg(long, value_name = "NAME")]
    skip: Vec<String>,
    /// The bundle that this one replaces: its hash goes into the lineage.
    #[arg(long, value_name = "BUNDLE")]
    parent: Option<PathBuf>,
    /// Size of a symbolic dimension for golden vectors and the resource certificate (1 unless given); may be repeated.
    #[arg(long, value_name = "NAME=SIZE", value_parser = dim)]
    dim: Vec<(String, u64)>,
    /// Fix symbolic dimensions at the sizes of --dim, 1 by default: microcontrollers run static plans only.
    #[arg(long)]
    static_shapes: bool,
    /// Take no notice of a sanderling.toml beside the model.
    #[arg(long)]
    no_recipe: bool,
    /// Leave out an optimiser pass, to look for a fault; may be repeated.
    #[arg(long, value_name = "PASS")]
    skip_pass: Vec<String>,
}

/// Types that weights can be stored in.
#[derive(Clone, Copy, ValueEnum)]
enum WeightType {
    Int8,
}

#[derive(Serialize)]
struct Report {
    bundle: PathBuf,
    name: String,
    version: String,
    length: usize,
    sha256: String,
    source: PathBuf,
    source_length: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipe: Option<PathBuf>,
    nodes_before: usize,
    nodes_after: usize,
    passes: Vec<PassRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quantised: Option<Quantised>,
    arena_bytes: Option<u64>,
    constant_bytes: u64,
    macs: Option<u64>,
    for_dims: Vec<(String, u64)>,
    golden_vectors: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

#[derive(Serialize)]
struct PassRow {
    name: &'static str,
    changes: usize,
}

#[derive(Serialize)]
struct Quantised {
    scheme: String,
    tensors: usize,
    bytes_before: u64,
    bytes_after: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    worst: Option<Worst>,
    left: Vec<Left>,
}

/// The weight that lost most, by its signal to noise ratio.
#[derive(Serialize)]
struct Worst {
    tensor: String,
    sqnr_db: f32,
    max_error: f32,
}

/// A weight that stayed as it was.
#[derive(Serialize)]
struct Left {
    tensor: String,
    why: String,
}

/// A name or a version.
fn one_line(word: &str) -> Result<String, String> {
    match sanderling_compiler::check_word(word) {
        Ok(()) => Ok(word.to_string()),
        Err(why) => Err(why.to_string()),
    }
}

/// `NAME=SIZE`.
fn dim(word: &str) -> Result<(String, u64), String> {
    let wrong = || format!("'{word}' is not NAME=SIZE, as in batch=1");
    let (name, size) = word.rsplit_once('=').ok_or_else(wrong)?;
    Ok((
        name.to_string(),
        size.parse().ok().filter(|&n| n > 0).ok_or_else(wrong)?,
    ))
}

impl Pack {
    pub(crate) fn run(self, out: &Out) -> anyhow::Result<()> {
        let mut notes = Vec::new();
        let (mut recipe, source, recipe_path) = self.recipe(&mut notes)?;
        self.overrule(&mut recipe, &mut notes)?;
        let model = read_onnx(&source)?;
        let options = OptimiseOptions {
            skip: self.skip_pass.clone(),
            ..OptimiseOptions::default()
        };
        let mut bar = Bar {
            out,
            stage: None,
            bar: ProgressBar::hidden(),
        };
        let packed =
            sanderling_compiler::pack(model, &recipe, OpTable(ops::ALL), &options, &mut |progress| {
                bar.show(progress)
            });
        bar.bar.finish_and_clear();
        let packed = packed.map_err(|error| {
            // What the recipe says is mended in the recipe.
            let file = match (&error, &recipe_path) {
                (CompileError::Manifest { .. }, Some(recipe)) => recipe,
                _ => &source,
            };
            anyhow!(error).context(file.display().to_string())
        })?;
        if recipe.licence.spdx.is_empty() {
            notes.push(format!(
                "no licence is stated: write [licence] spdx = \"…\" in {RECIPE}"
            ));
        }
        let bundle = self.out.clone().unwrap_or_else(|| default_name(&recipe).into());
        write_whole(&bundle, &packed.bytes)?;
        let report = report(bundle, source, recipe_path, packed, notes);
        out.print(&report, text)
    }

    /// The recipe, the model's path, and the recipe's path where there is one.
    fn recipe(&self, notes: &mut Vec<String>) -> anyhow::Result<(Recipe, PathBuf, Option<PathBuf>)> {
        let given = if self.model.is_dir() {
            self.model.join(RECIPE)
        } else {
            self.model.clone()
        };
        if given.extension().is_some_and(|ending| ending == "toml") {
            let (recipe, source) = load_recipe(&given)?;
            return Ok((recipe, source, Some(given)));
        }
        let beside = given.with_file_name(RECIPE);
        if !self.no_recipe && beside.is_file() {
            let (recipe, source) = load_recipe(&beside)?;
            if same_file(&source, &given) {
                return Ok((recipe, given, Some(beside)));
            }
            notes.push(format!(
                "{} is for {}: packed without it",
                beside.display(),
                source.display()
            ));
        }
        let stem = given.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        Ok((
            Recipe::named(&stem.unwrap_or_else(|| "model".to_string())),
            given,
            None,
        ))
    }

    /// What the command line says goes before the recipe.
    fn overrule(&self, recipe: &mut Recipe, notes: &mut Vec<String>) -> anyhow::Result<()> {
        if let Some(name) = &self.name {
            recipe.name.clone_from(name);
        }
        if let Some(version) = &self.version {
            recipe.version.clone_from(version);
        }
        recipe.dims.extend(self.dim.iter().cloned());
        recipe.static_shapes |= self.static_shapes;
        if let Some(WeightType::Int8) = self.quantise {
            recipe.quantise.get_or_insert_default();
        }
        match &mut recipe.quantise {
            Some(options) => options.skip.extend(self.skip.iter().cloned()),
            None if self.skip.is_empty() => {}
            None => bail!(
                "--skip names weights to leave as they are, but none are to be quantised: add --quantise int8"
            ),
        }
        let Some(parent) = &self.parent else { return Ok(()) };
        let at = || parent.display().to_string();
        let data = files::read(parent, files::MAX_BUNDLE)?;
        let view = BundleView::parse(&data).with_context(at)?;
        view.verify_hashes().with_context(at)?;
        let manifest = view.manifest().with_context(at)?;
        if manifest.name != recipe.name {
            bail!(
                "{} is '{}', this model is '{}': a parent is an earlier version of the same model (--name)",
                parent.display(),
                manifest.name,
                recipe.name
            );
        }
        if manifest.version == recipe.version {
            notes.push(format!(
                "the parent has the same version, {}: give the new one another (--version)",
                recipe.version
            ));
        }
        recipe.parent = Some(Digest::of(&data).0);
        Ok(())
    }
}

fn load_recipe(path: &Path) -> anyhow::Result<(Recipe, PathBuf)> {
    Recipe::load(path).map_err(|error| match error {
        error @ CompileError::Io { .. } => anyhow!(error),
        error => anyhow!(error).context(path.display().to_string()),
    })
}

fn same_file(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// `NAME-VERSION.sdl`, with what a file's name cannot hold as `_`.
fn default_name(recipe: &Recipe) -> String {
    let name = format!("{}-{}.sdl", recipe.name, recipe.version);
    name.chars()
        .map(|c| {
            if c.is_control() || "/\\:*?\"<>|".contains(c) {
                '_'
            } else {
                c
            }
        })
        .collect()
}

/// Writes a file whole or not at all: beside its place first, then by renaming. A device such as /dev/null, which cannot
/// be replaced, is written to directly.
fn write_whole(path: &Path, data: &[u8]) -> anyhow::Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    if path.is_dir() {
        bail!(
            "cannot write {}: it is a folder; --out names the file",
            path.display()
        );
    }
    if path.exists() && !path.is_file() {
        return File::options()
            .write(true)
            .open(path)
            .and_then(|mut file| file.write_all(data))
            .with_context(cannot);
    }
    let mut part = path.as_os_str().to_os_string();
    part.push(format!(".{}.part", std::process::id()));
    let part = PathBuf::from(part);
    let write = || {
        let mut file = File::create_new(&part)?;
        file.write_all(data)?;
        file.sync_all()?;
        fs::rename(&part, path)
    };
    write().map_err(|error| {
        // What is left of a failed attempt is no use; if it cannot be removed, the error says enough.
        let _ = fs::remove_file(&part);
        anyhow!(error).context(cannot())
    })
}

/// One bar after another, a stage each.
struct Bar<'a> {
    out: &'a Out,
    stage: Option<Stage>,
    bar: ProgressBar,
}

impl Bar<'_> {
    fn show(&mut self, progress: Progress) {
        if self.stage != Some(progress.stage) {
            self.bar.finish_and_clear();
            self.stage = Some(progress.stage);
            let what = match progress.stage {
                Stage::Optimise => "optimising",
                Stage::Quantise => "quantising weights",
                Stage::Plan => "laying out memory",
                Stage::Golden => "computing golden vectors",
                Stage::Write => "writing",
                _ => "packing",
            };
            self.bar = self.out.progress(what, progress.total);
        }
        self.bar.set_position(progress.done);
    }
}

fn report(
    bundle: PathBuf,
    source: PathBuf,
    recipe: Option<PathBuf>,
    packed: Packed,
    mut notes: Vec<String>,
) -> Report {
    let Packed {
        bytes,
        manifest,
        sha256,
        optimised,
        quantised,
    } = packed;
    notes.extend(optimised.notes);
    let quantised = quantised.map(|report| {
        let layers = report.quantisation.layers;
        let worst = layers.iter().min_by(|a, b| a.sqnr_db.total_cmp(&b.sqnr_db));
        Quantised {
            tensors: layers.len(),
            bytes_before: layers.iter().map(|layer| layer.bytes_before).sum(),
            bytes_after: layers.iter().map(|layer| layer.bytes_after).sum(),
            worst: worst.map(|layer| Worst {
                tensor: layer.name.clone(),
                sqnr_db: layer.sqnr_db,
                max_error: layer.max_error,
            }),
            left: report
                .left
                .into_iter()
                .map(|(tensor, why)| Left { tensor, why })
                .collect(),
            scheme: report.quantisation.scheme,
        }
    });
    Report {
        name: manifest.name,
        version: manifest.version,
        length: bytes.len(),
        sha256: Digest(sha256).to_string(),
        source_length: fs::metadata(&source).map_or(0, |file| file.len()),
        bundle,
        source,
        recipe,
        nodes_before: optimised.nodes_before,
        nodes_after: optimised.nodes_after,
        passes: optimised
            .changes
            .into_iter()
            .map(|(name, changes)| PassRow { name, changes })
            .collect(),
        quantised,
        arena_bytes: manifest.resources.arena_bytes,
        constant_bytes: manifest.resources.constant_bytes,
        macs: manifest.resources.macs,
        for_dims: manifest.resources.for_dims,
        golden_vectors: manifest.golden.len(),
        notes,
    }
}

fn text(report: &Report) -> String {
    let mut text = format!(
        "packed {} ({})\n",
        report.bundle.display(),
        bytes(report.length as u64)
    );
    text += &format!(
        "model      {} {}, from {} ({})\n",
        report.name,
        report.version,
        report.source.display(),
        bytes(report.source_length)
    );
    if let Some(recipe) = &report.recipe {
        text += &format!("recipe     {}\n", recipe.display());
    }
    let passes = report.passes.iter().filter(|pass| pass.changes > 0);
    let passes: Vec<String> = passes
        .map(|pass| format!("{} {}", pass.name, pass.changes))
        .collect();
    text += &format!("nodes      {} → {}", report.nodes_before, report.nodes_after);
    text += &if passes.is_empty() {
        "\n".to_string()
    } else {
        format!(" ({})\n", passes.join(", "))
    };
    if let Some(quantised) = &report.quantised {
        text += &quantised_text(quantised);
    }
    text += &format!("resources  constants {}", bytes(report.constant_bytes));
    text += &report
        .arena_bytes
        .map_or(", arena depends on data".to_string(), |arena| {
            format!(", arena {}", bytes(arena))
        });
    if let Some(macs) = report.macs {
        text += &format!(", {:.1} million multiply-adds", macs as f64 / 1e6);
    }
    let dims: Vec<String> = report
        .for_dims
        .iter()
        .map(|(name, size)| format!("{name} = {size}"))
        .collect();
    text += &if dims.is_empty() {
        "\n".to_string()
    } else {
        format!(" (for {})\n", dims.join(", "))
    };
    text += &format!(
        "golden     {}, by the reference operators\n",
        count(report.golden_vectors as u64, "vector")
    );
    text += &format!("sha256     {}\n", report.sha256);
    report
        .notes
        .iter()
        .for_each(|note| text += &format!("note       {note}\n"));
    text
}

fn quantised_text(quantised: &Quantised) -> String {
    let mut text = format!(
        "quantised  {}: {}, {} → {}\n",
        quantised.scheme,
        count(quantised.tensors as u64, "tensor"),
        bytes(quantised.bytes_before),
        bytes(quantised.bytes_after)
    );
    if let Some(worst) = &quantised.worst {
        text += &format!(
            "           worst {}: SQNR {:.1} dB, largest error {:.2e}\n",
            worst.tensor, worst.sqnr_db, worst.max_error
        );
    }
    for left in &quantised.left {
        text += &format!("           left {}: {}\n", left.tensor, left.why);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dims_are_a_name_and_a_size() {
        assert_eq!(dim("batch=4"), Ok(("batch".to_string(), 4)));
        assert_eq!(dim("a=b=2"), Ok(("a=b".to_string(), 2)));
        for wrong in ["batch", "batch=", "batch=x", "batch=0", "batch=-1"] {
            assert!(dim(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_of_files_hold_nothing_strange() {
        let mut recipe = Recipe::named("org/cats");
        recipe.version = "1:2".to_string();
        assert_eq!(default_name(&recipe), "org_cats-1_2.sdl");
    }

    #[test]
    fn a_file_is_written_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sdl");
        write_whole(&path, b"one").unwrap();
        write_whole(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(
            write_whole(folder.path(), b"x")
                .unwrap_err()
                .to_string()
                .contains("folder")
        );
        assert!(write_whole(&folder.path().join("no/such"), b"x").is_err());
    }
}
