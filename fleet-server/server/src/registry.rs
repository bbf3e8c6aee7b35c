//! The image repository and the director's roots, as devices will see them.
//!
//! The owner signs roots, targets and snapshots offline; the server signs the timestamp. Whatever is uploaded goes
//! through the very code that a device verifies with ([`TrustedSet`], [`RootChain`]) on a copy, and is taken only
//! if a device would take it. Files are kept byte for byte in the store; this is the view of them in memory.
//!
//! # The timestamp's version
//! A device refuses a timestamp whose version is under the newest one it trusts, so a number must never come twice, not
//! even after the database was restored from a backup that knows nothing of the last ones. The database alone cannot
//! promise that, and neither can a file beside it, which a restore takes back as well. What a restore does not take back
//! is time: a new version is the time in Unix seconds, or one more than the last where that is higher. (TUF asks for
//! rising numbers, not for numbers without gaps.) What was issued before the restore is then lower, as long as the clock
//! was right when it was issued. A timestamp is signed at each start, so that devices need not wait for the old one's
//! half-life. If the owner has published since the backup, devices hold a newer snapshot and refuse the restored one:
//! they wait until the owner publishes again, from the repository that has all snapshots.
//!
//! Director documents need no clock: a device tells the version it trusts with each check-in, and the store goes past
//! that (`allocate` in the store's check-in).

mod open;

use crate::ServerError;
use crate::api::MetadataView;
use crate::config::{SharedSigner, TrustConfig};
use crate::expiry::Expiry;
use crate::problem::Problem;
use open::{check_keys, keep_first_root, load_images};
use sanderling_sign::mint_timestamp;
use sanderling_store::{Change, Store};
use sanderling_trust::{
    Fetch, Limits, Release, Role, RootChain, RootPin, Roots, TrustError, TrustedSet, UnixTime,
};
use sanderling_wire::Digest;
use std::collections::{BTreeMap, HashMap};
use std::sync::{PoisonError, RwLock};

/// Repositories, as the store and the API name them.
pub(crate) const IMAGE: &str = "image";
pub(crate) const DIRECTOR: &str = "director";
/// Most metadata files in one upload.
const MAX_FILES: usize = 64;

/// An image that the owner signed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) length: u64,
    pub(crate) digest: Digest,
    pub(crate) release: Release,
}

/// What is trusted now.
#[derive(Debug, Clone)]
pub(crate) struct Trusted {
    images: TrustedSet,
    director: RootChain,
    targets: HashMap<Digest, Target>,
}

impl Trusted {
    fn view(&self, repository: &str) -> MetadataView {
        if repository == DIRECTOR {
            let root = self.director.root().header.version;
            return MetadataView {
                root,
                timestamp: None,
                targets: Vec::new(),
            };
        }
        let mut targets: Vec<_> = self.targets.values().map(|target| target.name.clone()).collect();
        targets.sort_unstable();
        MetadataView {
            root: self.images.root().header.version,
            timestamp: self.images.timestamp().map(|timestamp| timestamp.header.version),
            targets,
        }
    }
}

/// Both repositories.
pub(crate) struct Registry {
    trusted: RwLock<Trusted>,
    signer: SharedSigner,
    validity_s: u64,
    /// Hashes of the first roots, for enrolment strings.
    pub(crate) image_pin: Digest,
    pub(crate) director_pin: Digest,
}

/// An upload that verified: what to commit, and what is trusted afterwards.
pub(crate) struct Staged {
    pub(crate) changes: Vec<Change>,
    trusted: Trusted,
}

impl Staged {
    /// What will be in use, for the API.
    pub(crate) fn view(&self, repository: &str) -> MetadataView {
        self.trusted.view(repository)
    }

    /// The image of this name.
    pub(crate) fn target(&self, name: &str) -> Option<&Target> {
        self.trusted.targets.values().find(|target| target.name == name)
    }
}

impl Registry {
    /// Takes up what the store holds, verified again, and keeps the first roots there.
    pub(crate) async fn open(
        store: &dyn Store,
        trust: &TrustConfig,
        validity_s: u64,
        now: u64,
    ) -> Result<Self, ServerError> {
        let kind = if trust.demo {
            Roots::Demo
        } else {
            Roots::Production
        };
        let pins = [(IMAGE, &trust.image_root), (DIRECTOR, &trust.director_root)];
        for (repository, root) in pins {
            keep_first_root(store, repository, root).await?;
        }
        let image_pin = RootPin::of(kind, &trust.image_root);
        let director_pin = RootPin::of(kind, &trust.director_root);
        let refused = |repository| move |source| ServerError::Metadata { repository, source };
        let mut images =
            TrustedSet::new(&image_pin, &trust.image_root, Limits::default()).map_err(refused(IMAGE))?;
        let mut director = RootChain::new(&director_pin, &trust.director_root, Limits::default())
            .map_err(refused(DIRECTOR))?;
        while let Some(bytes) = store.tuf_file(IMAGE, &images.next_root().name).await? {
            images.update_root(&bytes).map_err(refused(IMAGE))?;
        }
        while let Some(bytes) = store.tuf_file(DIRECTOR, &director.next_root().name).await? {
            director.update(&bytes).map_err(refused(DIRECTOR))?;
        }
        check_keys(trust, images.root(), director.root())?;
        load_images(store, &mut images, now).await?;
        let targets = targets_of(&images).map_err(refused(IMAGE))?;
        Ok(Self {
            trusted: RwLock::new(Trusted {
                images,
                director,
                targets,
            }),
            signer: trust.timestamp.clone(),
            validity_s,
            image_pin: image_pin.sha256,
            director_pin: director_pin.sha256,
        })
    }

    /// Whether a server has used this store before.
    pub(crate) async fn is_known(store: &dyn Store) -> Result<bool, ServerError> {
        Ok(store.tuf_file(IMAGE, open::FIRST).await?.is_some())
    }

    fn read<T>(&self, view: impl FnOnce(&Trusted) -> T) -> T {
        view(&self.trusted.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The signed image of these bytes.
    pub(crate) fn target(&self, digest: Digest) -> Option<Target> {
        self.read(|trusted| trusted.targets.get(&digest).cloned())
    }

    /// Versions of the timestamp and of the targets, 0 where there are none.
    pub(crate) fn versions(&self) -> (u64, u64) {
        self.read(|trusted| {
            let images = &trusted.images;
            (
                images.timestamp().map_or(0, |timestamp| timestamp.header.version),
                images.targets().map_or(0, |targets| targets.header.version),
            )
        })
    }

    /// What is in use, for the API.
    pub(crate) fn view(&self, repository: &str) -> MetadataView {
        self.read(|trusted| trusted.view(repository))
    }

    /// What people renew, and until when it may be installed by. The timestamp is not among it: the server renews that.
    pub(crate) fn expiries(&self) -> Vec<Expiry> {
        self.read(|trusted| {
            let images = &trusted.images;
            let held = [
                (Expiry::IMAGE_ROOT, Some(images.root().header)),
                (Expiry::DIRECTOR_ROOT, Some(trusted.director.root().header)),
                (
                    Expiry::SNAPSHOT,
                    images.snapshot().map(|snapshot| snapshot.header),
                ),
                (Expiry::TARGETS, images.targets().map(|targets| targets.header)),
            ];
            held.into_iter()
                .filter_map(|(what, header)| Some(Expiry::new(what, header?.expires)))
                .collect()
        })
    }

    /// Whether the timestamp is more than half spent. Where there is none there is no snapshot to sign either: they come
    /// together, with the first publication.
    pub(crate) fn needs_timestamp(&self, now: u64) -> bool {
        self.read(|trusted| {
            let expires = trusted
                .images
                .timestamp()
                .map(|timestamp| timestamp.header.expires.0);
            expires.is_some_and(|expires| now.saturating_add(self.validity_s / 2) >= expires)
        })
    }

    /// A new timestamp over the snapshot in use.
    pub(crate) fn renew(&self, now: u64) -> Result<Option<Staged>, Problem> {
        let mut trusted = self.read(Trusted::clone);
        let Some(snapshot) = trusted.images.snapshot() else {
            return Ok(None);
        };
        let (version, bytes) = (snapshot.header.version, snapshot.bytes().to_vec());
        let timestamp = self.stamp(&mut trusted.images, version, &bytes, now)?;
        let files = vec![("timestamp.json".to_owned(), timestamp)];
        Ok(Some(Staged {
            changes: vec![Change::PutTufFiles {
                repository: IMAGE,
                files,
            }],
            trusted,
        }))
    }

    fn stamp(
        &self,
        images: &mut TrustedSet,
        snapshot: u64,
        bytes: &[u8],
        now: u64,
    ) -> Result<Vec<u8>, Problem> {
        let last = images.timestamp().map_or(0, |timestamp| timestamp.header.version);
        let version = now.max(last.saturating_add(1));
        let expires = UnixTime(now).plus(self.validity_s);
        let signed = mint_timestamp(&*self.signer, version, expires, snapshot, bytes)
            .map_err(|error| Problem::internal("signing the timestamp", &error))?;
        images
            .update_timestamp(&signed, UnixTime(now))
            .map_err(|error| not_taken("timestamp.json", &error))?;
        Ok(signed)
    }

    /// Verifies uploaded metadata files of the image repository as a device would, on a copy.
    pub(crate) fn stage_images(
        &self,
        files: &BTreeMap<String, Vec<u8>>,
        now: u64,
    ) -> Result<Staged, Problem> {
        check_count(files)?;
        let mut trusted = self.read(Trusted::clone);
        let images = &mut trusted.images;
        let new = |(name, bytes): &(&String, &Vec<u8>)| !is_known(images, name, bytes);
        let files: BTreeMap<_, _> = files
            .iter()
            .filter(new)
            .map(|(n, b)| (n.clone(), b.clone()))
            .collect();
        let mut kept = Vec::new();
        while let Some(bytes) = files.get(&images.next_root().name) {
            let name = images.next_root().name;
            images
                .update_root(bytes)
                .map_err(|error| not_taken(&name, &error))?;
            kept.push((name, bytes.clone()));
        }
        let numbered = |suffix: &str| {
            let versions = files.iter().filter_map(|(name, bytes)| {
                let version = name.strip_suffix(suffix)?.parse::<u64>().ok()?;
                Some((version, name, bytes))
            });
            versions.max_by_key(|(version, ..)| *version)
        };
        if let Some((version, _, bytes)) = numbered(".snapshot.json") {
            kept.push((
                "timestamp.json".to_owned(),
                self.stamp(images, version, bytes, now)?,
            ));
            for _ in 0..2 {
                let Some(fetch) = images.wanted() else { break };
                let bytes = self.find(&files, images, &fetch)?;
                images
                    .update(&fetch, &bytes, UnixTime(now))
                    .map_err(|error| not_taken(&fetch.name, &error))?;
                kept.push((fetch.name, bytes));
            }
        }
        if let Some(name) = files
            .keys()
            .find(|name| !kept.iter().any(|(kept, _)| kept == *name))
        {
            return Err(Problem::refused(
                "metadata-unused",
                format!("{name} is not what comes next in this repository"),
                "upload only newer roots, and the newest snapshot with the targets it names",
            ));
        }
        trusted.targets = targets_of(&trusted.images).map_err(|error| not_taken("targets", &error))?;
        Ok(Staged {
            changes: vec![Change::PutTufFiles {
                repository: IMAGE,
                files: kept,
            }],
            trusted,
        })
    }

    /// The bytes that `fetch` asks for: uploaded, or the targets in use where the snapshot names them still.
    fn find(
        &self,
        files: &BTreeMap<String, Vec<u8>>,
        images: &TrustedSet,
        fetch: &Fetch,
    ) -> Result<Vec<u8>, Problem> {
        let held = || {
            images
                .targets()
                .filter(|_| fetch.role == Role::Targets)
                .map(|targets| targets.bytes().to_vec())
        };
        files.get(&fetch.name).cloned().or_else(held).ok_or_else(|| {
            Problem::refused(
                "metadata-missing",
                format!("{} is named by the metadata and was not uploaded", fetch.name),
                "upload all files that `sanderling sign` wrote",
            )
        })
    }

    /// Verifies uploaded roots of the director.
    pub(crate) fn stage_director(&self, files: &BTreeMap<String, Vec<u8>>) -> Result<Staged, Problem> {
        check_count(files)?;
        let mut trusted = self.read(Trusted::clone);
        let mut kept = Vec::new();
        while let Some(bytes) = files.get(&trusted.director.next_root().name) {
            let name = trusted.director.next_root().name;
            trusted
                .director
                .update(bytes)
                .map_err(|error| not_taken(&name, &error))?;
            kept.push((name, bytes.clone()));
        }
        if kept.len() != files.len() {
            return Err(Problem::refused(
                "metadata-unused",
                "not all files are the director's next roots",
                "upload N.root.json files that follow the one in use, without a gap",
            ));
        }
        Ok(Staged {
            changes: vec![Change::PutTufFiles {
                repository: DIRECTOR,
                files: kept,
            }],
            trusted,
        })
    }

    /// Takes a staged upload into use, once its changes are committed.
    pub(crate) fn adopt(&self, staged: Staged) {
        *self.trusted.write().unwrap_or_else(PoisonError::into_inner) = staged.trusted;
    }
}

/// Whether a file is in use byte for byte, or a root from before the one in use. Whoever signs two versions at once
/// publishes the second with metadata that came with the first.
fn is_known(images: &TrustedSet, name: &str, bytes: &[u8]) -> bool {
    let root = images.root();
    let older = |text: &str| {
        text.parse()
            .is_ok_and(|version: u64| version < root.header.version)
    };
    let snapshot = images.snapshot().map(|snapshot| snapshot.bytes());
    let targets = images.targets().map(|targets| targets.bytes());
    name.strip_suffix(".root.json").is_some_and(older)
        || [Some(root.bytes()), snapshot, targets].contains(&Some(bytes))
}

fn check_count(files: &BTreeMap<String, Vec<u8>>) -> Result<(), Problem> {
    if files.len() <= MAX_FILES {
        return Ok(());
    }
    let detail = format!("{} metadata files at once; {MAX_FILES} are taken", files.len());
    Err(Problem::refused(
        "metadata-many",
        detail,
        "upload them in several calls",
    ))
}

fn not_taken(name: &str, error: &TrustError) -> Problem {
    Problem::refused(
        "metadata-refused",
        format!("a device would refuse {name}: {error}"),
        "sign it anew from the repository's newest metadata, with the keys its root names",
    )
}

/// Sanderling's images among the targets, by hash.
fn targets_of(images: &TrustedSet) -> Result<HashMap<Digest, Target>, TrustError> {
    let mut by_digest = HashMap::new();
    let Some(targets) = images.targets() else {
        return Ok(by_digest);
    };
    for (name, file) in &targets.targets {
        if let (Some(digest), Some(release)) = (file.hashes.get_sha256(), file.release()?) {
            let target = Target {
                name: name.clone(),
                length: file.length,
                digest,
                release,
            };
            by_digest.insert(digest, target);
        }
    }
    Ok(by_digest)
}
