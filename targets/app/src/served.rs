//! What an updater answers from, and what is counted and compared on the way.

use crate::error::{AppError, Kind};
use crate::model::{Model, ModelOptions};
use crate::pairs::{InputHash, unit};
use crate::updater::closed;
use crate::window::{Counted, Window};
use sanderling_agent::{Paired, Running};
use sanderling_drivers::{ModelFile, Models};
use sanderling_session::Answer;
use sanderling_wire::{Digest, PairedOutcome, ServingWindow};
use sha2::{Digest as _, Sha256};
use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Inputs that wait to be compared, and the longest of them: they are held in memory, during a trial alone.
const BACKLOG: usize = 16;
const MAX_INPUT: usize = 8 << 20;
/// Most inputs compared in one trial.
const MAX_UNITS: usize = 4096;
/// A window is closed at the first step after this.
const WINDOW: Duration = Duration::from_secs(1);

const NO_MODEL: &str = "there is no intact model on this device: open the updater with the factory bundle that ships with the app";

/// The images that answer.
#[derive(Default)]
pub(crate) struct Served(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    answers: Option<Active>,
    closed: bool,
    beside: Option<Beside>,
    window: Option<Window>,
}

/// An image that answers.
#[derive(Clone)]
pub(crate) struct Active {
    image: Digest,
    pub(crate) model: Arc<Model>,
}

/// The image that runs on the same inputs, later.
struct Beside {
    model: Arc<Model>,
    paired: Paired,
    seen: HashSet<u64>,
    backlog: VecDeque<(InputHash, Vec<u8>)>,
}

impl Served {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Each change is whole before the lock is given up, whatever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The image that answers.
    pub(crate) fn active(&self) -> Result<Active, AppError> {
        let inner = self.lock();
        match &inner.answers {
            Some(active) => Ok(active.clone()),
            None if inner.closed => Err(closed()),
            None => Err(AppError::new(Kind::NoModel, NO_MODEL)),
        }
    }

    /// Answers from nothing any more.
    pub(crate) fn close(&self) {
        *self.lock() = Inner {
            closed: true,
            ..Inner::default()
        };
    }

    /// Answers from these images from now on. Gives how they run, and the window of the ones before.
    pub(crate) fn replace(
        &self,
        models: &Models,
        options: ModelOptions,
    ) -> (Result<Running, String>, Option<ServingWindow>) {
        let answers = match models
            .answer
            .as_ref()
            .map(|file| active(file, options))
            .transpose()
        {
            Ok(answers) => answers,
            // The images before go on answering.
            Err(error) => return (Err(error), None),
        };
        // One that does not load costs the comparison and nothing else.
        let beside = models.beside.as_ref().zip(models.paired());
        let beside = beside.and_then(|(file, paired)| {
            Some(Beside {
                model: active(file, options).ok()?.model,
                paired,
                seen: HashSet::new(),
                backlog: VecDeque::new(),
            })
        });
        let running = match beside {
            Some(_) => Running::Compared,
            None => Running::Alone,
        };
        let mut inner = self.lock();
        inner.answers = answers;
        inner.beside = beside;
        let window = inner
            .window
            .take()
            .and_then(|window| window.close(Instant::now()));
        (Ok(running), window)
    }

    /// Answers a file's bytes, and counts it.
    pub(crate) fn answer(&self, file: &[u8], top: Option<usize>) -> Result<Answer, AppError> {
        let active = self.active()?;
        let started = Instant::now();
        let result = active.model.answer_waiting(file, top);
        let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let mut inner = self.lock();
        // An image that was replaced meanwhile has given its last window away.
        if inner
            .answers
            .as_ref()
            .is_some_and(|now| now.image == active.image)
        {
            inner.count(active.image, &result, micros);
            if result.is_ok() {
                inner.remember(file);
            }
        }
        result
    }

    /// Runs the image beside on the inputs that wait, and gives the outcomes.
    pub(crate) fn compare(&self) -> Option<Paired> {
        for _ in 0..BACKLOG {
            let (hash, input, new, old) = {
                let mut inner = self.lock();
                let new = inner.answers.as_ref()?.model.clone();
                let beside = inner.beside.as_mut()?;
                let Some((hash, input)) = beside.backlog.pop_front() else {
                    break;
                };
                (hash, input, new, beside.model.clone())
            };
            let label = |model: &Model| model.answer(&input, Some(1)).map(|answer| answer.label);
            let labels = label(&new).and_then(|new| Ok((new, label(&old)?)));
            let mut inner = self.lock();
            // What was replaced meanwhile compares nothing any more.
            let beside = inner
                .beside
                .as_mut()
                .filter(|beside| Arc::ptr_eq(&beside.model, &old));
            match (beside, labels) {
                (Some(beside), Ok((new, old))) => {
                    let unit = unit(beside.paired.rollout, &hash);
                    let agree = new == old;
                    beside.paired.outcomes.push(PairedOutcome { unit, agree });
                }
                (Some(beside), Err(error)) if error.kind == Kind::Busy => {
                    beside.backlog.push_back((hash, input));
                    break;
                }
                _ => {}
            }
        }
        let mut inner = self.lock();
        let paired = &mut inner.beside.as_mut()?.paired;
        let outcomes = std::mem::take(&mut paired.outcomes);
        (!outcomes.is_empty()).then_some(Paired { outcomes, ..*paired })
    }

    /// The window that is due; at the end whatever there is.
    pub(crate) fn window(&self, all: bool) -> Option<ServingWindow> {
        let (mut inner, now) = (self.lock(), Instant::now());
        let due = inner
            .window
            .as_ref()
            .is_some_and(|window| all || window.is_due(now, WINDOW));
        if due {
            inner.window.take()?.close(now)
        } else {
            None
        }
    }
}

impl Inner {
    fn count(&mut self, image: Digest, result: &Result<Answer, AppError>, micros: u64) {
        let window = self
            .window
            .get_or_insert_with(|| Window::new(image, Instant::now()));
        match result {
            Ok(answer) => window.answered(Counted {
                micros,
                confidence: answer.confidence,
                class: answer.top.first().and_then(|top| u32::try_from(top.index).ok()),
                flagged: answer.flagged,
                cascaded: false,
                degraded: false,
            }),
            Err(error) => match error.kind {
                Kind::Input => window.rejected(),
                Kind::Busy | Kind::Closed | Kind::Argument => {}
                _ => window.failed(),
            },
        }
    }

    /// Keeps an input for the comparison, once each, as long as there is room.
    fn remember(&mut self, file: &[u8]) {
        let Some(beside) = &mut self.beside else { return };
        if file.len() > MAX_INPUT || beside.backlog.len() >= BACKLOG || beside.seen.len() >= MAX_UNITS {
            return;
        }
        let hash: InputHash = Sha256::digest(file).into();
        if beside.seen.insert(unit(beside.paired.rollout, &hash)) {
            beside.backlog.push_back((hash, file.to_vec()));
        }
    }
}

fn active(file: &ModelFile, options: ModelOptions) -> Result<Active, String> {
    let model = load(file, options).map_err(|error| error.to_string())?;
    Ok(Active {
        image: file.digest(),
        model: Arc::new(model),
    })
}

/// Loads an image from the file that was verified.
pub(crate) fn load(file: &ModelFile, options: ModelOptions) -> Result<Model, AppError> {
    let length =
        usize::try_from(file.length()).map_err(|error| AppError::new(Kind::File, error.to_string()))?;
    Model::read(&mut file.reader(), length, options).map_err(|error| AppError {
        message: format!("{}: {error}", file.path().display()),
        ..error
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sanderling_session::Tensor;
    use sanderling_slots::{Image, ImageAt, Place};
    use std::path::Path;

    fn file(folder: &Path, version: &str) -> ModelFile {
        let path = folder.join(format!("{version}.sdl"));
        let mut manifest = sanderling_support::manifest("sides");
        manifest.version = version.to_string();
        let bundle = sanderling_support::bundle(manifest, "any", Some(0.5));
        std::fs::write(&path, &bundle).unwrap();
        let at = ImageAt {
            image: Image {
                digest: Digest::of(&bundle),
                length: bundle.len() as u64,
                release: 0,
                rollout: None,
            },
            place: Place::Factory,
        };
        ModelFile::new(std::fs::File::open(&path).unwrap(), path, at)
    }

    /// On trial, beside the image before.
    fn trial(folder: &Path) -> Served {
        let served = Served::default();
        let models = Models {
            answer: Some(file(folder, "2")),
            beside: Some(file(folder, "1")),
            rollout: Some(sanderling_wire::RolloutId(1)),
            trial: true,
            shadow: false,
        };
        let (running, _) = served.replace(&models, ModelOptions::default());
        assert_eq!(running, Ok(Running::Compared));
        served
    }

    fn input(number: u16) -> Vec<u8> {
        [[0; 4], f32::from(number).to_le_bytes()].concat()
    }

    #[test]
    fn an_answer_waits_for_a_comparison() {
        let folder = tempfile::tempdir().unwrap();
        let served = trial(folder.path());
        let model = served.active().unwrap().model;
        let x = Tensor::from_slice(&[1, 2], &[1.0f32, 3.0]).unwrap();
        std::thread::scope(|scope| {
            // What holds the model for as long as a comparison on a large model does.
            let answers = model.run(&[("x", x.view())], |_| {
                let answers = scope.spawn(|| served.answer(&input(1), None));
                std::thread::sleep(Duration::from_millis(100));
                assert!(!answers.is_finished());
                answers
            });
            let answer = answers.unwrap().join().unwrap().unwrap();
            assert_eq!(answer.label, "right");
        });
    }

    #[test]
    fn answers_and_comparisons_go_on_beside_each_other() {
        const INPUTS: u16 = 2000;
        let folder = tempfile::tempdir().unwrap();
        let served = trial(folder.path());
        let compared = std::thread::scope(|scope| {
            let answers = scope.spawn(|| {
                for number in 1..=INPUTS {
                    assert_eq!(served.answer(&input(number), None).unwrap().label, "right");
                }
            });
            let mut compared = 0;
            while !answers.is_finished() {
                compared += served.compare().map_or(0, |paired| paired.outcomes.len());
            }
            answers.join().unwrap();
            compared + served.compare().map_or(0, |paired| paired.outcomes.len())
        });
        assert!(compared > 0);
        let window = served.window(true).unwrap();
        assert_eq!(window.answers, u64::from(INPUTS));
    }
}
