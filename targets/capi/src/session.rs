//! A model, ready to run.

use crate::border::{c_string, give, slice, text, views, write};
use crate::error::{Error, Failure, Status, guard};
use sanderling_bundle::PostStep;
use sanderling_session::{Input, ModelBytes, Pipeline, PortInfo, SessionOptions, Tensor as Owned};
use std::cell::UnsafeCell;
use std::ffi::{CString, c_char, c_void};
use std::sync::atomic::{AtomicBool, Ordering};

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
    /// The label; lent until the session's next call or its end.
    pub label: *const c_char,
    /// Score of the best label, 0 to 1 for probabilities; 1 for an answer by rule.
    pub confidence: f32,
    /// Whether a rule answered, without the model.
    pub rule: bool,
    /// Whether the score was below the label's threshold.
    pub below_threshold: bool,
}

/// A model, ready to run. For one thread at a time.
pub struct Session {
    busy: AtomicBool,
    inner: UnsafeCell<Inner>,
    inputs: Vec<Declared>,
    outputs: Vec<Declared>,
}

/// A port in C's words.
struct Declared {
    name: CString,
    dtype: i32,
    shape: Vec<i64>,
}

enum Model {
    /// A bundle that says how files become answers.
    Pipeline(Box<Pipeline>),
    /// Any other model.
    Plain(Box<sanderling_session::Session>),
}

struct Inner {
    model: Model,
    /// Of the last run: name, tensor.
    results: Vec<(CString, Owned)>,
    label: CString,
}

impl Model {
    fn session(&mut self) -> &mut sanderling_session::Session {
        match self {
            Self::Pipeline(pipeline) => pipeline.session_mut(),
            Self::Plain(session) => session,
        }
    }
}

/// Exclusive use of a session for the length of a call.
struct Use<'a>(&'a Session);

impl<'a> Use<'a> {
    /// # Safety
    /// `session` is null or a session that was not freed.
    unsafe fn begin(session: *const Session) -> Result<Self, Failure> {
        // SAFETY: the caller vouches for it.
        let session = unsafe { session.as_ref::<'a>() };
        let session = session.ok_or_else(|| Failure::argument("the session is null"))?;
        match session
            .busy
            .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
        {
            Ok(_) => Ok(Self(session)),
            Err(_) => Err(Failure {
                status: Status::Busy,
                message: "another thread is using this session: a session is for one thread at a time".into(),
            }),
        }
    }

    fn inner(&mut self) -> &mut Inner {
        // SAFETY: `busy` was false and is true while this lives, so nobody else has it.
        unsafe { &mut *self.0.inner.get() }
    }
}

impl Drop for Use<'_> {
    fn drop(&mut self) {
        self.0.busy.store(false, Ordering::Release);
    }
}

/// Opens a bundle that lies in memory; the bytes are copied.
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
            let bytes = slice(bundle, length, "the bundle")?;
            give(
                session,
                open(ModelBytes::copy_of(bytes), options.as_ref())?,
                "session",
            )
        })
    }
}

/// Opens a bundle from a file.
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
            let path = text(path, "the path")?;
            let bytes = ModelBytes::read(path).map_err(|error| Failure {
                status: Status::File,
                message: format!("{path}: {error}"),
            })?;
            give(session, open(bytes, options.as_ref())?, "session")
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
            let mut using = Use::begin(session)?;
            let inputs = views(inputs, count)?;
            let inner = using.inner();
            inner.results.clear();
            let outputs = inner.model.session().run(&inputs)?;
            let results = outputs
                .iter()
                .map(|(name, view)| (c_string(name), view.to_tensor()));
            inner.results = results.collect();
            Ok(())
        })
    }
}

/// Lends an output of the last run, until the session's next call or its end.
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
            let mut using = Use::begin(session)?;
            let results = &using.inner().results;
            let (name, found) = results.get(index).ok_or_else(|| {
                Failure::argument(format!(
                    "there is no output {index}: the last run gave {}",
                    results.len()
                ))
            })?;
            let lent = Tensor {
                name: name.as_ptr(),
                dtype: i32::from(found.dtype().code()),
                rank: found.shape().len(),
                shape: found.shape().as_ptr(),
                data: found.bytes().as_ptr().cast(),
                bytes: found.bytes().len(),
            };
            write(tensor, lent, "tensor")
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
            let mut using = Use::begin(session)?;
            let bytes = slice(bytes, length, "the file")?;
            let inner = using.inner();
            let Model::Pipeline(pipeline) = &mut inner.model else {
                return Err(Failure::argument(
                    "the bundle does not say how a file becomes an answer: run it on tensors",
                ));
            };
            let found = pipeline.answer(&Input::Bytes(bytes), Some(1))?;
            inner.label = c_string(&found.label);
            let lent = Answer {
                label: inner.label.as_ptr(),
                confidence: found.confidence,
                rule: found.rule,
                below_threshold: found.below_threshold,
            };
            write(answer, lent, "answer")
        })
    }
}

/// Runs the model and gives the digests of its integer layers, as JSON that `sanderling hash --against` reads. Free it
/// by `sanderling_string_free`.
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
            let mut using = Use::begin(session)?;
            let inputs = views(inputs, count)?;
            let layers = using.inner().model.session().layers(&inputs)?;
            let digest = |digest: [u8; 32]| {
                digest
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect::<String>()
            };
            let rows = layers.iter().map(|layer| {
                serde_json::json!({
                    "value": layer.value,
                    "operator": layer.operator,
                    "type": layer.ty.to_string(),
                    "digest": layer.digest.map(digest),
                })
            });
            let report = serde_json::json!({
                "model": "",
                "instructions": sanderling_session::Best::detect().name(),
                "layers": rows.collect::<Vec<_>>(),
                "integer_layers": layers.iter().filter(|layer| layer.digest.is_some()).count(),
            });
            write(json, c_string(&report.to_string()).into_raw(), "json")
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

fn open(bytes: ModelBytes, options: Option<&Options>) -> Result<Session, Failure> {
    let given = options.copied().unwrap_or_default();
    let mut wanted = SessionOptions {
        threads: given.threads.clamp(1, 1024),
        ..SessionOptions::default()
    };
    if given.memory_limit > 0 {
        wanted.memory_limit = given.memory_limit;
    }
    let session = sanderling_session::Session::from_bundle(bytes, &wanted)?;
    let declared = |ports: &[PortInfo]| ports.iter().map(Declared::new).collect();
    let (inputs, outputs) = (declared(session.inputs()), declared(session.outputs()));
    let classifies = session.manifest().is_some_and(|manifest| {
        let mut steps = manifest.post.iter();
        steps.any(|post| matches!(post.step, PostStep::Classification(_)))
    });
    let model = if classifies {
        Model::Pipeline(Box::new(Pipeline::new(session)?))
    } else {
        Model::Plain(Box::new(session))
    };
    Ok(Session {
        busy: AtomicBool::new(false),
        inner: UnsafeCell::new(Inner {
            model,
            results: Vec::new(),
            label: CString::default(),
        }),
        inputs,
        outputs,
    })
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
) -> Result<(), Failure> {
    // SAFETY: as the caller vouches; the lists do not change.
    let session = unsafe { session.as_ref() }.ok_or_else(|| Failure::argument("the session is null"))?;
    let list = list(session);
    let found = list
        .get(index)
        .ok_or_else(|| Failure::argument(format!("there is no number {index}: there are {}", list.len())))?;
    let lent = Port {
        name: found.name.as_ptr(),
        dtype: found.dtype,
        rank: found.shape.len(),
        shape: found.shape.as_ptr(),
    };
    // SAFETY: as the caller vouches.
    unsafe { write(port, lent, "port") }
}
