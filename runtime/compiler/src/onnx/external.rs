//! Tensor data that lies in files beside the model.
//!
//! The location is text from a foreign file. It must be a relative path without `..`, and what it leads to, links
//! followed, must be a regular file inside the model's folder (CVE-2022-25882 and CVE-2024-27318 are what happens
//! otherwise).

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use super::proto::TensorProto;
use crate::error::CompileError;

/// Reads the `expected` bytes of a tensor whose data location is external.
pub(super) fn read(
    tensor: &TensorProto,
    folder: Option<&Path>,
    expected: usize,
) -> Result<Vec<u8>, CompileError> {
    let key = |key: &str| {
        tensor
            .external_data
            .iter()
            .find(|e| e.key == key)
            .map(|e| e.value.as_str())
    };
    let location = key("location").unwrap_or_default();
    let fail = |why: String| CompileError::ExternalData {
        tensor: tensor.name.clone(),
        location: location.to_owned(),
        why,
    };
    let number = |name: &str| match key(name) {
        None => Ok(None),
        Some(text) => text
            .trim()
            .parse::<u64>()
            .map(Some)
            .map_err(|_| fail(format!("{name} '{text}' is no number"))),
    };
    let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
    if length.is_some_and(|length| length != expected as u64) {
        return Err(fail(format!(
            "its shape calls for {expected} bytes, the model states {}",
            length.unwrap_or(0)
        )));
    }
    let folder = folder.ok_or_else(|| {
        fail(
            "the model was not read from a file, so there is no folder to look in; give the file's path"
                .into(),
        )
    })?;
    let path = resolve(folder, location).map_err(fail)?;
    let mut file = super::open_regular(&path).map_err(|e| fail(e.to_string()))?;
    let found = file.metadata().map_err(|e| fail(e.to_string()))?.len();
    if offset.checked_add(expected as u64).is_none_or(|end| end > found) {
        return Err(fail(format!(
            "bytes {offset} to {offset} + {expected} are wanted, it has {found}; copy it again"
        )));
    }
    let mut bytes = vec![0; expected];
    file.seek(SeekFrom::Start(offset))
        .and_then(|_| file.read_exact(&mut bytes))
        .map_err(|e| fail(e.to_string()))?;
    Ok(bytes)
}

/// The real path of `location`, which must stay inside `folder`.
fn resolve(folder: &Path, location: &str) -> Result<PathBuf, String> {
    let relative = Path::new(location);
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    // A backslash is an ordinary character here and a separator elsewhere: refuse it everywhere.
    if location.is_empty() || location.contains('\\') || !relative.components().all(plain) {
        return Err("only a relative path inside the model's folder is read, without '..'".into());
    }
    let folder = fs::canonicalize(folder).map_err(|e| format!("the model's folder: {e}"))?;
    let path = fs::canonicalize(folder.join(relative))
        .map_err(|e| format!("{e}; it belongs beside the model file"))?;
    if !path.starts_with(&folder) {
        return Err("it is a link that leads out of the model's folder".into());
    }
    if !path.is_file() {
        return Err("it is not a regular file".into());
    }
    Ok(path)
}
