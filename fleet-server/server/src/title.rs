//! The title of champion: which version of a model the fleet runs. A rollout that completes gives it to its target; rolling
//! that rollout back gives it back, unless it is another's by now.

use crate::app::App;
use crate::problem::Problem;
use sanderling_rollout::{Rollout, Status};
use sanderling_store::{Alias, Change};
use sanderling_wire::Digest;

/// The alias that says which version of a model the fleet runs.
pub(crate) const CHAMPION: &str = "champion";

/// The title's move that goes with a rollout's. `was` is where the rollout stood before; `others` whether a later one
/// completed with the same target, so that the title is that one's.
pub(crate) async fn passed_on(
    app: &App,
    rollout: &Rollout,
    was: &Status,
    others: bool,
    now: u64,
) -> Result<Option<Change>, Problem> {
    let digest = match &rollout.status {
        Status::Completed => rollout.target.digest,
        Status::RolledBack { .. } if *was == Status::Completed => rollout.base.digest,
        _ => return Ok(None),
    };
    let Some(version) = app.store.version(digest).await? else {
        return Ok(None);
    };
    let gives_back = *was == Status::Completed;
    if gives_back && (others || !is_champion(app, &version.name, rollout.target.digest).await?) {
        return Ok(None);
    }
    Ok(Some(Change::SetAlias(Alias {
        name: version.name,
        alias: CHAMPION.into(),
        digest,
        since: now,
    })))
}

/// Whether a version is its model's champion.
pub(crate) async fn is_champion(app: &App, name: &str, digest: Digest) -> Result<bool, Problem> {
    let is = |alias: &Alias| alias.name == name && alias.alias == CHAMPION && alias.digest == digest;
    Ok(app.store.aliases().await?.iter().any(is))
}
