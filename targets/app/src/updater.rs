//! A device's agent, driven by an app's own scheduler and network.

use crate::driver::Driver;
use crate::error::{AppError, Kind};
use crate::model::{Model, ModelOptions};
use crate::runtime::runtime_info;
use crate::served::Served;
use sanderling_agent::{Action, Config, Input, RequestId, ResponseHead, Serving, TransportError};
use sanderling_drivers::words;
use sanderling_session::Answer;
use sanderling_trust::Roots;
use sanderling_wire::HardwareId;
use serde::Serialize;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

type Held<'a> = MutexGuard<'a, Option<Driver>>;

/// Lines of the log that wait to be read; the oldest make room.
const LINES: usize = 256;
const BUSY: &str = "another thread is stepping this updater: one scheduler drives it";

/// How an updater is set up.
#[derive(Debug, Clone)]
pub struct UpdaterOptions {
    /// The state folder; made if need be. Keys and slots are in it: keep it out of backups.
    pub state: PathBuf,
    /// The enrolment string; may be left out once the folder belongs to a fleet.
    pub enrolment: Option<String>,
    /// The kind of hardware, as the fleet's owner names it.
    pub hardware: String,
    /// The bundle that came with the app: served when no slot holds an intact image.
    pub factory: Option<PathBuf>,
    /// How models run.
    pub model: ModelOptions,
    /// Bytes of images a day; 0 for the default of 2 GiB.
    pub daily_budget: u64,
    /// Least seconds that a new image is on trial; 0 for the default of 30.
    pub trial_seconds: u32,
}

/// A request to be carried out: to this address and no other, without following redirects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its number: what comes of it is handed in by it.
    pub id: u64,
    /// `GET` or `POST`.
    pub method: &'static str,
    /// The whole address.
    pub url: String,
    /// Names (lower case) and values.
    pub headers: Vec<(String, String)>,
    /// The body; empty for `GET`.
    pub body: Vec<u8>,
    /// Most bytes of the answer's body.
    pub max_body: u64,
    /// Seconds for the whole exchange.
    pub timeout_s: u32,
}

/// What is next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Carry this out, and hand in what comes of it; then step again.
    Request(Request),
    /// Nothing before so many milliseconds have passed, unless a push message rings ([`Updater::check_in`]).
    Wait(u64),
}

/// Why an exchange came to no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// No connection.
    Unreachable,
    /// The time given was not enough.
    TimedOut,
    /// The connection broke, or what came was not HTTP.
    Broken,
}

/// What an updater says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct UpdaterState {
    /// This device's id, in hexadecimal.
    pub device: String,
    /// The fleet server.
    pub server: String,
    /// The only authority that may vouch for the server (X.509, DER, in hexadecimal); none: the system's.
    pub tls_ca: Option<String>,
    /// Whether the server knows the device.
    pub enrolled: bool,
    /// `Idle`, `Downloading`, `SelfTest`, `Trial` or `NoModel`.
    pub phase: String,
    /// SHA-256 of the image that answers.
    pub image: Option<String>,
    /// Where it lies: `factory`, `slot a` or `slot b`.
    pub place: Option<String>,
    /// Its model's name.
    pub model: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// The image that it would go back to.
    pub standby: Option<String>,
    /// SHA-256 of the bundle that came with the app.
    pub factory: Option<String>,
}

/// A device's agent on its state folder, and the image that answers.
///
/// Steps are for one scheduler: a second [`Updater::step`] while one is under way gets [`Kind::Busy`]. All else may be called
/// from any thread: [`Updater::check_in`] and [`Updater::rest`] do not wait for another call, which does what they asked for
/// before it returns; what hands in an answer waits for its turn.
pub struct Updater {
    /// Held through a step.
    stepping: Mutex<()>,
    driver: Mutex<Option<Driver>>,
    /// The driver is given back under this lock: who finds it taken knows that its holder will look here once more.
    wishes: Mutex<Wishes>,
    served: Served,
    state: Mutex<UpdaterState>,
    lines: Mutex<VecDeque<String>>,
}

/// What was asked for while another call had the driver.
#[derive(Default)]
struct Wishes {
    check_in: bool,
    rest: bool,
}

impl Updater {
    /// Opens a state folder, and loads the image that answers: the newest intact one, else the factory's.
    ///
    /// # Errors
    /// [`Kind::State`]: the folder is in use, belongs to another fleet, has lost its key, or there is no enrolment.
    /// [`Kind::Argument`] for an enrolment string or a hardware name that is none.
    pub fn open(options: UpdaterOptions) -> Result<Self, AppError> {
        let enrolment = options.enrolment.as_deref().map(str::parse).transpose();
        let enrolment =
            enrolment.map_err(|error| AppError::argument(format!("the enrolment string: {error}")))?;
        let hardware = HardwareId::new(&options.hardware).map_err(|error| {
            AppError::argument(format!("the hardware's name '{}': {error}", options.hardware))
        })?;
        if let Some(path) = options.factory.as_deref().filter(|path| !path.is_file()) {
            let words = format!("{}: there is no such factory bundle", path.display());
            return Err(AppError::new(Kind::File, words));
        }
        let mut config = Config {
            enrolment,
            roots: Roots::Production,
            hardware,
            runtime: runtime_info(options.model.memory_limit),
            trial: Default::default(),
            network: Default::default(),
        };
        if options.daily_budget > 0 {
            config.network.daily_budget = options.daily_budget;
        }
        if options.trial_seconds > 0 {
            config.trial.min_seconds = options.trial_seconds;
        }
        let mut driver =
            Driver::open(&options, config).map_err(|error| AppError::new(Kind::State, error.to_string()))?;
        let updater = Self {
            served: Served::default(),
            state: Mutex::default(),
            lines: Mutex::default(),
            stepping: Mutex::default(),
            driver: Mutex::new(None),
            wishes: Mutex::default(),
        };
        updater.act(&mut driver);
        *updater.driver.lock().unwrap_or_else(PoisonError::into_inner) = Some(driver);
        Ok(updater)
    }

    /// Does all that needs no network (hands in what was counted, tests an image, flips to it), and says what is next.
    ///
    /// # Errors
    /// [`Kind::Busy`] while another thread's step is under way, [`Kind::Closed`].
    pub fn step(&self) -> Result<Step, AppError> {
        let _stepping = match self.stepping.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(AppError::new(Kind::Busy, BUSY)),
            Err(TryLockError::Poisoned(_)) => return Err(fault()),
            Ok(stepping) => stepping,
        };
        self.with(|driver| {
            self.hand_in(driver, false);
            driver.agent.handle(Input::Tick, driver.now());
            self.act(driver);
            if let Some(request) = driver.next.take() {
                driver.current = Some(request.id);
                return Ok(Step::Request(driver.request(request)));
            }
            Ok(Step::Wait(driver.wait()))
        })
    }

    /// Milliseconds until there is something to do, as [`Self::step`] would say, without doing any of it.
    ///
    /// # Errors
    /// [`Kind::Closed`]; likewise for all below.
    pub fn wait(&self) -> Result<u64, AppError> {
        self.with(|driver| Ok(driver.wait()))
    }

    /// Checks in at the next step: a push message came, or the user asked for it.
    ///
    /// # Errors
    /// [`Kind::Closed`].
    pub fn check_in(&self) -> Result<(), AppError> {
        let Some(driver) = self.free_or(|wishes| wishes.check_in = true)? else {
            return Ok(());
        };
        self.hold(driver, |driver| {
            self.handle(driver, Input::Doorbell);
            Ok(())
        })
    }

    /// The head of a request's answer; `header` gives a header by its name in lower case. Says whether the rest is wanted.
    ///
    /// # Errors
    /// [`Kind::Closed`].
    pub fn respond<'a>(
        &self,
        id: u64,
        status: u16,
        header: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<bool, AppError> {
        let head = ResponseHead::of(status, header);
        self.of_request(id, |id| Input::Response { id, head })
    }

    /// The next bytes of the answer's body. Says whether more are wanted.
    ///
    /// # Errors
    /// [`Kind::Closed`].
    pub fn body(&self, id: u64, bytes: &[u8]) -> Result<bool, AppError> {
        self.of_request(id, |id| Input::Body { id, bytes })
    }

    /// The answer is there whole.
    ///
    /// # Errors
    /// [`Kind::Closed`].
    pub fn end(&self, id: u64) -> Result<(), AppError> {
        self.of_request(id, |id| Input::End { id }).map(drop)
    }

    /// The exchange came to no answer, or broke off; `detail` says why, for the log.
    ///
    /// # Errors
    /// [`Kind::Closed`].
    pub fn failed(&self, id: u64, cause: Cause, detail: &str) -> Result<(), AppError> {
        let detail = detail.to_string();
        let error = match cause {
            Cause::Unreachable => TransportError::Unreachable { detail },
            Cause::TimedOut => TransportError::TimedOut,
            Cause::Broken => TransportError::Broken { detail },
        };
        self.of_request(id, |id| Input::Failed { id, error }).map(drop)
    }

    /// Answers a file's bytes from the image that serves. Counted for the fleet; during a trial the input is kept for a
    /// moment, so that a step can run the other image on it.
    ///
    /// # Errors
    /// [`Kind::NoModel`], [`Kind::Closed`], and those of [`Model::answer`] but [`Kind::Busy`]: it waits for a comparison's run.
    pub fn answer(&self, file: &[u8], top: Option<usize>) -> Result<Answer, AppError> {
        self.served.answer(file, top)
    }

    /// The image that serves, for what [`Self::answer`] does not do. What is run on it is not counted.
    ///
    /// # Errors
    /// [`Kind::NoModel`], [`Kind::Closed`].
    pub fn model(&self) -> Result<Arc<Model>, AppError> {
        self.served.active().map(|active| active.model)
    }

    /// Puts what was counted on the disk, and takes this start for a good one: at the end of a job, and before the system
    /// may end the program. Where another call is under way, that one does it before it returns, and the log says what became
    /// of it: this may be called where nothing may wait.
    ///
    /// # Errors
    /// [`Kind::State`] where the disk takes nothing, [`Kind::Closed`].
    pub fn rest(&self) -> Result<(), AppError> {
        match self.free_or(|wishes| wishes.rest = true)? {
            Some(driver) => self.hold(driver, |driver| self.put_away(driver)),
            None => Ok(()),
        }
    }

    /// What the updater says of itself, as of the last step.
    #[must_use]
    pub fn state(&self) -> UpdaterState {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The next line of the log, oldest first.
    #[must_use]
    pub fn line(&self) -> Option<String> {
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front()
    }

    /// [`Self::rest`]s and gives the folder free; waits for a call that is under way.
    pub fn close(&self) {
        let mut driver = self.driver.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(driver) = driver.as_mut() {
            // The end is the end, whether the disk took it or not.
            drop(self.put_away(driver));
        }
        *driver = None;
        self.served.close();
    }

    fn put_away(&self, driver: &mut Driver) -> Result<(), AppError> {
        self.hand_in(driver, true);
        let done = if driver.rested {
            driver.agent.flush()
        } else {
            driver.agent.rest()
        };
        driver.rested |= done.is_ok();
        done.map_err(|error| AppError::new(Kind::State, error.to_string()))
    }

    /// Windows and outcomes.
    fn hand_in(&self, driver: &mut Driver, all: bool) {
        if let Some(window) = self.served.window(all) {
            self.handle(driver, Input::Served(window));
        }
        if let Some(paired) = self.served.compare() {
            self.handle(driver, Input::Paired(paired));
        }
    }

    fn handle(&self, driver: &mut Driver, input: Input<'_>) {
        driver.agent.handle(input, driver.now());
        self.act(driver);
    }

    fn of_request<'b>(&self, id: u64, input: impl FnOnce(RequestId) -> Input<'b>) -> Result<bool, AppError> {
        self.with(|driver| {
            let id = RequestId(id);
            // One that was cancelled is of no more interest, and no error of the caller's.
            if driver.current != Some(id) {
                return Ok(false);
            }
            let input = input(id);
            if matches!(input, Input::End { .. } | Input::Failed { .. }) {
                driver.current = None;
            }
            self.handle(driver, input);
            Ok(driver.current == Some(id))
        })
    }

    /// Does what the agent wants done.
    fn act(&self, driver: &mut Driver) {
        // Handling an action may add others; the agent bounds how many.
        while let Some(action) = driver.agent.poll_action() {
            match action {
                Action::Http(request) => driver.next = Some(request),
                Action::Cancel(id) => {
                    driver.current = driver.current.filter(|current| *current != id);
                    driver.next = driver.next.take().filter(|next| next.id != id);
                }
                Action::SelfTest(at) => driver.self_test(at),
                Action::Serve(serving) => self.serve(driver, serving),
                Action::Report(report) => self.note(words(&report)),
                // Phones have push messages in the doorbell's place.
                _ => {}
            }
        }
        let state = driver.state(self.served.active().ok().map(|active| active.model).as_deref());
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    fn serve(&self, driver: &mut Driver, serving: Serving) {
        let models = driver.models(&serving);
        let (outcome, window) = match models {
            Ok(models) => self.served.replace(&models, driver.model),
            Err(error) => (Err(error), None),
        };
        if let Some(window) = window {
            driver.agent.handle(Input::Served(window), driver.now());
        }
        if let Some(at) = serving.answer {
            let image = at.image.digest;
            driver
                .agent
                .handle(Input::Loaded { image, outcome }, driver.now());
        }
    }

    fn note(&self, line: String) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// Does a call's work, once the calls before it are done.
    fn with<T>(&self, work: impl FnOnce(&mut Driver) -> Result<T, AppError>) -> Result<T, AppError> {
        let driver = self.driver.lock().map_err(|_| fault())?;
        self.hold(driver, work)
    }

    /// The driver where it is free; else its holder is told what is wanted.
    fn free_or(&self, wish: impl FnOnce(&mut Wishes)) -> Result<Option<Held<'_>>, AppError> {
        let mut wishes = self.wishes.lock().unwrap_or_else(PoisonError::into_inner);
        match self.driver.try_lock() {
            Ok(driver) => Ok(Some(driver)),
            Err(TryLockError::WouldBlock) => {
                wish(&mut wishes);
                Ok(None)
            }
            Err(TryLockError::Poisoned(_)) => Err(fault()),
        }
    }

    fn hold<T>(
        &self,
        mut held: Held<'_>,
        work: impl FnOnce(&mut Driver) -> Result<T, AppError>,
    ) -> Result<T, AppError> {
        let done = held.as_mut().ok_or_else(closed).and_then(work);
        self.give_back(held);
        done
    }

    /// Gives the driver back when nothing is left of what was asked for meanwhile. Each pass does all that was asked for, so there
    /// are no more passes than calls.
    fn give_back(&self, mut held: Held<'_>) {
        loop {
            let mut wishes = self.wishes.lock().unwrap_or_else(PoisonError::into_inner);
            let wanted = std::mem::take(&mut *wishes);
            let Some(driver) = held.as_mut().filter(|_| wanted.check_in || wanted.rest) else {
                drop(held);
                return;
            };
            drop(wishes);
            if wanted.check_in {
                self.handle(driver, Input::Doorbell);
            }
            if wanted.rest
                && let Err(error) = self.put_away(driver)
            {
                self.note(format!("what was counted is not on the disk: {error}"));
            }
        }
    }
}

pub(crate) fn closed() -> AppError {
    AppError::new(Kind::Closed, "the updater was closed: open it again")
}

fn fault() -> AppError {
    let words = "an earlier call ended in a fault of the library: open the updater again";
    AppError::new(Kind::Internal, words)
}

impl Drop for Updater {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests;
