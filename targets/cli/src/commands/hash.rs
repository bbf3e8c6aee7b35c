//! `sanderling hash`.

use crate::commands::compute::Compute;
use crate::commands::model::{Inputs, load};
use crate::out::Out;
use anyhow::{Context, anyhow, bail};
use clap::Args;
use sanderling_bundle::Sha256Digest;
use sanderling_session::{Best, Layer, ModelBytes, NUMERICS, SessionOptions};
use sanderling_wire::Digest;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
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
    #[command(flatten)]
    compute: Compute,
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
    /// SHA-256 of the model's file.
    #[serde(default)]
    sha256: Option<String>,
    /// Version of docs/numerics.md that it is computed by.
    #[serde(default)]
    numerics: Option<u32>,
    /// The digest of each input, by name.
    #[serde(default)]
    inputs: BTreeMap<String, String>,
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
    /// Integer layers of either.
    layers: usize,
    different: Vec<String>,
    /// Whether both read the same bytes of a model; none where the other report does not say.
    #[serde(default)]
    same_file: Option<bool>,
}

impl Hash {
    pub(crate) fn run(self, out: &Out) -> anyhow::Result<()> {
        let options = SessionOptions {
            instructions: self.instructions,
            ..self.compute.options()?
        };
        let mut session = load(&self.model, &options)?;
        let fill = self.random.then_some((self.shape.as_slice(), self.seed));
        let inputs = Inputs::read(&session, &self.input, fill)?;
        let found = session
            .layers(&inputs.views())
            .with_context(|| self.model.display().to_string())?;
        let views = inputs.views();
        let digests = views
            .iter()
            .map(|(name, view)| (name.to_string(), hex(view.digest())));
        let layers: Vec<Row> = found.iter().map(Row::of).collect();
        let mut report = Report {
            sha256: Some(file_digest(&self.model)?),
            // A session refuses what is packed for a newer one.
            numerics: Some(NUMERICS),
            inputs: digests.collect(),
            instructions: self.instructions.unwrap_or_else(Best::detect).name().to_string(),
            notes: inputs.assumed.clone(),
            integer_layers: layers.iter().filter(|row| row.digest.is_some()).count(),
            layers,
            compared: None,
            model: self.model,
        };
        if let Some(file) = self.against {
            report.compared = Some(compare(&report, file)?);
        }
        out.print(&report, text)?;
        match report
            .compared
            .as_ref()
            .and_then(|compared| compared.different.first())
        {
            Some(first) => {
                bail!("the first layer that differs is '{first}'")
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
            digest: layer.digest.map(hex),
        }
    }
}

fn hex(digest: Sha256Digest) -> String {
    Digest(digest).to_string()
}

fn file_digest(path: &Path) -> anyhow::Result<String> {
    let bytes = ModelBytes::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(hex(sanderling_bundle::sha256(&bytes)))
}

/// Integer layers of here and elsewhere, by name, in the order of here; then those that only elsewhere has.
fn compare(here: &Report, file: PathBuf) -> anyhow::Result<Compared> {
    let there = read(&file)?;
    comparable(here, &there, &file)?;
    let of_integers = |rows: &'_ [Row]| -> Vec<Row> {
        let rows = rows.iter().filter(|row| row.digest.is_some());
        rows.cloned().collect()
    };
    let (ours, theirs) = (of_integers(&here.layers), of_integers(&there.layers));
    let by_name: BTreeMap<&str, &Row> = theirs.iter().map(|row| (row.value.as_str(), row)).collect();
    let names: BTreeSet<&str> = ours.iter().map(|row| row.value.as_str()).collect();
    if !names.iter().any(|name| by_name.contains_key(name)) {
        bail!(
            "{} has none of this model's integer layers: it is of another model, or the model has none",
            file.display()
        );
    }
    let differs = |row: &&Row| {
        by_name
            .get(row.value.as_str())
            .is_none_or(|other| other.digest != row.digest)
    };
    let only_there = theirs.iter().filter(|row| !names.contains(row.value.as_str()));
    let missing = only_there.clone().count();
    let different = ours.iter().filter(differs).chain(only_there);
    Ok(Compared {
        layers: ours.len() + missing,
        different: different.map(|row| row.value.clone()).collect(),
        same_file: match (&here.sha256, &there.sha256) {
            (Some(here), Some(there)) => Some(here == there),
            _ => None,
        },
        against: file,
    })
}

/// Holds that both computed the same function of the same input; reports of older versions do not say.
fn comparable(here: &Report, there: &Report, file: &Path) -> anyhow::Result<()> {
    if let (Some(here), Some(there)) = (here.numerics, there.numerics)
        && here != there
    {
        bail!(
            "{} is of numerics version {there}, this is {here}: digests compare within one version",
            file.display()
        );
    }
    if there.inputs.is_empty() {
        return Ok(());
    }
    let names = here.inputs.keys().chain(there.inputs.keys());
    let mut other = names.filter(|name| here.inputs.get(*name) != there.inputs.get(*name));
    match other.next() {
        Some(name) => bail!(
            "input '{name}' is not what {} was made of: give the same input to compare layers",
            file.display()
        ),
        None => Ok(()),
    }
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
    for (name, digest) in &report.inputs {
        text += &format!("input '{name}' {:.16}\n", digest);
    }
    if let (Some(sha256), Some(numerics)) = (&report.sha256, report.numerics) {
        text += &format!("model {sha256:.16}, numerics version {numerics}\n");
    }
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
        if compared.same_file == Some(false) {
            text += "note: the other model's file has other bytes\n";
        }
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

    fn report(layers: Vec<Row>) -> Report {
        Report {
            model: "m".into(),
            sha256: Some("m1".into()),
            numerics: Some(1),
            inputs: [("x".to_string(), "x1".to_string())].into(),
            instructions: "scalar".into(),
            notes: Vec::new(),
            integer_layers: 0,
            layers,
            compared: None,
        }
    }

    fn against(here: &Report, there: &Report) -> anyhow::Result<Compared> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("there.json");
        std::fs::write(&file, serde_json::to_string(there).unwrap()).unwrap();
        compare(here, file)
    }

    fn different(here: &Report, there: Vec<Row>) -> Vec<String> {
        against(here, &report(there)).unwrap().different
    }

    #[test]
    fn what_differs_or_is_missing_on_either_side_is_named_in_order() {
        let here = [
            row("a", Some("1")),
            row("f", None),
            row("b", Some("2")),
            row("c", Some("3")),
        ];
        let same = here.to_vec();
        let here = report(here.to_vec());
        assert!(different(&here, same.clone()).is_empty());
        let there = vec![row("a", Some("1")), row("f", None), row("c", Some("4"))];
        assert_eq!(different(&here, there), ["b", "c"]);
        // By floats here, with a digest there; and a layer that is not here at all.
        let there = [row("f", Some("5")), row("z", Some("6"))];
        let there = [&same[..1], &same[2..], &there].concat();
        assert_eq!(different(&here, there.clone()), ["f", "z"]);
        assert_eq!(against(&here, &report(there)).unwrap().layers, 5);
    }

    #[test]
    fn nothing_in_common_is_an_error() {
        let here = report(vec![row("a", Some("1"))]);
        let there = report(vec![row("x", Some("1"))]);
        let error = against(&here, &there).err().unwrap();
        assert!(error.to_string().contains("another model"), "{error}");
        let error = compare(&here, "/dev/null".into()).err().unwrap();
        assert!(error.to_string().contains("sanderling hash --json"), "{error}");
    }

    #[test]
    fn another_input_or_version_is_an_error_and_another_file_is_told() {
        let here = report(vec![row("a", Some("1"))]);
        let refused = |change: fn(&mut Report)| {
            let mut there = report(vec![row("a", Some("1"))]);
            change(&mut there);
            against(&here, &there).err().unwrap().to_string()
        };
        let error = refused(|there| there.numerics = Some(2));
        assert!(error.contains("numerics version 2"), "{error}");
        let error = refused(|there| there.inputs = [("x".into(), "x2".into())].into());
        assert!(error.contains("input 'x'"), "{error}");
        let mut there = report(vec![row("a", Some("1"))]);
        there.sha256 = Some("m2".into());
        assert_eq!(against(&here, &there).unwrap().same_file, Some(false));
        // What an older version printed says none of it.
        (there.sha256, there.numerics) = (None, None);
        there.inputs.clear();
        assert_eq!(against(&here, &there).unwrap().same_file, None);
    }
}
