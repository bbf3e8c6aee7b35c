//! What goes into the agent and what comes out: plain data, no I/O.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use sanderling_slots::ImageAt;
use sanderling_wire::{Digest, Event, MqttEndpoint, PairedOutcome, RolloutId, ServingWindow, api};

use crate::error::Trouble;

/// Two clocks. The wall clock may be wrong or jump: it serves expiry, signatures and records. The other one only
/// ever runs forward: it serves waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Unix seconds.
    pub unix_s: u64,
    /// Milliseconds since some moment that never changes while the agent lives.
    pub uptime_ms: u64,
}

/// Randomness, for nonces, jitter and the outbox's incarnation. Must not repeat across restarts.
pub trait Entropy {
    /// Fills `bytes`.
    fn fill(&mut self, bytes: &mut [u8]);

    /// A random number.
    fn number(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

/// Names a request until its [`Input::End`] or [`Input::Failed`], or its [`Action::Cancel`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// HTTP methods in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `GET`.
    Get,
    /// `POST`.
    Post,
}

impl Method {
    /// In capitals, as sent.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// A request to the fleet server. Redirects are not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// Its name.
    pub id: RequestId,
    /// The method.
    pub method: Method,
    /// The path, to be put behind the server's address.
    pub path: String,
    /// Header names (lower case) and values, the device's signature among them.
    pub headers: Vec<(String, String)>,
    /// The body, empty for `GET`.
    pub body: Vec<u8>,
    /// Most bytes of the answer's body; give up beyond.
    pub max_body: u64,
    /// Seconds for the whole exchange; give up beyond.
    pub timeout_s: u32,
}

/// Why an exchange came to no answer, or broke off.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportError {
    /// No connection.
    Unreachable {
        /// The driver's words.
        detail: String,
    },
    /// The time given was not enough.
    TimedOut,
    /// The connection broke, or what came was not HTTP.
    Broken {
        /// The driver's words.
        detail: String,
    },
    /// More bytes than asked for.
    TooLong {
        /// Bytes allowed.
        limit: u64,
    },
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { detail } => write!(f, "the server cannot be reached: {detail}"),
            Self::TimedOut => f.write_str("the server took too long"),
            Self::Broken { detail } => write!(f, "the connection broke: {detail}"),
            Self::TooLong { limit } => write!(f, "the answer is longer than the {limit} bytes asked for"),
        }
    }
}

/// The head of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ResponseHead {
    /// The status code.
    pub status: u16,
    /// First byte of `Content-Range`.
    pub range_start: Option<u64>,
    /// `Retry-After` in seconds.
    pub retry_after_s: Option<u32>,
    /// [`sanderling_wire::api::DECOMMISSIONED_AT`] in Unix seconds.
    pub decommissioned_at: Option<u64>,
}

impl ResponseHead {
    /// The head of an answer with these headers, which are asked for by their names in lower case.
    #[must_use]
    pub fn of<'a>(status: u16, header: impl Fn(&str) -> Option<&'a str>) -> Self {
        let range = header("content-range");
        let range = range.and_then(|range| range.strip_prefix("bytes ")?.split('-').next());
        Self {
            status,
            range_start: range.and_then(|start| start.trim().parse().ok()),
            retry_after_s: header("retry-after").and_then(|seconds| seconds.trim().parse().ok()),
            decommissioned_at: header(api::DECOMMISSIONED_AT).and_then(|at| at.trim().parse().ok()),
        }
    }
}

/// How the images of an [`Action::Serve`] run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Running {
    /// The one that answers, alone: none was to run beside it, or that one does not load.
    Alone,
    /// Both.
    Compared,
}

/// What happened outside.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Input<'a> {
    /// Nothing but time. Due whenever [`crate::Agent::wake_at`] has come; harmless at any other time.
    Tick,
    /// The doorbell rang: check in now.
    Doorbell,
    /// A request's answer begins.
    Response {
        /// The request.
        id: RequestId,
        /// Its head.
        head: ResponseHead,
    },
    /// The next bytes of an answer's body.
    Body {
        /// The request.
        id: RequestId,
        /// The bytes, in blocks of any size.
        bytes: &'a [u8],
    },
    /// An answer is whole.
    End {
        /// The request.
        id: RequestId,
    },
    /// An exchange came to no whole answer.
    Failed {
        /// The request.
        id: RequestId,
        /// Why.
        error: TransportError,
    },
    /// The outcome of an [`Action::SelfTest`].
    SelfTested {
        /// The image.
        image: Digest,
        /// Whether the golden vectors gave the stated answers; if not, what differed.
        outcome: Result<(), String>,
    },
    /// The outcome of an [`Action::Serve`] with an image to answer from.
    Loaded {
        /// That image.
        image: Digest,
        /// Whether it answers now; if not, why.
        outcome: Result<Running, String>,
    },
    /// Answers given in a stretch of time; send one every few seconds.
    Served(ServingWindow),
    /// Inputs that both images of an [`Action::Serve`] answered.
    Paired(Paired),
    /// Something else worth keeping: of the cascade, say.
    Note(Event),
    /// Telemetry that the host had no room for.
    Dropped(u64),
}

/// Outcomes with what they compare: they may come after the agent has told the host to serve something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paired {
    /// The rollout that compares, as in [`Serving::rollout`].
    pub rollout: RolloutId,
    /// The new image.
    pub new: Digest,
    /// The image before it.
    pub old: Digest,
    /// One an input.
    pub outcomes: Vec<PairedOutcome>,
}

/// What the device is to answer from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Serving {
    /// The image to answer from; none: answer [`sanderling_slots::SlotsError::NoModel`].
    pub answer: Option<ImageAt>,
    /// An image to run beside it on the same inputs, off the timed path, for [`Input::Paired`]; never to answer from.
    pub beside: Option<ImageAt>,
    /// The rollout that compares them: salts the unit of each [`PairedOutcome`].
    pub rollout: Option<RolloutId>,
    /// Whether `answer` is on trial.
    pub trial: bool,
    /// Whether `beside` is the new image of the two, which only looks on; else `answer` is.
    pub shadow: bool,
}

impl Serving {
    /// The new and the old image of the two that are compared; none where nothing runs beside.
    #[must_use]
    pub fn new_and_old(&self) -> Option<(Digest, Digest)> {
        let (answer, beside) = self.answer.zip(self.beside)?;
        let (answer, beside) = (answer.image.digest, beside.image.digest);
        Some(if self.shadow {
            (beside, answer)
        } else {
            (answer, beside)
        })
    }

    pub(crate) fn compares(&self, rollout: RolloutId, new: Digest, old: Digest) -> bool {
        self.rollout == Some(rollout) && self.new_and_old() == Some((new, old))
    }
}

/// What the host shall do.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Action {
    /// Send a request; answer with `Response`, `Body`…, `End`, or `Failed`. One is under way at a time.
    Http(HttpRequest),
    /// Forget a request; nothing more is heard of it.
    Cancel(RequestId),
    /// Load the image from its slot, run its golden vectors by the engine that will serve it; answer with
    /// [`Input::SelfTested`].
    SelfTest(ImageAt),
    /// Answer from these images from now on; answer with [`Input::Loaded`] if there is one to answer from.
    Serve(Serving),
    /// Listen for the doorbell at this broker.
    Listen(MqttEndpoint),
    /// Tell whoever watches the device.
    Report(Report),
}

/// Something for the device's log.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Report {
    /// It is in the telemetry, too.
    Event(Event),
    /// Something failed that the agent deals with by itself.
    Trouble(Trouble),
}

/// What a device's log says.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let event = match self {
            Self::Event(event) => event,
            Self::Trouble(trouble) => return trouble.fmt(f),
        };
        write!(f, "{:?}", event.kind)?;
        if let Some(image) = event.image {
            write!(f, " {}", image.short())?;
        }
        if let Some(rollout) = event.rollout {
            write!(f, " (rollout {rollout})")?;
        }
        write!(f, ": {}", event.detail)
    }
}
