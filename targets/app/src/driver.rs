//! What an updater drives: the agent, its clock, and the images that it names.

use crate::model::{Model, ModelOptions};
use crate::served::load;
use crate::updater::{Request, UpdaterOptions, UpdaterState};
use sanderling_agent::{Agent, Config, HttpRequest, Input, Now, RequestId, Serving};
use sanderling_drivers::{
    Clock, DeviceKey, DriverError, FileOptions, FileStorage, ModelFile, Models, OsEntropy, SystemClock,
    check_server,
};
use sanderling_slots::{ImageAt, Place, Slot};

/// The agent, and the request that is under way.
pub(crate) struct Driver {
    pub(crate) agent: Agent<FileStorage>,
    clock: SystemClock,
    server: String,
    pub(crate) model: ModelOptions,
    /// Waits to be handed out.
    pub(crate) next: Option<HttpRequest>,
    /// Handed out, its end not yet heard of.
    pub(crate) current: Option<RequestId>,
    pub(crate) rested: bool,
}

impl Driver {
    pub(crate) fn open(options: &UpdaterOptions, config: Config) -> Result<Self, DriverError> {
        // Before a folder is made for a server that will not do.
        if let Some(enrolment) = &config.enrolment {
            check_server(enrolment.server.trim_end_matches('/'))?;
        }
        let files = FileOptions {
            factory: options.factory.clone(),
            ..FileOptions::default()
        };
        let storage = FileStorage::open(&options.state, files)?;
        let (key, clock) = (DeviceKey::of_folder(&options.state)?, SystemClock::new());
        let (signer, entropy) = (Box::new(key), Box::new(OsEntropy::new()?));
        let agent = Agent::start(config, storage, signer, entropy, clock.now());
        let agent = agent.map_err(|error| DriverError::of_agent(error, &options.state))?;
        let server = agent.enrolment().server.trim_end_matches('/').to_string();
        check_server(&server)?;
        Ok(Self {
            agent,
            clock,
            server,
            model: options.model,
            next: None,
            current: None,
            rested: false,
        })
    }

    pub(crate) fn now(&self) -> Now {
        self.clock.now()
    }

    pub(crate) fn wait(&self) -> u64 {
        match self.next {
            Some(_) => 0,
            None => self.agent.wake_at().saturating_sub(self.now().uptime_ms),
        }
    }

    pub(crate) fn request(&self, request: HttpRequest) -> Request {
        Request {
            id: request.id.0,
            method: request.method.as_str(),
            url: format!("{}{}", self.server, request.path),
            headers: request.headers,
            body: request.body,
            max_body: request.max_body,
            timeout_s: request.timeout_s,
        }
    }

    fn file(&mut self, at: ImageAt) -> Result<ModelFile, String> {
        let found = self.agent.storage().image_file(at.place);
        let (file, path) = found.map_err(|error| error.to_string())?;
        Ok(ModelFile::new(file, path, at))
    }

    /// By the engine that would serve it.
    pub(crate) fn self_test(&mut self, at: ImageAt) {
        let file = self.file(at);
        let outcome = file.and_then(|file| {
            let model = load(&file, self.model).map_err(|error| error.to_string())?;
            model.check().map_err(|error| error.to_string())
        });
        let image = at.image.digest;
        self.agent
            .handle(Input::SelfTested { image, outcome }, self.now());
    }

    pub(crate) fn models(&mut self, serving: &Serving) -> Result<Models, String> {
        Ok(Models {
            answer: serving.answer.map(|at| self.file(at)).transpose()?,
            beside: serving.beside.and_then(|at| self.file(at).ok()),
            rollout: serving.rollout,
            trial: serving.trial,
            shadow: serving.shadow,
        })
    }

    pub(crate) fn state(&self, model: Option<&Model>) -> UpdaterState {
        let (agent, journal) = (&self.agent, self.agent.slots().journal());
        let serving = journal.serving();
        let place = |at: ImageAt| match at.place {
            Place::Factory => "factory",
            Place::Slot(Slot::A) => "slot a",
            Place::Slot(Slot::B) => "slot b",
        };
        UpdaterState {
            device: agent.device().to_string(),
            server: self.server.clone(),
            tls_ca: agent.enrolment().tls_ca.as_deref().map(crate::hex),
            enrolled: agent.is_enrolled(),
            phase: format!("{:?}", agent.state_report().phase),
            image: serving.map(|at| at.image.digest.to_string()),
            place: serving.map(|at| place(at).to_string()),
            model: model.map(|model| model.name().to_string()),
            version: model.map(|model| model.version().to_string()),
            standby: journal.standby().map(|at| at.image.digest.to_string()),
            factory: journal.factory.map(|image| image.digest.to_string()),
        }
    }
}
