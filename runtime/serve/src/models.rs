//! What is served: the table that requests look into, and the way from a request to the thread that holds the session.
//!
//! A request finds its model in the table and is put in that model's line as a [`Job`]. Who takes jobs from the line
//! is the line's business: a thread of this crate's own for each file, or a device's serving thread, which changes
//! what the table says when it changes models. A job that was put in line before such a change is answered after it,
//! by the model that is there then: nothing that was taken in is dropped.

use crate::protocol::{InferRequest, TensorMetadata};
use crate::tensor_data::TensorData;
use sanderling_session::{Outputs, PortInfo, Session, SessionError, TensorView};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// Why a request got no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The request does not fit the model.
    Bad(String),
    /// The model it is for is not here, or not any more.
    Gone(String),
    /// No model is here, or not any more: there may be one later.
    Nothing(String),
    /// The line is full.
    Busy,
    /// The model failed.
    Failed(String),
}

/// An answer, and who gave it.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    /// The version that answered.
    pub version: String,
    /// The outputs that were asked for.
    pub outputs: Vec<TensorData>,
}

/// A request on its way to a session.
pub struct Job {
    pub(crate) model: String,
    pub(crate) version: Option<String>,
    pub(crate) request: InferRequest,
    /// The room its bytes take, given back with them.
    pub(crate) _room: OwnedSemaphorePermit,
    /// None once it is answered.
    pub(crate) reply: Option<oneshot::Sender<Result<Answered, Refusal>>>,
}

impl Job {
    /// The model it is for, and the version where it wants that one and no other.
    #[must_use]
    pub fn wants(&self) -> (&str, Option<&str>) {
        (&self.model, self.version.as_deref())
    }

    /// What is asked.
    #[must_use]
    pub fn request(&self) -> &InferRequest {
        &self.request
    }

    /// Whether somebody still waits. If not, it need not be run.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.reply.as_ref().is_some_and(|reply| !reply.is_closed())
    }

    /// Answers it; only the first answer counts.
    pub fn answer(&mut self, answer: Result<Answered, Refusal>) {
        if let Some(reply) = self.reply.take() {
            // Whoever asked may have gone; then nobody needs the answer.
            drop(reply.send(answer));
        }
    }
}

/// The way to the thread that holds a model's session. Bounded, and never blocking.
pub trait Line: Send + Sync {
    /// Puts a job in line.
    ///
    /// # Errors
    /// [`Refusal::Busy`] where as many wait as may; [`Refusal::Failed`] where nobody takes them any more.
    fn put(&self, job: Job) -> Result<(), Refusal>;
}

/// A served model.
pub struct Model {
    /// Name in the URL.
    pub name: String,
    /// Version in the URL.
    pub version: String,
    /// What it takes.
    pub inputs: Vec<TensorMetadata>,
    /// What it gives.
    pub outputs: Vec<TensorMetadata>,
    /// Where its jobs go.
    pub line: Arc<dyn Line>,
}

impl Model {
    /// A session's model under a name and version.
    #[must_use]
    pub fn new(name: &str, version: &str, session: &Session, line: Arc<dyn Line>) -> Self {
        Self {
            name: name.to_string(),
            version: version.to_string(),
            inputs: describe(session.inputs()),
            outputs: describe(session.outputs()),
            line,
        }
    }
}

pub(crate) fn describe(ports: &[PortInfo]) -> Vec<TensorMetadata> {
    let all = ports.iter();
    all.map(|port| TensorMetadata::new(&port.name, port.ty.as_ref()))
        .collect()
}

type Table = BTreeMap<String, BTreeMap<String, Arc<Model>>>;

/// The table of what is served, shared by a server and whoever changes it.
#[derive(Clone, Default)]
pub struct Models(Arc<RwLock<State>>);

#[derive(Default)]
struct State {
    table: Table,
    /// Why there is nothing, where there is nothing.
    empty: String,
}

/// Why a model was not found.
pub(crate) enum Missing {
    /// Nothing is served, and why.
    Nothing(String),
    /// Others are.
    Other(String),
}

impl Models {
    /// A table that holds nothing yet, and why.
    #[must_use]
    pub fn none(why: &str) -> Self {
        let models = Self::default();
        models.clear(why);
        models
    }

    /// Serves nothing from now on. `why` is what callers are told.
    pub fn clear(&self, why: &str) {
        self.change(Table::new(), why);
    }

    /// Serves this model and no other from now on.
    pub fn serve_only(&self, model: Model) {
        let (name, version) = (model.name.clone(), model.version.clone());
        let versions = BTreeMap::from([(version, Arc::new(model))]);
        self.change(Table::from([(name, versions)]), "");
    }

    /// Serves this model as well; whether there was none of its name and version.
    #[must_use]
    pub fn add(&self, model: Model) -> bool {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let versions = state.table.entry(model.name.clone()).or_default();
        versions.insert(model.version.clone(), Arc::new(model)).is_none()
    }

    fn change(&self, table: Table, why: &str) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = State {
            table,
            empty: why.to_string(),
        };
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        // Nobody panics while holding it, and what it holds is whole at any time.
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Why nothing is served; none where something is.
    pub(crate) fn why_empty(&self) -> Option<String> {
        self.read(State::why_empty)
    }

    /// The versions of a model.
    pub(crate) fn versions(&self, name: &str) -> Vec<String> {
        let of = |state: &State| Some(state.table.get(name)?.keys().cloned().collect());
        self.read(of).unwrap_or_default()
    }

    /// A model; the last version where none is named.
    pub(crate) fn find(&self, name: &str, version: Option<&str>) -> Result<Arc<Model>, Missing> {
        self.read(|state| {
            if let Some(why) = state.why_empty() {
                return Err(Missing::Nothing(why));
            }
            let versions = state.table.get(name).ok_or_else(|| {
                let known = names(state.table.keys());
                Missing::Other(format!("model '{name}' is not served here; there is: {known}"))
            })?;
            let found = match version {
                Some(version) => versions.get(version),
                None => versions.values().next_back(),
            };
            found.cloned().ok_or_else(|| {
                let (known, wanted) = (names(versions.keys()), version.unwrap_or(""));
                Missing::Other(format!(
                    "model '{name}' has no version '{wanted}' here; there is: {known}"
                ))
            })
        })
    }
}

impl State {
    fn why_empty(&self) -> Option<String> {
        let words = || match self.empty.as_str() {
            "" => "no model is served here".to_string(),
            why => why.to_string(),
        };
        self.table.is_empty().then(words)
    }
}

fn names<'a>(all: impl Iterator<Item = &'a String>) -> String {
    all.map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// A request's inputs, as a session takes them.
#[must_use]
pub fn inputs(request: &InferRequest) -> Vec<(&str, TensorView<'_>)> {
    let all = request.inputs.iter();
    all.map(|data| (data.name(), data.tensor().view())).collect()
}

/// The outputs of a run that a request asks for, as they are sent: all where it names none.
///
/// # Errors
/// [`Refusal::Bad`] where it names one that there is not; [`Refusal::Failed`] for what has no form in JSON, as NaN.
pub fn outputs(request: &InferRequest, of: &Outputs<'_>) -> Result<Vec<TensorData>, Refusal> {
    let mut asked = request.outputs.iter().map(|output| output.name.as_str());
    if let Some(name) = asked.find(|name| of.get(name).is_none()) {
        let known: Vec<&str> = of.iter().map(|(name, _)| name).collect();
        let known = known.join(", ");
        return Err(Refusal::Bad(format!(
            "the model has no output '{name}'; there is: {known}"
        )));
    }
    let wanted =
        |name: &str| request.outputs.is_empty() || request.outputs.iter().any(|output| output.name == name);
    of.iter()
        .filter(|(name, _)| wanted(name))
        .map(|(name, view)| {
            TensorData::from_view(name, view).map_err(|error| Refusal::Failed(error.to_string()))
        })
        .collect()
}

impl From<SessionError> for Refusal {
    fn from(error: SessionError) -> Self {
        if error.is_input() {
            Self::Bad(error.to_string())
        } else {
            Self::Failed(error.to_string())
        }
    }
}
