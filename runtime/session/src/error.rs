//! Errors, by who can mend them.

use sanderling_bundle::{BundleError, RuntimeVersion};
use sanderling_core::{CoreError, OpError};
use std::fmt;

/// Errors of this crate.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum SessionError {
    /// The bytes are not a usable bundle.
    Bundle(BundleError),
    /// The plan cannot be prepared or run.
    Core(CoreError),
    /// The bundle was made for a newer runtime.
    NeedsRuntime {
        /// Oldest runtime that may run it.
        needs: RuntimeVersion,
        /// This runtime.
        have: RuntimeVersion,
    },
    /// The bundle was packed for a newer definition of integer arithmetic (docs/numerics.md): its bytes would be others here.
    NeedsNumerics {
        /// The version that it was packed for.
        needs: u32,
        /// The newest version here.
        have: u32,
    },
    /// The bundle uses operators that this build lacks: all of them.
    MissingOperators {
        /// `domain:OpType`.
        operators: Vec<String>,
    },
    /// The bundle has no plan for any backend here.
    NoPlan {
        /// Targets that it has plans for.
        targets: Vec<String>,
    },
    /// The bundle's resource certificate asks for more than the caller allows. Nothing was allocated.
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Bytes that it states.
        bytes: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// An input that the model has not, is given twice, or is missing.
    InputName {
        /// The name.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
        /// The model's inputs.
        known: Vec<String>,
    },
    /// An input's type is not what the model takes.
    InputType {
        /// The input.
        name: String,
        /// What the model takes.
        expected: String,
        /// What was given.
        found: String,
    },
    /// An input holds NaN or infinity, or leaves its declared range.
    InputValue {
        /// The input.
        name: String,
        /// Index of the first such element, in row-major order.
        element: usize,
        /// The element.
        value: f64,
        /// The declared range, where that is what it leaves.
        range: Option<(f64, f64)>,
    },
    /// The bundle's own description contradicts its plan, or asks for a step that this build lacks.
    Description {
        /// Which, and how.
        message: String,
    },
    /// What was handed to the pipeline does not fit its pre-processing.
    Pipeline {
        /// Which, and what to hand in.
        message: String,
    },
}

impl SessionError {
    /// The variant's name: what bindings hand on, beside the text. It does not change between versions.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Bundle(_) => "Bundle",
            Self::Core(_) => "Core",
            Self::NeedsRuntime { .. } => "NeedsRuntime",
            Self::NeedsNumerics { .. } => "NeedsNumerics",
            Self::MissingOperators { .. } => "MissingOperators",
            Self::NoPlan { .. } => "NoPlan",
            Self::TooLarge { .. } => "TooLarge",
            Self::InputName { .. } => "InputName",
            Self::InputType { .. } => "InputType",
            Self::InputValue { .. } => "InputValue",
            Self::Description { .. } => "Description",
            Self::Pipeline { .. } => "Pipeline",
        }
    }

    /// Whether the input is to blame: another input may be answered.
    #[must_use]
    pub fn is_input(&self) -> bool {
        let pipeline_or_value = matches!(
            self,
            Self::InputName { .. } | Self::InputType { .. } | Self::InputValue { .. }
        );
        pipeline_or_value || matches!(self, Self::Pipeline { .. } | Self::Core(CoreError::Input { .. }))
    }
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bundle(error) => error.fmt(f),
            Self::Core(error) => error.fmt(f),
            Self::NeedsRuntime { needs, have } => {
                write!(
                    f,
                    "the bundle needs runtime {needs}, this is {have}: update this program"
                )
            }
            Self::NeedsNumerics { needs, have } => write!(
                f,
                "the bundle is packed for numerics version {needs}, this program computes by {have}: update this program"
            ),
            Self::MissingOperators { operators } => write!(
                f,
                "the bundle uses operators that this build lacks ({}): update this program",
                operators.join(", ")
            ),
            Self::NoPlan { targets } => write!(
                f,
                "the bundle has plans for {} only: pack it again for \"any\" target",
                if targets.is_empty() {
                    "nothing".to_string()
                } else {
                    targets.join(", ")
                }
            ),
            Self::TooLarge { what, bytes, limit } => {
                write!(
                    f,
                    "the bundle states {bytes} bytes of {what}, the limit is {limit}: raise the memory limit"
                )
            }
            Self::InputName { name, problem, known } => {
                write!(
                    f,
                    "input '{name}' {problem}; the model's inputs are {}",
                    known.join(", ")
                )
            }
            Self::InputType {
                name,
                expected,
                found,
            } => {
                write!(f, "input '{name}' is {found}, the model takes {expected}")
            }
            Self::InputValue {
                name,
                element,
                value,
                range: Some((low, high)),
            } => write!(
                f,
                "input '{name}': element {element} is {value}, outside of the declared range {low} to {high}"
            ),
            Self::InputValue {
                name,
                element,
                value,
                range: None,
            } => write!(
                f,
                "input '{name}': element {element} is {value}; only finite numbers are taken"
            ),
            Self::Description { message } | Self::Pipeline { message } => f.write_str(message),
        }
    }
}

impl std::error::Error for SessionError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Bundle(error) => Some(error),
            Self::Core(error) => Some(error),
            _ => None,
        }
    }
}

impl From<BundleError> for SessionError {
    fn from(error: BundleError) -> Self {
        Self::Bundle(error)
    }
}

impl From<CoreError> for SessionError {
    fn from(error: CoreError) -> Self {
        Self::Core(error)
    }
}

impl From<OpError> for SessionError {
    /// A tensor that cannot be made of the bytes at hand.
    fn from(error: OpError) -> Self {
        Self::Pipeline {
            message: error.to_string(),
        }
    }
}
