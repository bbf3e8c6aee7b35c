//! What JavaScript is told, and what it tells at the start: forms that cross the border as JSON.

use crate::medium::file_of;
use sanderling_agent::{HttpRequest, Serving};
use sanderling_slots::{ImageAt, Place, Slot};
use serde::{Deserialize, Serialize};

/// How an updater is set up.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Options {
    pub(crate) enrolment: Option<String>,
    pub(crate) hardware: String,
    pub(crate) runtime: Runtime,
    pub(crate) daily_budget: Option<u64>,
    pub(crate) trial_seconds: Option<u32>,
}

/// What the module with the operators can run, as it says itself.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Runtime {
    pub(crate) version: (u16, u16, u16),
    pub(crate) numerics: u16,
    pub(crate) bundle_format: u16,
    pub(crate) operators: Vec<String>,
    pub(crate) memory_limit: u64,
}

/// What is next.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Step {
    /// Carry this out; its body is asked for apart.
    Request(Request),
    /// Nothing before so many milliseconds have passed.
    Wait(u64),
}

/// A request to be carried out.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Request {
    id: u64,
    method: &'static str,
    url: String,
    headers: Vec<(String, String)>,
    max_body: u64,
    timeout_s: u32,
}

impl Request {
    pub(crate) fn new(server: &str, request: &HttpRequest) -> Self {
        Self {
            id: request.id.0,
            method: request.method.as_str(),
            url: format!("{server}{}", request.path),
            headers: request.headers.clone(),
            max_body: request.max_body,
            timeout_s: request.timeout_s,
        }
    }
}

/// An image: its digest, and its file.
#[derive(Serialize)]
pub(crate) struct Image {
    image: String,
    file: &'static str,
    length: u64,
}

impl Image {
    pub(crate) fn new(at: ImageAt) -> Self {
        Self {
            image: at.image.digest.to_string(),
            file: file_of(at.place),
            length: at.image.length,
        }
    }
}

/// What the page has to do, or to know.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Event {
    /// Forget this request.
    Cancel(u64),
    /// Run this image's golden vectors.
    Test(Image),
    /// Answer from these images from now on.
    Serve(Served),
    /// A line of the log.
    Log(String),
}

/// The images to answer from, by the number of this order.
#[derive(Serialize)]
pub(crate) struct Served {
    turn: u32,
    answer: Option<Image>,
    beside: Option<Image>,
}

impl Served {
    pub(crate) fn new(turn: u32, serving: &Serving) -> Self {
        Self {
            turn,
            answer: serving.answer.map(Image::new),
            beside: serving.beside.map(Image::new),
        }
    }
}

/// What an updater says of itself.
#[derive(Serialize)]
pub(crate) struct State {
    pub(crate) device: String,
    pub(crate) server: String,
    pub(crate) enrolled: bool,
    pub(crate) phase: String,
    pub(crate) image: Option<String>,
    pub(crate) place: Option<&'static str>,
    pub(crate) standby: Option<String>,
    pub(crate) factory: Option<String>,
}

/// Where an image lies, in words.
pub(crate) fn place(at: ImageAt) -> &'static str {
    match at.place {
        Place::Factory => "factory",
        Place::Slot(Slot::A) => "slot a",
        Place::Slot(Slot::B) => "slot b",
    }
}
