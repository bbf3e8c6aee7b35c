//! Devices and how they come into the fleet.

use crate::api::{DevicePage, DeviceView, EnrolmentCreated, EnrolmentView, EventPage, NewEnrolment, Why};
use crate::app::{App, Shared, random};
use crate::auth::Reader;
use crate::feeds::event_view;
use crate::idempotency::{Call, Outcome, once};
use crate::newcomers;
use crate::operator::fleet::reason;
use crate::problem::Problem;
use crate::views::{Names, device_view};
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use sanderling_store::{Change, NewToken, ledger::NewEntry};
use sanderling_wire::enrolment::EnrolmentString;
use sanderling_wire::{DeviceId, Digest};
use serde::Deserialize;
use serde_json::json;

/// Seconds that an enrolment string is good for, where the operator does not say.
const DEFAULT_TTL_S: u64 = 3600;
/// Seconds that one may be good for at most.
const MAX_TTL_S: u64 = 90 * 86_400;
/// Longest label.
const MAX_LABEL: usize = 100;

/// Which devices.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    after: Option<DeviceId>,
    #[serde(default = "hundred")]
    limit: u32,
}

fn hundred() -> u32 {
    100
}

/// A device id of a path.
pub(crate) fn device_id(text: &str) -> Result<DeviceId, Problem> {
    let wrong = |error: sanderling_wire::ParseIdError| {
        Problem::bad_request(error.to_string(), "copy the id from the list of devices")
    };
    text.parse().map_err(wrong)
}

/// Makes an enrolment string for one device.
#[utoipa::path(post, path = "/v1/enrolments", request_body = NewEnrolment,
    responses((status = 201, body = EnrolmentCreated), (status = 400, body = crate::api::ProblemView)))]
pub(crate) async fn create_enrolment(State(app): State<Shared>, call: Call) -> Result<Response, Problem> {
    let asked: NewEnrolment = call.parse()?;
    enrolment(&app, call, asked).await
}

/// Makes an enrolment string. A repeated call gives the same one: it is kept, with its token, until answers are pruned.
pub(crate) async fn enrolment(app: &Shared, call: Call, asked: NewEnrolment) -> Result<Response, Problem> {
    let ttl = asked.ttl_s.unwrap_or(DEFAULT_TTL_S);
    if !(1..=MAX_TTL_S).contains(&ttl) {
        return Err(Problem::bad_request(
            format!("`ttl_s` is {ttl}"),
            format!("give 1 to {MAX_TTL_S} seconds"),
        ));
    }
    if asked.label.chars().count() > MAX_LABEL {
        return Err(Problem::bad_request(
            format!("`label` is longer than {MAX_LABEL} characters"),
            "shorten it",
        ));
    }
    if asked.label.chars().any(char::is_control) {
        return Err(Problem::bad_request(
            "`label` holds a control character",
            "write it in one line",
        ));
    }
    let decide = async |app: &App| {
        let (token, now) = (hex::encode(random::<16>()?), app.now());
        let text = EnrolmentString {
            server: app.url.clone(),
            token: token.clone(),
            image_root: app.registry.image_pin,
            director_root: app.registry.director_pin,
            tls_ca: app.authority.clone(),
        };
        let created = EnrolmentCreated {
            enrolment: text.to_string(),
            expires_at: now + ttl,
        };
        let token = NewToken {
            hash: Digest::of(token.as_bytes()),
            label: asked.label.clone(),
            created_at: now,
            expires_at: created.expires_at,
        };
        let audit = (
            "enrolment.create",
            asked.label.clone(),
            format!("valid for {ttl} s"),
        );
        Ok(Outcome::new(StatusCode::CREATED, &created, audit)?.with([Change::AddToken(token)]))
    };
    once(app, call, decide, |_, _| {}).await
}

/// Enrolment tokens, used or not.
#[utoipa::path(get, path = "/v1/enrolments", responses((status = 200, body = Vec<EnrolmentView>)))]
pub(crate) async fn enrolments(
    State(app): State<Shared>,
    _: Reader,
) -> Result<Json<Vec<EnrolmentView>>, Problem> {
    let view = |token: sanderling_store::TokenRow| EnrolmentView {
        label: token.label,
        created_at: token.created_at,
        expires_at: token.expires_at,
        used_by: token.used_by,
    };
    Ok(Json(
        app.store.tokens(1000).await?.into_iter().map(view).collect(),
    ))
}

/// Devices, by id.
#[utoipa::path(get, path = "/v1/devices", params(
    ("after" = Option<String>, Query, description = "go on after this id"),
    ("limit" = Option<u32>, Query, description = "at most so many, 1000 at most")),
    responses((status = 200, body = DevicePage)))]
pub(crate) async fn list(
    State(app): State<Shared>,
    _: Reader,
    Query(page): Query<Page>,
) -> Result<Json<DevicePage>, Problem> {
    let limit = page.limit.clamp(1, 1000);
    let names = Names::read(&app).await?;
    let records = app.store.devices(page.after, limit).await?;
    let full = records.len() == limit as usize;
    let devices: Vec<DeviceView> = records
        .into_iter()
        .map(|record| device_view(record, &names, Vec::new()))
        .collect();
    let next = devices.last().map(|device| device.id).filter(|_| full);
    Ok(Json(DevicePage { devices, next }))
}

/// A device.
#[utoipa::path(get, path = "/v1/devices/{id}", params(("id" = String, Path)),
    responses((status = 200, body = DeviceView), (status = 404, body = crate::api::ProblemView)))]
pub(crate) async fn show(
    State(app): State<Shared>,
    _: Reader,
    Path(id): Path<String>,
) -> Result<Json<DeviceView>, Problem> {
    view(&app, device_id(&id)?).await.map(Json)
}

/// A device with its answers.
pub(crate) async fn view(app: &App, id: DeviceId) -> Result<DeviceView, Problem> {
    let record = app
        .store
        .device(id)
        .await?
        .ok_or(sanderling_store::StoreError::UnknownDevice(id))?;
    let serving = app.store.serving(Some(id)).await?;
    let left_out = newcomers::left_out(app, &record).await?;
    Ok(DeviceView {
        left_out,
        ..device_view(record, &Names::read(app).await?, serving)
    })
}

/// A device's newest events, oldest first.
#[utoipa::path(get, path = "/v1/devices/{id}/events", params(("id" = String, Path)),
    responses((status = 200, body = EventPage)))]
pub(crate) async fn events(
    State(app): State<Shared>,
    _: Reader,
    Path(id): Path<String>,
) -> Result<Json<EventPage>, Problem> {
    let mut events = app.store.recent_events(Some(device_id(&id)?), 500).await?;
    events.reverse();
    let next = events.last().map_or(0, |event| event.id);
    Ok(Json(EventPage {
        events: events.into_iter().map(event_view).collect(),
        next,
    }))
}

/// Refuses a device's key from now on.
#[utoipa::path(post, path = "/v1/devices/{id}/decommission", params(("id" = String, Path)), request_body = Why,
    responses((status = 200, body = DeviceView), (status = 404, body = crate::api::ProblemView)))]
pub(crate) async fn decommission(
    State(app): State<Shared>,
    Path(id): Path<String>,
    call: Call,
) -> Result<Response, Problem> {
    let (id, why) = (device_id(&id)?, call.parse()?);
    retire(&app, call, id, why).await
}

/// Decommissions a device.
pub(crate) async fn retire(app: &Shared, call: Call, id: DeviceId, why: Why) -> Result<Response, Problem> {
    let operator = call.operator.clone();
    let decide = async |app: &App| {
        let why = reason(&why, "no reason given")?;
        let body = json!({ "device": id, "why": why, "operator": operator }).to_string();
        let entry = NewEntry {
            rollout: None,
            at: app.now(),
            kind: "device.decommissioned".into(),
            body,
        };
        let audit = ("device.decommission", id.to_string(), why);
        let changes = [
            Change::Decommission {
                device: id,
                at: app.now(),
            },
            Change::Ledger(entry),
        ];
        // The device as it will be once this is committed.
        let mut view = view(app, id).await?;
        view.decommissioned_at.get_or_insert(app.now());
        (view.desired, view.rollout, view.arm) = (None, None, None);
        Ok(Outcome::new(StatusCode::OK, &view, audit)?.with(changes))
    };
    let after = move |app: &App, _: &_| {
        app.guard.forget(id);
        app.doorbell.disconnect(id);
    };
    once(app, call, decide, after).await
}

/// Keeps a device from any rollout.
#[utoipa::path(post, path = "/v1/devices/{id}/freeze", params(("id" = String, Path)), responses((status = 200, body = DeviceView)))]
pub(crate) async fn freeze(
    State(app): State<Shared>,
    Path(id): Path<String>,
    call: Call,
) -> Result<Response, Problem> {
    let (id, why) = (device_id(&id)?, call.parse()?);
    keep(&app, call, id, true, why).await
}

/// Lets a device take part in rollouts again.
#[utoipa::path(post, path = "/v1/devices/{id}/unfreeze", params(("id" = String, Path)), responses((status = 200, body = DeviceView)))]
pub(crate) async fn unfreeze(
    State(app): State<Shared>,
    Path(id): Path<String>,
    call: Call,
) -> Result<Response, Problem> {
    let (id, why) = (device_id(&id)?, call.parse()?);
    keep(&app, call, id, false, why).await
}

/// Freezes or thaws one device.
pub(crate) async fn keep(
    app: &Shared,
    call: Call,
    device: DeviceId,
    frozen: bool,
    why: Why,
) -> Result<Response, Problem> {
    let decide = async |app: &App| {
        let why = reason(&why, "no reason given")?;
        let action = if frozen {
            "device.freeze"
        } else {
            "device.unfreeze"
        };
        let view = DeviceView {
            frozen,
            ..view(app, device).await?
        };
        Ok(
            Outcome::new(StatusCode::OK, &view, (action, device.to_string(), why))?
                .with([Change::FreezeDevice { device, frozen }]),
        )
    };
    once(app, call, decide, |_, _| {}).await
}
