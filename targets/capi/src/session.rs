//! A model, ready to run.

use crate::border::{alone, c_string, clear, give, slice, text, views, write};
use crate::error::{Error, Status, guard};
use sanderling_app::{AppError, Model, ModelOptions};
use sanderling_session::{ImageRgb, PortInfo, Tensor as Owned};
use std::ffi::{CStr, CString, c_char, c_void};
use std::sync::{Arc, Mutex, MutexGuard};

/// How a model runs; zero for a field's default.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Threads to compute with, the calling one included; 0 is 1.
    pub threads: usize,
    /// Most bytes of intermediates and packed weights; 0 is 4 GiB.
    pub memory_limit: u64,
}

/// An input or output of a model, as it declares it.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Port {
    /// ONNX name; lent until the session is freed.
    pub name: *const c_char,
    /// Element type by ONNX's number (`TensorProto.DataType`); 0 where the model does not say.
    pub dtype: i32,
    /// Number of dimensions.
    pub rank: usize,
    /// Dimensions, outermost first, −1 for an open one; lent until the session is freed.
    pub shape: *const i64,
}

/// A tensor in memory: row-major, contiguous, little-endian.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Tensor {
    /// Name of the input or output.
    pub name: *const c_char,
    /// Element type by ONNX's number: 1 float, 2 uint8, 3 int8, 6 int32, 7 int64, …
    pub dtype: i32,
    /// Number of dimensions.
    pub rank: usize,
    /// Dimensions, outermost first.
    pub shape: *const usize,
    /// The elements.
    pub data: *const c_void,
    /// Their size.
    pub bytes: usize,
}

/// What a classifier answers.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    /// The label; lent until the session's next answer or its end.
    pub label: *const c_char,
    /// Score of the best label, 0 to 1 for probabilities; 1 for an answer by rule.
    pub confidence: f32,
    /// Whether a rule answered, without the model.
    pub rule: bool,
    /// Whether the score was below the label's threshold.
    pub below_threshold: bool,
}

impl Answer {
    /// With a label that is lent.
    pub(crate) fn of(found: &sanderling_session::Answer, label: &CStr) -> Self {
        Self {
            label: label.as_ptr(),
            confidence: found.confidence,
            rule: found.rule,
            below_threshold: found.below_threshold,
        }
    }
}

/// A model, ready to run. For one thread at a time.
pub struct Session {
    model: Arc<Model>,
    inputs: Vec<Declared>,
    outputs: Vec<Declared>,
    labels: Vec<CString>,
    /// What the last call lent.
    lent: Mutex<Lent>,
}

/// A port in C's words.
struct Declared {
    name: CString,
    dtype: i32,
    shape: Vec<i64>,
}

#[derive(Default)]
struct Lent {
    /// Of the last run: name, tensor.
    results: Vec<(CString, Owned)>,
    label: CString,
}

impl Session {
    pub(crate) fn new(model: Arc<Model>) -> Self {
        let declared = |ports: &[PortInfo]| ports.iter().map(Declared::new).collect();
        Self {
            inputs: declared(model.inputs()),
            outputs: declared(model.outputs()),
            labels: model.labels().iter().map(|label| c_string(label)).collect(),
            model,
            lent: Mutex::default(),
        }
    }

    /// # Safety
    /// `session` is null or a session that was not freed.
    unsafe fn of<'a>(session: *const Self) -> Result<&'a Self, AppError> {
        // SAFETY: the caller vouches for it.
        unsafe { session.as_ref() }.ok_or_else(|| AppError::argument("the session is null"))
    }

    /// What is lent is held through a call that changes it, so that two threads cannot.
    fn lent(&self) -> Result<MutexGuard<'_, Lent>, AppError> {
        let busy = "another thread is using this session: a session is for one thread at a time";
        alone(&self.lent, busy, "session")
    }
}

/// Opens a bundle that lies in memory; the bytes are copied. `session` is null after a failure, whatever it was.
///
/// # Safety
/// `bundle` is valid for reading `length` bytes; `options` is null or valid; `session` and `error` are null or valid
/// for writing a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sanderling_session_open(
    bundle: *const u8,
    length: usize,
    options: *const Options,
    session: *mut *mut Session,
    error: *mut *mut Error,
) -> Status {
    // SAFETY: as the caller vouches.
    unsafe {
        guard(error, || {
            clear(session);
            let bytes = slice(bundle, length, "the bundle")?;
            give(
                session,
                Session::new(Arc::new(Model::open(bytes, chosen(options))?)),
                "session",
            )
        })
    }
}

/// Opens a bundle from a file. `session` is null after a failure, whatever it was.
///
/// # Safety
/// `path` is null or a string that ends in zero; the rest as for `sanderling_session_open`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sanderling_session_open_file(
    path: *const c_char,
    options: *const Options,
    session: *mut *mut Session,
    error: *mut *mut Error,
) -> Status {
    // SAFETY: as the caller vouches.
    unsafe {
        guard(error, || {
            clear(session);
            let path = text(path, "the path")?;
            let model = Model::open_file(path.as_ref(), chosen(options))?;
            give(session, Session::new(Arc::new(model)), "session")
        })
    }
}

/// Frees a session and what it lent; null is fine. No other thread may be using it.
///
/// # Safety
/// `session` is null or a session that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sanderling_session_free(session: *mut Session) {
    if !session.is_null() {
        // SAFETY: it came from a box of ours and was not freed, as the caller vouches.
        drop(unsafe { Box::from_raw(session) });
    }
}

/// Number of inputs; 0 for null.
///
/// # Safety
/// `session` is null or a session that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sanderling_session_input_count(session: *const Session) -> usize {
    // SAFETY: as the caller vouches; the list does not change.
    unsafe { session.as_ref() }.map_or(0, |session| session.inputs.len())
}

/// Number of outputs; 0 for null.
///
/// # Safety
/// `session` is null or a session that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sanderling_session_output_count(session: *const Session) -> usize {
    // SAFETY: as the caller vouches; the list does not change.
    unsafe { session.as_ref() }.map_or(0, |session| session.outputs.len())
}

/// Describes an input.
///
/// # Safety
/// `session` is null or a session that was not freed; `port` and `error` are null or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sanderling_session_input(
    session: *const Session,
    index: usize,
    port: *mut Port,
    error: *mut *mut Error,
) -> Status {
    // SAFETY: as the caller vouches.
    unsafe {
        guard(error, || {
            describe(session, index, port, |session| &session.inputs)
        })
    }
}

/// Describes an output.
///
/// # Safety
/// As for `sanderling_session_input`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sanderling_session_output(
    session: *const Session,
    index: usize,
    port: *mut Port,
    error: *mut *mut Error,
) -> Status {
    // SAFETY: as the caller vouches.
    unsafe {
        guard(error, || {
            describe(session, index, port, |session| &session.outputs)
        })
    }
}

/// Runs the model on inputs by name. Their bytes are read before this returns.
///
/// # Safety
/// `session` is null or a session that was not freed; `inputs` is valid for reading `count` tensors, each with a valid
/// name, shape and data of the lengths that it says; `error` is null or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sanderling_session_run(
    session: *mut Session,
    inputs: *const Tensor,
    count: usize,
    error: *mut *mut Error,
) -> Status {
    // SAFETY: as the caller vouches.
    unsafe {
        guard(error, || {
            let session = Session::of(session)?;
            let mut lent = session.lent()?;
            let inputs = views(inputs, count)?;
            lent.results.clear();
            lent.results = session.model.run(&inputs, |outputs| {
                let outputs = outputs.iter();
                outputs
                    .map(|(name, view)| (c_string(name), view.to_tensor()))
                    .collect()
            })?;
            Ok(())
        })
    }
}

/// Lends an output of the last run, until the session's next run or its end: all of a run's outputs can be held at one time.
///
/// # Safety
/// `session` is null or a session that was not freed; `tensor` and `error` are null or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sanderling_session_result(
    session: *mut Session,
    index: usize,
    tensor: *mut Tensor,
    error: *mut *mut Error,
) -> Status {
    // SAFETY: as the caller vouches.
    unsafe {
        guard(error, || {
            let lent = Session::of(session)?.lent()?;
            let results = &lent.results;
            let (name, found) = results.get(index).ok_or_else(|| {
                AppError::argument(format!(
                    "there is no output {index}: the last run gave {}",
                    results.len()
                ))
            })?;
            let found = Tensor {
                name: name.as_ptr(),
                dtype: i32::from(found.dtype().code()),
                rank: found.shape().len(),
                shape: found.shape().as_ptr(),
                data: found.bytes().as_ptr().cast(),
                bytes: found.bytes().len(),
            };
            write(tensor, found, "tensor")
        })
    }
}

/// Answers a file's bytes by the bundle's own pre- and post-processing.
///
/// # Safety
/// `session` is null or a session that was not freed; `bytes` is valid for reading `length` bytes; `answer` and `error`
/// are null or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sanderling_session_answer(
    session: *mut Session,
    bytes: *const u8,
    length: usize,
    answer: *mut Answer,
    error: *mut *mut Error,
) -> Status {
    // SAFETY: as the caller vouches.
    unsafe {
        guard(error, || {
            let session = Session::of(session)?;
            let mut lent = session.lent()?;
            let bytes = slice(bytes, length, "the file")?;
            let found = session.model.answer(bytes, Some(1))?;
            lent.label = c_string(&found.label);
            write(answer, Answer::of(&found, &lent.label), "answer")
        })
    }
}

/// Answers an image by the bundle's own pre- and post-processing: `width` × `height` pixels of 8-bit red, green and blue, row by row
/// without gaps, `length` bytes in all.
///
/// # Safety
/// As for `sanderling_session_answer`, `rgb` being the bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sanderling_session_answer_image(
    session: *mut Session,
    width: usize,
    height: usize,
    rgb: *const u8,
    length: usize,
    answer: *mut Answer,
    error: *mut *mut Error,
) -> Status {
    // SAFETY: as the caller vouches.
    unsafe {
        guard(error, || {
            let session = Session::of(session)?;
            let mut lent = session.lent()?;
            let rgb = slice(rgb, length, "the image")?;
            let found = session
                .model
                .answer_image(ImageRgb { width, height, rgb }, Some(1))?;
            lent.label = c_string(&found.label);
            write(answer, Answer::of(&found, &lent.label), "answer")
        })
    }
}

/// Number of labels of a classifier; 0 for null, and where the bundle has none.
///
/// # Safety
/// `session` is null or a session that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sanderling_session_label_count(session: *const Session) -> usize {
    // SAFETY: as the caller vouches; the list does not change.
    unsafe { session.as_ref() }.map_or(0, |session| session.labels.len())
}

/// The label of an index of the scores, lent until the session is freed; null past the last.
///
/// # Safety
/// As for `sanderling_session_label_count`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sanderling_session_label(session: *const Session, index: usize) -> *const c_char {
    // SAFETY: as the caller vouches; the list does not change.
    let label = unsafe { session.as_ref() }.and_then(|session| session.labels.get(index));
    label.map_or(std::ptr::null(), |label| label.as_ptr())
}

/// Runs the model and gives the digests of its integer layers, as JSON that `sanderling hash --against` reads. Free it
/// by `sanderling_string_free`; it is null after a failure, whatever it was.
///
/// # Safety
/// As for `sanderling_session_run`; `json` is null or valid for writing a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sanderling_session_hash(
    session: *mut Session,
    inputs: *const Tensor,
    count: usize,
    json: *mut *mut c_char,
    error: *mut *mut Error,
) -> Status {
    // SAFETY: as the caller vouches.
    unsafe {
        guard(error, || {
            clear(json);
            let session = Session::of(session)?;
            let _lent = session.lent()?;
            if json.is_null() {
                return Err(AppError::argument("the place for the json is null"));
            }
            let report = session.model.hash(&views(inputs, count)?)?;
            write(json, c_string(&report).into_raw(), "json")
        })
    }
}

/// Frees a string that a function gave; null is fine.
///
/// # Safety
/// `string` is null or was given by this library and not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sanderling_string_free(string: *mut c_char) {
    if !string.is_null() {
        // SAFETY: it came from a `CString` of ours and was not freed, as the caller vouches.
        drop(unsafe { CString::from_raw(string) });
    }
}

/// # Safety
/// `options` is null or valid for reading.
pub(crate) unsafe fn chosen(options: *const Options) -> ModelOptions {
    // SAFETY: as the caller vouches.
    let given = unsafe { options.as_ref() }.copied().unwrap_or_default();
    ModelOptions {
        threads: given.threads,
        memory_limit: given.memory_limit,
    }
}

impl Declared {
    fn new(port: &PortInfo) -> Self {
        let ty = port.ty.as_ref();
        let dims = ty.map_or(&[][..], |ty| &ty.shape);
        Self {
            name: c_string(&port.name),
            dtype: ty.map_or(0, |ty| i32::from(ty.dtype.code())),
            shape: dims.iter().map(|dim| dim.fixed().unwrap_or(-1)).collect(),
        }
    }
}

/// # Safety
/// As for [`sanderling_session_input`].
unsafe fn describe(
    session: *const Session,
    index: usize,
    port: *mut Port,
    list: impl Fn(&Session) -> &Vec<Declared>,
) -> Result<(), AppError> {
    // SAFETY: as the caller vouches; the lists do not change.
    let session = unsafe { Session::of(session) }?;
    let list = list(session);
    let found = list
        .get(index)
        .ok_or_else(|| AppError::argument(format!("there is no number {index}: there are {}", list.len())))?;
    let lent = Port {
        name: found.name.as_ptr(),
        dtype: found.dtype,
        rank: found.shape.len(),
        shape: found.shape.as_ptr(),
    };
    // SAFETY: as the caller vouches.
    unsafe { write(port, lent, "port") }
}
