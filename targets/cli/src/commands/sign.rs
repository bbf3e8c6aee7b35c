//! `sanderling sign`.

use crate::commands::{files, now};
use crate::out::Out;
use anyhow::{Context, bail};
use clap::Args;
use sanderling_bundle::BundleView;
use sanderling_sign::{Expiries, ImageRepo, KeyFile, ReleaseSigners};
use sanderling_trust::Release;
use sanderling_wire::Digest;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Sign a bundle into an image repository, with the offline keys.
#[derive(Args)]
#[command(
    after_help = "Writes N.targets.json and N.snapshot.json into the repository; nothing is sent anywhere. Then:\n  \
    sanderling rollout publish --repo trust/image --bundle magika-2.sdl\n\n\
    Example:\n  sanderling sign magika-2.sdl --keys trust/offline --repo trust/image"
)]
pub(crate) struct Sign {
    /// The bundle.
    bundle: PathBuf,
    /// Folder with the offline keys (targets and snapshot).
    #[arg(long, value_name = "DIR")]
    keys: PathBuf,
    /// Folder of the image repository.
    #[arg(long, value_name = "DIR")]
    repo: PathBuf,
    /// Name in the repository; by default made of the bundle's name and version.
    #[arg(long)]
    name: Option<String>,
    /// Days until the list of targets expires.
    #[arg(long, default_value_t = 90, value_name = "DAYS", value_parser = crate::commands::days)]
    expires_days: u64,
}

#[derive(Serialize)]
struct Signed {
    target: String,
    sha256: String,
    length: usize,
    release_counter: u64,
    targets: PathBuf,
    snapshot: PathBuf,
}

/// What the owner signs of a bundle, read from the bundle itself: its manifest must not say more than its bytes do.
pub(crate) fn release_of(path: &Path, bytes: &[u8]) -> anyhow::Result<(String, Release)> {
    let at = || path.display().to_string();
    let view = BundleView::parse(bytes).with_context(at)?;
    view.verify_hashes().with_context(at)?;
    let manifest = view.manifest().with_context(at)?;
    let name = format!("{}-{}.sdl", manifest.name, manifest.version);
    let release = Release {
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        counter: manifest.release_counter,
        min_runtime: (
            manifest.min_runtime.major,
            manifest.min_runtime.minor,
            manifest.min_runtime.patch,
        ),
        operators: Release::operators_digest(manifest.operators.iter().map(String::as_str)),
        allowed_disagreement_ppm: manifest.allowed_disagreement_ppm,
    };
    Ok((name, release))
}

impl Sign {
    pub(crate) fn run(self, out: &Out) -> anyhow::Result<()> {
        let bytes = files::read(&self.bundle, files::MAX_BUNDLE)?;
        let (default_name, release) = release_of(&self.bundle, &bytes)?;
        let name = self.name.unwrap_or(default_name);
        if !name.ends_with(".sdl") {
            bail!("the name '{name}' does not end in .sdl");
        }
        let key = |role: &str| KeyFile::load(&self.keys.join(format!("{role}.key.json")));
        let (targets, snapshot) = (key("targets")?, key("snapshot")?);
        let mut repo = ImageRepo::open(&self.repo)?;
        let sha256 = Digest::of(&bytes);
        repo.add_target(&name, bytes.len() as u64, &sha256, &release)?;
        let expires = now()?.plus(self.expires_days.saturating_mul(86_400));
        let signers = ReleaseSigners {
            targets: &targets,
            snapshot: &snapshot,
        };
        let published = repo.publish(
            signers,
            Expiries {
                targets: expires,
                snapshot: expires,
            },
        )?;
        let signed = Signed {
            target: name,
            sha256: sha256.to_string(),
            length: bytes.len(),
            release_counter: release.counter,
            targets: published.targets,
            snapshot: published.snapshot,
        };
        out.print(&signed, |s| {
            format!(
                "signed {} ({}, release counter {})\n  {}\n  {}",
                s.target,
                &s.sha256[..16],
                s.release_counter,
                s.targets.display(),
                s.snapshot.display()
            )
        })
    }
}
