//! A rollout over the whole fleet, so that every check-in has an assignment to read and the planner has work.
//!
//! Two versions are signed by the owner's keys and published through the API, and the second is rolled out to all at
//! once. The devices of this test keep answering from the first, so the rollout stays where it is: running, planned
//! anew at each look.

use crate::server::{self, Process, TOKEN};
use anyhow::Context;
use sanderling_bundle::{BundleBuilder, Manifest};
use sanderling_client::api::NewRollout;
use sanderling_client::{Client, Publish};
use sanderling_sign::{Expiries, ImageRepo, KeyFile, ReleaseSigners};
use sanderling_trust::Release;
use sanderling_wire::Digest;
use std::path::Path;

/// The model's name.
const NAME: &str = "load";
/// An operator that the devices state to have.
pub(crate) const OPERATOR: &str = ":Conv";

/// A bundle without weights: the server hands it out and never runs it.
fn bundle(version: &str) -> anyhow::Result<Vec<u8>> {
    let manifest = Manifest {
        name: NAME.into(),
        version: version.into(),
        operators: vec![OPERATOR.into()],
        release_counter: 1,
        ..Manifest::default()
    };
    let mut builder = BundleBuilder::new(manifest);
    builder.plan("any", vec![0; 4096])?;
    Ok(builder.finish()?)
}

/// The image that devices answer from.
pub(crate) fn base() -> anyhow::Result<Digest> {
    Ok(Digest::of(&bundle("1")?))
}

/// Publishes both versions and starts the rollout.
pub(crate) fn start(server: &Process, folder: &Path) -> anyhow::Result<()> {
    let client = Client::new(&format!("http://{}", server.address()), TOKEN)?;
    for version in ["1", "2"] {
        let (path, target) = (
            folder.join(format!("{version}.sdl")),
            format!("{NAME}-{version}.sdl"),
        );
        let bytes = bundle(version)?;
        std::fs::write(&path, &bytes)?;
        let repo = folder.join("trust/image");
        sign(folder, &repo, &target, version, &bytes)?;
        client.publish(&Publish {
            bundle: &path,
            repo: &repo,
            target: &target,
            parent: None,
            aliases: &[],
        })?;
    }
    let (mut policy, of) = (sanderling_rollout::Policy::default(), |version| {
        format!("{NAME}@{version}")
    });
    policy.stages = vec!["100%".parse()?];
    let rollout = client.start_rollout(&NewRollout {
        target: of(2),
        base: Some(of(1)),
        policy,
    })?;
    anyhow::ensure!(rollout.status == "running", "the rollout is {}", rollout.status);
    Ok(())
}

fn sign(folder: &Path, repo: &Path, target: &str, version: &str, bytes: &[u8]) -> anyhow::Result<()> {
    let key = |role: &str| KeyFile::load(&folder.join(format!("trust/offline/{role}.key.json")));
    let (targets, snapshot) = (key("targets")?, key("snapshot")?);
    let release = Release {
        name: NAME.into(),
        version: version.into(),
        counter: 1,
        min_runtime: (0, 0, 0),
        operators: Release::operators_digest([OPERATOR]),
        allowed_disagreement_ppm: 0,
    };
    let mut repo = ImageRepo::open(repo)?;
    repo.add_target(target, bytes.len() as u64, &Digest::of(bytes), &release)?;
    let expires = server::now().plus(86_400);
    let signers = ReleaseSigners {
        targets: &targets,
        snapshot: &snapshot,
    };
    repo.publish(
        signers,
        Expiries {
            targets: expires,
            snapshot: expires,
        },
    )
    .context("signing a version")?;
    Ok(())
}
