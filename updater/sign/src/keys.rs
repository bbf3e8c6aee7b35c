//! Private keys in files, and a first set of them with the roots that name them.
//!
//! A key file is JSON for its owner's eyes only (mode 600): a seed, and the id of the key it makes so that
//! damage is found at once.
//!
//! ```text
//! {"sanderling_private_key": 1, "scheme": "ed25519", "label": "root-1", "key_id": "…", "seed": "…"}
//! ```

use crate::Error;
use crate::file::{self, Replace};
use sanderling_trust::envelope::Envelope;
use sanderling_trust::json::Value;
use sanderling_trust::metadata::Header;
use sanderling_trust::{
    Ed25519Signer, PublicKey, RoleKeys, Root, RootPin, Roots, SignError, Signature, Signer, UnixTime,
};
use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use zeroize::{Zeroize as _, Zeroizing};

/// Fills bytes with randomness fit for keys.
pub type Random<'a> = dyn FnMut(&mut [u8]) -> Result<(), Error> + 'a;

/// The operating system's randomness.
///
/// # Errors
/// [`Error::Random`].
pub fn os_random(bytes: &mut [u8]) -> Result<(), Error> {
    getrandom::fill(bytes).map_err(|error| Error::Random(error.to_string()))
}

/// Where [`init`] puts the key with this label (`root-1`, `targets`, `director` …) in `offline/` or `online/`.
#[must_use]
pub fn key_path(folder: &Path, label: &str) -> PathBuf {
    folder.join(format!("{label}.key.json"))
}

/// The form written and read.
const FORMAT: u64 = 1;

/// A private key out of a file.
#[derive(Debug)]
pub struct KeyFile {
    label: String,
    signer: Ed25519Signer,
}

impl KeyFile {
    /// Makes a key and writes it to a new file.
    ///
    /// # Errors
    /// [`Error::Random`], [`Error::Exists`], [`Error::Io`].
    pub fn generate(path: &Path, label: &str, random: &mut Random<'_>) -> Result<Self, Error> {
        let mut seed = Zeroizing::new([0; 32]);
        random(&mut *seed)?;
        let signer = Ed25519Signer::from_seed(&seed);
        let mut text = hex::encode(seed.as_slice());
        let mut value = Value::object([
            ("sanderling_private_key", FORMAT.into()),
            ("scheme", "ed25519".into()),
            ("label", label.into()),
            ("key_id", signer.public_key().id().as_str().into()),
            ("seed", text.as_str().into()),
        ]);
        text.zeroize();
        let bytes = Zeroizing::new(value.to_json());
        wipe_seed(&mut value);
        file::write(path, &bytes, 0o600, Replace::Never)?;
        Ok(Self {
            label: label.to_owned(),
            signer,
        })
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// [`Error::KeyExposed`] if others can read it, [`Error::KeyFile`] if it is damaged or something else,
    /// [`Error::Io`].
    pub fn load(path: &Path) -> Result<Self, Error> {
        check_private(path)?;
        let bytes = Zeroizing::new(file::read(path)?);
        let mut value = Value::parse(&bytes).map_err(|source| Error::Json {
            path: path.to_owned(),
            source,
        })?;
        let loaded = Self::from_value(&value);
        wipe_seed(&mut value);
        loaded.map_err(|reason| Error::KeyFile {
            path: path.to_owned(),
            reason: reason.to_owned(),
        })
    }

    fn from_value(value: &Value) -> Result<Self, &'static str> {
        let text = |field| value.get(field).and_then(Value::as_str);
        if value.get("sanderling_private_key").and_then(Value::as_u64) != Some(FORMAT) {
            return Err("it lacks `sanderling_private_key: 1`");
        }
        if text("scheme") != Some("ed25519") {
            return Err("its scheme is not ed25519");
        }
        let mut seed = Zeroizing::new([0; 32]);
        let digits = text("seed").ok_or("it has no `seed`")?;
        hex::decode_to_slice(digits, &mut *seed).map_err(|_| "its `seed` is not 64 hexadecimal digits")?;
        let signer = Ed25519Signer::from_seed(&seed);
        if text("key_id") != Some(signer.public_key().id().as_str()) {
            return Err("its seed does not make the key that `key_id` names: the file is damaged");
        }
        Ok(Self {
            label: text("label").unwrap_or_default().to_owned(),
            signer,
        })
    }

    /// What its owner calls it: `root-1`.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }
}

impl Signer for KeyFile {
    fn public_key(&self) -> &PublicKey {
        self.signer.public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        self.signer.sign(message)
    }
}

fn wipe_seed(value: &mut Value) {
    if let Value::Object(object) = value
        && let Some(Value::String(seed)) = object.get_mut("seed")
    {
        seed.zeroize();
    }
}

#[cfg(unix)]
fn check_private(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(path)
        .map_err(Error::io("open", path))?
        .permissions()
        .mode()
        & 0o777;
    if mode & 0o077 == 0 {
        Ok(())
    } else {
        Err(Error::KeyExposed {
            path: path.to_owned(),
            mode,
        })
    }
}

#[cfg(not(unix))]
fn check_private(_: &Path) -> Result<(), Error> {
    Ok(())
}

/// What keys to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitOptions {
    /// Root keys, for as many people.
    pub root_keys: u32,
    /// How many of them must sign a root.
    pub root_threshold: u32,
    /// When the roots expire.
    pub expires: UnixTime,
    /// Whether these roots are a demo's, which only a demo accepts.
    pub kind: Roots,
}

impl InitOptions {
    /// Two of three root keys, for a year.
    #[must_use]
    pub fn production(now: UnixTime) -> Self {
        Self {
            root_keys: 3,
            root_threshold: 2,
            expires: now.plus(365 * 86_400),
            kind: Roots::Production,
        }
    }

    /// Two of three root keys, marked as a demo's, for a day.
    #[must_use]
    pub fn demo(now: UnixTime) -> Self {
        Self {
            kind: Roots::Demo,
            expires: now.plus(86_400),
            ..Self::production(now)
        }
    }
}

/// A folder with keys and first roots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Initialised {
    /// `offline/`: belongs into a safe.
    pub offline: PathBuf,
    /// `online/`: belongs to the server.
    pub online: PathBuf,
    /// `image/`: the image repository.
    pub image: PathBuf,
    /// `director/`: the director's roots.
    pub director: PathBuf,
    /// The pin of the image repository's first root, for the enrolment string.
    pub image_pin: RootPin,
    /// The pin of the director's first root, for the enrolment string.
    pub director_pin: RootPin,
}

/// Makes keys and first roots below `folder`, which must not hold any.
///
/// # Errors
/// [`Error::Options`], [`Error::Exists`], [`Error::Random`], [`Error::Io`].
pub fn init(folder: &Path, options: &InitOptions, random: &mut Random<'_>) -> Result<Initialised, Error> {
    check_options(options)?;
    let [offline, online, image, director] =
        ["offline", "online", "image", "director"].map(|name| folder.join(name));
    for path in [&offline, &online, &image, &director] {
        if path.exists() {
            return Err(Error::Exists { path: path.clone() });
        }
    }
    file::make_private_folder(&offline)?;
    file::make_private_folder(&online)?;
    for path in [&image, &director] {
        std::fs::create_dir_all(path).map_err(Error::io("create", path))?;
    }
    let mut key = |folder: &Path, label: &str| KeyFile::generate(&key_path(folder, label), label, random);
    let root_keys = (1..=options.root_keys)
        .map(|n| key(&offline, &format!("root-{n}")))
        .collect::<Result<Vec<_>, _>>()?;
    let (targets, snapshot) = (key(&offline, "targets")?, key(&offline, "snapshot")?);
    let (online_director, timestamp) = (key(&online, "director")?, key(&online, "timestamp")?);

    let one = NonZeroU64::MIN;
    let single = |key: &KeyFile| role(&[key], one);
    let image_root = Root {
        header: Header {
            version: 1,
            expires: options.expires,
        },
        consistent_snapshot: true,
        keys: keys_of(root_keys.iter().chain([&targets, &snapshot, &timestamp])),
        root: role(&root_keys.iter().collect::<Vec<_>>(), threshold(options)),
        timestamp: single(&timestamp),
        snapshot: single(&snapshot),
        targets: single(&targets),
        demo: options.kind == Roots::Demo,
        repository: Some("image".to_owned()),
    };
    // TUF wants all four roles to have keys; a director's snapshot and timestamp are never written.
    let director_root = Root {
        keys: keys_of(root_keys.iter().chain([&online_director])),
        timestamp: single(&online_director),
        snapshot: single(&online_director),
        targets: single(&online_director),
        repository: Some("director".to_owned()),
        ..image_root.clone()
    };
    let image_pin = write_first_root(&image, &image_root, &root_keys, options)?;
    let director_pin = write_first_root(&director, &director_root, &root_keys, options)?;
    Ok(Initialised {
        offline,
        online,
        image,
        director,
        image_pin,
        director_pin,
    })
}

fn check_options(options: &InitOptions) -> Result<(), Error> {
    let InitOptions {
        root_keys,
        root_threshold,
        ..
    } = options;
    if !(1..=64).contains(root_keys) {
        return Err(Error::Options(format!(
            "{root_keys} root keys were asked for; 1 to 64 can be made"
        )));
    }
    if !(1..=*root_keys).contains(root_threshold) {
        return Err(Error::Options(format!(
            "a threshold of {root_threshold} was asked for with {root_keys} root keys; it is 1 to {root_keys}"
        )));
    }
    Ok(())
}

fn threshold(options: &InitOptions) -> NonZeroU64 {
    NonZeroU64::new(options.root_threshold.into()).unwrap_or(NonZeroU64::MIN)
}

fn role(keys: &[&KeyFile], threshold: NonZeroU64) -> RoleKeys {
    RoleKeys {
        key_ids: keys.iter().map(|key| key.public_key().id().clone()).collect(),
        threshold,
    }
}

fn keys_of<'a>(keys: impl Iterator<Item = &'a KeyFile>) -> BTreeMap<sanderling_trust::KeyId, PublicKey> {
    keys.map(|key| (key.public_key().id().clone(), key.public_key().clone()))
        .collect()
}

/// Signed by as many keys as the threshold asks for; the others stay unused.
fn write_first_root(
    folder: &Path,
    root: &Root,
    keys: &[KeyFile],
    options: &InitOptions,
) -> Result<RootPin, Error> {
    let mut envelope = Envelope::unsigned(root.to_value());
    for key in keys.iter().take(options.root_threshold as usize) {
        envelope.sign(key)?;
    }
    let bytes = envelope.to_bytes();
    file::write(&folder.join("1.root.json"), &bytes, 0o644, Replace::Never)?;
    Ok(RootPin::of(options.kind, &bytes))
}
