//! The C interface: opaque handles, status codes, errors with a message. No logic of its own.
//!
//! # Rules of the border
//!
//! - Every function that can fail gives a [`Status`] and, where the caller passes a place for it, an [`Error`] with our
//!   words, which the caller frees. Without a place it is told the status alone.
//! - Null where something is needed, lengths that do not fit and text that is not UTF-8 are errors. A pointer that
//!   is neither null nor valid cannot be noticed by anybody.
//! - A handle may move between threads, and is for one at a time: a second one gets [`Status::Busy`], not a race.
//! - A panic of ours ends at the border as [`Status::Internal`].
//! - What is lent (names, outputs) says for how long; what is given has a `free`, which takes null.

mod border;
mod error;
mod session;
mod updater;

pub use error::{Error, Status, sanderling_error_free, sanderling_error_message};
pub use session::{
    Answer, Options, Port, Session, Tensor, sanderling_session_answer, sanderling_session_answer_image,
    sanderling_session_free, sanderling_session_hash, sanderling_session_input,
    sanderling_session_input_count, sanderling_session_label, sanderling_session_label_count,
    sanderling_session_open, sanderling_session_open_file, sanderling_session_output,
    sanderling_session_output_count, sanderling_session_result, sanderling_session_run,
    sanderling_string_free,
};
pub use updater::{
    Request, Updater, UpdaterOptions, sanderling_updater_answer, sanderling_updater_body,
    sanderling_updater_check_in, sanderling_updater_end, sanderling_updater_failed, sanderling_updater_free,
    sanderling_updater_line, sanderling_updater_open, sanderling_updater_respond, sanderling_updater_rest,
    sanderling_updater_session, sanderling_updater_state, sanderling_updater_step, sanderling_updater_wait,
};

use std::ffi::{CStr, c_char};

/// Version of this interface. It rises when something that was there changes.
pub const ABI_VERSION: u32 = 1;

/// Version of the interface that the library has: compare it with `SANDERLING_ABI_VERSION`.
#[unsafe(no_mangle)]
pub extern "C" fn sanderling_abi_version() -> u32 {
    ABI_VERSION
}

/// Version of the library, as in `0.1.0`; lives as long as the process.
#[unsafe(no_mangle)]
pub extern "C" fn sanderling_version() -> *const c_char {
    const VERSION: &CStr =
        match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
            Ok(version) => version,
            Err(_) => c"unknown",
        };
    VERSION.as_ptr()
}
