//! Updates, driven by the caller's scheduler and network.

use crate::border::{alone, c_string, clear, give, slice, text, write};
use crate::error::{Error, Status, guard};
use crate::session::{Answer, Options, Session, chosen};
use sanderling_app::{
    AppError, Cause, Kind, Request as Wanted, Step, Updater as Inner, UpdaterOptions as Chosen,
};
use std::ffi::{CString, c_char};
use std::sync::Mutex;

/// How an updater is set up; null and zero for a field's default.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct UpdaterOptions {
    /// The state folder; made if need be. Keys and images are in it: keep it out of backups.
    pub state: *const c_char,
    /// The enrolment string of `sanderling device enrol`; null once the folder belongs to a fleet.
    pub enrolment: *const c_char,
    /// The kind of hardware, as the fleet's owner names it.
    pub hardware: *const c_char,
    /// The bundle that came with the app: it answers where no slot holds an intact image. Null for none.
    pub factory: *const c_char,
    /// How models run.
    pub model: Options,
    /// Most bytes of images fetched in a day; 0 is 2 GiB.
    pub daily_budget: u64,
    /// Least seconds that a new image is on trial; 0 is 30.
    pub trial_seconds: u32,
}

/// A request to be carried out: to this address and no other, without following redirects, as it is.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Request {
    /// Its number; 0 where there is none.
    pub id: u64,
    /// `GET` or `POST`; lent until the next step, like all below.
    pub method: *const c_char,
    /// The whole address.
    pub url: *const c_char,
    /// Names and values in turn.
    pub headers: *const *const c_char,
    /// Number of pairs.
    pub header_count: usize,
    /// The body; empty for `GET`.
    pub body: *const u8,
    /// Its length.
    pub body_length: usize,
    /// Most bytes of the answer's body.
    pub max_body: u64,
    /// Seconds for the whole exchange.
    pub timeout_s: u32,
}

/// A device's agent on its state folder, and the image that answers. Steps are for one thread, answers for another: a second one of
/// either gets `SANDERLING_STATUS_BUSY`, for what the one before was lent would change. All else may be called from any thread:
/// `sanderling_updater_check_in` and `sanderling_updater_rest` do not wait for other calls, what hands in an answer does.
pub struct Updater {
    inner: Inner,
    lent: Mutex<Lent>,
    label: Mutex<CString>,
}

/// The request that was lent last: what its pointers point to.
#[derive(Default)]
struct Lent {
    words: Vec<CString>,
    headers: Vec<Pointer>,
    body: Vec<u8>,
}

/// A pointer into `words`, which are behind the same lock.
#[repr(transparent)]
struct Pointer(*const c_char);

// SAFETY: it is only read, by the caller whom it is lent to, while the words that it points to are neither moved nor changed.
unsafe impl Send for Pointer {}

/// # Safety
/// `updater` is null or an updater that was not freed.
unsafe fn of<'a>(updater: *const Updater) -> Result<&'a Updater, AppError> {
    // SAFETY: the caller vouches for it.
    unsafe { updater.as_ref() }.ok_or_else(|| AppError::argument("the updater is null"))
}

/// # Safety
/// `string` is null or ends in zero, and lives as long as the call.
unsafe fn optional(string: *const c_char, what: &str) -> Result<Option<String>, AppError> {
    if string.is_null() {
        return Ok(None);
    }
    // SAFETY: as the caller vouches.
    unsafe { text(string, what) }.map(|text| Some(text.to_string()))
}

/// Opens a state folder, and loads the image that answers. `updater` is null after a failure, whatever it was: free the one that has the
/// folder before.
///
/// # Safety
/// `options` is null or valid, with strings that end in zero or are null; `updater` and `error` are null or valid for writing a
/// pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sanderling_updater_open(
    options: *const UpdaterOptions,
    updater: *mut *mut Updater,
    error: *mut *mut Error,
) -> Status {
    // SAFETY: as the caller vouches.
    unsafe {
        guard(error, || {
            clear(updater);
            let options = options.as_ref();
            let options = options.ok_or_else(|| AppError::argument("the options are null"))?;
            // Before a folder is made that nobody can free.
            if updater.is_null() {
                return Err(AppError::argument("the place for the updater is null"));
            }
            let inner = Inner::open(Chosen {
                state: text(options.state, "the state folder")?.into(),
                enrolment: optional(options.enrolment, "the enrolment string")?,
                hardware: text(options.hardware, "the hardware's name")?.to_string(),
                factory: optional(options.factory, "the factory bundle")?.map(Into::into),
                model: chosen(&options.model),
                daily_budget: options.daily_budget,
                trial_seconds: options.trial_seconds,
            })?;
            let opened = Updater {
                inner,
                lent: Mutex::default(),
                label: Mutex::default(),
            };
            give(updater, opened, "updater")
        })
    }
}

/// Puts what was counted on the disk, frees an updater and what it lent; null is fine. No other thread may be using it.
///
/// # Safety
/// `updater` is null or an updater that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sanderling_updater_free(updater: *mut Updater) {
    if !updater.is_null() {
        // SAFETY: it came from a box of ours and was not freed, as the caller vouches.
        let updater = unsafe { Box::from_raw(updater) };
        // Its end writes files: a panic of that must not reach the caller.
        drop(sanderling_app::guarded(move || {
            drop(updater);
            Ok(())
        }));
    }
}

/// Does all that needs no network, and says what is next: a request to carry out (its number is not 0), or how many
/// milliseconds to wait.
///
/// # Safety
/// `updater` is null or an updater that was not freed; `request`, `wait_ms` and `error` are null or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sanderling_updater_step(
    updater: *mut Updater,
    request: *mut Request,
    wait_ms: *mut u64,
    error: *mut *mut Error,
) -> Status {
    // SAFETY: as the caller vouches.
    unsafe {
        guard(error, || {
            let updater = of(updater)?;
            // A request that could not be handed over would be lost.
            if request.is_null() || wait_ms.is_null() {
                return Err(AppError::argument(
                    "the place for the request or for the time to wait is null",
                ));
            }
            let mut lent = alone(
                &updater.lent,
                "another thread is stepping this updater",
                "updater",
            )?;
            let (wanted, wait) = match updater.inner.step()? {
                Step::Request(wanted) => (Some(wanted), 0),
                Step::Wait(ms) => (None, ms),
            };
            write(wait_ms, wait, "time to wait")?;
            write(request, lent.request(wanted), "request")
        })
    }
}

/// Milliseconds until there is something to do, as a step would say, without doing any of it.
///
/// # Safety
/// `updater` is null or an updater that was not freed; `wait_ms` and `error` are null or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sanderling_updater_wait(
    updater: *mut Updater,
    wait_ms: *mut u64,
    error: *mut *mut Error,
) -> Status {
    // SAFETY: as the caller vouches.
    unsafe {
        guard(error, || {
            write(wait_ms, of(updater)?.inner.wait()?, "time to wait")
        })
    }
}

impl Lent {
    fn request(&mut self, wanted: Option<Wanted>) -> Request {
        let none = Wanted {
            id: 0,
            method: "",
            url: String::new(),
            headers: Vec::new(),
            body: Vec::new(),
            max_body: 0,
            timeout_s: 0,
        };
        let wanted = wanted.unwrap_or(none);
        let pairs = wanted
            .headers
            .iter()
            .flat_map(|(name, value)| [name.as_str(), value]);
        let words = [wanted.method, &wanted.url].into_iter().chain(pairs);
        self.words = words.map(c_string).collect();
        self.headers = self.words[2..]
            .iter()
            .map(|word| Pointer(word.as_ptr()))
            .collect();
        self.body = wanted.body;
        Request {
            id: wanted.id,
            method: self.words[0].as_ptr(),
            url: self.words[1].as_ptr(),
            headers: self.headers.as_ptr().cast(),
            header_count: wanted.headers.len(),
            body: self.body.as_ptr(),
            body_length: self.body.len(),
            max_body: wanted.max_body,
            timeout_s: wanted.timeout_s,
        }
    }
}

/// The head of a request's answer: its status, and headers as names in lower case and values in turn. Says whether the rest
/// is wanted.
///
/// # Safety
/// `updater` is null or an updater that was not freed; `headers` is valid for reading `2 * header_count` strings; `wanted` and
/// `error` are null or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sanderling_updater_respond(
    updater: *mut Updater,
    id: u64,
    status: u16,
    headers: *const *const c_char,
    header_count: usize,
    wanted: *mut bool,
    error: *mut *mut Error,
) -> Status {
    // SAFETY: as the caller vouches.
    unsafe {
        guard(error, || {
            let words = slice(headers, header_count.saturating_mul(2), "the list of headers")?;
            let words = words.iter().map(|&word| text(word, "a header"));
            let words = words.collect::<Result<Vec<_>, _>>()?;
            let header = |name: &str| {
                let mut pairs = words.chunks_exact(2);
                pairs.find(|pair| pair[0] == name).map(|pair| pair[1])
            };
            let more = of(updater)?.inner.respond(id, status, header)?;
            write(wanted, more, "answer")
        })
    }
}

/// The next bytes of the answer's body. Says whether more are wanted.
///
/// # Safety
/// `updater` is null or an updater that was not freed; `bytes` is valid for reading `length` bytes; `wanted` and `error` are null
/// or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sanderling_updater_body(
    updater: *mut Updater,
    id: u64,
    bytes: *const u8,
    length: usize,
    wanted: *mut bool,
    error: *mut *mut Error,
) -> Status {
    // SAFETY: as the caller vouches.
    unsafe {
        guard(error, || {
            let more = of(updater)?.inner.body(id, slice(bytes, length, "the block")?)?;
            write(wanted, more, "answer")
        })
    }
}

/// The answer is there whole.
///
/// # Safety
/// `updater` is null or an updater that was not freed; `error` is null or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sanderling_updater_end(
    updater: *mut Updater,
    id: u64,
    error: *mut *mut Error,
) -> Status {
    // SAFETY: as the caller vouches.
    unsafe { guard(error, || of(updater)?.inner.end(id)) }
}

/// The exchange came to no answer, or broke off: 0 for no connection, 1 for too little time, 2 for anything else; `detail` says
/// why, and may be null.
///
/// # Safety
/// `updater` is null or an updater that was not freed; `detail` is null or ends in zero; `error` is null or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sanderling_updater_failed(
    updater: *mut Updater,
    id: u64,
    cause: i32,
    detail: *const c_char,
    error: *mut *mut Error,
) -> Status {
    // SAFETY: as the caller vouches.
    unsafe {
        guard(error, || {
            let cause = match cause {
                0 => Cause::Unreachable,
                1 => Cause::TimedOut,
                _ => Cause::Broken,
            };
            let detail = optional(detail, "the detail")?.unwrap_or_default();
            of(updater)?.inner.failed(id, cause, &detail)
        })
    }
}

/// Checks in at the next step: a push message came, or the user asked for it.
///
/// # Safety
/// `updater` is null or an updater that was not freed; `error` is null or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sanderling_updater_check_in(
    updater: *mut Updater,
    error: *mut *mut Error,
) -> Status {
    // SAFETY: as the caller vouches.
    unsafe { guard(error, || of(updater)?.inner.check_in()) }
}

/// Puts what was counted on the disk, and takes this start of the program for a good one: starts that end without it count as
/// crashes of an image on trial. At the end of a job, and before the system may end the program. While another call is under way,
/// that one does it before it returns, and the log says where the disk took nothing.
///
/// # Safety
/// `updater` is null or an updater that was not freed; `error` is null or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sanderling_updater_rest(updater: *mut Updater, error: *mut *mut Error) -> Status {
    // SAFETY: as the caller vouches.
    unsafe { guard(error, || of(updater)?.inner.rest()) }
}

/// Answers a file's bytes from the image that serves; counted for the fleet. The label is lent until the updater's next answer.
///
/// # Safety
/// `updater` is null or an updater that was not freed; `bytes` is valid for reading `length` bytes; `answer` and `error` are null
/// or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sanderling_updater_answer(
    updater: *mut Updater,
    bytes: *const u8,
    length: usize,
    answer: *mut Answer,
    error: *mut *mut Error,
) -> Status {
    // SAFETY: as the caller vouches.
    unsafe {
        guard(error, || {
            let updater = of(updater)?;
            let mut label = alone(&updater.label, "another thread is asking this updater", "updater")?;
            let found = updater.inner.answer(slice(bytes, length, "the file")?, Some(1))?;
            *label = c_string(&found.label);
            write(answer, Answer::of(&found, &label), "answer")
        })
    }
}

/// A session on the image that serves, for what `sanderling_updater_answer` does not do. It stays that image until it is freed;
/// what is run on it is not counted. `session` is null after a failure, whatever it was.
///
/// # Safety
/// `updater` is null or an updater that was not freed; `session` and `error` are null or valid for writing a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sanderling_updater_session(
    updater: *mut Updater,
    session: *mut *mut Session,
    error: *mut *mut Error,
) -> Status {
    // SAFETY: as the caller vouches.
    unsafe {
        guard(error, || {
            clear(session);
            give(session, Session::new(of(updater)?.inner.model()?), "session")
        })
    }
}

/// What the updater says of itself, as JSON: device, server, enrolled, phase, image, place, model, version, standby, factory.
/// Free it by `sanderling_string_free`; it is null after a failure, whatever it was.
///
/// # Safety
/// `updater` is null or an updater that was not freed; `json` and `error` are null or valid for writing a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sanderling_updater_state(
    updater: *mut Updater,
    json: *mut *mut c_char,
    error: *mut *mut Error,
) -> Status {
    // SAFETY: as the caller vouches.
    unsafe {
        guard(error, || {
            clear(json);
            let state = of(updater)?.inner.state();
            if json.is_null() {
                return Err(AppError::argument("the place for the json is null"));
            }
            let text = serde_json::to_string(&state);
            let text = text.map_err(|error| AppError::new(Kind::Internal, error.to_string()))?;
            write(json, c_string(&text).into_raw(), "json")
        })
    }
}

/// The next line of the updater's log, oldest first; null where there is none, and after a failure. Free it by
/// `sanderling_string_free`.
///
/// # Safety
/// `updater` is null or an updater that was not freed; `line` and `error` are null or valid for writing a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sanderling_updater_line(
    updater: *mut Updater,
    line: *mut *mut c_char,
    error: *mut *mut Error,
) -> Status {
    // SAFETY: as the caller vouches.
    unsafe {
        guard(error, || {
            clear(line);
            let updater = of(updater)?;
            if line.is_null() {
                return Err(AppError::argument("the place for the line is null"));
            }
            let next = updater.inner.line();
            let next = next.map_or(std::ptr::null_mut(), |next| c_string(&next).into_raw());
            write(line, next, "line")
        })
    }
}
