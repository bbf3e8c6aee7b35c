//! The border to the engine: what a model host gets, and what it has to do.

#[cfg(feature = "net")]
use crate::doorbell::BellError;
use sanderling_agent::Paired;
#[cfg(feature = "net")]
use sanderling_agent::{Report, Running};
use sanderling_slots::{ImageAt, Place};
use sanderling_wire::{Digest, RolloutId};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// An image as an open file: the one that was verified, whatever has happened to its name since.
#[derive(Debug)]
pub struct ModelFile {
    file: File,
    path: PathBuf,
    at: ImageAt,
}

impl ModelFile {
    /// The image at a place of a medium, as [`crate::FileStorage::image_file`] opens it.
    #[must_use]
    pub fn new(file: File, path: PathBuf, at: ImageAt) -> Self {
        Self { file, path, at }
    }

    /// The open file, to map it. Its cursor is shared with other handles: read by offset.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The name it had, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// SHA-256 of the bundle.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.at.image.digest
    }

    /// Bytes of the bundle; the file may be longer.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.at.image.length
    }

    /// Where it lies.
    #[must_use]
    pub fn place(&self) -> Place {
        self.at.place
    }

    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// The file system's.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    /// Reads the bundle from its start to its end.
    pub fn reader(&self) -> impl io::Read + '_ {
        FromStart { file: self, at: 0 }
    }

    /// The whole bundle in memory.
    ///
    /// # Errors
    /// The file system's, or a bundle that does not fit the address space.
    pub fn read_all(&self) -> io::Result<Vec<u8>> {
        let length = usize::try_from(self.length()).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        self.read_at(&mut bytes, 0)?;
        Ok(bytes)
    }
}

struct FromStart<'a> {
    file: &'a ModelFile,
    at: u64,
}

impl io::Read for FromStart<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.file.length() - self.at).unwrap_or(usize::MAX);
        let count = buffer.len().min(left);
        self.file.read_at(&mut buffer[..count], self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// What to answer from.
#[derive(Debug)]
pub struct Models {
    /// The image to answer from. None: every request gets a typed "no model".
    pub answer: Option<ModelFile>,
    /// An image to run on the same inputs, off the timed path: outcomes go to [`crate::Handle::paired`].
    pub beside: Option<ModelFile>,
    /// The rollout that compares them; salts the units of outcomes.
    pub rollout: Option<RolloutId>,
    /// Whether `answer` is on trial.
    pub trial: bool,
    /// Whether `beside` is the new image of the two, which only looks on; else `answer` is.
    pub shadow: bool,
}

impl Models {
    /// What comparing these two gives, without outcomes yet; none where nothing is compared.
    #[must_use]
    pub fn paired(&self) -> Option<Paired> {
        let (answer, beside) = self.answer.as_ref().zip(self.beside.as_ref())?;
        let (answer, beside) = (answer.digest(), beside.digest());
        let (new, old) = if self.shadow {
            (beside, answer)
        } else {
            (answer, beside)
        };
        Some(Paired {
            rollout: self.rollout?,
            new,
            old,
            outcomes: Vec::new(),
        })
    }
}

#[cfg(feature = "net")]
/// The engine of a device. Called on the agent's thread; it answers on threads of its own.
pub trait ModelHost: Send {
    /// Loads the image by the engine that would serve it and runs its golden vectors. Serves nothing.
    ///
    /// # Errors
    /// What differed, in words: the image is then never activated.
    fn self_test(&mut self, model: &ModelFile) -> Result<(), String>;

    /// Answers from these images from now on, and lets go of the ones before. A `beside` that does not load is no
    /// error: say [`Running::Alone`].
    ///
    /// # Errors
    /// Why `answer` does not load, in words; the images before go on answering until the next call.
    fn serve(&mut self, models: Models) -> Result<Running, String>;

    /// Something for the device's log; see [`crate::words`].
    fn report(&mut self, report: &Report) {
        let _ = report;
    }

    /// The doorbell's connection came up or went down.
    fn doorbell(&mut self, state: Result<(), &BellError>) {
        let _ = state;
    }
}
