//! The pages that are looked at.

use super::text::{
    agreement, bytes, calm, event, exposure, headline, health, is_live, phase, tone, towards_stop,
};
use super::timeline::{Line, When, lines};
use super::{Refusal, render};
use crate::api::{DeviceView, FleetView, RolloutView};
use crate::app::{App, Shared};
use crate::auth::Session;
use crate::feeds::event_view;
use crate::operator::{devices as device_api, fleet as fleet_api, rollouts as rollout_api};
use crate::views::{Names, device_view, version_view};
use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use sanderling_rollout::Policy;
use sanderling_wire::{DeviceId, RolloutId};
use serde::Deserialize;

/// Devices on one page.
const DEVICES: u32 = 100;

/// What every page has.
pub(super) struct Frame {
    operator: String,
    csrf: String,
    frozen: Option<String>,
    /// What people have to renew.
    expiring: Vec<String>,
    here: &'static str,
}

impl Frame {
    pub(super) async fn new(app: &App, session: Session, here: &'static str) -> Result<Self, Refusal> {
        let frozen = crate::executor::freeze(app).await?.map(|freeze| freeze.why);
        Ok(Self {
            operator: session.operator,
            csrf: session.csrf,
            frozen,
            expiring: app.expiring(),
            here,
        })
    }
}

/// A rollout drawn.
struct Card {
    id: u64,
    model: String,
    headline: String,
    status: String,
    tone: &'static str,
    stages: Vec<(String, &'static str)>,
    on_target: usize,
    population: usize,
    exposure: String,
    agreement: String,
    agreement_stop: u32,
    health: Vec<(String, u32)>,
    calm: Option<String>,
    inference: String,
    holding: Vec<String>,
    excluded: usize,
    started: When,
    by: String,
    can_pause: bool,
    can_resume: bool,
    can_abort: bool,
    can_roll_back: bool,
}

impl Card {
    fn new(view: &RolloutView, now: u64) -> Self {
        let figures = &view.assessment;
        let place = |index: usize| match index.cmp(&usize::from(view.stage)) {
            std::cmp::Ordering::Less => "done",
            std::cmp::Ordering::Equal if view.status == "completed" => "done",
            std::cmp::Ordering::Equal => "current",
            std::cmp::Ordering::Greater => "ahead",
        };
        let stages = view
            .stages
            .iter()
            .enumerate()
            .map(|(index, name)| (name.clone(), place(index)));
        let live = is_live(view);
        Self {
            id: view.id.0,
            model: view.model.clone(),
            headline: headline(view),
            status: view.status.clone(),
            tone: tone(&view.status),
            stages: stages.collect(),
            on_target: figures.on_target,
            population: figures.population,
            exposure: exposure(view),
            agreement: agreement(view),
            agreement_stop: towards_stop(figures.agreement.ln_e, figures.agreement.ln_stop),
            calm: calm(&figures.health),
            health: figures
                .health
                .iter()
                .filter(|reading| reading.target + reading.control > 0)
                .map(|reading| (health(reading), towards_stop(reading.ln_e, reading.ln_stop)))
                .collect(),
            inference: view.inference.clone(),
            holding: view.holding.clone(),
            excluded: figures.excluded,
            started: When::new(view.started_at, now),
            by: view.created_by.clone(),
            can_pause: view.status == "running",
            can_resume: view.status == "paused",
            can_abort: live,
            can_roll_back: view.status != "rolled back",
        }
    }
}

/// A device in a table.
struct DeviceLine {
    id: String,
    short: String,
    label: String,
    hardware: String,
    active: String,
    phase: &'static str,
    seen: Option<When>,
    rollout: Option<u64>,
    note: &'static str,
}

impl DeviceLine {
    fn new(view: &DeviceView, now: u64) -> Self {
        Self {
            id: view.id.to_string(),
            short: view.id.short(),
            label: view.label.clone(),
            hardware: view.hardware.to_string(),
            active: image(view, view.active),
            phase: phase(view.phase.as_deref()),
            seen: view.last_seen.map(|time| When::new(time, now)),
            rollout: view.rollout.map(|id| id.0),
            note: match (view.decommissioned_at, view.frozen) {
                (Some(_), _) => "decommissioned",
                (None, true) => "kept from rollouts",
                (None, false) => "",
            },
        }
    }
}

fn image(view: &DeviceView, digest: Option<sanderling_wire::Digest>) -> String {
    match (&view.active_name, digest) {
        (Some(name), _) => name.clone(),
        (None, Some(digest)) => format!("unregistered {}", digest.short()),
        (None, None) => "–".to_owned(),
    }
}

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    frame: Frame,
    devices: u64,
    phases: Vec<(&'static str, u64)>,
    images: Vec<(String, u64)>,
    cards: Vec<Card>,
    lines: Vec<Line>,
    rows: Vec<DeviceLine>,
}

/// `GET /`.
pub(super) async fn overview(State(app): State<Shared>, session: Session) -> Result<Response, Refusal> {
    let (names, now) = (Names::read(&app).await?, app.now());
    let fleet: FleetView = fleet_api::fleet(&app).await?;
    let current = rollout_api::current(&app).await?;
    let images = fleet.images.iter().map(|(digest, count)| {
        let named = digest
            .parse()
            .map_or_else(|_| "no model".to_owned(), |digest| names.or_digest(digest));
        (named, *count)
    });
    let page = Overview {
        frame: Frame::new(&app, session, "fleet").await?,
        devices: fleet.devices,
        phases: fleet
            .phases
            .iter()
            .map(|(word, count)| {
                (
                    phase(Some(word).filter(|w| *w != "new").map(String::as_str)),
                    *count,
                )
            })
            .collect(),
        images: images.collect(),
        cards: current.iter().map(|view| Card::new(view, now)).collect(),
        lines: lines(&app, None, 12, names.several_models()).await?,
        rows: device_lines(&app, None, 24, &names).await?,
    };
    render(&page)
}

async fn device_lines(
    app: &App,
    after: Option<DeviceId>,
    limit: u32,
    names: &Names,
) -> Result<Vec<DeviceLine>, Refusal> {
    let records = app.store.devices(after, limit).await?;
    let line = |record| DeviceLine::new(&device_view(record, names, Vec::new()), app.now());
    Ok(records.into_iter().map(line).collect())
}

#[derive(Template)]
#[template(path = "rollouts.html")]
struct Rollouts {
    frame: Frame,
    cards: Vec<Card>,
}

/// `GET /rollouts`.
pub(super) async fn rollouts(State(app): State<Shared>, session: Session) -> Result<Response, Refusal> {
    let views = rollout_api::views(&app, 25).await?;
    let cards = views.iter().map(|view| Card::new(view, app.now())).collect();
    render(&Rollouts {
        frame: Frame::new(&app, session, "rollouts").await?,
        cards,
    })
}

#[derive(Template)]
#[template(path = "rollout.html")]
struct RolloutPage {
    frame: Frame,
    card: Card,
    policy: Policy,
    lines: Vec<Line>,
}

/// `GET /rollouts/{id}`.
pub(super) async fn rollout(
    State(app): State<Shared>,
    session: Session,
    Path(id): Path<u64>,
) -> Result<Response, Refusal> {
    let view = rollout_api::view(&app, RolloutId(id)).await?;
    let page = RolloutPage {
        frame: Frame::new(&app, session, "rollouts").await?,
        card: Card::new(&view, app.now()),
        policy: view.policy,
        lines: lines(&app, Some(RolloutId(id)), 0, false).await?,
    };
    render(&page)
}

/// A version in a table.
struct VersionLine {
    name: String,
    version: String,
    digest: String,
    short: String,
    size: String,
    parent: Option<String>,
    aliases: Vec<String>,
    published: When,
    by: String,
    description: String,
}

#[derive(Template)]
#[template(path = "versions.html")]
struct Versions {
    frame: Frame,
    versions: Vec<VersionLine>,
}

/// `GET /versions`.
pub(super) async fn versions(State(app): State<Shared>, session: Session) -> Result<Response, Refusal> {
    let (names, now) = (Names::read(&app).await?, app.now());
    let line = |version| {
        let view = version_view(version, &names);
        VersionLine {
            short: view.digest.short(),
            digest: view.digest.to_string(),
            size: bytes(view.length),
            parent: view.parent.map(|parent| names.or_digest(parent)),
            published: When::new(view.published_at, now),
            by: view.published_by,
            description: view.metadata["description"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            name: view.name,
            version: view.version,
            aliases: view.aliases,
        }
    };
    let versions = names.versions.iter().map(line).collect();
    render(&Versions {
        frame: Frame::new(&app, session, "versions").await?,
        versions,
    })
}

#[derive(Template)]
#[template(path = "devices.html")]
struct Devices {
    frame: Frame,
    rows: Vec<DeviceLine>,
    next: Option<String>,
    enrolment: Option<String>,
}

/// Where the table goes on.
#[derive(Deserialize)]
pub(super) struct After {
    after: Option<DeviceId>,
}

/// `GET /devices`.
pub(super) async fn devices(
    State(app): State<Shared>,
    session: Session,
    Query(page): Query<After>,
) -> Result<Response, Refusal> {
    devices_page(&app, session, page.after, None).await
}

/// The devices' page, with a fresh enrolment string where one was made.
pub(super) async fn devices_page(
    app: &App,
    session: Session,
    after: Option<DeviceId>,
    enrolment: Option<String>,
) -> Result<Response, Refusal> {
    let names = Names::read(app).await?;
    let rows = device_lines(app, after, DEVICES, &names).await?;
    let next = rows
        .last()
        .filter(|_| rows.len() == DEVICES as usize)
        .map(|row| row.id.clone());
    render(&Devices {
        frame: Frame::new(app, session, "devices").await?,
        rows,
        next,
        enrolment,
    })
}

#[derive(Template)]
#[template(path = "device.html")]
struct DevicePage {
    frame: Frame,
    row: DeviceLine,
    enrolled: When,
    standby: Option<String>,
    desired: Option<String>,
    as_newcomer: bool,
    left_out: Option<String>,
    director_version: u64,
    dropped: u64,
    serving: Vec<(String, u64, u64, u64, u64)>,
    lines: Vec<Line>,
    retired: bool,
    kept: bool,
}

/// `GET /devices/{id}`.
pub(super) async fn device(
    State(app): State<Shared>,
    session: Session,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let (id, now) = (device_api::device_id(&id)?, app.now());
    let (view, names) = (device_api::view(&app, id).await?, Names::read(&app).await?);
    let name = |digest: &str| {
        digest
            .parse()
            .map_or_else(|_| digest.to_owned(), |digest| names.or_digest(digest))
    };
    let events = app.store.recent_events(Some(id), 200).await?;
    let line = |found| {
        let view = event_view(found);
        let link = view.rollout.map(|id| format!("/rollouts/{id}"));
        Line {
            when: When::new(view.received, now),
            text: event(&view),
            link,
        }
    };
    let serving = view
        .serving
        .iter()
        .map(|(digest, t)| (name(digest), t.answers, t.errors, t.cascaded, t.degraded));
    let page = DevicePage {
        frame: Frame::new(&app, session, "devices").await?,
        row: DeviceLine::new(&view, now),
        enrolled: When::new(view.enrolled_at, now),
        standby: view.standby.map(|digest| names.or_digest(digest)),
        desired: view.desired.map(|digest| names.or_digest(digest)),
        as_newcomer: view.desired.is_some() && view.rollout.is_none(),
        left_out: view.left_out.clone(),
        director_version: view.director_version,
        dropped: view.dropped_records,
        serving: serving.collect(),
        lines: events.into_iter().map(line).collect(),
        retired: view.decommissioned_at.is_some(),
        kept: view.frozen,
    };
    render(&page)
}
