//! `sanderling run`.

use crate::commands::compute::Compute;
use crate::commands::files;
use crate::commands::model::{Inputs, arrays, image, load};
use crate::out::{Out, chain, count};
use anyhow::{Context, bail};
use clap::{ArgGroup, Args};
use sanderling_bundle::{PostStep, PreStep};
use sanderling_session::{
    Answer, FileBlocks, Input, Pipeline, Prepared, Session, Tensor, TensorType, TensorView,
};
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};

/// Elements of an output that are printed.
const FIRST: usize = 8;

/// Run a bundle or an ONNX model on files, arrays or random input.
#[derive(Args)]
#[command(group = ArgGroup::new("source").required(true).multiple(true).args(["files", "input", "random"]))]
#[command(
    override_usage = "sanderling run [OPTIONS] <MODEL> <FILES>...\n       sanderling run [OPTIONS] <MODEL> --input <[NAME=]FILE>\n       \
    sanderling run [OPTIONS] <MODEL> --random"
)]
#[command(
    after_help = "Files go through the bundle's own pre-processing and come out as labels, a line each; images are binary PPM (P6). \
    Arrays (.npy, .npz, JSON) are the model's inputs as they are; what no file gives, --random fills.\n\n\
    Examples:\n  sanderling run magika-3.3.0.sdl *.md src/*.rs\n  sanderling run magika-3.3.0.sdl README.md --top-k 5 --json\n  \
    sanderling run magika-3.3.0.sdl --random\n  sanderling run magika-3.3.0.sdl --random --shape bytes=4x2048 --seed 7\n  \
    sanderling run magika-3.3.0.sdl --input bytes=tokens.npy --output-dir out\n  sanderling run magika-3.3.0.sdl --input tokens.json\n\n\
    Names and shapes of a model's inputs: sanderling inspect magika-3.3.0.sdl"
)]
pub(crate) struct Run {
    /// A bundle (.sdl) or an ONNX model.
    model: PathBuf,
    /// Files to answer.
    #[arg(conflicts_with_all = ["input", "random"])]
    files: Vec<PathBuf>,
    /// An input from a file; the name may be left out where there is one input, or where the file holds all. May be repeated.
    #[arg(short, long, value_name = "[NAME=]FILE")]
    input: Vec<String>,
    /// Random elements, within the ranges that the model declares.
    #[arg(long)]
    random: bool,
    /// Seed of --random: the same seed gives the same elements everywhere.
    #[arg(long, default_value_t = 0, requires = "random", value_name = "N")]
    seed: u64,
    /// Shape of an input for --random, as in bytes=1x2048; needed where the model leaves dimensions open.
    #[arg(long, value_name = "[NAME=]SHAPE", requires = "random")]
    shape: Vec<String>,
    /// Labels to list with each answer; without it a line shows the best, and --json as many as the bundle says.
    #[arg(short = 'k', long, value_name = "K")]
    top_k: Option<usize>,
    #[command(flatten)]
    compute: Compute,
    /// Folder to write every output to, as NAME.npy; for files as N-NAME.npy, N being the file's place from 1.
    #[arg(short, long, value_name = "DIR")]
    output_dir: Option<PathBuf>,
}

#[derive(Serialize)]
struct Answers {
    model: PathBuf,
    answers: Vec<FileAnswer>,
}

#[derive(Serialize)]
struct FileAnswer {
    file: PathBuf,
    #[serde(flatten)]
    answer: Option<Answer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    written: Vec<PathBuf>,
}

#[derive(Serialize)]
struct Ran {
    model: PathBuf,
    inputs: Vec<Shown>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    outputs: Vec<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Answer>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    written: Vec<PathBuf>,
}

/// A tensor in a few numbers. What is no number (NaN, infinite) counts for none of them.
#[derive(Serialize)]
struct Shown {
    name: String,
    #[serde(rename = "type")]
    ty: String,
    first: Vec<f64>,
    min: Option<f64>,
    max: Option<f64>,
    mean: Option<f64>,
    #[serde(skip_serializing_if = "is_zero")]
    non_finite: usize,
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

impl Run {
    pub(crate) fn run(self, out: &Out) -> anyhow::Result<()> {
        let session = load(&self.model, &self.compute.options()?)?;
        if let Some(folder) = &self.output_dir {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        }
        if self.files.is_empty() {
            self.tensors(session, out)
        } else {
            self.files(session, out)
        }
    }

    fn files(self, session: Session, out: &Out) -> anyhow::Result<()> {
        if !classifies(&session) {
            bail!(
                "{} does not say how files become answers: give its inputs as arrays (--input), or pack it with pre-processing and labels in sanderling.toml",
                self.model.display()
            );
        }
        let mut pipeline = Pipeline::new(session).with_context(|| self.model.display().to_string())?;
        let mut answers = Vec::new();
        for (index, file) in self.files.iter().enumerate() {
            let row = match self.answer(&mut pipeline, file, index) {
                Ok((answer, written)) => FileAnswer {
                    file: file.clone(),
                    answer: Some(answer),
                    error: None,
                    written,
                },
                Err(error) => FileAnswer {
                    file: file.clone(),
                    answer: None,
                    error: Some(chain(&error)),
                    written: Vec::new(),
                },
            };
            answers.push(row);
        }
        let failed = answers.iter().filter(|answer| answer.error.is_some()).count();
        let many = self.top_k.unwrap_or(1) > 1;
        let answers = Answers {
            model: self.model,
            answers,
        };
        out.print(&answers, |answers| {
            answers.answers.iter().map(|answer| line(answer, many)).collect()
        })?;
        if failed > 0 {
            bail!(
                "{failed} of {} could not be answered",
                count(answers.answers.len() as u64, "file")
            );
        }
        Ok(())
    }

    fn answer(
        &self,
        pipeline: &mut Pipeline,
        file: &Path,
        index: usize,
    ) -> anyhow::Result<(Answer, Vec<PathBuf>)> {
        let prepared = match pipeline.block() {
            Some(block) => {
                // The one pipe that somebody writes to; no more than a block of it is read.
                if file != Path::new("/dev/stdin") {
                    files::check(file)?;
                }
                pipeline.prepare(&Input::Ends(FileBlocks::read(file, block)?.ends()))
            }
            None => {
                let bytes = files::read(file, files::MAX_INPUT)?;
                let input = if takes_image(pipeline.session()) {
                    Input::Image(image::ppm(&bytes)?)
                } else {
                    Input::Bytes(&bytes)
                };
                pipeline.prepare(&input)
            }
        };
        let inputs = match prepared? {
            Prepared::Answer(answer) => return Ok((answer, Vec::new())),
            Prepared::Inputs(inputs) => inputs,
        };
        let views: Vec<_> = inputs
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor.view()))
            .collect();
        let outputs = outputs(pipeline.session_mut(), &views)?;
        let views: Vec<_> = outputs
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor.view()))
            .collect();
        let written = self.write(&views, &format!("{}-", index + 1))?;
        Ok((pipeline.classify(&views, self.top_k)?, written))
    }

    fn tensors(self, mut session: Session, out: &Out) -> anyhow::Result<()> {
        let at = || self.model.display().to_string();
        let fill = self.random.then_some((self.shape.as_slice(), self.seed));
        let inputs = Inputs::read(&session, &self.input, fill)?;
        let found = outputs(&mut session, &inputs.views()).with_context(at)?;
        self.compute.tell(&session);
        let views: Vec<_> = found
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor.view()))
            .collect();
        let written = self.write(&views, "")?;
        let mut notes = inputs.assumed.clone();
        let mut answer = None;
        if classifies(&session) {
            // Of a batch there is no one answer; its outputs are worth printing all the same.
            match Pipeline::new(session)?.classify(&views, self.top_k) {
                Ok(found) => answer = Some(found),
                Err(error) => notes.push(format!("no label: {error}")),
            }
        }
        let ran = Ran {
            model: self.model,
            inputs: inputs
                .views()
                .into_iter()
                .map(|(name, view)| Shown::of(name, &view))
                .collect(),
            notes,
            outputs: views.iter().map(|(name, view)| Shown::of(name, view)).collect(),
            answer,
            written,
        };
        out.print(&ran, text)
    }

    /// Writes outputs to the folder for them, if there is one.
    fn write(&self, outputs: &[(&str, TensorView<'_>)], prefix: &str) -> anyhow::Result<Vec<PathBuf>> {
        let Some(folder) = &self.output_dir else {
            return Ok(Vec::new());
        };
        let one = |(name, view): &(&str, TensorView<'_>)| {
            let name: String = name
                .chars()
                .map(|c| {
                    if c.is_alphanumeric() || "-_.".contains(c) {
                        c
                    } else {
                        '_'
                    }
                })
                .collect();
            let path = folder.join(format!("{prefix}{name}.npy"));
            arrays::write_npy(&path, view)?;
            Ok(path)
        };
        outputs.iter().map(one).collect()
    }
}

fn classifies(session: &Session) -> bool {
    session.manifest().is_some_and(|manifest| {
        manifest
            .post
            .iter()
            .any(|post| matches!(post.step, PostStep::Classification(_)))
    })
}

fn takes_image(session: &Session) -> bool {
    session.manifest().is_some_and(|manifest| {
        manifest
            .pre
            .iter()
            .any(|pre| matches!(pre.step, PreStep::ImageU8(_)))
    })
}

/// Runs, and copies the outputs: the session is free again.
fn outputs(
    session: &mut Session,
    inputs: &[(&str, TensorView<'_>)],
) -> anyhow::Result<Vec<(String, Tensor)>> {
    let outputs = session.run(inputs)?;
    Ok(outputs
        .iter()
        .map(|(name, view)| (name.to_string(), view.to_tensor()))
        .collect())
}

impl Shown {
    fn of(name: &str, view: &TensorView<'_>) -> Self {
        let values = || (0..view.len()).map(|index| arrays::get(view, index));
        let finite = || values().filter(|value| value.is_finite());
        let count = finite().count();
        Self {
            name: name.to_string(),
            ty: TensorType::fixed(view.dtype(), view.shape()).to_string(),
            first: values().take(FIRST).collect(),
            min: finite().reduce(f64::min),
            max: finite().reduce(f64::max),
            mean: (count > 0).then(|| finite().sum::<f64>() / count as f64),
            non_finite: view.len() - count,
        }
    }
}

fn line(row: &FileAnswer, many: bool) -> String {
    let Some(answer) = &row.answer else {
        return format!(
            "{}: error: {}\n",
            row.file.display(),
            row.error.as_deref().unwrap_or("unknown")
        );
    };
    format!("{}: {}\n", row.file.display(), answer_text(answer, many))
}

fn answer_text(answer: &Answer, many: bool) -> String {
    let mut text = format!("{} {:.1} %", answer.label, answer.confidence * 100.0);
    if answer.rule {
        text += " (by a rule, without the model)";
    }
    if answer.below_threshold {
        let best = answer.top.first().map_or("", |best| best.label.as_str());
        text += &format!(" ({best}, below its threshold)");
    }
    if many {
        let top: Vec<String> = answer
            .top
            .iter()
            .map(|scored| format!("{} {:.1} %", scored.label, scored.score * 100.0))
            .collect();
        text += &format!(" [{}]", top.join(", "));
    }
    text
}

fn text(ran: &Ran) -> String {
    let mut text = String::new();
    ran.notes
        .iter()
        .for_each(|note| text += &format!("note: {note}\n"));
    ran.inputs
        .iter()
        .for_each(|shown| text += &shown_text("input ", shown));
    ran.outputs
        .iter()
        .for_each(|shown| text += &shown_text("output", shown));
    if let Some(answer) = &ran.answer {
        text += &format!("answer {}\n", answer_text(answer, true));
    }
    ran.written
        .iter()
        .for_each(|path| text += &format!("wrote  {}\n", path.display()));
    text
}

fn shown_text(what: &str, shown: &Shown) -> String {
    let mut text = format!("{what} {} {}", shown.name, shown.ty);
    if let (Some(min), Some(max), Some(mean)) = (shown.min, shown.max, shown.mean) {
        text += &format!("  min {} max {} mean {}", number(min), number(max), number(mean));
    }
    if shown.non_finite > 0 {
        text += &format!("  {} not finite", shown.non_finite);
    }
    let first: Vec<String> = shown.first.iter().map(|&value| number(value)).collect();
    let more = if shown.first.len() == FIRST { ", …" } else { "" };
    text + &format!("\n       [{}{more}]\n", first.join(", "))
}

/// A number in about six places.
fn number(value: f64) -> String {
    match value.abs() {
        size if value.fract() == 0.0 && size < 1e15 => value.to_string(),
        size if (1e-3..1e6).contains(&size) => format!("{value:.5}"),
        _ => format!("{value:.3e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let numbers = [256.0, -0.25, 3e-7, 1.5e9, f64::NAN, 1.0 / 3.0].map(number);
        assert_eq!(
            numbers,
            ["256", "-0.25000", "3.000e-7", "1500000000", "NaN", "0.33333"]
        );
    }

    #[test]
    fn a_tensor_in_a_few_numbers() {
        let tensor = Tensor::from_slice(&[4], &[1.0f32, f32::NAN, -3.0, 5.0]).unwrap();
        let shown = Shown::of("y", &tensor.view());
        assert_eq!(
            (shown.min, shown.max, shown.mean, shown.non_finite),
            (Some(-3.0), Some(5.0), Some(1.0), 1)
        );
        assert_eq!(shown.ty, "float32[4]");
        let empty = Shown::of(
            "y",
            &Tensor::zeros(sanderling_session::DType::F32, &[0])
                .unwrap()
                .view(),
        );
        assert_eq!((empty.min, empty.mean, empty.first.len()), (None, None, 0));
    }
}
