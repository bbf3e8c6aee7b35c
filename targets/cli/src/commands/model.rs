//! What `run` and `bench` share: a file becomes a session, words of the command line become shapes and inputs.

pub(crate) mod arrays;
pub(crate) mod image;
mod random;

use crate::commands::files;
use anyhow::{Context, anyhow, bail};
use sanderling_compiler::onnx::{self, Model};
use sanderling_compiler::{CompileError, OptimiseOptions, optimise};
use sanderling_core::{OpTable, ops};
use sanderling_session::{Dim, ModelBytes, PortInfo, Session, SessionOptions, Tensor};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// A session for a bundle, or for an ONNX model that is optimised in memory.
pub(crate) fn load(path: &Path, options: &SessionOptions) -> anyhow::Result<Session> {
    let at = || path.display().to_string();
    if is_bundle(path)? {
        let bytes = ModelBytes::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        return Session::from_bundle(bytes, options).with_context(at);
    }
    let mut graph = read_onnx(path)?.graph;
    optimise(&mut graph, OpTable(ops::ALL), &OptimiseOptions::default()).with_context(at)?;
    Session::from_graph(graph, options).with_context(at)
}

/// Reads an ONNX file, with its name on every error.
pub(crate) fn read_onnx(path: &Path) -> anyhow::Result<Model> {
    files::check(path)?;
    let read = onnx::read_file(path, OpTable(ops::ALL), &onnx::Limits::default());
    read.map_err(|error| match error {
        // It names the file already.
        CompileError::Io { .. } => anyhow!(error),
        error => anyhow!(error).context(path.display().to_string()),
    })
}

fn is_bundle(path: &Path) -> anyhow::Result<bool> {
    files::check(path)?;
    let mut head = Vec::new();
    let length = sanderling_bundle::MAGIC.len() as u64;
    let read = File::open(path).and_then(|file| file.take(length).read_to_end(&mut head));
    read.with_context(|| format!("cannot read {}", path.display()))?;
    Ok(head == sanderling_bundle::MAGIC)
}

/// Shapes of all inputs, and what had to be assumed for them.
#[derive(Debug, PartialEq)]
pub(crate) struct Shapes {
    /// In the order of the inputs.
    pub(crate) shapes: Vec<Vec<usize>>,
    /// Sentences for the reader.
    pub(crate) assumed: Vec<String>,
}

impl Shapes {
    /// The shapes that `words` (`NAME=1x3x224x224`) and the model give; an open first dimension is 1.
    pub(crate) fn of(session: &Session, words: &[String]) -> anyhow::Result<Self> {
        let sizes = session
            .manifest()
            .map_or(&[][..], |manifest| &manifest.resources.for_dims);
        Self::resolve(session.inputs(), sizes, words)
    }

    fn resolve(ports: &[PortInfo], sizes: &[(String, u64)], words: &[String]) -> anyhow::Result<Self> {
        let mut given = BTreeMap::new();
        for word in words {
            let (index, shape) = named(word, ports, false)?;
            let shape = parse_shape(shape).with_context(|| format!("--shape {word}"))?;
            if given.insert(index, shape).is_some() {
                bail!(
                    "--shape {word}: input '{}' has a shape already",
                    ports[index].name
                );
            }
        }
        let mut symbols: BTreeMap<&str, usize> = BTreeMap::new();
        for (name, size) in sizes {
            symbols.insert(
                name,
                usize::try_from(*size).context("a dimension does not fit this machine")?,
            );
        }
        for (&index, shape) in &given {
            learn(&ports[index], shape, &mut symbols)?;
        }
        let mut all = Self {
            shapes: Vec::new(),
            assumed: Vec::new(),
        };
        for (index, port) in ports.iter().enumerate() {
            let shape = match given.remove(&index) {
                Some(shape) => shape,
                None => all.complete(port, &symbols)?,
            };
            all.shapes.push(shape);
        }
        Ok(all)
    }

    /// The shape of an input of which the caller said nothing.
    fn complete(&mut self, port: &PortInfo, symbols: &BTreeMap<&str, usize>) -> anyhow::Result<Vec<usize>> {
        let name = &port.name;
        let Some(ty) = &port.ty else {
            bail!(
                "the model does not say which shape input '{name}' has: give it, as in --shape {name}=1x2048"
            );
        };
        let mut shape = Vec::new();
        for (axis, dim) in ty.shape.iter().enumerate() {
            let known = match dim {
                Dim::Fixed(n) => usize::try_from(*n).ok(),
                Dim::Symbol(symbol) => symbols.get(symbol.as_str()).copied(),
                Dim::Unknown => None,
            };
            shape.push(match known {
                Some(n) => n,
                None if axis == 0 => {
                    self.assumed.push(format!("dimension 0 ({dim}) of input '{name}' is open: taken as 1"));
                    1
                }
                None => {
                    let example: Vec<String> = ty.shape.iter().map(example_size).collect();
                    bail!(
                        "input '{name}' is {ty}: its dimension {axis} ({dim}) is open. Give the shape, as in --shape {name}={}",
                        example.join("x")
                    );
                }
            });
        }
        Ok(shape)
    }
}

/// What stands for a dimension in an example.
fn example_size(dim: &Dim) -> String {
    match dim {
        Dim::Fixed(n) => n.to_string(),
        _ => "1".to_string(),
    }
}

/// Takes the sizes of named dimensions from a shape that was given.
fn learn<'a>(
    port: &'a PortInfo,
    shape: &[usize],
    symbols: &mut BTreeMap<&'a str, usize>,
) -> anyhow::Result<()> {
    let Some(ty) = &port.ty else { return Ok(()) };
    if ty.rank() != shape.len() {
        bail!(
            "input '{}' is {ty}, of {} dimensions; the given shape has {}",
            port.name,
            ty.rank(),
            shape.len()
        );
    }
    for (dim, &n) in ty.shape.iter().zip(shape) {
        if let Dim::Symbol(symbol) = dim {
            symbols.insert(symbol, n);
        }
    }
    Ok(())
}

/// Splits `NAME=REST` at the name of an input and gives its index. For a model with one input the name may be left out;
/// `whole` says that the word is what it seems to be even though it has a `=` in it.
fn named<'a>(word: &'a str, ports: &[PortInfo], whole: bool) -> anyhow::Result<(usize, &'a str)> {
    let rest = |port: &PortInfo| word.strip_prefix(port.name.as_str())?.strip_prefix('=');
    let found = ports
        .iter()
        .enumerate()
        .filter_map(|(index, port)| Some((index, rest(port)?)));
    // Of two names that fit, the longer one was meant.
    if let Some(found) = found.min_by_key(|(_, rest)| rest.len()) {
        return Ok(found);
    }
    let known = || {
        ports
            .iter()
            .map(|port| port.name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    match (ports.len(), word.split_once('=')) {
        (1, None) => Ok((0, word)),
        (1, Some(_)) if whole => Ok((0, word)),
        (_, Some((name, _))) => bail!("there is no input '{name}'; the model's inputs are {}", known()),
        (_, None) => bail!(
            "'{word}' names no input: write NAME={word}; the model's inputs are {}",
            known()
        ),
    }
}

/// `1x3x224x224`; the empty word is a scalar's shape.
fn parse_shape(word: &str) -> anyhow::Result<Vec<usize>> {
    if word.is_empty() {
        return Ok(Vec::new());
    }
    let size = |part: &str| {
        let advice = || {
            format!(
                "'{part}' is no dimension: a shape is whole numbers with 'x' between them, as in 1x3x224x224"
            )
        };
        part.trim().parse::<usize>().with_context(advice)
    };
    word.split(['x', ',']).map(size).collect()
}

/// Inputs by name, in the model's order.
pub(crate) struct Inputs {
    pub(crate) tensors: Vec<(String, Tensor)>,
    pub(crate) assumed: Vec<String>,
}

impl Inputs {
    /// Random elements of seed `seed` within the declared ranges.
    pub(crate) fn random(session: &Session, shapes: &[String], seed: u64) -> anyhow::Result<Self> {
        Self::read(session, &[], Some((shapes, seed)))
    }

    /// Inputs from files (`NAME=FILE`); those that no file gives are random, where shapes and a seed are given.
    pub(crate) fn read(
        session: &Session,
        words: &[String],
        fill: Option<(&[String], u64)>,
    ) -> anyhow::Result<Self> {
        let ports = session.inputs();
        let mut tensors: Vec<Option<Tensor>> = vec![None; ports.len()];
        for word in words {
            let read = read_word(word, ports).with_context(|| format!("--input {word}"))?;
            for (index, tensor) in read {
                if tensors[index].replace(tensor).is_some() {
                    bail!("--input {word}: input '{}' is given twice", ports[index].name);
                }
            }
        }
        let mut assumed = Vec::new();
        if let Some((shapes, seed)) = fill.filter(|_| tensors.iter().any(Option::is_none)) {
            let shapes = Shapes::of(session, shapes)?;
            let mut draw = random::Draw::new(seed);
            for ((port, tensor), shape) in ports.iter().zip(&mut tensors).zip(&shapes.shapes) {
                if tensor.is_none() {
                    *tensor = Some(draw.tensor(port, shape)?);
                }
            }
            assumed = shapes.assumed;
        }
        let mut named = Vec::new();
        for (port, tensor) in ports.iter().zip(tensors) {
            let missing = || {
                format!(
                    "input '{0}' is missing: give --input {0}=FILE, or --random to fill it",
                    port.name
                )
            };
            named.push((port.name.clone(), tensor.with_context(missing)?));
        }
        Ok(Self {
            tensors: named,
            assumed,
        })
    }

    /// Views for a run.
    pub(crate) fn views(&self) -> Vec<(&str, sanderling_session::TensorView<'_>)> {
        self.tensors
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor.view()))
            .collect()
    }
}

/// The inputs that a word names: one, or with an archive or a JSON object as many as it holds.
fn read_word(word: &str, ports: &[PortInfo]) -> anyhow::Result<Vec<(usize, Tensor)>> {
    let is_file = Path::new(word).is_file();
    let name_stands_before = ports.iter().any(|port| {
        word.strip_prefix(port.name.as_str())
            .is_some_and(|rest| rest.starts_with('='))
    });
    if is_file && !name_stands_before && ports.len() != 1 {
        return arrays::read_all(Path::new(word), ports);
    }
    let (index, path) = named(word, ports, is_file)?;
    Ok(vec![(index, arrays::read_one(Path::new(path), &ports[index])?)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use sanderling_session::{DType, TensorType};

    fn port(name: &str, dims: &[Dim]) -> PortInfo {
        PortInfo {
            name: name.into(),
            ty: Some(TensorType {
                dtype: DType::F32,
                shape: dims.to_vec(),
            }),
            range: None,
        }
    }

    fn sym(name: &str) -> Dim {
        Dim::Symbol(name.into())
    }

    #[test]
    fn shapes_are_numbers_between_crosses() {
        assert_eq!(parse_shape("1x3x224x224").unwrap(), [1, 3, 224, 224]);
        assert_eq!(parse_shape("1,2").unwrap(), [1, 2]);
        assert_eq!(parse_shape("7").unwrap(), [7]);
        assert!(parse_shape("").unwrap().is_empty());
        for wrong in ["1x", "axb", "-1x3", "1xx3", "99999999999999999999"] {
            assert!(
                format!("{:#}", parse_shape(wrong).unwrap_err()).contains("1x3x224x224"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn words_name_inputs() {
        let one = [port("x", &[])];
        let two = [port("a", &[]), port("a=b", &[])];
        assert_eq!(named("x=1x2", &one, false).unwrap(), (0, "1x2"));
        assert_eq!(named("1x2", &one, false).unwrap(), (0, "1x2"));
        assert_eq!(named("k=v.npy", &one, true).unwrap(), (0, "k=v.npy"));
        assert_eq!(named("a=b=c.npy", &two, false).unwrap(), (1, "c.npy"));
        assert_eq!(named("a=c.npy", &two, false).unwrap(), (0, "c.npy"));
        let error = |word: &str, ports: &[PortInfo]| named(word, ports, false).unwrap_err().to_string();
        assert!(error("y=1", &one).contains("no input 'y'; the model's inputs are x"));
        assert!(error("1x2", &two).contains("write NAME=1x2"));
    }

    #[test]
    fn open_dimensions_come_from_the_caller_the_bundle_or_are_asked_for() {
        let ports = [
            port("ids", &[sym("batch"), sym("len")]),
            port("mask", &[sym("batch"), sym("len")]),
        ];
        let resolve = |sizes: &[(String, u64)], words: &[&str]| {
            let words: Vec<String> = words.iter().map(ToString::to_string).collect();
            Shapes::resolve(&ports, sizes, &words)
        };
        let error = resolve(&[], &[]).unwrap_err().to_string();
        assert!(
            error.contains("dimension 1 (len) is open") && error.contains("--shape ids=1x1"),
            "{error}"
        );
        assert_eq!(resolve(&[], &["ids=2x8"]).unwrap().shapes, [[2, 8], [2, 8]]);
        let from_bundle = resolve(&[("len".into(), 16)], &[]).unwrap();
        assert_eq!(from_bundle.shapes, [[1, 16], [1, 16]]);
        assert!(from_bundle.assumed[0].contains("taken as 1"));
        let error = resolve(&[], &["ids=8"]).unwrap_err().to_string();
        assert!(error.contains("of 2 dimensions"), "{error}");
        assert!(
            resolve(&[], &["ids=1x8", "ids=1x9"])
                .unwrap_err()
                .to_string()
                .contains("already")
        );
    }
}
