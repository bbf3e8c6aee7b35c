//! `sanderling keys`.

use crate::commands::now;
use crate::out::Out;
use anyhow::Context;
use clap::{Args, Subcommand};
use sanderling_sign::{InitOptions, KeyFile, init, os_random};
use sanderling_trust::{RootPin, Roots, Signer};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Make and show keys and the roots of trust.
#[derive(Subcommand)]
pub(crate) enum Keys {
    /// Make a fleet's keys and its first two roots.
    Init(Init),
    /// Show keys by their ids, and the pins that devices need.
    Show(Show),
}

/// Make a fleet's keys and its first two roots.
#[derive(Args)]
#[command(
    after_help = "The folder gets four parts:\n  offline/   root, targets and snapshot keys: carry them to a safe, the server never needs them\n  \
    online/    director and timestamp keys: they go to the server\n  image/     the image repository, with 1.root.json\n  director/  the director's 1.root.json\n\n\
    Example:\n  sanderling keys init trust --root-keys 3 --threshold 2"
)]
pub(crate) struct Init {
    /// Folder to make them in.
    folder: PathBuf,
    /// Root keys, for as many people.
    #[arg(long, default_value_t = 3, value_name = "N")]
    root_keys: u32,
    /// Root keys that must sign a root.
    #[arg(long, default_value_t = 2, value_name = "N")]
    threshold: u32,
    /// Days until the roots expire.
    #[arg(long, default_value_t = 365, value_name = "DAYS", value_parser = crate::commands::days)]
    expires_days: u64,
}

/// Show keys by their ids, and the pins that devices need.
#[derive(Args)]
pub(crate) struct Show {
    /// Folder of `keys init`.
    folder: PathBuf,
}

#[derive(Serialize)]
struct Shown {
    image_root: String,
    director_root: String,
    keys: Vec<ShownKey>,
}

#[derive(Serialize)]
struct ShownKey {
    label: String,
    id: String,
    file: PathBuf,
}

impl Keys {
    pub(crate) fn run(self, out: &Out) -> anyhow::Result<()> {
        match self {
            Self::Init(command) => command.run(out),
            Self::Show(command) => show(&command.folder, out),
        }
    }
}

impl Init {
    fn run(self, out: &Out) -> anyhow::Result<()> {
        let now = now()?;
        let options = InitOptions {
            root_keys: self.root_keys,
            root_threshold: self.threshold,
            expires: now.plus(self.expires_days.saturating_mul(86_400)),
            kind: Roots::Production,
        };
        init(&self.folder, &options, &mut os_random)?;
        show(&self.folder, out)
    }
}

/// The pin of a repository's first root, from the owner's own copy.
pub(crate) fn pin(folder: &Path, kind: Roots) -> anyhow::Result<RootPin> {
    let path = folder.join("1.root.json");
    let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(RootPin::of(kind, &bytes))
}

fn show(folder: &Path, out: &Out) -> anyhow::Result<()> {
    let mut keys = Vec::new();
    for part in ["offline", "online"] {
        // The offline folder may be in its safe.
        let Ok(entries) = std::fs::read_dir(folder.join(part)) else {
            continue;
        };
        let mut paths: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|e| e.path())).collect();
        paths.sort();
        for file in paths
            .into_iter()
            .filter(|path| path.to_string_lossy().ends_with(".key.json"))
        {
            let key = KeyFile::load(&file)?;
            keys.push(ShownKey {
                label: key.label().to_string(),
                id: key.public_key().id().to_string(),
                file,
            });
        }
    }
    let shown = Shown {
        image_root: pin(&folder.join("image"), Roots::Production)?.sha256.to_string(),
        director_root: pin(&folder.join("director"), Roots::Production)?
            .sha256
            .to_string(),
        keys,
    };
    out.print(&shown, |shown| {
        let mut text = format!(
            "pins (SHA-256 of the first roots; enrolment strings carry them)\n  image     {}\n  director  {}\nkeys\n",
            shown.image_root, shown.director_root
        );
        for key in &shown.keys {
            text += &format!("  {:<10} {}  {}\n", key.label, key.id, key.file.display());
        }
        text
    })
}
