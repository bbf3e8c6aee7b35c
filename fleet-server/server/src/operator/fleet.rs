//! The fleet as a whole: figures, the emergency brake, the audit trail.

use crate::api::{AuditPage, FleetView, Why};
use crate::app::{App, Shared};
use crate::auth::Reader;
use crate::executor;
use crate::idempotency::{Call, Outcome, once};
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use sanderling_rollout::freeze_all;
use sanderling_store::{Change, ledger::NewEntry};
use serde_json::json;
use std::collections::BTreeMap;

/// Longest reason an operator gives, in characters.
const MAX_WHY: usize = 500;

/// The fleet in figures.
#[utoipa::path(get, path = "/v1/fleet", responses((status = 200, body = FleetView)))]
pub(crate) async fn show(State(app): State<Shared>, _: Reader) -> Result<Json<FleetView>, Problem> {
    fleet(&app).await.map(Json)
}

/// The fleet in figures.
pub(crate) async fn fleet(app: &App) -> Result<FleetView, Problem> {
    let heads = *app.store.heads().borrow();
    let frozen = executor::freeze(app).await?.map(|freeze| freeze.why);
    let mut view = FleetView {
        devices: 0,
        phases: BTreeMap::new(),
        images: BTreeMap::new(),
        hardware: BTreeMap::new(),
        frozen,
        ledger: heads.ledger,
        event: heads.event,
    };
    for count in app.store.fleet_counts().await? {
        view.devices += count.devices;
        let phase = count
            .phase
            .as_deref()
            .map_or("new".to_owned(), crate::views::phase_word);
        *view.phases.entry(phase).or_default() += count.devices;
        let image = count
            .active
            .map_or("none".to_owned(), |digest| digest.to_string());
        *view.images.entry(image).or_default() += count.devices;
        *view.hardware.entry(count.hardware.to_string()).or_default() += count.devices;
    }
    Ok(view)
}

/// Checks and trims an operator's reason.
pub(crate) fn reason(why: &Why, default: &str) -> Result<String, Problem> {
    let text = why.why.trim();
    if text.chars().count() > MAX_WHY {
        return Err(Problem::bad_request(
            format!("`why` is longer than {MAX_WHY} characters"),
            "say it shorter",
        ));
    }
    Ok(if text.is_empty() {
        default.to_owned()
    } else {
        text.to_owned()
    })
}

/// Pulls the emergency brake: no rollout moves a device until it is released.
#[utoipa::path(post, path = "/v1/freeze", request_body = Why, responses((status = 200, body = FleetView), (status = 409, body = crate::api::ProblemView)))]
pub(crate) async fn freeze(State(app): State<Shared>, call: Call) -> Result<Response, Problem> {
    let why: Why = call.parse()?;
    set_freeze(&app, call, true, why).await
}

/// Releases the emergency brake.
#[utoipa::path(post, path = "/v1/unfreeze", request_body = Why, responses((status = 200, body = FleetView), (status = 409, body = crate::api::ProblemView)))]
pub(crate) async fn unfreeze(State(app): State<Shared>, call: Call) -> Result<Response, Problem> {
    let why: Why = call.parse()?;
    set_freeze(&app, call, false, why).await
}

/// Freezes or thaws.
pub(crate) async fn set_freeze(app: &Shared, call: Call, on: bool, why: Why) -> Result<Response, Problem> {
    let operator = call.operator.clone();
    let decide = async |app: &App| {
        let current = executor::freeze(app).await?;
        let why = reason(&why, "no reason given")?;
        let (next, kind, action) = if on {
            let frozen = freeze_all(current.as_ref(), &why, app.now());
            let refused = |error: sanderling_rollout::Error| {
                Problem::conflict(
                    "frozen",
                    error.to_string(),
                    "thaw the fleet first, or leave it as it is",
                )
            };
            (Some(frozen.map_err(refused)?), "fleet.frozen", "fleet.freeze")
        } else if current.is_none() {
            return Err(Problem::conflict(
                "not-frozen",
                "the fleet is not frozen",
                "leave it as it is",
            ));
        } else {
            (None, "fleet.thawed", "fleet.unfreeze")
        };
        let body = json!({ "why": why, "operator": operator }).to_string();
        let entry = NewEntry {
            rollout: None,
            at: app.now(),
            kind: kind.into(),
            body,
        };
        // The fleet as it will be once this is committed, its ledger entry included.
        let mut view = fleet(app).await?;
        view.frozen = next.as_ref().map(|freeze| freeze.why.clone());
        view.ledger += 1;
        let outcome = Outcome::new(StatusCode::OK, &view, (action, "fleet".into(), why))?;
        Ok(outcome.with([executor::set_freeze(next.as_ref())?, Change::Ledger(entry)]))
    };
    once(app, call, decide, |_, _| {}).await
}

/// Operators' actions, newest first.
#[utoipa::path(get, path = "/v1/audit", responses((status = 200, body = AuditPage)))]
pub(crate) async fn audit(State(app): State<Shared>, _: Reader) -> Result<Json<AuditPage>, Problem> {
    let actions = app.store.audit(500).await?;
    Ok(Json(AuditPage { actions }))
}
