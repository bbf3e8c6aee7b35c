//! `sanderling hash`.

use crate::commands::model::{Inputs, load};
use crate::out::Out;
use anyhow::{Context, anyhow, bail};
use clap::Args;
use sanderling_session::{Best, Layer, SessionOptions};
use sanderling_wire::Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Print the digest of every integer layer of a run, and compare with another device's.
#[derive(Args)]
#[command(
    after_help = "Integer layers give the same bytes on every device (docs/numerics.md); floats may differ in their last places, have no digest and are \
    not compared. Two devices that disagree are found at the first layer that differs.\n\n\
    Examples:\n  sanderling hash model-int8.onnx --random --json > here.json\n  \
    sanderling hash model-int8.onnx --random --against here.json\n  \
    sanderling hash model-int8.onnx --input image=cat.npy --instructions scalar"
)]
pub(crate) struct Hash {
    /// A bundle (.sdl) or an ONNX model.
    model: PathBuf,
    /// An input from a file; the name may be left out where there is one input, or where the file holds all. May be repeated.
    #[arg(short, long, value_name = "[NAME=]FILE", required_unless_present = "random")]
    input: Vec<String>,
    /// Random elements, within the ranges that the model declares.
    #[arg(long)]
    random: bool,
    /// Seed of --random: the same seed gives the same elements everywhere.
    #[arg(long, default_value_t = 0, requires = "random", value_name = "N")]
    seed: u64,
    /// Shape of an input for --random, as in image=1x3x224x224; needed where the model leaves dimensions open.
    #[arg(long, value_name = "[NAME=]SHAPE", requires = "random")]
    shape: Vec<String>,
    /// Digests from elsewhere: what this command printed there with --json. Any difference is an error.
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Threads to compute with.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = crate::commands::threads)]
    threads: usize,
    /// Instructions to compute with, as in scalar, avx2, neon; the best of this machine by default.
    #[arg(long, value_name = "NAME", value_parser = instructions)]
    instructions: Option<Best>,
}

fn instructions(name: &str) -> Result<Best, String> {
    let names: Vec<&str> = Best::available().map(Best::name).collect();
    Best::by_name(name).ok_or(format!("this machine has {}", names.join(", ")))
}

#[derive(Serialize, Deserialize)]
struct Report {
    model: PathBuf,
    instructions: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    layers: Vec<Row>,
    integer_layers: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    compared: Option<Compared>,
}

#[derive(Serialize, Deserialize, Clone, PartialEq, Eq)]
struct Row {
    value: String,
    operator: String,
    #[serde(rename = "type")]
    ty: String,
    /// None for floats and what depends on them.
    digest: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Compared {
    against: PathBuf,
    layers: usize,
    different: Vec<String>,
}

impl Hash {
    pub(crate) fn run(self, out: &Out) -> anyhow::Result<()> {
        let options = SessionOptions {
            threads: self.threads.max(1),
            instructions: self.instructions,
            ..SessionOptions::default()
        };
        let mut session = load(&self.model, &options)?;
        let fill = self.random.then_some((self.shape.as_slice(), self.seed));
        let inputs = Inputs::read(&session, &self.input, fill)?;
        let found = session
            .layers(&inputs.views())
            .with_context(|| self.model.display().to_string())?;
        let layers: Vec<Row> = found.iter().map(Row::of).collect();
        let compared = self.against.map(|file| compare(&layers, file)).transpose()?;
        let report = Report {
            instructions: self.instructions.unwrap_or_else(Best::detect).name().to_string(),
            notes: inputs.assumed,
            integer_layers: layers.iter().filter(|row| row.digest.is_some()).count(),
            layers,
            compared,
            model: self.model,
        };
        out.print(&report, text)?;
        match report
            .compared
            .as_ref()
            .and_then(|compared| compared.different.first())
        {
            Some(first) => {
                bail!("the first layer that differs is '{first}': same model, input and numerics version?")
            }
            None => Ok(()),
        }
    }
}

impl Row {
    fn of(layer: &Layer) -> Self {
        Self {
            value: layer.value.clone(),
            operator: layer.operator.clone(),
            ty: layer.ty.to_string(),
            digest: layer.digest.map(|digest| Digest(digest).to_string()),
        }
    }
}

/// Integer layers of here and elsewhere, by name, in the order of here.
fn compare(here: &[Row], file: PathBuf) -> anyhow::Result<Compared> {
    let there = read(&file)?;
    let there: BTreeMap<&str, &Row> = there
        .layers
        .iter()
        .filter(|row| row.digest.is_some())
        .map(|row| (row.value.as_str(), row))
        .collect();
    let ours: Vec<&Row> = here.iter().filter(|row| row.digest.is_some()).collect();
    let common = ours
        .iter()
        .filter(|row| there.contains_key(row.value.as_str()))
        .count();
    if common == 0 {
        bail!(
            "{} has none of this model's integer layers: it is of another model, or the model has none",
            file.display()
        );
    }
    let missing = |row: &&&Row| !there.contains_key(row.value.as_str());
    let different = ours
        .iter()
        .filter(|row| {
            missing(row)
                || there
                    .get(row.value.as_str())
                    .is_some_and(|other| other.digest != row.digest)
        })
        .map(|row| row.value.clone());
    Ok(Compared {
        layers: ours.len(),
        different: different.collect(),
        against: file,
    })
}

fn read(file: &Path) -> anyhow::Result<Report> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_str(&text).map_err(|error| {
        anyhow!(
            "{} is not what `sanderling hash --json` prints: {error}",
            file.display()
        )
    })
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    report
        .notes
        .iter()
        .for_each(|note| text += &format!("note: {note}\n"));
    for row in &report.layers {
        let digest = row
            .digest
            .as_ref()
            .map_or("(by floats)", |digest| &digest[..digest.len().min(16)]);
        text += &format!(
            "{digest:<16}  {:<32} {:<44} {}\n",
            row.ty, row.operator, row.value
        );
    }
    let floats = report.layers.len() - report.integer_layers;
    text += &format!(
        "{} integer layers by {}, {floats} by floats and without a digest\n",
        report.integer_layers, report.instructions
    );
    if let Some(compared) = &report.compared {
        text += &format!(
            "{} of {} differ from {}\n",
            compared.different.len(),
            compared.layers,
            compared.against.display()
        );
        compared
            .different
            .iter()
            .take(5)
            .for_each(|value| text += &format!("  {value}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(value: &str, digest: Option<&str>) -> Row {
        Row {
            value: value.into(),
            operator: "Op".into(),
            ty: "uint8[1]".into(),
            digest: digest.map(Into::into),
        }
    }

    fn against(here: &[Row], there: Vec<Row>) -> anyhow::Result<Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("there.json");
        let report = Report {
            model: "m".into(),
            instructions: "scalar".into(),
            notes: Vec::new(),
            integer_layers: 0,
            layers: there,
            compared: None,
        };
        std::fs::write(&file, serde_json::to_string(&report).unwrap()).unwrap();
        compare(here, file).map(|compared| compared.different)
    }

    #[test]
    fn what_differs_or_is_missing_is_named_in_order() {
        let here = [
            row("a", Some("1")),
            row("f", None),
            row("b", Some("2")),
            row("c", Some("3")),
        ];
        let same = here.to_vec();
        assert!(against(&here, same).unwrap().is_empty());
        let there = vec![row("a", Some("1")), row("f", None), row("c", Some("4"))];
        assert_eq!(against(&here, there).unwrap(), ["b", "c"]);
    }

    #[test]
    fn nothing_in_common_is_an_error() {
        let error = against(&[row("a", Some("1"))], vec![row("x", Some("1"))]).unwrap_err();
        assert!(error.to_string().contains("another model"), "{error}");
        let error = compare(&[], "/dev/null".into()).err().unwrap();
        assert!(error.to_string().contains("sanderling hash --json"), "{error}");
    }
}
