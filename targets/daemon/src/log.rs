//! The log of answers: one JSON document a line, for whoever uses them.

use crate::error::DaemonError;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// One answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnswerLine {
    /// Unix milliseconds.
    pub time_ms: u64,
    /// The input.
    pub file: PathBuf,
    /// The answer's label.
    pub label: String,
    /// How sure the model is, 0 to 1.
    pub confidence: f32,
    /// SHA-256 of the image that answered on the device.
    pub image: String,
    /// `device`, `cloud` or `cache`.
    pub source: String,
    /// Why the answer is the device's though the cloud should have been asked, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degraded: Option<String>,
    /// Microseconds from the input to the answer.
    pub micros: u64,
}

/// A file that lines are appended to.
pub(crate) struct AnswerLog(Option<BufWriter<File>>);

impl AnswerLog {
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, DaemonError> {
        let Some(path) = path else { return Ok(Self(None)) };
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.map_err(|source| DaemonError::Io {
            path: path.to_path_buf(),
            source,
        })?;
        Ok(Self(Some(BufWriter::new(file))))
    }

    /// Writes a line; a full disk costs lines of this log and nothing else.
    pub(crate) fn write(&mut self, line: &AnswerLine) {
        let Some(file) = &mut self.0 else { return };
        let written = serde_json::to_writer(&mut *file, line).map_err(std::io::Error::from);
        if let Err(error) = written
            .and_then(|()| file.write_all(b"\n"))
            .and_then(|()| file.flush())
        {
            tracing::warn!(%error, "an answer could not be written to the log");
        }
    }
}
