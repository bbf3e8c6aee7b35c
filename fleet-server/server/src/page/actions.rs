//! The pages' forms. Each checks its CSRF token and ends in the same function as the API's call.

use super::Refusal;
use super::show::devices_page;
use crate::api::{EnrolmentCreated, NewEnrolment, NewRollout, Why};
use crate::app::Shared;
use crate::auth::Session;
use crate::idempotency::Call;
use crate::operator::{devices as device_api, fleet as fleet_api, rollouts as rollout_api};
use crate::problem::Problem;
use axum::Form;
use axum::extract::{Path, State};
use axum::http::{Method, Uri};
use axum::response::{IntoResponse, Redirect, Response};
use http_body_util::BodyExt as _;
use sanderling_rollout::{Policy, Stage};
use sanderling_wire::RolloutId;
use serde::Deserialize;

/// What a form with a reason sends.
#[derive(Deserialize)]
pub(super) struct Act {
    csrf: String,
    #[serde(default)]
    why: String,
}

/// What the form that starts a rollout sends.
#[derive(Deserialize)]
pub(super) struct Start {
    csrf: String,
    target: String,
    #[serde(default)]
    base: String,
    stages: String,
}

fn back(path: &str) -> Response {
    Redirect::to(path).into_response()
}

/// `POST /rollouts/{id}/{command}`.
pub(super) async fn steer(
    State(app): State<Shared>,
    session: Session,
    Path((id, command)): Path<(u64, String)>,
    method: Method,
    uri: Uri,
    Form(act): Form<Act>,
) -> Result<Response, Refusal> {
    session.check_csrf(&act.csrf)?;
    let call = Call::of_form(&session, method, uri);
    rollout_api::steer(&app, call, RolloutId(id), &command, Why { why: act.why }).await?;
    Ok(back(&format!("/rollouts/{id}")))
}

/// `POST /rollouts`.
pub(super) async fn start(
    State(app): State<Shared>,
    session: Session,
    method: Method,
    uri: Uri,
    Form(asked): Form<Start>,
) -> Result<Response, Refusal> {
    session.check_csrf(&asked.csrf)?;
    let stages = asked
        .stages
        .split(',')
        .map(str::trim)
        .filter(|text| !text.is_empty());
    let stages: Result<Vec<Stage>, _> = stages.map(str::parse).collect();
    let stages = stages.map_err(|fault| {
        Problem::bad_request(
            fault.to_string(),
            "write stages as counts and shares, rising: 1, 25 %, 100 %",
        )
    })?;
    let base = Some(asked.base.trim().to_owned()).filter(|base| !base.is_empty());
    let new = NewRollout {
        target: asked.target,
        base,
        policy: Policy {
            stages,
            ..Policy::default()
        },
    };
    let call = Call::of_form(&session, method, uri);
    rollout_api::start(&app, call, new).await?;
    Ok(back("/rollouts"))
}

/// `POST /fleet/{command}`.
pub(super) async fn fleet(
    State(app): State<Shared>,
    session: Session,
    Path(command): Path<String>,
    method: Method,
    uri: Uri,
    Form(act): Form<Act>,
) -> Result<Response, Refusal> {
    session.check_csrf(&act.csrf)?;
    let call = Call::of_form(&session, method, uri);
    let why = Why { why: act.why };
    match command.as_str() {
        "freeze" => fleet_api::set_freeze(&app, call, true, why).await?,
        "unfreeze" => fleet_api::set_freeze(&app, call, false, why).await?,
        other => return Err(unknown(other).into()),
    };
    Ok(back("/"))
}

/// `POST /devices/{id}/{command}`.
pub(super) async fn device(
    State(app): State<Shared>,
    session: Session,
    Path((id, command)): Path<(String, String)>,
    method: Method,
    uri: Uri,
    Form(act): Form<Act>,
) -> Result<Response, Refusal> {
    session.check_csrf(&act.csrf)?;
    let (device, why) = (device_api::device_id(&id)?, Why { why: act.why });
    let call = Call::of_form(&session, method, uri);
    match command.as_str() {
        "decommission" => device_api::retire(&app, call, device, why).await?,
        "freeze" => device_api::keep(&app, call, device, true, why).await?,
        "unfreeze" => device_api::keep(&app, call, device, false, why).await?,
        other => return Err(unknown(other).into()),
    };
    Ok(back(&format!("/devices/{id}")))
}

/// `POST /enrolments`: shows the string once.
pub(super) async fn enrol(
    State(app): State<Shared>,
    session: Session,
    method: Method,
    uri: Uri,
    Form(act): Form<Act>,
) -> Result<Response, Refusal> {
    session.check_csrf(&act.csrf)?;
    let call = Call::of_form(&session, method, uri);
    let asked = NewEnrolment {
        label: act.why,
        ttl_s: None,
    };
    let made = device_api::enrolment(&app, call, asked).await?;
    let reading = |error: &dyn std::fmt::Display| Problem::internal("making an enrolment string", error);
    let bytes = made
        .into_body()
        .collect()
        .await
        .map_err(|error| reading(&error))?
        .to_bytes();
    let created: EnrolmentCreated = serde_json::from_slice(&bytes).map_err(|error| reading(&error))?;
    devices_page(&app, session, None, Some(created.enrolment)).await
}

fn unknown(command: &str) -> Problem {
    Problem::not_found(
        "unknown-command",
        format!("there is no command {command:?}"),
        "go back and use the buttons",
    )
}
