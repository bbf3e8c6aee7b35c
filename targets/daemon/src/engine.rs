//! The border to the agent: what it asks of models goes to the worker, its self-tests run here.

use crate::daemon::Sessions;
use crate::worker::{Command, Serve};
use sanderling_agent::{Report, Running};
use sanderling_drivers::{BellError, ModelFile, ModelHost, Models, words};
use sanderling_session::{ModelBytes, Session, SessionOptions};
use std::io::{self, Read};
use std::sync::mpsc::{Sender, channel};

/// Hands models to the worker.
pub(crate) struct Engine {
    pub(crate) worker: Sender<Command>,
    pub(crate) sessions: Sessions,
}

/// Reads a model file from its start.
struct FromStart<'a>(&'a ModelFile, u64);

impl Read for FromStart<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.0.length() - self.1).unwrap_or(usize::MAX);
        let count = buffer.len().min(left);
        self.0.read_at(&mut buffer[..count], self.1)?;
        self.1 += count as u64;
        Ok(count)
    }
}

/// Loads an image from the file that was verified.
pub(crate) fn load(file: &ModelFile, options: &SessionOptions) -> Result<Session, String> {
    let length = usize::try_from(file.length()).map_err(|error| error.to_string())?;
    let bytes = ModelBytes::read_from(&mut FromStart(file, 0), length)
        .map_err(|error| format!("{}: {error}", file.path().display()))?;
    Session::from_bundle(bytes, options).map_err(|error| error.to_string())
}

impl ModelHost for Engine {
    fn self_test(&mut self, model: &ModelFile) -> Result<(), String> {
        let mut session = load(model, &self.sessions.options())?;
        let result = session.self_test().map_err(|error| error.to_string())?;
        if result.passed() {
            return Ok(());
        }
        let failed = result
            .vectors
            .iter()
            .find_map(|v| Some(format!("golden vector '{}': {}", v.name, v.failure.as_ref()?)));
        Err(failed.unwrap_or_else(|| "the bundle has no golden vectors".to_string()))
    }

    fn serve(&mut self, models: Models) -> Result<Running, String> {
        let gone = |_| "the serving thread has ended".to_string();
        let (reply, outcome) = channel();
        self.worker
            .send(Command::Serve(Box::new(Serve { models, reply })))
            .map_err(|_| gone(()))?;
        outcome.recv().map_err(|_| gone(()))?
    }

    fn report(&mut self, report: &Report) {
        match report {
            Report::Trouble(_) => tracing::warn!("{}", words(report)),
            _ => tracing::info!("{}", words(report)),
        }
    }

    fn doorbell(&mut self, state: Result<(), &BellError>) {
        match state {
            Ok(()) => tracing::info!("the doorbell is connected"),
            Err(error) => tracing::info!("no doorbell, polling meanwhile: {error}"),
        }
    }
}
