//! Folders as people and the server make them, checked by the devices' own code.

use super::*;
use sanderling_trust::envelope::Envelope;
use sanderling_trust::metadata::Header;
use sanderling_trust::*;
use sanderling_wire::{Arm, DeviceId, Digest, HardwareId, RolloutId};
use std::fs;
use std::path::{Path, PathBuf};

const NOW: UnixTime = UnixTime(1_795_348_800);
const DAY: u64 = 86_400;
const BUNDLE: &[u8] = b"the bytes of a bundle";
const NAME: &str = "magika-3.3.0.sdl";

/// Seeds 1, 2, 3, …
fn counting() -> impl FnMut(&mut [u8]) -> Result<(), Error> {
    let mut n = 0;
    move |bytes: &mut [u8]| {
        n += 1;
        bytes.fill(n);
        Ok(())
    }
}

struct Owner {
    home: tempfile::TempDir,
    made: Initialised,
}

impl Owner {
    fn new(options: &InitOptions) -> Self {
        let home = tempfile::tempdir().unwrap();
        let made = init(home.path(), options, &mut counting()).unwrap();
        Self { home, made }
    }

    fn offline(&self, label: &str) -> KeyFile {
        KeyFile::load(&key_path(&self.made.offline, label)).unwrap()
    }

    fn online(&self, label: &str) -> KeyFile {
        KeyFile::load(&key_path(&self.made.online, label)).unwrap()
    }

    fn publish(&self) -> Published {
        let mut repo = ImageRepo::open(&self.made.image).unwrap();
        repo.add_target(NAME, BUNDLE.len() as u64, &Digest::of(BUNDLE), &release())
            .unwrap();
        let (targets, snapshot) = (self.offline("targets"), self.offline("snapshot"));
        let signers = ReleaseSigners {
            targets: &targets,
            snapshot: &snapshot,
        };
        let published = repo.publish(signers, expiries()).unwrap();
        repo.publish_timestamp(&self.online("timestamp"), NOW.plus(DAY))
            .unwrap();
        published
    }

    fn verify(&self) -> RepoReport {
        verify_repo(&self.made.image, &self.made.image_pin, NOW).unwrap()
    }
}

fn expiries() -> Expiries {
    Expiries {
        targets: NOW.plus(90 * DAY),
        snapshot: NOW.plus(30 * DAY),
    }
}

fn release() -> Release {
    Release {
        name: "magika".to_owned(),
        version: "3.3.0".to_owned(),
        counter: 1,
        min_runtime: (0, 1, 0),
        operators: Release::operators_digest(["Conv"]),
        allowed_disagreement_ppm: 0,
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn keys_and_roots() {
    let owner = Owner::new(&InitOptions::production(NOW));
    assert_eq!(
        names(&owner.made.offline),
        [
            "root-1.key.json",
            "root-2.key.json",
            "root-3.key.json",
            "snapshot.key.json",
            "targets.key.json"
        ]
    );
    assert_eq!(
        names(&owner.made.online),
        ["director.key.json", "timestamp.key.json"]
    );
    assert_eq!(names(&owner.made.image), ["1.root.json"]);
    assert_eq!(names(&owner.made.director), ["1.root.json"]);
    let director = fs::read(owner.made.director.join("1.root.json")).unwrap();
    let director = Director::new(&owner.made.director_pin, &director, Limits::default()).unwrap();
    let root = director.root();
    assert_eq!(
        root.targets.key_ids.first(),
        Some(owner.online("director").public_key().id())
    );
    assert_eq!((root.root.threshold.get(), root.root.key_ids.len()), (2, 3));
    // No key that a server holds may sign what exists.
    let image = fs::read(owner.made.image.join("1.root.json")).unwrap();
    let image = TrustedSet::new(&owner.made.image_pin, &image, Limits::default()).unwrap();
    for label in ["director", "timestamp"] {
        let id = owner.online(label).public_key().id().clone();
        for role in [&image.root().root, &image.root().targets, &image.root().snapshot] {
            assert!(!role.key_ids.contains(&id));
        }
    }
    let again = init(owner.home.path(), &InitOptions::production(NOW), &mut counting());
    assert!(matches!(again, Err(Error::Exists { .. })));
}

#[test]
fn demo_roots_are_for_demos_only() {
    let owner = Owner::new(&InitOptions::demo(NOW));
    let bytes = fs::read(owner.made.image.join("1.root.json")).unwrap();
    let set = TrustedSet::new(&owner.made.image_pin, &bytes, Limits::default()).unwrap();
    assert!(set.root().demo);
    assert_eq!(set.root().header.expires, NOW.plus(DAY));
    let pin = RootPin {
        kind: Roots::Production,
        ..owner.made.image_pin
    };
    assert!(matches!(
        TrustedSet::new(&pin, &bytes, Limits::default()),
        Err(TrustError::DemoRoot)
    ));
}

#[test]
fn options_that_make_no_sense() {
    let home = tempfile::tempdir().unwrap();
    for (root_keys, root_threshold) in [(0, 0), (1, 0), (2, 3), (65, 2)] {
        let options = InitOptions {
            root_keys,
            root_threshold,
            ..InitOptions::production(NOW)
        };
        let made = init(home.path(), &options, &mut counting());
        assert!(
            matches!(made, Err(Error::Options(_))),
            "{root_keys} {root_threshold}"
        );
    }
    assert!(names(home.path()).is_empty());
    let mut broken = |_: &mut [u8]| Err(Error::Random("no entropy".to_owned()));
    let made = init(home.path(), &InitOptions::production(NOW), &mut broken);
    assert!(matches!(made, Err(Error::Random(_))));
}

#[test]
fn publications_verify_and_rise() {
    let owner = Owner::new(&InitOptions::production(NOW));
    assert_eq!(owner.publish().snapshot_version, 1);
    assert_eq!(owner.publish().snapshot_version, 2);
    assert_eq!(
        names(&owner.made.image),
        [
            "1.root.json",
            "1.snapshot.json",
            "1.targets.json",
            "2.snapshot.json",
            "2.targets.json",
            "timestamp.json"
        ]
    );
    let report = owner.verify();
    assert!(report.is_good(), "{report:?}");
    assert_eq!(report.targets, [NAME]);
    let files: Vec<_> = report
        .files
        .iter()
        .map(|f| (f.name.as_str(), f.version, f.signed_by.keys.len()))
        .collect();
    assert_eq!(
        files,
        [
            ("1.root.json", 1, 2),
            ("timestamp.json", 2, 1),
            ("2.snapshot.json", 2, 1),
            ("2.targets.json", 2, 1)
        ]
    );

    let mut repo = ImageRepo::open(&owner.made.image).unwrap();
    let other = repo.add_target(NAME, 1, &Digest::of(b"other"), &release());
    assert!(matches!(other, Err(Error::Options(_))));
    for name in ["", "../x", "a//b", "a/.b", "a b", "é"] {
        assert!(
            repo.add_target(name, 1, &Digest::of(b""), &release()).is_err(),
            "{name}"
        );
    }
    assert!(repo.remove_target(NAME));
    assert!(!repo.remove_target(NAME));
}

#[test]
fn keys_of_other_roles_do_not_sign() {
    let owner = Owner::new(&InitOptions::production(NOW));
    let mut repo = ImageRepo::open(&owner.made.image).unwrap();
    let (targets, snapshot, timestamp) = (
        owner.offline("targets"),
        owner.offline("snapshot"),
        owner.online("timestamp"),
    );
    let swapped = ReleaseSigners {
        targets: &snapshot,
        snapshot: &targets,
    };
    assert!(matches!(
        repo.publish(swapped, expiries()),
        Err(Error::NotInRole { .. })
    ));
    let online = ReleaseSigners {
        targets: &targets,
        snapshot: &timestamp,
    };
    assert!(matches!(
        repo.publish(online, expiries()),
        Err(Error::NotInRole { .. })
    ));
    assert!(matches!(
        repo.publish_timestamp(&timestamp, NOW),
        Err(Error::Options(_))
    ));
    assert_eq!(names(&owner.made.image), ["1.root.json"]);
}

#[test]
fn a_report_names_the_file_a_device_would_refuse() {
    let owner = Owner::new(&InitOptions::production(NOW));
    owner.publish();
    let path = owner.made.image.join("1.targets.json");
    let good = fs::read(&path).unwrap();
    fs::write(&path, [&good[..], b" "].concat()).unwrap();
    let (name, error) = owner.verify().refused.unwrap();
    assert_eq!(name, "1.targets.json");
    assert_eq!(error.attack(), Some(Attack::MixAndMatch));
    fs::write(&path, good).unwrap();
    let late = verify_repo(&owner.made.image, &owner.made.image_pin, NOW.plus(2 * DAY)).unwrap();
    assert_eq!(late.refused.unwrap().1.attack(), Some(Attack::Freeze));
    let pin = RootPin {
        sha256: Digest::of(b"another"),
        ..owner.made.image_pin
    };
    let other = verify_repo(&owner.made.image, &pin, NOW).unwrap();
    assert!(matches!(other.refused, Some((_, TrustError::Pin { .. }))));
}

/// The owner's folder before any server has published it.
#[test]
fn a_folder_without_a_timestamp_is_checked_by_its_newest_snapshot() {
    let owner = Owner::new(&InitOptions::production(NOW));
    let image = &owner.made.image;
    let nothing = verify_repo(image, &owner.made.image_pin, NOW).unwrap_err();
    assert!(matches!(nothing, Error::NoRelease { .. }) && nothing.to_string().contains("sanderling sign"));
    owner.publish();
    fs::remove_file(image.join("timestamp.json")).unwrap();
    let report = owner.verify();
    assert!(report.refused.is_none() && !report.timestamped && !report.is_good());
    let files: Vec<_> = report.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(files, ["1.root.json", "1.snapshot.json", "1.targets.json"]);
    assert!(report.files.iter().all(|file| !file.signed_by.keys.is_empty()));
    assert_eq!(report.targets.len(), 1);

    // What a device would refuse is refused.
    let refused = |now: UnixTime| {
        verify_repo(image, &owner.made.image_pin, now)
            .unwrap()
            .refused
            .unwrap()
    };
    let changed = |name: &str, change: &dyn Fn(&[u8]) -> Vec<u8>| {
        let path = image.join(name);
        let good = fs::read(&path).unwrap();
        fs::write(&path, change(&good)).unwrap();
        let (file, error) = refused(NOW);
        fs::write(&path, good).unwrap();
        assert_eq!(file, name);
        error
    };
    let error = changed("1.targets.json", &|good| [good, b" "].concat());
    assert_eq!(error.attack(), Some(Attack::MixAndMatch));
    let later = |good: &[u8]| {
        let text = String::from_utf8(good.to_vec()).unwrap();
        assert!(text.contains("\"version\":1"), "{text}");
        text.replacen("\"version\":1", "\"version\":2", 1).into_bytes()
    };
    let error = changed("1.snapshot.json", &later);
    assert!(matches!(error, TrustError::Signatures { .. }), "{error}");
    assert!(
        matches!(refused(NOW.plus(31 * DAY)), (name, TrustError::Expired { .. }) if name == "1.snapshot.json")
    );
    assert!(matches!(
        refused(NOW.plus(10_000 * DAY)).1,
        TrustError::Expired { role: Role::Root, .. }
    ));
    fs::rename(image.join("1.snapshot.json"), image.join("2.snapshot.json")).unwrap();
    assert!(matches!(
        refused(NOW).1,
        TrustError::ListedVersion { listed: 2, .. }
    ));
}

#[test]
fn people_sign_a_root_in_turn() {
    let owner = Owner::new(&InitOptions::production(NOW));
    owner.publish();
    let fresh = KeyFile::generate(
        &owner.made.offline.join("root-4.key.json"),
        "root-4",
        &mut |bytes| {
            bytes.fill(44);
            Ok(())
        },
    )
    .unwrap();
    let lost = owner.offline("root-1").public_key().id().clone();
    let draft = draft_root(&owner.made.image, NOW.plus(365 * DAY), |root| {
        root.keys.remove(&lost);
        root.root.key_ids.remove(&lost);
        root.keys
            .insert(fresh.public_key().id().clone(), fresh.public_key().clone());
        root.root.key_ids.insert(fresh.public_key().id().clone());
    })
    .unwrap();
    assert!(matches!(
        draft_root(&owner.made.image, NOW, |_| {}),
        Err(Error::Exists { .. })
    ));

    // Carried by hand: root-4 counts for the new root only, root-2 and root-3 for both.
    let thresholds = |status: &SignStatus| status.thresholds.iter().map(|(_, n, _)| *n).collect::<Vec<_>>();
    assert_eq!(thresholds(&sign_file(&draft, &fresh).unwrap()), [0, 1]);
    assert_eq!(
        thresholds(&sign_file(&draft, &owner.offline("root-2")).unwrap()),
        [1, 2]
    );
    assert!(matches!(
        publish_root(&draft),
        Err(Error::Trust {
            source: TrustError::Signatures { .. },
            ..
        })
    ));
    assert!(matches!(
        sign_file(&draft, &owner.offline("targets")),
        Err(Error::NotInRole { .. })
    ));
    // Again by the same person: nothing doubles.
    assert_eq!(
        thresholds(&sign_file(&draft, &owner.offline("root-2")).unwrap()),
        [1, 2]
    );
    let status = sign_file(&draft, &owner.offline("root-3")).unwrap();
    assert!(status.is_complete());
    assert_eq!(status, sign_status(&draft).unwrap());
    assert_eq!(status.signed_by.len(), 3);
    assert_eq!(
        publish_root(&draft).unwrap(),
        owner.made.image.join("2.root.json")
    );
    let report = owner.verify();
    assert!(report.is_good(), "{report:?}");
    assert_eq!(report.files[1].name, "2.root.json");
    assert_eq!(
        ImageRepo::open(&owner.made.image).unwrap().root().header.version,
        2
    );
}

#[test]
fn what_the_server_mints_a_device_takes() {
    let owner = Owner::new(&InitOptions::production(NOW));
    let published = owner.publish();
    // The offline keys are away by now.
    fs::rename(&owner.made.offline, owner.home.path().join("safe")).unwrap();
    let snapshot = fs::read(&published.snapshot).unwrap();
    let timestamp = mint_timestamp(&owner.online("timestamp"), 9, NOW.plus(DAY), 1, &snapshot).unwrap();
    let first = fs::read(owner.made.image.join("1.root.json")).unwrap();
    let mut images = TrustedSet::new(&owner.made.image_pin, &first, Limits::default()).unwrap();
    images.update_timestamp(&timestamp, NOW).unwrap();
    images.update_snapshot(&snapshot, NOW).unwrap();
    images
        .update_targets(&fs::read(&published.targets).unwrap(), NOW)
        .unwrap();

    let device = DeviceIdentity {
        device: DeviceId::of_public_key(&[7; 32]),
        hardware: HardwareId::new("pi4").unwrap(),
        release_floor: 0,
    };
    let bytes = mint_director(&owner.online("director"), &document(&device)).unwrap();
    let first = fs::read(owner.made.director.join("1.root.json")).unwrap();
    let mut director = Director::new(&owner.made.director_pin, &first, Limits::default()).unwrap();
    let verified = director.verify(&bytes, &device, NOW).unwrap();
    let assignment = decide(&images, verified, &device, NOW).unwrap();
    assert_eq!(assignment.target.unwrap().sha256, Digest::of(BUNDLE));
    assert!(bytes.len() < 1400, "{} bytes", bytes.len());
}

fn document(device: &DeviceIdentity) -> DirectorTargets {
    DirectorTargets {
        header: Header {
            version: 1,
            expires: NOW.plus(3600),
        },
        issued: NOW,
        device: device.device,
        hardware: device.hardware.clone(),
        image_timestamp_version: 9,
        rollout: Some(RolloutAssignment {
            rollout: RolloutId(7),
            arm: Arm::Target,
            mode: Mode::Activate,
            ledger_head: Digest::of(b"ledger"),
        }),
        target: Some(SelectedTarget {
            name: NAME.to_owned(),
            length: BUNDLE.len() as u64,
            sha256: Digest::of(BUNDLE),
            release_counter: 1,
        }),
    }
}

#[test]
fn key_files() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("k.key.json");
    let made = KeyFile::generate(&path, "k", &mut os_random).unwrap();
    let loaded = KeyFile::load(&path).unwrap();
    assert_eq!((loaded.label(), loaded.public_key()), ("k", made.public_key()));
    assert!(matches!(
        KeyFile::generate(&path, "k", &mut os_random),
        Err(Error::Exists { .. })
    ));
    assert_eq!(names(home.path()), ["k.key.json"]);
    let text = fs::read_to_string(&path).unwrap();
    let damaged = |text: String| {
        let path = home.path().join("damaged");
        file::write(&path, text.as_bytes(), 0o600, file::Replace::Yes).unwrap();
        KeyFile::load(&path).unwrap_err()
    };
    let seed = text.split("\"seed\":\"").nth(1).unwrap()[..64].to_owned();
    let other = if seed.starts_with('0') { "1" } else { "0" };
    let error = damaged(text.replace(&seed, &format!("{other}{}", &seed[1..])));
    assert!(error.to_string().contains("the file is damaged"), "{error}");
    assert!(!error.to_string().contains(&seed[1..]) && !format!("{made:?}").contains(&seed));
    assert!(matches!(damaged(text.replace(&seed, "")), Error::KeyFile { .. }));
    assert!(matches!(damaged("{}".to_owned()), Error::KeyFile { .. }));
    assert!(matches!(damaged("not json".to_owned()), Error::Json { .. }));
    assert!(matches!(
        KeyFile::load(&home.path().join("none")),
        Err(Error::Io { .. })
    ));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(
            KeyFile::load(&path),
            Err(Error::KeyExposed { mode: 0o644, .. })
        ));
    }
}

#[test]
fn a_write_cut_short_leaves_the_old_file() {
    let home = tempfile::tempdir().unwrap();
    let path: PathBuf = home.path().join("timestamp.json");
    file::write(&path, b"old", 0o644, file::Replace::Yes).unwrap();
    fs::write(home.path().join("timestamp.json.new"), b"half a fi").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"old");
    file::write(&path, b"new", 0o644, file::Replace::Yes).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(names(home.path()), ["timestamp.json"]);
}

#[test]
fn a_file_signed_by_hand() {
    let owner = Owner::new(&InitOptions::production(NOW));
    let published = owner.publish();
    // Strip the signature, sign again.
    let bytes = fs::read(&published.targets).unwrap();
    let envelope = Envelope::parse(&Role::Targets, &bytes, bytes.len()).unwrap();
    fs::write(
        &published.targets,
        Envelope::unsigned(envelope.signed().clone()).to_bytes(),
    )
    .unwrap();
    assert!(!sign_status(&published.targets).unwrap().is_complete());
    assert!(
        sign_file(&published.targets, &owner.offline("targets"))
            .unwrap()
            .is_complete()
    );
    assert_eq!(fs::read(&published.targets).unwrap(), bytes);
    fs::write(
        &published.targets,
        b"{\"signatures\":[],\"signed\":{\"_type\":\"x\"}}",
    )
    .unwrap();
    assert!(matches!(sign_status(&published.targets), Err(Error::Options(_))));
}
