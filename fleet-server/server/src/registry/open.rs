//! Taking up what a data folder holds: the roots it was made with, the keys that belong to them, the images' metadata.

use super::IMAGE;
use crate::ServerError;
use crate::config::TrustConfig;
use sanderling_store::{Change, Store};
use sanderling_trust::{KeyId, Local, LocalState, RoleKeys, Root, TrustedSet, UnixTime};

/// The first root's name.
pub(super) const FIRST: &str = "1.root.json";

/// The first roots never change: devices pin them.
pub(super) async fn keep_first_root(
    store: &dyn Store,
    repository: &'static str,
    root: &[u8],
) -> Result<(), ServerError> {
    match store.tuf_file(repository, FIRST).await? {
        Some(kept) if kept == root => Ok(()),
        Some(_) => Err(ServerError::WrongKey {
            key: if repository == IMAGE {
                "timestamp"
            } else {
                "director"
            },
            reason: format!(
                "comes with another {repository}/{FIRST} than this data folder was made with; devices pin the first \
                 one. Use the keys that belong to this data folder, or a new data folder"
            ),
        }),
        None => {
            let files = vec![(FIRST.to_owned(), root.to_vec())];
            store
                .commit(vec![Change::PutTufFiles { repository, files }])
                .await?;
            Ok(())
        }
    }
}

/// Our keys are the online roles' and no others': what breaks into the server gets no more than that.
pub(super) fn check_keys(trust: &TrustConfig, images: &Root, director: &Root) -> Result<(), ServerError> {
    let holds = |role: &RoleKeys, id: &KeyId| role.key_ids.contains(id);
    let wrong = |key, reason: &str| {
        Err(ServerError::WrongKey {
            key,
            reason: reason.to_owned(),
        })
    };
    let (director_key, timestamp_key) = (
        trust.director.public_key().id(),
        trust.timestamp.public_key().id(),
    );
    if !holds(&director.targets, director_key) {
        return wrong(
            "director",
            "is not the one that director root names: use the key made with that root",
        );
    }
    if !holds(&images.timestamp, timestamp_key) {
        return wrong(
            "timestamp",
            "is not the one that the image root names: use the key made with that root",
        );
    }
    let offline = [&images.root, &images.snapshot, &images.targets, &director.root];
    for (key, id) in [("director", director_key), ("timestamp", timestamp_key)] {
        if offline.iter().any(|role| holds(role, id)) {
            return wrong(
                key,
                "is also a key of an offline role: the server must not hold it. Rotate the root",
            );
        }
    }
    Ok(())
}

/// Reads timestamp, snapshot and targets of the store. Expired ones are taken: devices judge for themselves.
pub(super) async fn load_images(
    store: &dyn Store,
    images: &mut TrustedSet,
    now: u64,
) -> Result<(), ServerError> {
    let Some(timestamp) = store.tuf_file(IMAGE, "timestamp.json").await? else {
        return Ok(());
    };
    let alone = Local {
        timestamp: Some(&timestamp),
        ..Local::default()
    };
    images.load_local(alone, UnixTime(now));
    let name = |images: &TrustedSet| images.wanted().map(|fetch| fetch.name).unwrap_or_default();
    let snapshot = store.tuf_file(IMAGE, &name(images)).await?;
    let two = Local {
        timestamp: Some(&timestamp),
        snapshot: snapshot.as_deref(),
        targets: None,
    };
    images.load_local(two, UnixTime(now));
    let targets = store.tuf_file(IMAGE, &name(images)).await?;
    let all = Local {
        timestamp: Some(&timestamp),
        snapshot: snapshot.as_deref(),
        targets: targets.as_deref(),
    };
    let report = images.load_local(all, UnixTime(now));
    for state in [report.timestamp, report.snapshot, report.targets] {
        match state {
            LocalState::Refused(source) => {
                return Err(ServerError::Metadata {
                    repository: IMAGE,
                    source,
                });
            }
            LocalState::Expired { since } => {
                tracing::warn!(%since, "image metadata has expired: devices will not install until it is renewed");
            }
            LocalState::Absent | LocalState::Trusted => {}
        }
    }
    Ok(())
}
