//! The ledger and the devices' events as feeds: long polls and server-sent events.
//!
//! A feed is read from the store after a place; a reader who is up to date waits for the store's heads to move. So a
//! slow reader costs nothing, and nobody misses anything.

use crate::api::{EventPage, EventView, LedgerPage, LedgerView};
use crate::app::{App, Shared};
use crate::auth::Reader;
use crate::problem::Problem;
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use http_body_util::channel::Channel;
use sanderling_store::{DeviceEvent, Heads, Pending, StoreError, ledger::Entry};
use sanderling_wire::{DeviceId, RolloutId};
use serde::Deserialize;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::watch;
use tokio::time::Instant;

/// Most entries in one answer.
const MAX_PAGE: u32 = 1000;
/// Longest wait of a long poll, seconds.
const MAX_WAIT_S: u64 = 60;
/// Seconds between two signs of life on a stream.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Where to read, and how long to wait.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LedgerQuery {
    #[serde(default)]
    after: u64,
    rollout: Option<RolloutId>,
    #[serde(default = "page")]
    limit: u32,
    #[serde(default)]
    wait_s: u64,
}

/// Where to read, and how long to wait.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventQuery {
    #[serde(default)]
    after: u64,
    device: Option<DeviceId>,
    #[serde(default = "page")]
    limit: u32,
    #[serde(default)]
    wait_s: u64,
}

fn page() -> u32 {
    100
}

/// A ledger entry for the API.
pub(crate) fn ledger_view(entry: &Entry) -> LedgerView {
    LedgerView {
        seq: entry.seq,
        rollout: entry.rollout,
        at: entry.at,
        kind: entry.kind.clone(),
        body: serde_json::from_str(&entry.body).unwrap_or(serde_json::Value::Null),
        previous: entry.previous,
        rollout_previous: entry.rollout_previous,
        hash: entry.hash,
    }
}

/// An event for the API.
pub(crate) fn event_view(event: DeviceEvent) -> EventView {
    let DeviceEvent {
        id,
        device,
        at,
        received,
        kind,
        image,
        rollout,
        detail,
    } = event;
    EventView {
        id,
        device,
        at,
        received,
        kind,
        image,
        rollout,
        detail,
    }
}

/// Reads a feed; where nothing is new, waits for news, so many seconds at most.
///
/// `head` is how far the feed is; a reader at `after` hears of it when it moves beyond.
async fn read_or_wait<'a, T>(
    app: &'a App,
    after: u64,
    seconds: u64,
    head: fn(&Heads) -> u64,
    read: impl Fn() -> Pending<'a, Vec<T>>,
) -> Result<Vec<T>, StoreError> {
    let deadline = Instant::now() + Duration::from_secs(seconds.min(MAX_WAIT_S));
    let mut heads = app.store.heads();
    let mut seen = head(&heads.borrow()).max(after);
    let mut found = read().await?;
    while found.is_empty() && Instant::now() < deadline && !*app.stop.borrow() {
        let news = heads.wait_for(|heads| head(heads) > seen);
        tokio::select! {
            _ = tokio::time::timeout_at(deadline, news) => {}
            () = app.stopped() => {}
        }
        seen = head(&heads.borrow()).max(seen);
        found = read().await?;
    }
    Ok(found)
}

/// Reads the ledger; with `wait_s`, waits for news.
#[utoipa::path(get, path = "/v1/ledger", params(
    ("after" = Option<u64>, Query, description = "entries after this one"),
    ("rollout" = Option<u64>, Query, description = "of this rollout alone"),
    ("limit" = Option<u32>, Query, description = "at most so many, 1000 at most"),
    ("wait_s" = Option<u64>, Query, description = "wait so long for the first, 60 at most")),
    responses((status = 200, body = LedgerPage)))]
pub(crate) async fn ledger(
    State(app): State<Shared>,
    _: Reader,
    Query(query): Query<LedgerQuery>,
) -> Result<Json<LedgerPage>, Problem> {
    let read = || {
        app.store
            .ledger(query.rollout, query.after, query.limit.clamp(1, MAX_PAGE))
    };
    let entries = read_or_wait(&app, query.after, query.wait_s, |heads| heads.ledger, read).await?;
    let next = entries.last().map_or(query.after, |entry| entry.seq);
    Ok(Json(LedgerPage {
        entries: entries.iter().map(ledger_view).collect(),
        next,
    }))
}

/// Reads the devices' events; with `wait_s`, waits for news.
#[utoipa::path(get, path = "/v1/events", params(
    ("after" = Option<u64>, Query, description = "events after this one"),
    ("device" = Option<String>, Query, description = "of this device alone"),
    ("limit" = Option<u32>, Query, description = "at most so many, 1000 at most"),
    ("wait_s" = Option<u64>, Query, description = "wait so long for the first, 60 at most")),
    responses((status = 200, body = EventPage)))]
pub(crate) async fn events(
    State(app): State<Shared>,
    _: Reader,
    Query(query): Query<EventQuery>,
) -> Result<Json<EventPage>, Problem> {
    let read = || {
        app.store
            .events(query.device, query.after, query.limit.clamp(1, MAX_PAGE))
    };
    let events = read_or_wait(&app, query.after, query.wait_s, |heads| heads.event, read).await?;
    let next = events.last().map_or(query.after, |event| event.id);
    Ok(Json(EventPage {
        events: events.into_iter().map(event_view).collect(),
        next,
    }))
}

/// Streams ledger entries and device events as they come (`text/event-stream`: events `ledger` and `device`).
///
/// An event's id is `<ledger>-<device event>`; sent back as `Last-Event-ID`, the stream goes on from there. A new
/// stream begins now.
#[utoipa::path(get, path = "/v1/stream", responses((status = 200, content_type = "text/event-stream", body = String)))]
pub(crate) async fn stream(
    State(app): State<Shared>,
    _: Reader,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let permit = app.metrics.streams.clone().try_acquire_owned().map_err(|_| {
        let (detail, action) = (
            "too many streams are open",
            "close some pages or use the long polls",
        );
        Problem::new(
            axum::http::StatusCode::SERVICE_UNAVAILABLE,
            "streams",
            "Too many streams",
            detail,
            action,
        )
    })?;
    let now = *app.store.heads().borrow();
    let from = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok())
        .and_then(parse_place);
    let (ledger, event) = from.unwrap_or((now.ledger, now.event));
    let (sender, body) = Channel::<Bytes>::new(16);
    tokio::spawn(pump(app, sender, ledger, event, permit));
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, Body::new(body)).into_response())
}

fn parse_place(text: &str) -> Option<(u64, u64)> {
    let (ledger, event) = text.split_once('-')?;
    Some((ledger.parse().ok()?, event.parse().ok()?))
}

type Sender = http_body_util::channel::Sender<Bytes>;

/// Feeds one stream until its reader or the server goes away.
async fn pump(
    app: Shared,
    mut sender: Sender,
    mut ledger: u64,
    mut event: u64,
    _permit: OwnedSemaphorePermit,
) {
    let mut heads = app.store.heads();
    if sender
        .send_data(Bytes::from_static(b"retry: 2000\n\n"))
        .await
        .is_err()
    {
        return;
    }
    loop {
        let text = match news(&app, &mut ledger, &mut event).await {
            Ok(text) => text,
            Err(problem) => {
                tracing::warn!(detail = problem.detail(), "a stream ends");
                return;
            }
        };
        if !text.is_empty() {
            if sender.send_data(text.into()).await.is_err() {
                return;
            }
            continue;
        }
        tokio::select! {
            moved = changed(&mut heads, ledger, event) => if !moved { return },
            () = tokio::time::sleep(KEEP_ALIVE) => {
                if sender.send_data(Bytes::from_static(b": still here\n\n")).await.is_err() { return }
            }
            () = app.stopped() => return,
        }
    }
}

async fn changed(heads: &mut watch::Receiver<Heads>, ledger: u64, event: u64) -> bool {
    heads
        .wait_for(|heads| heads.ledger > ledger || heads.event > event)
        .await
        .is_ok()
}

/// What is new, as event-stream text.
async fn news(app: &App, ledger: &mut u64, event: &mut u64) -> Result<String, Problem> {
    let mut text = String::new();
    for entry in app.store.ledger(None, *ledger, MAX_PAGE).await? {
        *ledger = entry.seq;
        push(&mut text, "ledger", (*ledger, *event), &ledger_view(&entry));
    }
    for found in app.store.events(None, *event, MAX_PAGE).await? {
        *event = found.id;
        push(&mut text, "device", (*ledger, *event), &event_view(found));
    }
    Ok(text)
}

/// JSON has no line feeds inside, so one `data` line holds it.
fn push<T: serde::Serialize>(text: &mut String, kind: &str, place: (u64, u64), data: &T) {
    let data = serde_json::to_string(data).unwrap_or_default();
    text.push_str(&format!(
        "event: {kind}\nid: {}-{}\ndata: {data}\n\n",
        place.0, place.1
    ));
}
