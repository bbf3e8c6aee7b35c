//! Status codes, errors, and the guard that every function runs in.

use crate::border::c_string;
use sanderling_app::{AppError, Kind, guarded};
use std::ffi::{CString, c_char};

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
    /// The state folder of an updater (in use, of another fleet, without its key), or its enrolment.
    State = 9,
    /// There is no intact model: neither in a slot nor from the factory.
    NoModel = 10,
    /// More memory than the limit allows.
    TooLarge = 11,
}

/// What went wrong, in words.
pub struct Error {
    message: CString,
}

impl From<Kind> for Status {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Argument => Self::Argument,
            Kind::Bundle => Self::Bundle,
            Kind::Input => Self::Input,
            Kind::Run => Self::Run,
            Kind::Busy => Self::Busy,
            Kind::File => Self::File,
            Kind::State => Self::State,
            Kind::NoModel => Self::NoModel,
            Kind::TooLarge => Self::TooLarge,
            _ => Self::Internal,
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

/// Runs a function's work; a panic of it ends here. The place for an error is null where there is none.
///
/// # Safety
/// `error` is null or valid for writing a pointer.
pub(crate) unsafe fn guard(error: *mut *mut Error, work: impl FnOnce() -> Result<(), AppError>) -> Status {
    if !error.is_null() {
        // SAFETY: the caller vouches that it can be written.
        unsafe { error.write(std::ptr::null_mut()) };
    }
    let Err(failure) = guarded(work) else {
        return Status::Ok;
    };
    if !error.is_null() {
        let message = c_string(&failure.message);
        // SAFETY: the caller vouches that it can be written.
        unsafe { error.write(Box::into_raw(Box::new(Error { message }))) };
    }
    failure.kind.into()
}
