//! One model of a file: a thread that owns its session, behind a bounded queue.
//!
//! A session belongs to one thread. Requests wait in line at most `queue` deep; past that they are refused at
//! once, so that a slow model makes callers turn elsewhere instead of waiting for ever. What nobody waits for any more
//! is not run; until its turn comes it keeps its place in line and its share of the server's memory.

use crate::ServeError;
use crate::models::{Answered, Job, Line, Model, Refusal, describe, inputs, outputs};
use crate::protocol::InferRequest;
use crate::server::ModelSource;
use crate::tensor_data::TensorData;
use sanderling_session::{ModelBytes, Session, SessionOptions};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

/// The line of a thread of ours.
pub(crate) struct Queue(pub(crate) SyncSender<Job>);

impl Line for Queue {
    fn put(&self, job: Job) -> Result<(), Refusal> {
        self.0.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => Refusal::Busy,
            TrySendError::Disconnected(_) => Refusal::Failed("the model's thread has ended".to_string()),
        })
    }
}

/// Loads a model on a thread of its own; returns when it is ready.
pub(crate) fn start(source: &ModelSource, threads: usize, queue: usize) -> Result<Model, ServeError> {
    let (jobs, line) = sync_channel(queue.max(1));
    let (ready, loaded) = std::sync::mpsc::channel();
    let ModelSource { name, version, path } = source.clone();
    let problem = |message: String| ServeError::Model {
        name: name.clone(),
        path: path.clone(),
        message,
    };
    let (from, by) = (path.clone(), version.clone());
    std::thread::Builder::new()
        .name(format!("model {name}"))
        .spawn(move || {
            let options = SessionOptions {
                threads,
                ..SessionOptions::default()
            };
            let bytes = ModelBytes::read(&from).map_err(|error| error.to_string());
            let session = bytes
                .and_then(|bytes| Session::from_bundle(bytes, &options).map_err(|error| error.to_string()));
            match session {
                Ok(mut session) => {
                    let ports = (describe(session.inputs()), describe(session.outputs()));
                    if ready.send(Ok(ports)).is_ok() {
                        serve(&line, &by, |request| answer(&mut session, request));
                    }
                }
                Err(message) => drop(ready.send(Err(message))),
            }
        })?;
    let (inputs, outputs) = loaded
        .recv()
        .map_err(|_| problem("its thread ended while loading".to_string()))?
        .map_err(problem)?;
    Ok(Model {
        name,
        version,
        inputs,
        outputs,
        line: Arc::new(Queue(jobs)),
    })
}

/// Answers requests as `version` until nobody can send one any more.
pub(crate) fn serve(
    line: &Receiver<Job>,
    version: &str,
    mut answer: impl FnMut(&InferRequest) -> Result<Vec<TensorData>, Refusal>,
) {
    while let Ok(mut job) = line.recv() {
        if job.is_wanted() {
            let version = version.to_string();
            let answered = answer(job.request()).map(|outputs| Answered { version, outputs });
            job.answer(answered);
        }
    }
}

fn answer(session: &mut Session, request: &InferRequest) -> Result<Vec<TensorData>, Refusal> {
    outputs(request, &session.run(&inputs(request))?)
}
