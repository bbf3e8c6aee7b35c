//! Publishing: a bundle's bytes, then the metadata that the owner signed for it.

use crate::{Client, ClientError, take};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sanderling_server::api::{NewVersion, VersionView};
use sanderling_wire::{Digest, api};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// What to publish.
#[derive(Debug, Clone)]
pub struct Publish<'a> {
    /// The bundle.
    pub bundle: &'a Path,
    /// Folder of the image repository with the metadata that `sanderling sign` wrote.
    pub repo: &'a Path,
    /// The bundle's name there.
    pub target: &'a str,
    /// The version it was made from.
    pub parent: Option<&'a str>,
    /// Aliases to point at it.
    pub aliases: &'a [String],
}

impl Client {
    /// Uploads a bundle and the newest metadata of its repository.
    ///
    /// # Errors
    /// [`ClientError`]; the server takes all or nothing, and sending it again is harmless.
    pub fn publish(&self, publish: &Publish<'_>) -> Result<VersionView, ClientError> {
        let bytes = read(publish.bundle)?;
        self.put_image(&bytes)?;
        let version = NewVersion {
            target: publish.target.to_string(),
            metadata: newest_metadata(publish.repo)?,
            parent: publish.parent.map(str::to_string),
            aliases: publish.aliases.to_vec(),
        };
        self.send("POST", "/v1/versions", &version)
    }

    fn put_image(&self, bytes: &[u8]) -> Result<serde_json::Value, ClientError> {
        let url = self.url(&format!("{}{}.sdl", api::IMAGES, Digest::of(bytes)));
        let request = self.agent.put(&url).header("authorization", self.bearer());
        let request = request.header("content-type", "application/octet-stream");
        take(
            &url,
            request
                .config()
                .timeout_global(Some(Duration::from_secs(600)))
                .build()
                .send(bytes),
        )
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ClientError> {
    std::fs::read(path).map_err(|source| ClientError::File {
        path: path.to_path_buf(),
        source,
    })
}

/// All roots after the first, and the newest snapshot and targets.
fn newest_metadata(repo: &Path) -> Result<BTreeMap<String, String>, ClientError> {
    let entries = std::fs::read_dir(repo).map_err(|source| ClientError::File {
        path: repo.to_path_buf(),
        source,
    })?;
    let names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    let versions = |suffix: &'static str| {
        names
            .iter()
            .filter_map(move |name| Some((name.strip_suffix(suffix)?.parse::<u64>().ok()?, name)))
    };
    let newest = [".snapshot.json", ".targets.json"]
        .into_iter()
        .filter_map(|suffix| versions(suffix).max());
    let roots = versions(".root.json").filter(|(version, _)| *version > 1);
    newest
        .chain(roots)
        .map(|(_, name)| Ok((name.clone(), STANDARD.encode(read(&repo.join(name))?))))
        .collect()
}
