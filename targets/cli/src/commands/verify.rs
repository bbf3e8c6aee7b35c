//! `sanderling verify`.

use crate::commands::{files, keys, now};
use crate::out::{Out, bytes, count};
use anyhow::{Context, bail};
use clap::Args;
use sanderling_bundle::BundleView;
use sanderling_sign::verify_repo;
use sanderling_trust::{RootPin, Roots};
use sanderling_wire::Digest;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Verify a bundle's bytes or a repository's signatures, as a device would.
#[derive(Args)]
#[command(
    after_help = "A bundle: structure and every hash. No signature: those are the repository's.\n\
    A repository (your own, or a mirror of a server's): the chain from its pinned first root to the list of targets. Your own \
    has no timestamp before a server has published it; then its newest snapshot is looked at, and that is said.\n\n\
    Examples:\n  sanderling verify magika-2.sdl\n  sanderling verify mirror --root <SHA-256 of 1.root.json, as `keys show` prints it>"
)]
pub(crate) struct Verify {
    /// A bundle or a folder with TUF metadata.
    path: PathBuf,
    /// The pin: SHA-256 of the first root, from a place you trust. Without it the folder's own first root is believed.
    #[arg(long, value_name = "SHA256")]
    root: Option<Digest>,
}

#[derive(Serialize)]
struct VerifiedBundle {
    name: String,
    version: String,
    sha256: String,
    length: usize,
    tensors: usize,
}

#[derive(Serialize)]
struct VerifiedRepo {
    pinned: bool,
    /// Whether a server has put a timestamp to it.
    timestamped: bool,
    files: Vec<VerifiedFile>,
    targets: Vec<String>,
}

#[derive(Serialize)]
struct VerifiedFile {
    name: String,
    version: u64,
    expires: String,
    signed_by: Vec<String>,
    threshold: u64,
    keys_of_role: usize,
}

impl Verify {
    pub(crate) fn run(self, out: &Out) -> anyhow::Result<()> {
        if self.path.is_dir() {
            self.repo(out)
        } else {
            bundle(&self.path, out)
        }
    }

    fn repo(&self, out: &Out) -> anyhow::Result<()> {
        let pin = match self.root {
            Some(sha256) => RootPin {
                kind: Roots::Production,
                sha256,
            },
            None => keys::pin(&self.path, Roots::Production)?,
        };
        let report = verify_repo(&self.path, &pin, now()?)?;
        let files: Vec<VerifiedFile> = report
            .files
            .iter()
            .map(|file| VerifiedFile {
                name: file.name.clone(),
                version: file.version,
                expires: file.expires.to_string(),
                signed_by: file.signed_by.keys.iter().map(ToString::to_string).collect(),
                threshold: file.signed_by.threshold,
                keys_of_role: file.signed_by.of,
            })
            .collect();
        let verified = VerifiedRepo {
            pinned: self.root.is_some(),
            timestamped: report.timestamped,
            files,
            targets: report.targets,
        };
        out.print(&verified, text_of_repo)?;
        match report.refused {
            Some((file, error)) => bail!("{}: {error}", self.path.join(file).display()),
            None => Ok(()),
        }
    }
}

fn text_of_repo(repo: &VerifiedRepo) -> String {
    let mut text = String::new();
    for file in &repo.files {
        let short: Vec<&str> = file.signed_by.iter().map(|id| &id[..id.len().min(8)]).collect();
        text += &format!(
            "ok  {:<20} expires {}  signed by {} ({} of {} needed)\n",
            file.name,
            file.expires,
            short.join(", "),
            file.threshold,
            file.keys_of_role
        );
    }
    text += &format!("targets: {}\n", repo.targets.join(", "));
    if !repo.timestamped {
        text +=
            "note: not timestamped yet: a server adds that at `rollout publish`; no device installs before\n";
    }
    if !repo.pinned {
        text += "note: no --root given, so the folder's own first root was believed\n";
    }
    text
}

fn bundle(path: &Path, out: &Out) -> anyhow::Result<()> {
    let at = || path.display().to_string();
    let data = files::read(path, files::MAX_BUNDLE)?;
    let view = BundleView::parse(&data).with_context(at)?;
    view.verify_hashes().with_context(at)?;
    let manifest = view.manifest().with_context(at)?;
    let verified = VerifiedBundle {
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        sha256: Digest::of(&data).to_string(),
        length: data.len(),
        tensors: view.tensors().len(),
    };
    out.print(&verified, |v| {
        format!(
            "ok  {} {} ({}, {})\n    sha256 {}",
            v.name,
            v.version,
            bytes(v.length as u64),
            count(v.tensors as u64, "tensor"),
            v.sha256
        )
    })
}
