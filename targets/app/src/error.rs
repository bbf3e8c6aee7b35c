//! Errors of the bindings: a kind, by who can mend it, and our words.

use sanderling_session::{CoreError, SessionError};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Who can mend an error. The numbers are those of every binding, and do not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
#[non_exhaustive]
pub enum Kind {
    /// An argument of the call: null, a length, a number out of range.
    Argument = 1,
    /// The bundle: damaged, of another version, in need of what this library has not.
    Bundle = 2,
    /// An input of the model: its name, type, shape or values.
    Input = 3,
    /// The run itself.
    Run = 4,
    /// Another thread is using the model.
    Busy = 5,
    /// A file that cannot be read or written.
    File = 6,
    /// A fault of ours.
    Internal = 7,
    /// The model or updater was closed.
    Closed = 8,
    /// The state folder of an updater: in use, of another fleet, without its key; or the enrolment string.
    State = 9,
    /// There is no intact model: neither in a slot nor from the factory.
    NoModel = 10,
    /// More memory than the limit allows.
    TooLarge = 11,
}

impl Kind {
    /// The kind's name: what bindings call their exceptions by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Argument => "Argument",
            Self::Bundle => "Bundle",
            Self::Input => "Input",
            Self::Run => "Run",
            Self::Busy => "Busy",
            Self::File => "File",
            Self::Internal => "Internal",
            Self::Closed => "Closed",
            Self::State => "State",
            Self::NoModel => "NoModel",
            Self::TooLarge => "TooLarge",
        }
    }
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct AppError {
    /// Who can mend it.
    pub kind: Kind,
    /// What is wrong, where, and what to do.
    pub message: String,
}

impl AppError {
    /// An error of a kind.
    #[must_use]
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { kind, message }
    }

    /// What is wrong with an argument.
    #[must_use]
    pub fn argument(message: impl Into<String>) -> Self {
        Self::new(Kind::Argument, message)
    }
}

impl From<SessionError> for AppError {
    fn from(error: SessionError) -> Self {
        let kind = match &error {
            error if error.is_input() => Kind::Input,
            SessionError::TooLarge { .. } | SessionError::Core(CoreError::TooLarge { .. }) => Kind::TooLarge,
            SessionError::Core(_) => Kind::Run,
            _ => Kind::Bundle,
        };
        Self::new(kind, error.to_string())
    }
}

/// Does a call's work; a panic of it becomes [`Kind::Internal`] and goes no further.
///
/// # Errors
/// The work's own, or [`Kind::Internal`].
pub fn guarded<T>(work: impl FnOnce() -> Result<T, AppError>) -> Result<T, AppError> {
    // What a panic leaves half done is behind a lock, which is poisoned then: nobody sees it.
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(AppError::new(Kind::Internal, words(&*panic))))
}

fn words(panic: &(dyn Any + Send)) -> String {
    let words = panic.downcast_ref::<String>().map(String::as_str);
    let words = words.or_else(|| panic.downcast_ref::<&str>().copied());
    format!(
        "a fault of the library, please report it: {}",
        words.unwrap_or("it panicked without a word")
    )
}
