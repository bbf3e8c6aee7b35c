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
        let metadata = newest_metadata(publish.repo)?;
        check_signed(publish, &bytes, &metadata)?;
        self.put_image(&bytes)?;
        let encode = |(name, bytes)| (name, STANDARD.encode::<Vec<u8>>(bytes));
        let version = NewVersion {
            target: publish.target.to_string(),
            metadata: metadata.into_iter().map(encode).collect(),
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

/// Refuses a bundle that the newest targets list with another hash or not at all: the server would go by the name, and
/// announce the file that was signed. Signatures are the server's and the devices' to check.
fn check_signed(
    publish: &Publish<'_>,
    bytes: &[u8],
    metadata: &BTreeMap<String, Vec<u8>>,
) -> Result<(), ClientError> {
    let targets = metadata.iter().find(|(name, _)| name.ends_with(".targets.json"));
    let targets: serde_json::Value = targets
        .and_then(|(_, bytes)| serde_json::from_slice(bytes).ok())
        .unwrap_or_default();
    let listed = &targets["signed"]["targets"][publish.target]["hashes"]["sha256"];
    let found = Digest::of(bytes).to_string();
    let reason = match listed.as_str() {
        Some(signed) if signed == found => return Ok(()),
        Some(signed) => format!(
            "it has the SHA-256 {found}, the signed one {signed}; publish that one, or pack yours as a new version and sign it"
        ),
        None => format!(
            "the newest targets in {} do not list it; sign it with `sanderling sign`",
            publish.repo.display()
        ),
    };
    Err(ClientError::NotSigned {
        path: publish.bundle.to_path_buf(),
        target: publish.target.to_string(),
        reason,
    })
}

/// All roots after the first, and the newest snapshot and targets.
fn newest_metadata(repo: &Path) -> Result<BTreeMap<String, Vec<u8>>, ClientError> {
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
        .map(|(_, name)| Ok((name.clone(), read(&repo.join(name))?)))
        .collect()
}
