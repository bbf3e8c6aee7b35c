//! Errors, by who can mend them.
//!
//! An operator says what is wrong with *its* inputs and attributes ([`OpError`]); the walk over the graph adds
//! which node it was ([`CoreError::Node`]); the caller adds the file.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use sanderling_bundle::DType;

/// What is wrong with one operator's inputs or attributes.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum OpError {
    /// A required input is absent.
    MissingInput {
        /// Position, from 0.
        index: usize,
    },
    /// An input has a dtype the operator does not take.
    InputType {
        /// Position, from 0.
        index: usize,
        /// What it takes, in words.
        expected: &'static str,
        /// What it got.
        found: DType,
    },
    /// Shapes do not fit the operator or each other.
    Shape {
        /// Which, and why.
        message: String,
    },
    /// An attribute is absent, of the wrong kind or out of range.
    Attribute {
        /// Its ONNX name.
        name: String,
        /// Why it does not fit.
        message: String,
    },
    /// A value that must be known here is computed by the graph at run time.
    NotConstant {
        /// Position, from 0.
        index: usize,
    },
    /// A case of the operator that this build does not have.
    Unsupported {
        /// The case, in words.
        what: String,
    },
    /// An index or a value in the data is out of range.
    Data {
        /// Which, and why.
        message: String,
    },
}

impl OpError {
    /// A [`OpError::Shape`].
    pub fn shape(message: impl Into<String>) -> Self {
        Self::Shape {
            message: message.into(),
        }
    }

    /// An [`OpError::Attribute`].
    pub fn attribute(name: &str, message: impl Into<String>) -> Self {
        Self::Attribute {
            name: name.to_string(),
            message: message.into(),
        }
    }

    /// An [`OpError::Unsupported`].
    pub fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into() }
    }
}

impl fmt::Display for OpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingInput { index } => write!(f, "input {index} is required and absent"),
            Self::InputType {
                index,
                expected,
                found,
            } => {
                write!(f, "input {index} is {}, it takes {expected}", found.name())
            }
            Self::Shape { message } | Self::Data { message } => f.write_str(message),
            Self::Attribute { name, message } => write!(f, "attribute '{name}' {message}"),
            Self::NotConstant { index } => {
                write!(
                    f,
                    "input {index} must be a constant or follow from shapes; here the graph computes it from data"
                )
            }
            Self::Unsupported { what } => write!(f, "{what} is not supported by this build"),
        }
    }
}

impl core::error::Error for OpError {}

/// Which node an error is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeName {
    /// The node's own name; may be empty.
    pub name: String,
    /// `domain:OpType`.
    pub op: String,
    /// Opset version of the domain in this model.
    pub opset: u16,
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let op = self.op.trim_start_matches(':');
        write!(f, "node '{}' ({op}, opset {})", self.name, self.opset)
    }
}

/// Errors of this crate.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum CoreError {
    /// A node's inputs or attributes are wrong.
    Node {
        /// The node.
        node: Box<NodeName>,
        /// The shapes of its inputs, in words.
        inputs: String,
        /// What is wrong.
        source: OpError,
    },
    /// Operators that the table handed in does not hold: all of them, not only the first.
    UnknownOperators {
        /// A node for each.
        nodes: Vec<NodeName>,
    },
    /// The graph hangs together wrongly.
    Graph {
        /// How.
        message: String,
    },
    /// A plan's bytes are not a plan.
    Plan {
        /// What was being read.
        what: &'static str,
        /// Byte offset in the plan.
        offset: usize,
    },
    /// An input given to a run does not fit what the model declares.
    Input {
        /// The input's name.
        name: String,
        /// Why.
        message: String,
    },
    /// A shape that only the data decides, where the backend wants it beforehand.
    DataDependent {
        /// The node whose output it is.
        node: NodeName,
    },
    /// More memory is asked for than there may be.
    TooLarge {
        /// What is too large.
        what: String,
        /// Bytes wanted.
        bytes: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// A backend failed.
    Backend {
        /// The backend's name.
        backend: String,
        /// What happened.
        message: String,
        /// Whether another backend may take over.
        recoverable: bool,
    },
}

impl CoreError {
    /// An [`OpError`] at a node.
    #[must_use]
    pub fn at(node: NodeName, inputs: String, source: OpError) -> Self {
        Self::Node {
            node: Box::new(node),
            inputs,
            source,
        }
    }
}

impl fmt::Display for CoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node { node, inputs, source } => write!(f, "{node}: {source} (inputs: {inputs})"),
            Self::UnknownOperators { nodes } => {
                match nodes.len() {
                    1 => f.write_str("1 operator is not in this build:")?,
                    n => write!(f, "{n} operators are not in this build:")?,
                }
                nodes.iter().try_for_each(|node| write!(f, "\n  {node}"))
            }
            Self::Graph { message } => f.write_str(message),
            Self::Plan { what, offset } => {
                write!(
                    f,
                    "the plan is damaged: its {what} at byte {offset} cannot be; pack the model again"
                )
            }
            Self::Input { name, message } => write!(f, "input '{name}': {message}"),
            Self::DataDependent { node } => {
                write!(
                    f,
                    "{node}: the shape of its output depends on data, which this backend does not take"
                )
            }
            Self::TooLarge { what, bytes, limit } => {
                write!(f, "{what} would take {bytes} bytes, the limit is {limit}")
            }
            Self::Backend { backend, message, .. } => write!(f, "backend {backend}: {message}"),
        }
    }
}

impl core::error::Error for CoreError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Node { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// `Box`ed so that results stay small on the way that does not fail.
pub type BoxedError = Box<CoreError>;
