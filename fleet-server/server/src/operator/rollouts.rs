//! Rollouts: start, look, command.

use crate::api::{NewRollout, RolloutView, Why};
use crate::app::{App, Shared, random};
use crate::auth::Reader;
use crate::executor::{self, Loaded, State as Stored};
use crate::idempotency::{Call, Outcome, once};
use crate::newcomers::latecomers;
use crate::operator::fleet::reason;
use crate::operator::versions::resolve;
use crate::problem::Problem;
use crate::title::{CHAMPION, is_champion};
use crate::views::{rollout_view, unreadable_view};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use sanderling_rollout::{
    Assignments, Command, Decision, Error, Evidence, Plan, Ppm, Release, Requirements, Rollout,
};
use sanderling_store::{Change, RolloutRow, Version, ledger::NewEntry};
use sanderling_wire::{DeviceId, RolloutId};
use serde_json::json;
use std::sync::{Arc, Mutex};

/// Rollouts in the list: each is read and looked at by the planner.
const LISTED: u32 = 25;
/// Rollouts among which the one that superseded another is looked for.
const RECENT: u32 = 100;

/// Starts a rollout.
#[utoipa::path(post, path = "/v1/rollouts", request_body = NewRollout,
    responses((status = 201, body = RolloutView), (status = 404, body = crate::api::ProblemView),
        (status = 422, body = crate::api::ProblemView)))]
pub(crate) async fn create(State(app): State<Shared>, call: Call) -> Result<Response, Problem> {
    let asked: NewRollout = call.parse()?;
    start(&app, call, asked).await
}

/// Starts a rollout.
pub(crate) async fn start(app: &Shared, call: Call, asked: NewRollout) -> Result<Response, Problem> {
    let operator = call.operator.clone();
    let decide = async |app: &App| {
        let target = resolve(app, &asked.target).await?;
        let base = base_of(app, &target, asked.base.as_deref()).await?;
        refuse_second(app, &target.name, None).await?;
        let id = executor::next_id(app).await?;
        let (salt, now) = (random::<16>()?, app.now());
        let rollout = Rollout::start(
            id,
            salt,
            release(&target)?,
            release(&base)?,
            asked.policy.clone(),
            now,
        );
        let rollout = rollout.map_err(unusable)?;
        let body = json!({ "operator": operator, "name": target.name, "target": target.digest, "base": base.digest,
            "target_version": target.version, "base_version": base.version, "policy": rollout.policy });
        let entry = NewEntry {
            rollout: Some(id),
            at: now,
            kind: "rollout.created".into(),
            body: body.to_string(),
        };
        let row = RolloutRow {
            id,
            status: rollout.status.word().to_owned(),
            target: target.digest,
            base: base.digest,
            created_at: now,
            created_by: operator.clone(),
            state: Stored::new(rollout.clone()).to_json()?,
        };
        let loaded = Loaded {
            rollout,
            assignments: Assignments::default(),
            evidence: Evidence::default(),
            created_by: operator.clone(),
            target_is_others: false,
            now,
        };
        let (inventory, freeze) = (executor::inventory(app).await?, executor::freeze(app).await?);
        let view = rollout_view(&loaded, &inventory, freeze.as_ref());
        let audit = (
            "rollout.create",
            id.to_string(),
            format!("{} over {}", asked.target, base.version),
        );
        Ok(Outcome::new(StatusCode::CREATED, &view, audit)?
            .with([Change::AddRollout(row), Change::Ledger(entry)]))
    };
    once(app, call, decide, |_, _| {}).await
}

/// What a rollout replaces: named, or the model's champion.
async fn base_of(app: &App, target: &Version, named: Option<&str>) -> Result<Version, Problem> {
    let base = match named {
        Some(text) => resolve(app, text).await?,
        None => resolve(app, &format!("{}:{CHAMPION}", target.name))
            .await
            .map_err(|_| {
                Problem::refused(
                    "no-base",
                    format!(
                        "{} has no alias {CHAMPION}, so it is not known what {} replaces",
                        target.name, target.version
                    ),
                    format!(
                        "name the base, or point the alias {CHAMPION} of {} at the version that its devices run",
                        target.name
                    ),
                )
            })?,
    };
    if base.name != target.name {
        let detail = format!("{} and {} are different models", target.name, base.name);
        return Err(Problem::refused(
            "other-model",
            detail,
            "roll out a version of the model that the devices run",
        ));
    }
    Ok(base)
}

/// One live rollout a model: two would move the same devices.
async fn refuse_second(app: &App, name: &str, except: Option<RolloutId>) -> Result<(), Problem> {
    for row in app.store.live_rollouts().await? {
        if Some(row.id) == except {
            continue;
        }
        if app
            .store
            .version(row.target)
            .await?
            .is_some_and(|version| version.name == name)
        {
            let (detail, action) = if row.status == "stopping" {
                (
                    format!(
                        "rollout {} of {name} was stopped by evidence and waits for the frozen fleet to be rolled back",
                        row.id
                    ),
                    "thaw the fleet and wait for the rollback".to_owned(),
                )
            } else {
                (
                    format!("rollout {} of {name} is {}", row.id, row.status),
                    format!("wait until rollout {0} ends, or abort rollout {0} first", row.id),
                )
            };
            return Err(Problem::conflict("rollout-live", detail, action));
        }
    }
    Ok(())
}

/// A rollback that would move neither a device nor the champion, because newer rollouts took all of it over.
async fn refuse_superseded(app: &App, loaded: &Loaded, plan: &Plan) -> Result<(), Problem> {
    let Release {
        model, digest, label, ..
    } = &loaded.rollout.target;
    let moves =
        |decision: &Decision| matches!(decision, Decision::Rollback { devices, .. } if !devices.is_empty());
    let others = loaded.target_is_others;
    if plan.decisions.iter().any(moves)
        || (!others && is_champion(app, model, *digest).await?)
        || (!others
            && !latecomers(app, &loaded.rollout, &loaded.assignments, &[])
                .await?
                .is_empty())
    {
        return Ok(());
    }
    let mut newer = Vec::new();
    for row in app.store.rollouts(RECENT).await? {
        let target = app.store.version(row.target).await?;
        if row.id > loaded.rollout.id && target.is_some_and(|version| version.name == *model) {
            newer.push(row);
        }
    }
    // The newest of those that stand; where none does, the newest.
    let stands = newer.iter().find(|row| row.status != "rolled back");
    let Some(row) = stands.or(newer.first()) else {
        return Ok(());
    };
    Err(Problem::conflict(
        "superseded",
        format!(
            "rollout {} has no device on {model} {label} any more that it could send back: rollout {} came after",
            loaded.rollout.id, row.id
        ),
        format!("roll back rollout {} instead", row.id),
    ))
}

/// A version as the planner knows it.
fn release(version: &Version) -> Result<Release, Problem> {
    parse_release(version).map_err(|error| Problem::internal("reading a version", &error))
}

/// A version as the planner knows it, or what is wrong with the description that is stored.
pub(crate) fn parse_release(version: &Version) -> Result<Release, serde_json::Error> {
    let metadata: serde_json::Value = serde_json::from_str(&version.metadata)?;
    let requires: Requirements = serde_json::from_value(metadata["requires"].clone())?;
    let allowed = metadata["allowed_disagreement_ppm"].as_u64().unwrap_or(0);
    Ok(Release {
        label: version.version.clone(),
        model: version.name.clone(),
        digest: version.digest,
        requires,
        allowed_disagreement: Ppm(u32::try_from(allowed).unwrap_or(u32::MAX)),
    })
}

/// What the planner refuses of an operator.
fn unusable(error: Error) -> Problem {
    match error {
        Error::Policy(_) | Error::SameRelease { .. } | Error::Allowance { .. } => Problem::refused(
            "policy",
            error.to_string(),
            "correct the request and send it again",
        ),
        Error::Status { .. } | Error::Frozen { .. } | Error::FrozenAlready { .. } => Problem::conflict(
            "status",
            error.to_string(),
            "look at the rollout's status and at the freeze",
        ),
        other => executor::planning(other),
    }
}

/// The newest rollouts, newest first.
#[utoipa::path(get, path = "/v1/rollouts", responses((status = 200, body = Vec<RolloutView>)))]
pub(crate) async fn list(State(app): State<Shared>, _: Reader) -> Result<Json<Vec<RolloutView>>, Problem> {
    views(&app, LISTED).await.map(Json)
}

/// The newest rollouts as the API shows them.
pub(crate) async fn views(app: &App, limit: u32) -> Result<Vec<RolloutView>, Problem> {
    view_all(app, app.store.rollouts(limit).await?).await
}

async fn view_all(app: &App, rows: Vec<RolloutRow>) -> Result<Vec<RolloutView>, Problem> {
    let (inventory, freeze) = (executor::inventory(app).await?, executor::freeze(app).await?);
    let mut views = Vec::new();
    for row in rows {
        // One that cannot be read hides no other, and is not hidden.
        views.push(match executor::load(app, row.clone()).await {
            Ok(loaded) => rollout_view(&loaded, &inventory, freeze.as_ref()),
            Err(problem) => {
                tracing::error!(rollout = %row.id, detail = problem.detail(), "a rollout cannot be shown");
                unreadable_view(&row, &problem)
            }
        });
    }
    Ok(views)
}

/// The live rollouts as the API shows them, newest first: each model may have one. The newest where none is live.
pub(crate) async fn current(app: &App) -> Result<Vec<RolloutView>, Problem> {
    let mut rows = app.store.live_rollouts().await?;
    if rows.is_empty() {
        return views(app, 1).await;
    }
    rows.reverse();
    rows.truncate(LISTED as usize);
    view_all(app, rows).await
}

/// A rollout, with its figures as of now.
#[utoipa::path(get, path = "/v1/rollouts/{id}", params(("id" = u64, Path)),
    responses((status = 200, body = RolloutView), (status = 404, body = crate::api::ProblemView)))]
pub(crate) async fn show(
    State(app): State<Shared>,
    _: Reader,
    Path(id): Path<u64>,
) -> Result<Json<RolloutView>, Problem> {
    view(&app, RolloutId(id)).await.map(Json)
}

/// A rollout as the API shows it.
pub(crate) async fn view(app: &App, id: RolloutId) -> Result<RolloutView, Problem> {
    let loaded = executor::load(app, row(app, id).await?).await?;
    let (inventory, freeze) = (executor::inventory(app).await?, executor::freeze(app).await?);
    Ok(rollout_view(&loaded, &inventory, freeze.as_ref()))
}

async fn row(app: &App, id: RolloutId) -> Result<RolloutRow, Problem> {
    let unknown = || {
        Problem::not_found(
            "unknown-rollout",
            format!("there is no rollout {id}"),
            "look for its number in the list of rollouts",
        )
    };
    app.store.rollout(id).await?.ok_or_else(unknown)
}

/// Commands a rollout: `pause`, `resume`, `abort` (assign nobody any more) or `rollback` (send everybody back).
#[utoipa::path(post, path = "/v1/rollouts/{id}/{command}", request_body = Why,
    params(("id" = u64, Path), ("command" = String, Path, description = "`pause`, `resume`, `abort` or `rollback`")),
    responses((status = 200, body = RolloutView), (status = 409, body = crate::api::ProblemView)))]
pub(crate) async fn command(
    State(app): State<Shared>,
    Path((id, command)): Path<(u64, String)>,
    call: Call,
) -> Result<Response, Problem> {
    let why: Why = call.parse()?;
    steer(&app, call, RolloutId(id), &command, why).await
}

/// The command of a word.
fn parse_command(word: &str, why: String) -> Result<(Command, &'static str), Problem> {
    match word {
        "pause" => Ok((Command::Pause { why }, "rollout.pause")),
        "resume" => Ok((Command::Resume, "rollout.resume")),
        "abort" => Ok((Command::Abort { why }, "rollout.abort")),
        "rollback" => Ok((Command::Rollback { why }, "rollout.rollback")),
        other => Err(Problem::not_found(
            "unknown-command",
            format!("a rollout has no command {other:?}"),
            "it is pause, resume, abort or rollback",
        )),
    }
}

/// Commands a rollout.
pub(crate) async fn steer(
    app: &Shared,
    call: Call,
    id: RolloutId,
    word: &str,
    why: Why,
) -> Result<Response, Problem> {
    let operator = call.operator.clone();
    let why = reason(&why, "no reason given")?;
    let (command, action) = parse_command(word, why.clone())?;
    let rung: Arc<Mutex<Vec<DeviceId>>> = Arc::default();
    let decide = async |app: &App| {
        let row = row(app, id).await?;
        if matches!(command, Command::Rollback { .. } | Command::Resume)
            && let Some(version) = app.store.version(row.target).await?
        {
            refuse_second(app, &version.name, Some(id)).await?;
        }
        let loaded = executor::load_to_move(app, row).await?;
        let (inventory, freeze) = (executor::inventory(app).await?, executor::freeze(app).await?);
        let plan = executor::input(&loaded, &inventory, freeze.as_ref(), |input| {
            sanderling_rollout::command(input, command.clone())
        });
        let plan = plan.map_err(unusable)?;
        if matches!(command, Command::Rollback { .. }) {
            refuse_superseded(app, &loaded, &plan).await?;
        }
        let after = executor::preview(&loaded, &plan)?;
        let (changes, devices) = executor::execute(app, loaded, &plan, Some(&operator)).await?;
        *rung.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = devices;
        let view = rollout_view(&after, &inventory, freeze.as_ref());
        Ok(Outcome::new(StatusCode::OK, &view, (action, id.to_string(), why.clone()))?.with(changes))
    };
    let handed = Arc::clone(&rung);
    let ring = move |app: &App, _: &_| {
        app.doorbell
            .ring(&handed.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    };
    once(app, call, decide, ring).await
}
