//! What can go wrong between a model file and a bundle, told to the person who must mend it.

use std::fmt;
use std::path::PathBuf;

use sanderling_bundle::BundleError;
use sanderling_core::CoreError;

/// Errors of this crate.
#[derive(Debug)]
#[non_exhaustive]
pub enum CompileError {
    /// A file cannot be read or written.
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The bytes are not an ONNX model.
    NotOnnx {
        /// What they look like instead, where that is known.
        looks_like: Option<&'static str>,
    },
    /// The file ends in the middle.
    Truncated {
        /// Bytes that the file's own lengths call for, at least.
        expected: u64,
        /// Bytes that are there.
        found: u64,
    },
    /// It begins like an ONNX model, and then is not one.
    Malformed {
        /// What does not fit.
        what: String,
    },
    /// Something is larger than the importer's limits allow. Nothing was allocated for it.
    TooLarge {
        /// What is too large.
        what: String,
        /// Its size or count.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// The model uses operators that the given table lacks: all of them, not only the first.
    MissingOperators {
        /// One entry for each operator, with a node that uses it.
        operators: Vec<MissingOperator>,
    },
    /// The model uses a part of ONNX that is not imported.
    Unsupported {
        /// Which part, and where.
        what: String,
        /// What to do.
        advice: &'static str,
    },
    /// The graph hangs together wrongly: all the faults found, not only the first.
    Graph {
        /// One sentence each.
        problems: Vec<String>,
    },
    /// A tensor's data lies in another file, and it cannot or must not be read.
    ExternalData {
        /// The tensor.
        tensor: String,
        /// The file as the model names it.
        location: String,
        /// Why.
        why: String,
    },
    /// The pack manifest (`sanderling.toml`) does not fit.
    Manifest {
        /// Which key or file.
        at: String,
        /// Why.
        why: String,
    },
    /// A shape, an operator or the plan.
    Core(Box<CoreError>),
    /// The bundle.
    Bundle(BundleError),
}

/// An operator that a model uses and the table lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingOperator {
    /// Operator domain; empty for ONNX's own.
    pub domain: String,
    /// ONNX name.
    pub op_type: String,
    /// Opset version that the model imports for the domain.
    pub opset: i64,
    /// The first node that uses it: its name, or the name of its output where it has none.
    pub node: String,
    /// How many nodes use it.
    pub count: usize,
    /// Opsets that the table does have the operator for, as (lowest, highest).
    pub have: Vec<(u16, u16)>,
}

impl fmt::Display for MissingOperator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let domain = if self.domain.is_empty() {
            "ai.onnx"
        } else {
            &self.domain
        };
        write!(
            f,
            "{domain}:{} (opset {}), {} node",
            self.op_type, self.opset, self.count
        )?;
        write!(
            f,
            "{}, first '{}'",
            if self.count == 1 { "" } else { "s" },
            self.node
        )?;
        if !self.have.is_empty() {
            let have: Vec<String> = self
                .have
                .iter()
                .map(|(low, high)| format!("{low} to {high}"))
                .collect();
            write!(f, "; here for opset {}", have.join(", "))?;
        }
        Ok(())
    }
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, source } => write!(f, "{}: {source}", path.display()),
            Self::NotOnnx {
                looks_like: Some(kind),
            } => write!(f, "not an ONNX model but {kind}"),
            Self::NotOnnx { looks_like: None } => {
                f.write_str("not an ONNX model: export the model to ONNX first")
            }
            Self::Truncated { expected, found } => write!(
                f,
                "the ONNX file is cut short: {found} bytes of at least {expected} are there; fetch or copy it again"
            ),
            Self::Malformed { what } => {
                write!(f, "the ONNX file is damaged: {what}; fetch or export it again")
            }
            Self::TooLarge { what, found, limit } => {
                write!(
                    f,
                    "{what}: {found} is over the limit of {limit}; raise the limit only for a file you trust"
                )
            }
            Self::MissingOperators { operators } => {
                write!(
                    f,
                    "{} of this model {} not in this build:",
                    match operators.len() {
                        1 => "1 operator".to_string(),
                        n => format!("{n} operators"),
                    },
                    if operators.len() == 1 { "is" } else { "are" }
                )?;
                operators
                    .iter()
                    .try_for_each(|operator| write!(f, "\n  {operator}"))?;
                f.write_str("\nexport the model for an opset listed above, replace the operator in the model, or add it to runtime/core/src/ops")
            }
            Self::Unsupported { what, advice } => write!(f, "{what} is not supported; {advice}"),
            Self::Graph { problems } => {
                f.write_str("the model's graph is not valid:")?;
                problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
            }
            Self::ExternalData {
                tensor,
                location,
                why,
            } => {
                write!(f, "the data of tensor '{tensor}' lies in '{location}': {why}")
            }
            Self::Manifest { at, why } => write!(f, "recipe, {at}: {why}"),
            Self::Core(error) => error.fmt(f),
            Self::Bundle(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for CompileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Core(error) => Some(error.as_ref()),
            Self::Bundle(error) => Some(error),
            _ => None,
        }
    }
}

impl From<CoreError> for CompileError {
    fn from(error: CoreError) -> Self {
        Self::Core(Box::new(error))
    }
}

impl From<BundleError> for CompileError {
    fn from(error: BundleError) -> Self {
        Self::Bundle(error)
    }
}
