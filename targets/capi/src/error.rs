//! Status codes, errors, and the guard that every function runs in.

use sanderling_session::SessionError;
use std::ffi::{CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How a call went.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// As asked.
    Ok = 0,
    /// An argument of the call: null, a length, text that is not UTF-8, a number out of range.
    Argument = 1,
    /// The bundle: damaged, of another version, in need of what this library has not.
    Bundle = 2,
    /// An input of the model: its name, type, shape or values.
    Input = 3,
    /// The run itself.
    Run = 4,
    /// Another thread is using the handle.
    Busy = 5,
    /// A file that cannot be read.
    File = 6,
    /// A fault of ours: please report it with the message.
    Internal = 7,
}

/// What went wrong, in words.
pub struct Error {
    message: CString,
}

/// An error on its way out.
pub(crate) struct Failure {
    pub(crate) status: Status,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn argument(message: impl Into<String>) -> Self {
        Self {
            status: Status::Argument,
            message: message.into(),
        }
    }
}

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Self {
        let status = match &error {
            SessionError::InputName { .. }
            | SessionError::InputType { .. }
            | SessionError::InputValue { .. }
            | SessionError::Pipeline { .. } => Status::Input,
            SessionError::Core(_) => Status::Run,
            _ => Status::Bundle,
        };
        Self {
            status,
            message: error.to_string(),
        }
    }
}

/// The words of an error; they live until it is freed. Null for null.
///
/// # Safety
/// `error` is null or an error that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sanderling_error_message(error: *const Error) -> *const c_char {
    // SAFETY: the caller vouches for it.
    unsafe { error.as_ref() }.map_or(std::ptr::null(), |error| error.message.as_ptr())
}

/// Frees an error; null is fine.
///
/// # Safety
/// `error` is null or an error that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sanderling_error_free(error: *mut Error) {
    if !error.is_null() {
        // SAFETY: it came from a box of ours and was not freed, as the caller vouches.
        drop(unsafe { Box::from_raw(error) });
    }
}

/// Runs a function's work; a panic of it ends here.
///
/// # Safety
/// `error` is null or valid for writing a pointer.
pub(crate) unsafe fn guard(error: *mut *mut Error, work: impl FnOnce() -> Result<(), Failure>) -> Status {
    let failure = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => return Status::Ok,
        Ok(Err(failure)) => failure,
        Err(panic) => {
            let words = panic.downcast_ref::<String>().cloned();
            let words = words.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            Failure {
                status: Status::Internal,
                message: format!("a fault of the library: {}", words.unwrap_or_default()),
            }
        }
    };
    if !error.is_null() {
        // A C string ends at its first zero byte.
        let message = CString::new(failure.message.replace('\0', " ")).unwrap_or_default();
        // SAFETY: the caller vouches that it can be written.
        unsafe { error.write(Box::into_raw(Box::new(Error { message }))) };
    }
    failure.status
}
