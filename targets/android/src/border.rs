//! Java's values as Rust's, and errors as exceptions.

use jni::errors::{Error as JniError, ErrorPolicy};
use jni::objects::{JByteBuffer, JObject, JString, JThrowable};
use jni::sys::jlong;
use jni::{Env, EnvUnowned, JValue, jni_sig, jni_str};
use sanderling_app::{AppError, Kind, guarded};
use std::any::Any;

/// Ours, or Java's own.
#[derive(Debug)]
pub(crate) enum Problem {
    App(AppError),
    Jni(JniError),
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::App(error) => error.fmt(f),
            Self::Jni(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Problem {}

impl From<AppError> for Problem {
    fn from(error: AppError) -> Self {
        Self::App(error)
    }
}

impl From<JniError> for Problem {
    fn from(error: JniError) -> Self {
        Self::Jni(error)
    }
}

/// Throws `SanderlingException.of(kind, text)`, unless Java has thrown something itself.
struct Throw;

impl Throw {
    fn throw(env: &mut Env<'_>, kind: Kind, message: &str) -> Result<(), JniError> {
        if env.exception_check() {
            return Ok(());
        }
        let text = env.new_string(message)?;
        let args = [JValue::Int(kind as i32), JValue::Object(&text)];
        let class = jni_str!("dev/sanderling/SanderlingException");
        let signature = jni_sig!("(ILjava/lang/String;)Ldev/sanderling/SanderlingException;");
        let made = env.call_static_method(class, jni_str!("of"), signature, &args)?;
        let made = env.cast_local::<JThrowable<'_>>(made.l()?)?;
        // What it gives is the exception that is now on its way.
        drop(env.throw(made));
        Ok(())
    }
}

impl<T: Default> ErrorPolicy<T, Problem> for Throw {
    type Captures<'unowned_env_local: 'native_method, 'native_method> = ();

    fn on_error<'unowned_env_local: 'native_method, 'native_method>(
        env: &mut Env<'unowned_env_local>,
        _captures: &mut (),
        problem: Problem,
    ) -> Result<T, JniError> {
        let (kind, message) = match problem {
            Problem::App(error) => (error.kind, error.message),
            Problem::Jni(error) => (Kind::Internal, format!("Java's native interface: {error}")),
        };
        Self::throw(env, kind, &message)?;
        Ok(T::default())
    }

    fn on_panic<'unowned_env_local: 'native_method, 'native_method>(
        env: &mut Env<'unowned_env_local>,
        _captures: &mut (),
        _panic: Box<dyn Any + Send + 'static>,
    ) -> Result<T, JniError> {
        Self::throw(env, Kind::Internal, "a fault of the library, please report it")?;
        Ok(T::default())
    }
}

/// Runs a native method's work; what goes wrong is thrown.
pub(crate) fn native<'local, T: Default>(
    mut env: EnvUnowned<'local>,
    work: impl FnOnce(&mut Env<'local>) -> Result<T, Problem>,
) -> T {
    let guard = |env: &mut Env<'local>| {
        // The panic's own words are told by ours.
        let mut done = None;
        guarded(|| {
            done = Some(work(env));
            Ok(())
        })?;
        done.unwrap_or_else(|| Err(AppError::new(Kind::Internal, "nothing was done").into()))
    };
    env.with_env(guard).resolve::<Throw>()
}

/// A value behind a handle of Java's.
///
/// # Safety
/// `handle` is 0, or was made by [`give`] for a `T` and is not freed before the call ends.
pub(crate) unsafe fn held<'a, T>(handle: jlong, what: &str) -> Result<&'a T, AppError> {
    // SAFETY: as the caller vouches.
    unsafe { (handle as *const T).as_ref() }
        .ok_or_else(|| AppError::new(Kind::Closed, format!("the {what} was closed: open it again")))
}

/// A handle for Java.
pub(crate) fn give<T>(value: T) -> jlong {
    Box::into_raw(Box::new(value)) as jlong
}

/// Takes a handle back.
///
/// # Safety
/// `handle` is 0, or was made by [`give`] for a `T`, is not freed yet, and nobody uses it.
pub(crate) unsafe fn free<T>(handle: jlong) {
    if handle != 0 {
        // SAFETY: as the caller vouches.
        drop(unsafe { Box::from_raw(handle as *mut T) });
    }
}

/// Text that may be left out.
pub(crate) fn optional(env: &mut Env<'_>, string: &JString<'_>) -> Result<Option<String>, Problem> {
    if string.is_null() {
        return Ok(None);
    }
    Ok(Some(string.try_to_string(env)?))
}

/// Text.
pub(crate) fn text(env: &mut Env<'_>, string: &JString<'_>, what: &str) -> Result<String, Problem> {
    optional(env, string)?.ok_or_else(|| AppError::argument(format!("{what} is null")).into())
}

/// The bytes of a direct buffer.
///
/// # Safety
/// The buffer is not freed before the call ends (Java frees what nobody refers to, and the caller's frame does), and nobody
/// writes to it meanwhile, as the library's documentation demands.
pub(crate) unsafe fn bytes<'a>(
    env: &Env<'_>,
    buffer: &JByteBuffer<'_>,
    what: &str,
) -> Result<&'a [u8], Problem> {
    if buffer.is_null() {
        return Err(AppError::argument(format!("{what} is null")).into());
    }
    let heap = |_| {
        let words = format!(
            "{what} is no direct buffer: ByteBuffer.allocateDirect makes one, and so does FileChannel.map"
        );
        Problem::from(AppError::argument(words))
    };
    let length = env.get_direct_buffer_capacity(buffer).map_err(heap)?;
    if length == 0 {
        return Ok(&[]);
    }
    let address = env.get_direct_buffer_address(buffer).map_err(heap)?;
    // SAFETY: not null; the JVM vouches for address and length, the caller for the rest.
    Ok(unsafe { std::slice::from_raw_parts(address, length) })
}

/// Calls a method of a sink in a frame of its own, so that what it is told does not pile up.
pub(crate) fn tell(
    env: &mut Env<'_>,
    told: impl FnOnce(&mut Env<'_>) -> Result<(), Problem>,
) -> Result<(), Problem> {
    env.with_local_frame(16, told)
}

/// Null for none.
pub(crate) fn string<'local>(env: &mut Env<'local>, text: Option<&str>) -> Result<JObject<'local>, Problem> {
    Ok(match text {
        Some(text) => env.new_string(text)?.into(),
        None => JObject::null(),
    })
}
