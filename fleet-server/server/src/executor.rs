//! The executor of plans: reads what the planner needs, writes what it decides, rings the doorbells. It makes no choices.
//!
//! A plan becomes one transaction: assignments, what devices are to run, the rollout's new state, a ledger entry. If the
//! server dies before it, the same plan is made again; after it, devices learn of it at their next check-in.

use crate::app::{App, Shared};
use crate::evidence;
use crate::newcomers::{self, Search};
use crate::problem::Problem;
use crate::title;
use sanderling_rollout::{
    Arm, Assignment, Assignments, Device, Evidence, ExclusionGroup, Freeze, Input, Inventory,
    InventoryBuilder, Plan, Rollout, Status, apply, plan,
};
use sanderling_store::{AssignmentRow, Change, Desired, FleetRow, Mode, RolloutRow, ledger::NewEntry};
use sanderling_wire::{DeviceId, Digest, HardwareId, RolloutId, RuntimeInfo};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// The setting that holds the emergency brake.
const FREEZE: &str = "freeze";
/// Newcomers are looked for at most once in so many of the pauses between two looks: every 5 s by default.
const SEARCH_DEBOUNCES: u32 = 10;

/// A rollout's state as stored, beside its assignments.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) rollout: Rollout,
    classes: Vec<HardwareId>,
    pub(crate) excluded: Vec<ExclusionGroup>,
}

impl State {
    pub(crate) fn new(rollout: Rollout) -> Self {
        Self {
            rollout,
            classes: Vec::new(),
            excluded: Vec::new(),
        }
    }

    pub(crate) fn to_json(&self) -> Result<String, Problem> {
        serde_json::to_string(self).map_err(|error| Problem::internal("writing a rollout", &error))
    }
}

/// A rollout with everything the planner looks at but the fleet.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    pub(crate) rollout: Rollout,
    pub(crate) assignments: Assignments,
    pub(crate) evidence: Evidence,
    pub(crate) created_by: String,
    /// Whether a later rollout completed with the same target. Known where it is to be moved ([`load_to_move`]).
    pub(crate) target_is_others: bool,
    /// When it was read, and so when it is planned: no evidence is later.
    pub(crate) now: u64,
}

/// Runs until the server stops: looks at the live rollouts when something was committed, and from time to time.
pub(crate) async fn run(app: Shared) {
    let timing = &app.config.timing;
    let debounce = Duration::from_millis(timing.plan_debounce_ms);
    let mut search = Search::every(debounce * SEARCH_DEBOUNCES);
    let mut troubles = Troubles::default();
    let mut heads = app.store.heads();
    loop {
        let began = Instant::now();
        if let Err(problem) = look(&app, &mut search, &mut troubles).await {
            tracing::error!(detail = problem.detail(), "the rollouts could not be planned");
        }
        // A fleet so large that planning is slow is planned less often: at most a fifth of the time.
        let rest = debounce.max(began.elapsed() * 4);
        tokio::select! {
            () = tokio::time::sleep(rest) => {}
            () = app.stopped() => return,
        }
        tokio::select! {
            changed = heads.changed() => if changed.is_err() { return },
            () = app.look.notified() => {}
            () = tokio::time::sleep(search.wait(Duration::from_secs(timing.plan_interval_s))) => {}
            () = app.stopped() => return,
        }
    }
}

/// What keeps rollouts from being planned, so that it is told once and not at each look.
#[derive(Default)]
struct Troubles(HashMap<RolloutId, String>);

impl Troubles {
    /// Notes how planning a rollout went.
    fn note<T>(&mut self, app: &App, rollout: RolloutId, outcome: &Result<T, Problem>) {
        let Err(problem) = outcome else {
            self.0.remove(&rollout);
            return;
        };
        app.metrics.unplanned.inc();
        let known = self.0.insert(rollout, problem.detail().to_owned());
        if known.as_deref() != Some(problem.detail()) {
            tracing::error!(%rollout, detail = problem.detail(), "a rollout could not be planned; the others go on");
        }
    }
}

/// Plans every live rollout once, and looks for newcomers if it is time. One that cannot be planned keeps no other.
async fn look(app: &App, search: &mut Search, troubles: &mut Troubles) -> Result<(), Problem> {
    let _alone = app.operations.lock().await;
    let live = app.store.live_rollouts().await?;
    app.metrics.live_rollouts.set(live.len() as i64);
    let freeze = freeze(app).await?;
    let mut fleet = None;
    for row in &live {
        let known = match fleet.take() {
            Some(known) => known,
            None => inventory(app).await?,
        };
        // What one rollout tells devices, the next one must know: devices without a model go to the first that asks.
        let moved = advance(app, row.clone(), &known, freeze.as_ref()).await;
        troubles.note(app, row.id, &moved);
        fleet = (!moved.unwrap_or(true)).then_some(known);
    }
    troubles.0.retain(|id, _| live.iter().any(|row| row.id == *id));
    if search.is_due() {
        newcomers::welcome(app, &live, freeze.as_ref(), search).await?;
        app.metrics.searches.inc();
    }
    Ok(())
}

/// Plans a rollout and carries the plan out. Answers whether there was anything to do.
async fn advance(
    app: &App,
    row: RolloutRow,
    inventory: &Inventory,
    freeze: Option<&Freeze>,
) -> Result<bool, Problem> {
    let began = Instant::now();
    let loaded = load_to_move(app, row).await?;
    let made = input(&loaded, inventory, freeze, plan).map_err(planning)?;
    app.metrics.plan_seconds.observe(began.elapsed().as_secs_f64());
    if made.is_empty() {
        return Ok(false);
    }
    let (changes, devices) = execute(app, loaded, &made, None).await?;
    app.store.commit(changes).await?;
    app.doorbell.ring(&devices);
    Ok(true)
}

/// Calls `f` with the planner's input.
pub(crate) fn input<T>(
    loaded: &Loaded,
    inventory: &Inventory,
    freeze: Option<&Freeze>,
    f: impl FnOnce(&Input<'_>) -> T,
) -> T {
    let Loaded {
        rollout,
        assignments,
        evidence,
        now,
        ..
    } = loaded;
    f(&Input {
        rollout,
        assignments,
        inventory,
        evidence,
        freeze,
        now: *now,
    })
}

/// A planner's refusal that is nobody's request.
pub(crate) fn planning(error: sanderling_rollout::Error) -> Problem {
    Problem::internal("planning a rollout", &error)
}

/// The fleet's emergency brake, if it is on.
pub(crate) async fn freeze(app: &App) -> Result<Option<Freeze>, Problem> {
    let stored = app.store.setting(FREEZE).await?.filter(|text| !text.is_empty());
    let parse = |text: String| serde_json::from_str(&text);
    stored
        .map(parse)
        .transpose()
        .map_err(|error| Problem::internal("reading the freeze", &error))
}

/// Stores or forgets the brake.
pub(crate) fn set_freeze(freeze: Option<&Freeze>) -> Result<Change, Problem> {
    let value = freeze.map(serde_json::to_string).transpose();
    let value = value.map_err(|error| Problem::internal("writing the freeze", &error))?;
    Ok(Change::Set {
        name: FREEZE,
        value: value.unwrap_or_default(),
    })
}

/// The fleet as the planner sees it.
pub(crate) async fn inventory(app: &App) -> Result<Inventory, Problem> {
    inventory_of(app, app.store.fleet().await?).await
}

/// Some devices as the planner sees them.
pub(crate) async fn inventory_of(app: &App, fleet: Vec<FleetRow>) -> Result<Inventory, Problem> {
    // Those that a device has now: what else was ever reported is not read.
    let hashes: HashSet<Digest> = fleet.iter().map(|row| row.runtime).collect();
    let runtimes = app.store.runtimes(hashes.into_iter().collect()).await?;
    let runtimes: HashMap<_, _> = runtimes.into_iter().collect();
    let mut builder = InventoryBuilder::with_capacity(fleet.len());
    let mut profiles = HashMap::new();
    for row in fleet {
        let Some(runtime) = runtimes.get(&row.runtime) else {
            continue;
        };
        let profile = *profiles
            .entry((row.hardware.clone(), row.runtime))
            .or_insert_with(|| builder.profile(&row.hardware, &normal(runtime)));
        let (version, told) = (builder.version(row.active), builder.version(row.told));
        builder.device(Device {
            id: row.device,
            profile,
            version,
            told,
            running_since: row.active_since,
            last_seen: row.last_seen,
            frozen: row.frozen,
        });
    }
    for (digest, model) in app.store.models().await? {
        builder.model(digest, &model);
    }
    builder.build().map_err(planning)
}

/// A runtime with its operators named as bundles' requirements are.
fn normal(runtime: &RuntimeInfo) -> RuntimeInfo {
    let operators = runtime.operators.iter().map(|name| operator_name(name)).collect();
    RuntimeInfo {
        operators,
        ..runtime.clone()
    }
}

/// `domain:OpType` with ONNX's own domain written as the empty one.
pub(crate) fn operator_name(name: &str) -> String {
    match name.strip_prefix("ai.onnx:") {
        Some(operator) => format!(":{operator}"),
        None => name.to_owned(),
    }
}

/// Reads a rollout.
pub(crate) async fn load(app: &App, row: RolloutRow) -> Result<Loaded, Problem> {
    let damaged = |error: &dyn std::fmt::Display| Problem::internal("reading a rollout", error);
    let state: State = serde_json::from_str(&row.state).map_err(|error| damaged(&error))?;
    let stored = app.store.assignments(row.id).await?;
    let rows = stored
        .iter()
        .map(|row| parse_row(&state.classes, row))
        .collect::<Option<Vec<_>>>();
    let rows = rows.ok_or_else(|| damaged(&"an assignment's hardware class is not the rollout's"))?;
    let assignments =
        Assignments::from_parts(state.classes, rows, state.excluded).map_err(|error| damaged(&error))?;
    let paired = app.store.paired_counts(row.id).await?;
    let now = app.now().max(state.rollout.updated_at);
    let health = app.store.health(row.id).await?;
    let evidence = evidence::gather(&state.rollout.policy.metrics, paired, health, now);
    Ok(Loaded {
        rollout: state.rollout,
        assignments,
        evidence,
        created_by: row.created_by,
        target_is_others: false,
        now,
    })
}

/// Reads a rollout that is to be moved, and so with what later ones took over from it.
pub(crate) async fn load_to_move(app: &App, row: RolloutRow) -> Result<Loaded, Problem> {
    let mut loaded = load(app, row).await?;
    let taken = app.store.taken_over(loaded.rollout.id).await?;
    loaded.assignments.set_taken(taken.devices);
    loaded.target_is_others = taken.target;
    Ok(loaded)
}

fn parse_row(classes: &[HardwareId], row: &AssignmentRow) -> Option<Assignment> {
    let class = classes.iter().position(|class| *class == row.hardware)?;
    Some(Assignment {
        device: row.device,
        class: u16::try_from(class).ok()?,
        stage: row.stage,
        enrolled_at: row.enrolled_at,
        target_at: row.target_at,
        silent_at: row.silent_at,
        reverted_at: row.reverted_at,
    })
}

/// A rollout as it will be once a plan is carried out.
pub(crate) fn preview(loaded: &Loaded, made: &Plan) -> Result<Loaded, Problem> {
    let mut after = loaded.clone();
    apply(&mut after.rollout, &mut after.assignments, made).map_err(planning)?;
    Ok(after)
}

/// A plan as changes, and the devices to ring.
pub(crate) async fn execute(
    app: &App,
    loaded: Loaded,
    made: &Plan,
    operator: Option<&str>,
) -> Result<(Vec<Change>, Vec<DeviceId>), Problem> {
    let Loaded {
        mut rollout,
        mut assignments,
        target_is_others: others,
        ..
    } = loaded;
    let before: HashMap<DeviceId, Assignment> =
        assignments.rows().iter().map(|row| (row.device, *row)).collect();
    let was = rollout.status.clone();
    apply(&mut rollout, &mut assignments, made).map_err(planning)?;
    let moved: Vec<&Assignment> = assignments
        .rows()
        .iter()
        .filter(|row| before.get(&row.device) != Some(*row))
        .collect();
    let classes = assignments.classes();
    let rows = moved
        .iter()
        .map(|row| store_row(classes, row))
        .collect::<Option<Vec<_>>>();
    let rows = rows.ok_or_else(|| Problem::internal("storing a plan", &"an assignment without a class"))?;
    let mut changes = vec![Change::Assign {
        rollout: rollout.id,
        rows,
    }];
    let (desires, mut devices) = desires(&rollout, &moved, &before, made.at);
    changes.extend(desires);
    changes.extend(title::passed_on(app, &rollout, &was, others, made.at).await?);
    changes.push(Change::Ledger(entry(&rollout, made, operator)?));
    if was == Status::Completed && matches!(rollout.status, Status::RolledBack { .. }) && !others {
        let late = newcomers::latecomers(app, &rollout, &assignments, &devices).await?;
        changes.extend(newcomers::recall(&rollout, &late, made.at));
        devices.extend(late);
    }
    let state = State {
        excluded: assignments.excluded().to_vec(),
        classes: classes.to_vec(),
        rollout,
    };
    changes.push(Change::SetRollout {
        id: state.rollout.id,
        status: stored_status(&state.rollout).to_owned(),
        state: state.to_json()?,
    });
    Ok((changes, devices))
}

/// The status by which the store tells rollouts that are planned on from those that are not.
fn stored_status(rollout: &Rollout) -> &'static str {
    if rollout.owes_rollback() {
        "stopping"
    } else {
        rollout.status.word()
    }
}

fn store_row(classes: &[HardwareId], row: &Assignment) -> Option<AssignmentRow> {
    Some(AssignmentRow {
        device: row.device,
        hardware: classes.get(usize::from(row.class))?.clone(),
        stage: row.stage,
        enrolled_at: row.enrolled_at,
        target_at: row.target_at,
        silent_at: row.silent_at,
        reverted_at: row.reverted_at,
    })
}

/// What the moved devices are to run, grouped, and which they are.
fn desires(
    rollout: &Rollout,
    moved: &[&Assignment],
    before: &HashMap<DeviceId, Assignment>,
    now: u64,
) -> (Vec<Change>, Vec<DeviceId>) {
    let part = |row: &Assignment| match (row.has_target(), row.reverted_at) {
        (true, _) => (rollout.target.digest, Arm::Target, Mode::Activate),
        (false, Some(_)) => (rollout.base.digest, Arm::Control, Mode::Restore),
        (false, None) => (rollout.base.digest, Arm::Control, Mode::Activate),
    };
    let mut groups: Vec<(_, Vec<DeviceId>)> = Vec::new();
    for row in moved {
        let wanted = part(row);
        if before.get(&row.device).is_some_and(|old| part(old) == wanted) {
            continue;
        }
        match groups.iter_mut().find(|(group, _)| *group == wanted) {
            Some((_, devices)) => devices.push(row.device),
            None => groups.push((wanted, vec![row.device])),
        }
    }
    let devices = groups
        .iter()
        .flat_map(|(_, devices)| devices.iter().copied())
        .collect();
    let changes = groups.into_iter().map(|((digest, arm, mode), devices)| {
        let desired = Desired {
            digest,
            rollout: Some(rollout.id),
            arm: Some(arm),
            mode,
            since: now,
        };
        Change::Desire {
            devices,
            desired: Some(desired),
        }
    });
    (changes.collect(), devices)
}

fn entry(rollout: &Rollout, made: &Plan, operator: Option<&str>) -> Result<NewEntry, Problem> {
    let damaged = |error: serde_json::Error| Problem::internal("writing a plan", &error);
    let decisions = serde_json::to_value(&made.decisions).map_err(damaged)?;
    // A decision is written as its name, or as an object whose one key is its name.
    let name = |decision: &serde_json::Value| match decision {
        serde_json::Value::Object(map) => map.keys().next().cloned(),
        other => other.as_str().map(str::to_owned),
    };
    let events: Vec<String> = decisions
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(name)
        .collect();
    let assessment = serde_json::to_value(&made.assessment).map_err(damaged)?;
    let body = json!({
        "events": events,
        "sentences": made.sentences().collect::<Vec<_>>(),
        "decisions": decisions,
        "status": rollout.status.word(),
        "stage": rollout.stage,
        "revision": rollout.revision,
        "name": rollout.target.model,
        "target": made.target,
        "base": made.base,
        "assessment": assessment,
        "evidence": made.evidence,
        "operator": operator,
    });
    Ok(NewEntry {
        rollout: Some(rollout.id),
        at: made.at,
        kind: "rollout.planned".into(),
        body: body.to_string(),
    })
}

/// The next free number of a rollout. Called with no other operation under way.
pub(crate) async fn next_id(app: &App) -> Result<RolloutId, Problem> {
    let newest = app.store.rollouts(1).await?;
    Ok(RolloutId(newest.first().map_or(1, |row| row.id.0 + 1)))
}
