//! The agent behind JavaScript values.

use crate::border::{Handles, Random, error, now};
use crate::medium::Medium;
use crate::told::{Event, Image, Options, Request, Runtime, Served, State, Step, place};
use sanderling_agent::{
    Action, Agent as Machine, AgentError, Config, Counted, Counts, HttpRequest, Input, Paired, RequestId,
    ResponseHead, Running, Serving, TransportError, unit,
};
use sanderling_slots::Storage;
use sanderling_trust::{Ed25519Signer, Roots};
use sanderling_wire::{Digest, EnrolmentString, HardwareId, PairedOutcome, RuntimeInfo};
use std::collections::VecDeque;
use wasm_bindgen::prelude::*;
use zeroize::Zeroizing;

/// Document with the device's seed.
const KEY: &str = "key";
/// Milliseconds after which a window is closed, at the next step.
const WINDOW_MS: u64 = 1_000;
/// Events that wait to be taken; the agent's actions make room for what has to be done, and so do lines of the log here.
const EVENTS: usize = 256;

/// A tab's agent.
#[wasm_bindgen]
pub struct Agent {
    machine: Machine<Medium<Handles>>,
    server: String,
    events: VecDeque<Event>,
    /// Waits to be handed out.
    next: Option<HttpRequest>,
    /// Handed out, its end not yet heard of.
    current: Option<RequestId>,
    /// The newest order, and its number.
    ordered: (u32, Serving),
    answers: Option<Answers>,
    rested: bool,
}

/// What answers, as the page said.
struct Answers {
    turn: u32,
    image: Digest,
    /// Outcomes that wait, with what they compare.
    paired: Option<Paired>,
    counts: Option<(u64, Counts)>,
}

#[wasm_bindgen]
impl Agent {
    /// Opens an updater's files. `options` is JSON.
    ///
    /// # Errors
    /// With `code`: `Option` for what is no enrolment string or no hardware name, `NotEnrolled` where there is none and none is
    /// given, `State` where the files belong to another fleet or are damaged, `Storage` where the medium fails.
    pub fn open(files: Handles, options: &str) -> Result<Agent, JsValue> {
        let wrong = |what: &str, problem: String| error("Option", &format!("{what}: {problem}"));
        let options: Options =
            serde_json::from_str(options).map_err(|problem| wrong("the options", problem.to_string()))?;
        let enrolment = options.enrolment.as_deref().map(str::parse::<EnrolmentString>);
        let enrolment = enrolment
            .transpose()
            .map_err(|problem| wrong("the enrolment string", problem.to_string()))?;
        let hardware = HardwareId::new(&options.hardware)
            .map_err(|problem| wrong("the option hardware", problem.to_string()))?;
        let mut medium = Medium::open(files)
            .map_err(|problem| error("Storage", &format!("the updater's files: {problem}")))?;
        if medium.is_damaged() && enrolment.is_none() {
            let words = "the updater's documents are damaged, so it is not known which fleet this is: open it once with an \
                         enrolment string (sdl1:…), or with another name";
            return Err(error("State", words));
        }
        let mut random = Random::new()?;
        let signer = Ed25519Signer::from_seed(&*seed(&mut medium, &mut random)?);
        let mut config = Config {
            enrolment,
            roots: Roots::Production,
            hardware,
            runtime: runtime(options.runtime),
            trial: Default::default(),
            network: Default::default(),
        };
        if let Some(bytes) = options.daily_budget {
            config.network.daily_budget = bytes;
        }
        if let Some(seconds) = options.trial_seconds {
            config.trial.min_seconds = seconds;
        }
        let machine = Machine::start(config, medium, Box::new(signer), Box::new(random), now());
        let machine = machine.map_err(|problem| error(code(&problem), &problem.to_string()))?;
        let server = machine.enrolment().server.trim_end_matches('/').to_string();
        let mut agent = Self {
            machine,
            server,
            events: VecDeque::new(),
            next: None,
            current: None,
            ordered: (0, Serving::default()),
            answers: None,
            rested: false,
        };
        agent.act();
        Ok(agent)
    }

    /// Does all that needs no network, and says what is next: JSON of a request to carry out, or of milliseconds to wait.
    pub fn step(&mut self) -> String {
        self.hand_in(false);
        self.handle(Input::Tick);
        let step = match &self.next {
            Some(request) => {
                self.current = Some(request.id);
                Step::Request(Request::new(&self.server, request))
            }
            None => Step::Wait(self.machine.wake_at().saturating_sub(now().uptime_ms)),
        };
        json(&step)
    }

    /// The body of the request that the last step gave.
    pub fn request_body(&mut self) -> Vec<u8> {
        self.next.take().map(|request| request.body).unwrap_or_default()
    }

    /// The next thing for the page: JSON.
    pub fn event(&mut self) -> Option<String> {
        self.events.pop_front().map(|event| json(&event))
    }

    /// Checks in at the next step.
    pub fn check_in(&mut self) {
        self.handle(Input::Doorbell);
    }

    /// The head of a request's answer. Says whether the rest is wanted.
    pub fn respond(
        &mut self,
        id: f64,
        status: u16,
        content_range: Option<String>,
        retry_after: Option<String>,
        decommissioned_at: Option<String>,
    ) -> bool {
        let head = ResponseHead::of(status, |name| match name {
            "content-range" => content_range.as_deref(),
            "retry-after" => retry_after.as_deref(),
            _ => decommissioned_at.as_deref(),
        });
        self.of_request(id, |id| Input::Response { id, head })
    }

    /// The next bytes of the answer's body. Says whether more are wanted.
    pub fn body(&mut self, id: f64, bytes: &[u8]) -> bool {
        self.of_request(id, |id| Input::Body { id, bytes })
    }

    /// The answer is there whole.
    pub fn end(&mut self, id: f64) {
        self.of_request(id, |id| Input::End { id });
    }

    /// The exchange came to no answer, or broke off; `detail` says why.
    pub fn failed(&mut self, id: f64, cause: &str, detail: String) {
        let error = match cause {
            "Unreachable" => TransportError::Unreachable { detail },
            "TimedOut" => TransportError::TimedOut,
            _ => TransportError::Broken { detail },
        };
        self.of_request(id, |id| Input::Failed { id, error });
    }

    /// What an image's golden vectors gave: nothing where all passed, else what failed.
    pub fn tested(&mut self, image: &str, failure: Option<String>) {
        let Ok(image) = image.parse() else { return };
        let outcome = failure.map_or(Ok(()), Err);
        self.handle(Input::SelfTested { image, outcome });
    }

    /// What came of an order to answer: why it could not be, or whether the image beside runs, too.
    pub fn loaded(&mut self, turn: u32, failure: Option<String>, compared: bool) {
        let (newest, serving) = self.ordered;
        // Of an older order nothing is asked any more.
        if turn != newest {
            return;
        }
        if failure.is_none() {
            self.close_window();
            self.answers = serving.answer.map(|at| Answers {
                turn,
                image: at.image.digest,
                paired: paired(&serving).filter(|_| compared),
                counts: None,
            });
        }
        let Some(at) = serving.answer else { return };
        let outcome = match failure {
            Some(why) => Err(why),
            None if compared => Ok(Running::Compared),
            None => Ok(Running::Alone),
        };
        self.handle(Input::Loaded {
            image: at.image.digest,
            outcome,
        });
    }

    /// Counts an answer by an order's image. `class` is none for an answer by rule.
    pub fn counted(&mut self, turn: u32, micros: f64, confidence: f32, class: Option<u32>, flagged: bool) {
        if let Some(counts) = self.counts(turn) {
            counts.answered(Counted {
                micros: micros as u64,
                confidence,
                class,
                flagged,
                ..Counted::default()
            });
        }
    }

    /// Counts an input that cannot be answered.
    pub fn rejected(&mut self, turn: u32) {
        if let Some(counts) = self.counts(turn) {
            counts.rejected();
        }
    }

    /// Counts a run that failed.
    pub fn broke(&mut self, turn: u32) {
        if let Some(counts) = self.counts(turn) {
            counts.failed();
        }
    }

    /// Both images of an order answered to the input of this hash.
    pub fn compared(&mut self, turn: u32, hash: &[u8], agree: bool) {
        let answers = self.answers.as_mut().filter(|answers| answers.turn == turn);
        let paired = answers.and_then(|answers| answers.paired.as_mut());
        if let (Some(paired), Ok(hash)) = (paired, hash.try_into()) {
            let unit = unit(paired.rollout, hash);
            paired.outcomes.push(PairedOutcome { unit, agree });
        }
    }

    /// Puts what was counted into the files, and takes this start for a good one.
    ///
    /// # Errors
    /// With the code `Storage`.
    pub fn rest(&mut self) -> Result<(), JsValue> {
        self.hand_in(true);
        let done = if self.rested {
            self.machine.flush()
        } else {
            self.machine.rest()
        };
        // Where the files did not take it, the next call tries again.
        self.rested |= done.is_ok();
        done.map_err(|problem| error("Storage", &problem.to_string()))
    }

    /// What the updater says of itself: JSON.
    #[must_use]
    pub fn state(&self) -> String {
        let journal = self.machine.slots().journal();
        let serving = journal.serving();
        json(&State {
            device: self.machine.device().to_string(),
            server: self.server.clone(),
            enrolled: self.machine.is_enrolled(),
            phase: format!("{:?}", self.machine.state_report().phase),
            image: serving.map(|at| at.image.digest.to_string()),
            place: serving.map(place),
            standby: journal.standby().map(|at| at.image.digest.to_string()),
            factory: journal.factory.map(|image| image.digest.to_string()),
        })
    }

    /// Where the image lies that answers: JSON, or nothing.
    #[must_use]
    pub fn image(&self) -> Option<String> {
        let serving = self.machine.slots().journal().serving();
        serving.map(|at| json(&Image::new(at)))
    }

    fn handle(&mut self, input: Input<'_>) {
        self.machine.handle(input, now());
        self.act();
    }

    fn of_request<'b>(&mut self, id: f64, input: impl FnOnce(RequestId) -> Input<'b>) -> bool {
        let id = RequestId(id as u64);
        // One that was cancelled is of no more interest.
        if self.current != Some(id) {
            return false;
        }
        let input = input(id);
        if matches!(input, Input::End { .. } | Input::Failed { .. }) {
            self.current = None;
        }
        self.handle(input);
        self.current == Some(id)
    }

    fn act(&mut self) {
        // Handling an action may add others; the agent bounds how many.
        while let Some(action) = self.machine.poll_action() {
            match action {
                Action::Http(request) => self.next = Some(request),
                Action::Cancel(id) => {
                    self.current = self.current.filter(|current| *current != id);
                    self.next = self.next.take().filter(|next| next.id != id);
                    self.tell(Event::Cancel(id.0));
                }
                Action::SelfTest(at) => self.tell(Event::Test(Image::new(at))),
                Action::Serve(serving) => {
                    let turn = self.ordered.0.wrapping_add(1);
                    self.ordered = (turn, serving);
                    self.tell(Event::Serve(Served::new(turn, &serving)));
                }
                Action::Report(report) => self.tell(Event::Log(report.to_string())),
                // A tab polls: browsers speak no MQTT.
                _ => {}
            }
        }
    }

    fn tell(&mut self, event: Event) {
        if self.events.len() >= EVENTS {
            let line = self
                .events
                .iter()
                .position(|event| matches!(event, Event::Log(_)));
            line.map(|at| self.events.remove(at));
        }
        self.events.push_back(event);
    }

    fn counts(&mut self, turn: u32) -> Option<&mut Counts> {
        // An image that was replaced meanwhile has given its last window away.
        let answers = self.answers.as_mut().filter(|answers| answers.turn == turn)?;
        let image = answers.image;
        let begin = || (now().uptime_ms, Counts::new(image));
        Some(&mut answers.counts.get_or_insert_with(begin).1)
    }

    /// Windows and outcomes.
    fn hand_in(&mut self, all: bool) {
        let counts = self.answers.as_ref().and_then(|answers| answers.counts.as_ref());
        if counts.is_some_and(|(since, _)| all || now().uptime_ms.saturating_sub(*since) >= WINDOW_MS) {
            self.close_window();
        }
        let paired = self.answers.as_mut().and_then(|answers| answers.paired.as_mut());
        if let Some(paired) = paired.filter(|paired| !paired.outcomes.is_empty()) {
            let outcomes = std::mem::take(&mut paired.outcomes);
            let paired = Paired { outcomes, ..*paired };
            self.handle(Input::Paired(paired));
        }
    }

    fn close_window(&mut self) {
        let counts = self.answers.as_mut().and_then(|answers| answers.counts.take());
        let Some((since, counts)) = counts else { return };
        let seconds = now().uptime_ms.saturating_sub(since).div_ceil(1000);
        if let Some(window) = counts.close(u32::try_from(seconds).unwrap_or(u32::MAX)) {
            self.handle(Input::Served(window));
        }
    }
}

/// What comparing gives, without outcomes yet; none where nothing is compared.
fn paired(serving: &Serving) -> Option<Paired> {
    let (new, old) = serving.new_and_old()?;
    Some(Paired {
        rollout: serving.rollout?,
        new,
        old,
        outcomes: Vec::new(),
    })
}

/// The seed of the device's key; made at the first time, and never again once the files belong to a fleet.
fn seed(medium: &mut Medium<Handles>, random: &mut Random) -> Result<Zeroizing<[u8; 32]>, JsValue> {
    use sanderling_agent::Entropy as _;
    let storage = |problem: sanderling_slots::StorageError| error("Storage", &problem.to_string());
    if let Some(bytes) = medium.read_blob(KEY).map_err(storage)?.map(Zeroizing::new) {
        let seed = <[u8; 32]>::try_from(bytes.as_slice()).map(Zeroizing::new);
        return seed.map_err(|_| {
            error(
                "State",
                "the device's key is damaged: open the updater by another name",
            )
        });
    }
    let mut seed = Zeroizing::new([0; 32]);
    random.fill(&mut *seed);
    medium.write_blob(KEY, &*seed).map_err(storage)?;
    Ok(seed)
}

fn runtime(runtime: Runtime) -> RuntimeInfo {
    RuntimeInfo {
        version: runtime.version,
        numerics: runtime.numerics,
        bundle_format: runtime.bundle_format,
        operators: runtime.operators,
        memory_limit: runtime.memory_limit,
    }
}

fn code(problem: &AgentError) -> &'static str {
    match problem {
        AgentError::NotEnrolled => "NotEnrolled",
        AgentError::Slots(_) => "Storage",
        _ => "State",
    }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value)
        .expect("a form of strings, numbers and lists is JSON (serde_json fails on maps' keys alone)")
}
