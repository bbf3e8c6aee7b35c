//! One model: a thread that owns its session, behind a bounded queue.
//!
//! A session belongs to one thread. Requests wait in line at most `queue` deep; past that they are refused at
//! once, so that a slow model makes callers turn elsewhere instead of waiting for ever.

use crate::ServeError;
use crate::protocol::{InferRequest, TensorData, TensorMetadata};
use crate::server::ModelSource;
use sanderling_session::{ModelBytes, PortInfo, Session, SessionOptions, Tensor};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use tokio::sync::oneshot;

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

struct Job {
    request: InferRequest,
    reply: oneshot::Sender<Result<Vec<TensorData>, Refusal>>,
}

/// A served model.
pub(crate) struct Worker {
    pub(crate) inputs: Vec<TensorMetadata>,
    pub(crate) outputs: Vec<TensorMetadata>,
    jobs: SyncSender<Job>,
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
                    Ok(session) => {
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
                            serve(session, &line);
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

    /// Answers one request.
    pub(crate) async fn infer(&self, request: InferRequest) -> Result<Vec<TensorData>, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.jobs
            .try_send(Job { request, reply })
            .map_err(|error| match error {
                TrySendError::Full(_) => Refusal::Busy,
                TrySendError::Disconnected(_) => Refusal::Failed("the model's thread has ended".to_string()),
            })?;
        answer
            .await
            .unwrap_or_else(|_| Err(Refusal::Failed("the model's thread has ended".to_string())))
    }
}

fn serve(mut session: Session, line: &Receiver<Job>) {
    while let Ok(job) = line.recv() {
        // Whoever asked may have gone; then nobody needs the answer.
        if !job.reply.is_closed() {
            let answer = answer(&mut session, &job.request);
            drop(job.reply.send(answer));
        }
    }
}

fn answer(session: &mut Session, request: &InferRequest) -> Result<Vec<TensorData>, Refusal> {
    let bad = |error: ServeError| Refusal::Bad(error.to_string());
    let tensors: Vec<(&str, Tensor)> = request
        .inputs
        .iter()
        .map(|data| {
            data.to_tensor()
                .map(|tensor| (data.name.as_str(), tensor))
                .map_err(bad)
        })
        .collect::<Result<_, _>>()?;
    let views: Vec<_> = tensors
        .iter()
        .map(|(name, tensor)| (*name, tensor.view()))
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
