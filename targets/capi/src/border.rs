//! What the caller hands over: pointers and lengths become slices, text and views; null becomes an error.

use crate::session::Tensor;
use sanderling_app::{AppError, Kind};
use sanderling_session::{DType, TensorView};
use std::ffi::{CStr, CString, c_char};
use std::sync::{Mutex, MutexGuard, TryLockError};

/// The caller's tensors as views.
///
/// # Safety
/// `tensors` is null or valid for reading `count` tensors, each with a name, shape and data that live as long as the call.
pub(crate) unsafe fn views<'a>(
    tensors: *const Tensor,
    count: usize,
) -> Result<Vec<(&'a str, TensorView<'a>)>, AppError> {
    // SAFETY: as the caller vouches.
    let tensors = unsafe { slice(tensors, count, "the list of inputs")? };
    let view = |(index, tensor): (usize, &Tensor)| {
        let what = format!("input {index}");
        // SAFETY: as the caller vouches.
        let (name, shape, data) = unsafe {
            (
                text(tensor.name, &format!("the name of {what}"))?,
                slice(tensor.shape, tensor.rank, &format!("the shape of {what}"))?,
                slice(
                    tensor.data.cast::<u8>(),
                    tensor.bytes,
                    &format!("the data of {what}"),
                )?,
            )
        };
        let dtype = DType::from_code(tensor.dtype).ok_or_else(|| {
            AppError::argument(format!("{what} '{name}': there is no dtype {}", tensor.dtype))
        })?;
        let view = TensorView::new(dtype, shape, data)
            .map_err(|error| AppError::new(Kind::Input, format!("{what} '{name}': {error}")))?;
        Ok((name, view))
    };
    tensors.iter().enumerate().map(view).collect()
}

/// A slice of the caller's.
///
/// # Safety
/// `data` is null or valid for reading `length` elements for as long as the call takes.
pub(crate) unsafe fn slice<'a, T>(data: *const T, length: usize, what: &str) -> Result<&'a [T], AppError> {
    match (data.is_null(), length) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(AppError::argument(format!("{what} is null and {length} long"))),
        _ if !data.is_aligned() || length > isize::MAX as usize / size_of::<T>().max(1) => Err(
            AppError::argument(format!("{what} cannot be {length} long, or lies askew")),
        ),
        // SAFETY: not null, aligned, of a possible length; the rest the caller vouches for.
        _ => Ok(unsafe { std::slice::from_raw_parts(data, length) }),
    }
}

/// Text of the caller's.
///
/// # Safety
/// `string` is null or ends in zero, and lives as long as the call.
pub(crate) unsafe fn text<'a>(string: *const c_char, what: &str) -> Result<&'a str, AppError> {
    if string.is_null() {
        return Err(AppError::argument(format!("{what} is null")));
    }
    // SAFETY: as the caller vouches.
    let string = unsafe { CStr::from_ptr(string) };
    string
        .to_str()
        .map_err(|_| AppError::argument(format!("{what} is not UTF-8")))
}

/// Writes to a place of the caller's.
///
/// # Safety
/// `to` is null or valid for writing.
pub(crate) unsafe fn write<T>(to: *mut T, value: T, what: &str) -> Result<(), AppError> {
    if to.is_null() {
        return Err(AppError::argument(format!("the place for the {what} is null")));
    }
    // SAFETY: not null; the rest the caller vouches for.
    unsafe { to.write(value) };
    Ok(())
}

/// Nulls a pointer of the caller's, so that nothing is freed that was not given.
///
/// # Safety
/// `to` is null or valid for writing a pointer.
pub(crate) unsafe fn clear<T>(to: *mut *mut T) {
    if !to.is_null() {
        // SAFETY: not null; the rest the caller vouches for.
        unsafe { to.write(std::ptr::null_mut()) };
    }
}

/// Gives the caller a box.
///
/// # Safety
/// `to` is null or valid for writing a pointer.
pub(crate) unsafe fn give<T>(to: *mut *mut T, value: T, what: &str) -> Result<(), AppError> {
    if to.is_null() {
        return Err(AppError::argument(format!("the place for the {what} is null")));
    }
    // SAFETY: not null; the rest the caller vouches for.
    unsafe { to.write(Box::into_raw(Box::new(value))) };
    Ok(())
}

/// Takes a handle for one thread; a second one is told what is `busy`, and whoever comes after a fault that the handle is lost.
pub(crate) fn alone<'a, T>(
    lock: &'a Mutex<T>,
    busy: &str,
    handle: &str,
) -> Result<MutexGuard<'a, T>, AppError> {
    lock.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => AppError::new(Kind::Busy, busy),
        TryLockError::Poisoned(_) => {
            let words = format!("an earlier call ended in a fault of the library: open the {handle} again");
            AppError::new(Kind::Internal, words)
        }
    })
}

/// A C string ends at its first zero byte.
pub(crate) fn c_string(text: &str) -> CString {
    CString::new(text.replace('\0', " ")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_lock_is_busy_and_a_poisoned_one_is_a_fault_of_ours() {
        let lock = Mutex::new(1);
        let told = || alone(&lock, "in use", "session").map(|held| *held);
        let held = lock.lock().unwrap();
        assert_eq!(told().unwrap_err(), AppError::new(Kind::Busy, "in use"));
        drop(held);
        assert_eq!(told().unwrap(), 1);
        let panics = std::panic::catch_unwind(|| {
            let _held = lock.lock().unwrap();
            panic!("a fault");
        });
        assert!(panics.is_err());
        let error = told().unwrap_err();
        assert_eq!(error.kind, Kind::Internal);
        assert!(error.message.contains("open the session again"), "{error}");
    }
}
