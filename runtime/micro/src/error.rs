//! Errors without a heap: texts are fixed, names are those in the plan's bytes.

use core::fmt;
use sanderling_flat::BundleError;
use sanderling_flat::plan::Damaged;
use sanderling_flat::requantise::ScaleError;

/// Why an operator cannot compute a node.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// A required input is absent.
    MissingInput(usize),
    /// An input must be a constant of the bundle, and the graph computes it.
    NotConstant(usize),
    /// An input, or the output for `None`, has an element type that the operator does not take here.
    Type(Option<usize>),
    /// Shapes do not fit each other, the attributes or the plan's output.
    Shape(&'static str),
    /// An attribute is of the wrong kind or out of range.
    Attribute(&'static str),
    /// Scales that give no multiplier.
    Scale(ScaleError),
    /// A case that this executor does not have.
    Unsupported(&'static str),
}

impl From<ScaleError> for Fault {
    fn from(error: ScaleError) -> Self {
        Self::Scale(error)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingInput(index) => write!(f, "input {index} is required and absent"),
            Self::NotConstant(index) => {
                write!(
                    f,
                    "input {index} is computed by the graph; here it must be a constant"
                )
            }
            Self::Type(Some(index)) => write!(f, "input {index} has an element type that it does not take"),
            Self::Type(None) => f.write_str("its output has an element type that it does not give"),
            Self::Shape(what) => write!(f, "shapes do not fit: {what}"),
            Self::Attribute(name) => write!(f, "attribute '{name}' has a value that it cannot have"),
            // Without the number: printing floats would be a quarter of a firmware's code.
            Self::Scale(ScaleError::Mean { elements }) => {
                write!(f, "a mean of {elements} elements; it takes from 1 to 2^23 - 1")
            }
            Self::Scale(_) => {
                f.write_str("its scales give a multiplier that is no positive, normal binary32 number")
            }
            Self::Unsupported(what) => write!(f, "{what} is not supported on microcontrollers"),
        }
    }
}

/// Why a bundle cannot be run here. Everything but [`MicroError::Input`] and [`MicroError::NoSuchValue`] is found when the
/// session is made, before anything is computed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum MicroError<'a> {
    /// The bytes are no sound bundle.
    Bundle(BundleError),
    /// The plan's bytes are damaged.
    Plan(Damaged),
    /// The bundle has no static plan: shapes are open, or it was packed before there were certificates.
    NotStatic,
    /// The certificate does not describe the plan, or asks for what there is not.
    Certificate {
        /// What is wrong.
        what: &'static str,
    },
    /// The arena is too small.
    Arena {
        /// Bytes that the certificate asks for.
        needed: usize,
        /// Bytes that were given.
        given: usize,
    },
    /// The stack may be too small.
    Stack {
        /// The certificate's bound, in bytes.
        needed: usize,
        /// Bytes that there are.
        given: usize,
    },
    /// A value's type or its place in the arena cannot be.
    Value {
        /// Its name in the graph.
        name: &'a str,
        /// What is wrong.
        what: &'static str,
    },
    /// The table that was handed in lacks an operator.
    UnknownOperator {
        /// The node.
        node: &'a str,
        /// Its operator's domain; empty for ONNX's own.
        domain: &'a str,
        /// Its operator.
        operator: &'a str,
    },
    /// A node that its operator refuses.
    Node {
        /// The node.
        node: &'a str,
        /// Its operator.
        operator: &'a str,
        /// What is wrong.
        fault: Fault,
    },
    /// An input of another length.
    Input {
        /// Its name.
        name: &'a str,
        /// Bytes that it takes.
        needed: usize,
        /// Bytes that were given.
        given: usize,
    },
    /// An input or output that the model does not have.
    NoSuchValue {
        /// Its number.
        index: usize,
    },
}

impl From<BundleError> for MicroError<'_> {
    fn from(error: BundleError) -> Self {
        Self::Bundle(error)
    }
}

impl From<Damaged> for MicroError<'_> {
    fn from(damaged: Damaged) -> Self {
        Self::Plan(damaged)
    }
}

impl fmt::Display for MicroError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bundle(error) => error.fmt(f),
            Self::Plan(Damaged { what, offset }) => {
                write!(
                    f,
                    "the plan is damaged: its {what} at byte {offset} cannot be; pack the model again"
                )
            }
            Self::NotStatic => {
                f.write_str("the bundle has no static plan: pack it again with `--static-shapes`")
            }
            Self::Certificate { what } => {
                write!(
                    f,
                    "the bundle's certificate cannot be used: {what}; pack the model again"
                )
            }
            Self::Arena { needed, given } => {
                write!(f, "the model needs an arena of {needed} bytes, {given} are given")
            }
            Self::Stack { needed, given } => {
                write!(
                    f,
                    "the model needs up to {needed} bytes of stack, there are {given}"
                )
            }
            Self::Value { name, what } => write!(f, "value '{name}': {what}; pack the model again"),
            Self::UnknownOperator {
                node,
                domain,
                operator,
            } => write!(
                f,
                "node '{node}': operator {domain}:{operator} is not in the table that was handed in; add its row"
            ),
            Self::Node {
                node,
                operator,
                fault,
            } => write!(f, "node '{node}' ({operator}): {fault}"),
            Self::Input { name, needed, given } => {
                write!(f, "input '{name}' takes {needed} bytes, {given} are given")
            }
            Self::NoSuchValue { index } => {
                write!(f, "the model has no input or output with number {index}")
            }
        }
    }
}

impl core::error::Error for MicroError<'_> {}
