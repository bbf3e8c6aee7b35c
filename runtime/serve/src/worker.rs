//! One model: a thread that owns its session, behind a bounded queue.
//!
//! A session belongs to one thread. Requests wait in line at most `queue` deep; past that they are refused at
//! once, so that a slow model makes callers turn elsewhere instead of waiting for ever. What nobody waits for any more
//! is not run; until its turn comes it keeps its place in line and its share of the server's memory.

use crate::ServeError;
use crate::protocol::{InferRequest, TensorMetadata};
use crate::server::ModelSource;
use crate::tensor_data::TensorData;
use sanderling_session::{ModelBytes, PortInfo, Session, SessionOptions};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// Why a request got no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The request does not fit the model.
    Bad(String),
    /// The line is full.
    Busy,
    /// The model failed.
    Failed(String),
}

pub(crate) struct Job {
    request: InferRequest,
    /// The room its bytes take, given back with them.
    _room: OwnedSemaphorePermit,
    reply: oneshot::Sender<Result<Vec<TensorData>, Refusal>>,
}

/// A served model.
pub(crate) struct Worker {
    pub(crate) inputs: Vec<TensorMetadata>,
    pub(crate) outputs: Vec<TensorMetadata>,
    pub(crate) jobs: SyncSender<Job>,
}

impl Worker {
    /// Loads a model on a thread of its own; returns when it is ready.
    pub(crate) fn start(source: &ModelSource, threads: usize, queue: usize) -> Result<Self, ServeError> {
        let (jobs, line) = sync_channel(queue.max(1));
        let (ready, loaded) = std::sync::mpsc::channel();
        let (name, path) = (source.name.clone(), source.path.clone());
        let problem = {
            let (name, path) = (name.clone(), path.clone());
            move |message: String| ServeError::Model {
                name: name.clone(),
                path: path.clone(),
                message,
            }
        };
        std::thread::Builder::new()
            .name(format!("model {name}"))
            .spawn(move || {
                let options = SessionOptions {
                    threads,
                    ..SessionOptions::default()
                };
                let bytes = ModelBytes::read(&path).map_err(|error| error.to_string());
                match bytes.and_then(|bytes| {
                    Session::from_bundle(bytes, &options).map_err(|error| error.to_string())
                }) {
                    Ok(mut session) => {
                        let describe = |ports: &[PortInfo]| -> Vec<TensorMetadata> {
                            ports
                                .iter()
                                .map(|port| TensorMetadata::new(&port.name, port.ty.as_ref()))
                                .collect()
                        };
                        if ready
                            .send(Ok((describe(session.inputs()), describe(session.outputs()))))
                            .is_ok()
                        {
                            serve(&line, |request| answer(&mut session, request));
                        }
                    }
                    Err(message) => drop(ready.send(Err(message))),
                }
            })?;
        let (inputs, outputs) = loaded
            .recv()
            .map_err(|_| problem("its thread ended while loading".to_string()))?
            .map_err(problem)?;
        Ok(Self {
            inputs,
            outputs,
            jobs,
        })
    }

    /// Answers one request. Where the future is dropped, the request is not run unless it is running already.
    pub(crate) async fn infer(
        &self,
        request: InferRequest,
        room: OwnedSemaphorePermit,
    ) -> Result<Vec<TensorData>, Refusal> {
        let (reply, answer) = oneshot::channel();
        let job = Job {
            request,
            _room: room,
            reply,
        };
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => Refusal::Busy,
            TrySendError::Disconnected(_) => Refusal::Failed("the model's thread has ended".to_string()),
        })?;
        answer
            .await
            .unwrap_or_else(|_| Err(Refusal::Failed("the model's thread has ended".to_string())))
    }
}

/// Answers requests until nobody can send one any more.
pub(crate) fn serve(
    line: &Receiver<Job>,
    mut answer: impl FnMut(&InferRequest) -> Result<Vec<TensorData>, Refusal>,
) {
    while let Ok(job) = line.recv() {
        // Whoever asked may have gone; then nobody needs the answer.
        if !job.reply.is_closed() {
            drop(job.reply.send(answer(&job.request)));
        }
    }
}

fn answer(session: &mut Session, request: &InferRequest) -> Result<Vec<TensorData>, Refusal> {
    let views: Vec<_> = request
        .inputs
        .iter()
        .map(|data| (data.name(), data.tensor().view()))
        .collect();
    let outputs = session.run(&views).map_err(|error| {
        if error.is_input() {
            Refusal::Bad(error.to_string())
        } else {
            Refusal::Failed(error.to_string())
        }
    })?;
    let wanted =
        |name: &str| request.outputs.is_empty() || request.outputs.iter().any(|output| output.name == name);
    outputs
        .iter()
        .filter(|(name, _)| wanted(name))
        .map(|(name, view)| {
            TensorData::from_view(name, view).map_err(|error| Refusal::Failed(error.to_string()))
        })
        .collect()
}
