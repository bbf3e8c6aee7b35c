//! Requests of the device's own programs, in the worker's line.
//!
//! They are answered by the thread that answers files, from the same session: an update changes models between two of
//! them, one copy of the model lies in memory, and the windows of telemetry and the pairs of a trial count them. The
//! line is bounded by a count of its own: the agent's commands share it and always find room.

use crate::worker::{Command, Worker, counted, of_device};
use sanderling_app::pairs::InputHash;
use sanderling_app::window::Window;
use sanderling_serve::{Answered, Job, Line, Model, Models, Refusal, inputs, outputs};
use sanderling_session::{Input, TensorView};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::time::Instant;

/// What programs are told while there is no model.
const NOTHING: &str = "this device has no model yet: its fleet has given it none, or none that is intact; the agent's log and \
     `sanderling device inspect` on its state folder say more";

/// The worker's side of the API: the table it changes, and the line that leads back to it.
pub(crate) struct Api {
    pub(crate) models: Models,
    line: Arc<ToWorker>,
}

/// The way to the worker.
struct ToWorker {
    commands: Sender<Command>,
    waiting: AtomicUsize,
    most: usize,
}

impl Api {
    /// At most `most` requests wait for the worker behind `commands`.
    pub(crate) fn new(commands: Sender<Command>, most: usize) -> Self {
        Self {
            models: Models::none(NOTHING),
            line: Arc::new(ToWorker {
                commands,
                waiting: AtomicUsize::new(0),
                most: most.max(1),
            }),
        }
    }
}

impl Line for ToWorker {
    fn put(&self, job: Job) -> Result<(), Refusal> {
        let more = |waiting: usize| (waiting < self.most).then_some(waiting + 1);
        self.waiting
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more)
            .map_err(|_| Refusal::Busy)?;
        let sent = self.commands.send(Command::Infer(Box::new(job)));
        sent.map_err(|_| Refusal::Failed("the serving thread has ended".to_string()))
    }
}

impl Worker {
    /// Says what is served now.
    pub(crate) fn announce(&mut self) {
        let (models, line) = (&self.parts.api.models, &self.parts.api.line);
        match &mut self.active {
            Some(active) => {
                let (name, version) = active.name.clone();
                let session = active.pipeline().session();
                models.serve_only(Model::new(&name, &version, session, line.clone()));
            }
            None => models.clear(NOTHING),
        }
    }

    /// Answers a request, by the model that is active now, whichever it was when the request came.
    pub(crate) fn infer(&mut self, mut job: Job) {
        self.parts.api.line.waiting.fetch_sub(1, Ordering::AcqRel);
        if !job.is_wanted() {
            return;
        }
        let Some(active) = &mut self.active else {
            return job.answer(Err(Refusal::Nothing(NOTHING.to_string())));
        };
        let (name, version) = active.name.clone();
        let (wanted, pinned) = job.wants();
        if wanted != name || pinned.is_some_and(|pinned| pinned != version) {
            let message =
                format!("an update has just replaced it: this device serves '{name}' {version} now");
            return job.answer(Err(Refusal::Gone(message)));
        }
        let now = Instant::now();
        let window = self.window.get_or_insert_with(|| Window::new(active.image, now));
        let mut answered = now;
        let request = job.request();
        let result = active.pipeline().answer_and(&inputs(request), Some(1), |of| {
            answered = Instant::now();
            outputs(request, of)
        });
        match result {
            Ok((answer, outputs)) => {
                let micros = u64::try_from((answered - now).as_micros()).unwrap_or(u64::MAX);
                let answer = of_device(answer);
                window.answered(counted(&answer, micros));
                job.answer(outputs.map(|outputs| Answered { version, outputs }));
                // Off the time that the caller sees.
                if self.compares() {
                    let tensors = inputs(job.request());
                    self.compare(&hash(&tensors), &Input::Tensors(&tensors), &answer.answer);
                }
            }
            Err(error) => {
                if error.is_input() {
                    window.rejected();
                } else {
                    tracing::error!(%error, "no answer to a program of this device");
                    window.failed();
                }
                job.answer(Err(error.into()));
            }
        }
    }
}

fn hash(tensors: &[(&str, TensorView<'_>)]) -> InputHash {
    let mut hash = Sha256::new();
    for (name, view) in tensors {
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name);
        hash.update((view.bytes().len() as u64).to_le_bytes());
        hash.update(view.bytes());
    }
    hash.finalize().into()
}
