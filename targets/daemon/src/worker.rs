//! The serving thread: owns the models, answers, compares, counts.

use crate::daemon::Sessions;
use crate::engine::load;
use crate::feed::Feed;
use crate::infer::Api;
use crate::log::{AnswerLine, AnswerLog};
use crate::recent::Recent;
use sanderling_agent::Running;
use sanderling_app::pairs::{InputHash, unit};
use sanderling_app::window::{Counted, Window};
use sanderling_drivers::{Handle, ModelFile, Models, Paired};
use sanderling_serve::{HttpEndpoint, Job, ServeError};
use sanderling_session::{
    Answer, CascadeAnswer, CascadeConfig, CascadePipeline, FileBlocks, Input, Pipeline, SessionError, Source,
    SystemHost,
};
use sanderling_wire::{Digest, Event, EventKind, PairedOutcome};
use sha2::{Digest as _, Sha256};
use std::collections::{HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Outcomes sent together.
const OUTCOMES: usize = 32;
/// Longest time that outcomes wait to be sent.
const OUTCOMES_WAIT: Duration = Duration::from_millis(500);
/// Most inputs compared in one trial.
const MAX_UNITS: usize = 65_536;

/// How fast, and how much is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    /// Time between two inputs.
    pub interval: Duration,
    /// Length of a window of telemetry.
    pub window: Duration,
    /// Inputs remembered for the next trial, in memory.
    pub remembered: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(500),
            window: Duration::from_secs(10),
            remembered: 64,
        }
    }
}

/// Where answers go that the device is not sure of.
#[derive(Debug, Clone)]
pub struct CascadeOptions {
    /// Base address of an Open Inference Protocol v2 server: `https://`, or `http://` on this machine.
    pub url: String,
    /// Bearer token.
    pub token: Option<String>,
    /// Name of the model there; by default what the bundle says, or its own name.
    pub model: Option<String>,
    /// Confidence below which the cloud is asked; by default what the bundle says.
    pub threshold: Option<f32>,
}

/// A cascade's end: how it is used, and how it is spoken to.
pub(crate) struct Cascade {
    options: CascadeOptions,
    endpoint: HttpEndpoint,
}

impl Cascade {
    pub(crate) fn new(options: CascadeOptions) -> Result<Self, ServeError> {
        let endpoint = HttpEndpoint::new(&options.url, options.token.as_deref())?;
        Ok(Self { options, endpoint })
    }
}

/// What the engine asks of the worker.
pub(crate) enum Command {
    Serve(Box<Serve>),
    Infer(Box<Job>),
    Stop,
}

pub(crate) struct Serve {
    pub(crate) models: Models,
    pub(crate) reply: Sender<Result<Running, String>>,
}

/// The image that answers.
pub(crate) struct Active {
    pub(crate) image: Digest,
    /// Name and version in its manifest.
    pub(crate) name: (String, String),
    model: Model,
}

enum Model {
    Alone(Box<Pipeline>),
    Cascade(Box<CascadePipeline>),
}

/// The image that runs beside it.
struct Beside {
    pipeline: Pipeline,
    /// What is compared, and the outcomes that wait to be sent.
    paired: Paired,
    seen: HashSet<u64>,
    /// Remembered inputs that are still to be compared.
    backlog: VecDeque<(InputHash, FileBlocks)>,
}

/// What a worker needs.
pub(crate) struct Parts {
    pub(crate) api: Api,
    pub(crate) rounds: Arc<AtomicU64>,
    pub(crate) sessions: Sessions,
    pub(crate) handle: Handle,
    pub(crate) commands: Receiver<Command>,
    pub(crate) feed: Feed,
    pub(crate) pace: Pace,
    pub(crate) cascade: Option<Cascade>,
    pub(crate) log: AnswerLog,
    /// Differs between devices: keeps their retries apart.
    pub(crate) seed: u64,
}

/// Longest time between two rounds: what watches the daemon sees it alive, and telemetry is not held up by a slow feed.
const ROUND: Duration = Duration::from_secs(5);

/// State of the serving thread.
pub(crate) struct Worker {
    pub(crate) parts: Parts,
    pub(crate) active: Option<Active>,
    beside: Option<Beside>,
    recent: Recent<FileBlocks>,
    pub(crate) window: Option<Window>,
    outcomes_since: Instant,
    cloud_is_away: bool,
}

impl Worker {
    pub(crate) fn new(parts: Parts) -> Self {
        let recent = Recent::new(parts.pace.remembered);
        Self {
            parts,
            active: None,
            beside: None,
            recent,
            window: None,
            outcomes_since: Instant::now(),
            cloud_is_away: false,
        }
    }

    /// Runs until it is told to stop, or nobody can tell it any more.
    pub(crate) fn run(mut self) {
        let mut next = Instant::now();
        loop {
            self.parts.rounds.fetch_add(1, Ordering::Relaxed);
            let busy = self
                .beside
                .as_ref()
                .is_some_and(|beside| !beside.backlog.is_empty());
            let wait = if busy {
                Duration::ZERO
            } else {
                next.saturating_duration_since(Instant::now()).min(ROUND)
            };
            match self.parts.commands.recv_timeout(wait) {
                Ok(Command::Serve(serve)) => {
                    let outcome = self.serve(serve.models);
                    // The agent's thread waits for this; if it is gone, so is the reason to answer.
                    drop(serve.reply.send(outcome));
                }
                Ok(Command::Infer(job)) => self.infer(*job),
                Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if Instant::now() >= next {
                // After a pause (a suspended machine) go on from now, not through all that was missed.
                next = Instant::now() + self.parts.pace.interval;
                self.answer_next();
            }
            self.compare_backlog();
            self.flush(false);
        }
        self.flush(true);
    }

    fn serve(&mut self, models: Models) -> Result<Running, String> {
        let paired = models.paired();
        // The images before go on answering if this one does not load.
        let answer = models
            .answer
            .map(|file| self.pipeline(&file).map(|pipeline| (file.digest(), pipeline)));
        let answer = answer.transpose()?;
        self.flush_outcomes();
        self.close_window();
        let before = self.active.take().map(|active| active.model);
        self.active = answer.map(|(image, pipeline)| Active {
            image,
            name: name(&pipeline),
            model: self.model(before, pipeline),
        });
        self.announce();
        self.beside = paired
            .zip(models.beside)
            .and_then(|(paired, file)| self.put_beside(&file, paired));
        Ok(if self.beside.is_some() {
            Running::Compared
        } else {
            Running::Alone
        })
    }

    fn pipeline(&self, file: &ModelFile) -> Result<Pipeline, String> {
        let session = load(file, &self.parts.sessions.options())?;
        Pipeline::new(session).map_err(|error| error.to_string())
    }

    fn model(&self, before: Option<Model>, pipeline: Pipeline) -> Model {
        match &self.parts.cascade {
            None => Model::Alone(Box::new(pipeline)),
            Some(end) => Model::Cascade(Box::new(cascade(before, pipeline, end, self.parts.seed))),
        }
    }

    fn put_beside(&self, file: &ModelFile, paired: Paired) -> Option<Beside> {
        match self.pipeline(file) {
            Ok(pipeline) => {
                let backlog = self.backlog(&pipeline);
                Some(Beside {
                    pipeline,
                    paired,
                    seen: HashSet::new(),
                    backlog,
                })
            }
            Err(error) => {
                tracing::warn!(%error, "the image beside does not load: no comparison");
                None
            }
        }
    }

    /// What a trial can be judged by at once: the inputs remembered, then those that come next, as many as would be
    /// remembered.
    fn backlog(&self, pipeline: &Pipeline) -> VecDeque<(InputHash, FileBlocks)> {
        let mut backlog: VecDeque<(InputHash, FileBlocks)> = self.recent.iter().cloned().collect();
        let missing = self.parts.pace.remembered.saturating_sub(backlog.len());
        let block = pipeline.block().unwrap_or(0);
        let upcoming = self
            .parts
            .feed
            .upcoming(missing)
            .filter_map(|path| FileBlocks::read(path, block).ok());
        backlog.extend(upcoming.map(|blocks| (hash(&blocks), blocks)));
        backlog
    }

    fn answer_next(&mut self) {
        let Some(active) = &mut self.active else { return };
        let Some(path) = self.parts.feed.next_file().map(Path::to_path_buf) else {
            return;
        };
        let Ok(blocks) = FileBlocks::read(&path, active.pipeline().block().unwrap_or(0)) else {
            return;
        };
        let now = Instant::now();
        let window = self.window.get_or_insert_with(|| Window::new(active.image, now));
        let result = active.answer(&Input::Ends(blocks.ends()));
        let micros = u64::try_from(now.elapsed().as_micros()).unwrap_or(u64::MAX);
        match result {
            Ok(answer) => {
                window.answered(counted(&answer, micros));
                self.parts.log.write(&line(&path, &answer, active.image, micros));
                let hash = hash(&blocks);
                self.note_cloud(&answer);
                let new = answer.local.as_ref().unwrap_or(&answer.answer);
                self.compare(&hash, &Input::Ends(blocks.ends()), new);
                self.recent.add(hash, blocks);
            }
            Err(error) if error.is_input() => window.rejected(),
            Err(error) => {
                tracing::error!(%error, file = %path.display(), "no answer");
                window.failed();
            }
        }
    }

    /// Tells once when the cloud goes away, and once when it is back.
    fn note_cloud(&mut self, answer: &CascadeAnswer) {
        let away = match (answer.degraded.is_some(), answer.source) {
            (true, _) => true,
            (false, Source::Cloud) => false,
            (false, _) => return,
        };
        if away != self.cloud_is_away {
            self.cloud_is_away = away;
            let (kind, detail) = if away {
                (
                    EventKind::CascadeOpen,
                    "the cascade's endpoint does not answer; answers are the device's own",
                )
            } else {
                (EventKind::CascadeClosed, "the cascade's endpoint answers again")
            };
            self.parts.handle.note(Event {
                kind,
                image: None,
                rollout: None,
                detail: detail.to_string(),
            });
        }
    }

    /// Whether an image runs beside.
    pub(crate) fn compares(&self) -> bool {
        self.beside.is_some()
    }

    /// Runs the image beside on the same input and keeps whether both decide alike.
    pub(crate) fn compare(&mut self, hash: &InputHash, input: &Input<'_>, new: &Answer) {
        let Some(beside) = &mut self.beside else { return };
        let unit = unit(beside.paired.rollout, hash);
        if beside.seen.len() >= MAX_UNITS || !beside.seen.insert(unit) {
            return;
        }
        match beside.pipeline.answer(input, Some(1)) {
            Ok(old) => beside.paired.outcomes.push(PairedOutcome {
                unit,
                agree: old.label == new.label,
            }),
            Err(error) => tracing::warn!(%error, "the image beside gave no answer"),
        }
    }

    /// Compares one remembered input; one at a time, so that answers stay on time.
    fn compare_backlog(&mut self) {
        let Some((hash, blocks)) = self.beside.as_mut().and_then(|beside| beside.backlog.pop_front()) else {
            return;
        };
        let Some(active) = &mut self.active else { return };
        let input = Input::Ends(blocks.ends());
        match active.pipeline().answer(&input, Some(1)) {
            Ok(answer) => self.compare(&hash, &input, &answer),
            Err(error) => tracing::warn!(%error, "no answer to a remembered input"),
        }
    }

    fn flush(&mut self, all: bool) {
        let waited = self.outcomes_since.elapsed() >= OUTCOMES_WAIT;
        let many = self
            .beside
            .as_ref()
            .is_some_and(|beside| beside.paired.outcomes.len() >= OUTCOMES);
        if all || waited || many {
            self.flush_outcomes();
        }
        let due = self
            .window
            .as_ref()
            .is_some_and(|window| window.is_due(Instant::now(), self.parts.pace.window));
        if all || due {
            self.close_window();
        }
    }

    fn flush_outcomes(&mut self) {
        self.outcomes_since = Instant::now();
        let paired = self.beside.as_mut().map(|beside| &mut beside.paired);
        if let Some(paired) = paired.filter(|paired| !paired.outcomes.is_empty()) {
            let outcomes = std::mem::take(&mut paired.outcomes);
            self.parts.handle.paired(Paired { outcomes, ..*paired });
        }
    }

    fn close_window(&mut self) {
        if let Some(window) = self.window.take().and_then(|window| window.close(Instant::now())) {
            self.parts.handle.served(window);
        }
    }
}

impl Active {
    pub(crate) fn pipeline(&mut self) -> &mut Pipeline {
        match &mut self.model {
            Model::Alone(pipeline) => pipeline,
            Model::Cascade(cascade) => cascade.pipeline_mut(),
        }
    }

    fn answer(&mut self, input: &Input<'_>) -> Result<CascadeAnswer, SessionError> {
        match &mut self.model {
            Model::Alone(pipeline) => pipeline.answer(input, Some(1)).map(of_device),
            Model::Cascade(cascade) => cascade.answer(input),
        }
    }
}

/// Name and version of a model.
fn name(pipeline: &Pipeline) -> (String, String) {
    let manifest = pipeline.session().manifest();
    manifest.map_or_else(Default::default, |manifest| {
        (manifest.name.clone(), manifest.version.clone())
    })
}

/// The cascade for a pipeline. What the one before has learnt of the endpoint (breaker, retry budget, and cached answers
/// where the labels are the same) goes on, as long as the same model is asked there.
fn cascade(before: Option<Model>, pipeline: Pipeline, end: &Cascade, seed: u64) -> CascadePipeline {
    let options = &end.options;
    let manifest = pipeline.session().manifest();
    let defaults = manifest.and_then(|manifest| manifest.cascade.clone());
    let name = manifest.map(|manifest| manifest.name.clone()).unwrap_or_default();
    let model = options
        .model
        .clone()
        .or(defaults.as_ref().map(|d| d.endpoint_model.clone()))
        .unwrap_or(name);
    let mut config = CascadeConfig::default();
    if let Some(threshold) = options
        .threshold
        .or(defaults.map(|defaults| defaults.confidence_threshold))
    {
        config.threshold = threshold;
    }
    match before {
        Some(Model::Cascade(mut cascade)) if cascade.model() == model => {
            cascade.replace_pipeline(pipeline);
            cascade.set_threshold(config.threshold);
            *cascade
        }
        _ => {
            let (endpoint, host) = (Box::new(end.endpoint.clone()), Box::new(SystemHost::new(seed)));
            CascadePipeline::new(pipeline, config, model, endpoint, host)
        }
    }
}

/// An answer without a cascade.
pub(crate) fn of_device(answer: Answer) -> CascadeAnswer {
    CascadeAnswer {
        answer,
        local: None,
        source: Source::Device,
        degraded: None,
    }
}

fn hash(blocks: &FileBlocks) -> InputHash {
    let ends = blocks.ends();
    Sha256::new()
        .chain_update(ends.len.to_le_bytes())
        .chain_update(ends.start)
        .chain_update(ends.end)
        .finalize()
        .into()
}

pub(crate) fn counted(answer: &CascadeAnswer, micros: u64) -> Counted {
    Counted {
        micros,
        confidence: answer.answer.confidence,
        class: answer
            .answer
            .top
            .first()
            .and_then(|top| u32::try_from(top.index).ok()),
        flagged: answer.answer.flagged,
        cascaded: answer.source == Source::Cloud,
        degraded: answer.degraded.is_some(),
    }
}

fn line(file: &Path, answer: &CascadeAnswer, image: Digest, micros: u64) -> AnswerLine {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    AnswerLine {
        time_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        file: PathBuf::from(file),
        label: answer.answer.label.clone(),
        confidence: answer.answer.confidence,
        image: image.to_string(),
        source: format!("{:?}", answer.source).to_lowercase(),
        degraded: answer.degraded.as_ref().map(|why| format!("{why:?}")),
        micros,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sanderling_session::cascade::CascadeCounters;
    use sanderling_session::{ModelBytes, Session, SessionOptions, Tensor};

    fn sides(name: &str) -> Pipeline {
        let bytes = sanderling_support::bundle(sanderling_support::manifest(name), "any", None);
        let session = Session::from_bundle(ModelBytes::copy_of(&bytes), &SessionOptions::default());
        Pipeline::new(session.unwrap()).unwrap()
    }

    #[test]
    fn a_new_version_keeps_what_is_known_of_the_endpoint() {
        let end = Cascade::new(CascadeOptions {
            // Nobody listens on the port for discarding.
            url: "http://127.0.0.1:9".into(),
            token: None,
            model: None,
            threshold: Some(0.9),
        })
        .unwrap();
        let mut first = cascade(None, sides("sides"), &end, 1);
        let unsure = Tensor::from_slice(&[1, 2], &[1.0f32, 0.9]).unwrap();
        first.answer(&Input::Tensors(&[("x", unsure.view())])).unwrap();
        let known = first.counters();
        assert_ne!(known, CascadeCounters::default());
        let before = Some(Model::Cascade(Box::new(first)));
        let second = cascade(before, sides("sides"), &end, 1);
        assert_eq!(second.counters(), known);
        // Another model there is another matter.
        let before = Some(Model::Cascade(Box::new(second)));
        let third = cascade(before, sides("others"), &end, 1);
        assert_eq!(third.counters(), CascadeCounters::default());
    }
}
