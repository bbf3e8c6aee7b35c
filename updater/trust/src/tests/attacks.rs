//! One table of attacks. Each row changes what the device is told; the device must refuse it for the right
//! reason and stay as it was, or (where a row says so) take it.

use super::*;
use std::string::ToString;

enum Want {
    /// Refused as this attack, with this in the message.
    Refused(Attack, &'static str),
    /// Refused as something that is no metadata.
    Malformed(&'static str),
    /// No attack.
    Taken,
}
use Want::{Malformed, Refused, Taken};

struct Case {
    name: &'static str,
    attack: fn(&mut Scene) -> Result<(), TrustError>,
    want: Want,
}

fn check(case: &Case) {
    let mut scene = Scene::new();
    let held = |set: &TrustedSet| {
        (
            set.timestamp().map(|t| t.bytes().to_vec()),
            set.snapshot().map(|s| s.bytes().to_vec()),
            set.targets().map(|t| t.bytes().to_vec()),
        )
    };
    let outcome = (case.attack)(&mut scene);
    match (&case.want, outcome) {
        (Taken, outcome) => assert_eq!(outcome, Ok(()), "{}", case.name),
        (Refused(..) | Malformed(_), Ok(())) => panic!("{}: taken", case.name),
        (Refused(attack, text), Err(error)) => {
            assert_eq!(error.attack(), Some(*attack), "{}: {error}", case.name);
            assert!(error.to_string().contains(text), "{}: {error}", case.name);
        }
        (Malformed(text), Err(error)) => {
            assert!(
                matches!(error, TrustError::Malformed { .. }),
                "{}: {error}",
                case.name
            );
            assert!(error.to_string().contains(text), "{}: {error}", case.name);
        }
    }
    // Whatever was refused, what is held still verifies and the honest repository still gets through.
    let before = held(&scene.images);
    scene.restart();
    assert_eq!(held(&scene.images), before, "{}", case.name);
}

macro_rules! cases {
    ($($name:literal: $attack:expr => $want:expr;)*) => {
        &[$(Case { name: $name, attack: $attack, want: $want }),*]
    };
}

#[test]
fn attacks_on_the_image_repository() {
    for case in IMAGE {
        check(case);
    }
}

#[test]
fn attacks_through_roots() {
    for case in ROOTS {
        check(case);
    }
}

#[test]
fn attacks_through_the_director() {
    for case in DIRECTORS {
        check(case);
    }
}

const IMAGE: &[Case] = cases! {
    "an honest release": |s| { s.repo.release(); s.refresh()?; s.decide().map(drop) } => Taken;
    "nothing new": |s| s.refresh() => Taken;
    "fields nobody knows, signed": |s| {
        for field in ["x", "\u{1f426} \"quoted\\\" \n"] {
            set(&mut s.repo.targets, &[field], Value::object([("deep", true.into())]));
            set(&mut s.repo.timestamp, &[field], "y");
        }
        s.repo.release();
        s.refresh()
    } => Taken;

    "arbitrary software: targets by a stranger's key": |s| {
        s.repo.targets_keys = vec![MALLORY];
        s.repo.release();
        s.refresh()
    } => Refused(Attack::ArbitrarySoftware, "targets metadata has 0 valid signatures");
    "arbitrary software: targets by the online timestamp key": |s| {
        s.repo.targets_keys = vec![TIMESTAMP];
        s.repo.release();
        s.refresh()
    } => Refused(Attack::ArbitrarySoftware, "targets");
    "arbitrary software: unsigned timestamp": |s| {
        s.repo.timestamp_keys.clear();
        s.repo.release();
        s.refresh()
    } => Refused(Attack::ArbitrarySoftware, "timestamp metadata has 0 valid signatures");
    "arbitrary software: another's signature under the right key id": |s| {
        s.repo.release();
        let good = Value::parse(s.repo.bytes("timestamp.json")).unwrap();
        let id = good.get("signatures").unwrap().as_array().unwrap()[0].get("keyid").unwrap().clone();
        let bytes = signed(&s.repo.timestamp, &[MALLORY]);
        let mut value = Value::parse(&bytes).unwrap();
        let mut entry = value.get("signatures").unwrap().as_array().unwrap()[0].clone();
        set(&mut entry, &["keyid"], id);
        set(&mut value, &["signatures"], Value::Array(vec![entry]));
        s.repo.files.insert("timestamp.json".to_owned(), value.to_json());
        s.refresh()
    } => Refused(Attack::ArbitrarySoftware, "0 valid");
    "arbitrary software: content changed under good signatures": |s| {
        s.repo.release();
        let mut value = Value::parse(s.repo.bytes("timestamp.json")).unwrap();
        set(&mut value, &["signed", "version"], 99);
        s.repo.files.insert("timestamp.json".to_owned(), value.to_json());
        s.refresh()
    } => Refused(Attack::ArbitrarySoftware, "0 valid");
    "an unknown field dropped on the way breaks the signature": |s| {
        set(&mut s.repo.timestamp, &["note"], "signed");
        s.repo.release();
        let mut value = Value::parse(s.repo.bytes("timestamp.json")).unwrap();
        let Value::Object(file) = &mut value else { unreachable!() };
        let Some(Value::Object(content)) = file.get_mut("signed") else { unreachable!() };
        content.remove("note");
        s.repo.files.insert("timestamp.json".to_owned(), value.to_json());
        s.refresh()
    } => Refused(Attack::ArbitrarySoftware, "0 valid");
    "other white space and order do not break it": |s| {
        s.repo.release();
        let text = core::str::from_utf8(s.repo.bytes("timestamp.json")).unwrap().replace(',', " ,\n ");
        s.repo.files.insert("timestamp.json".to_owned(), text.into_bytes());
        s.refresh()
    } => Taken;

    "two signatures under one key id": |s| {
        s.repo.release();
        let mut value = Value::parse(s.repo.bytes("timestamp.json")).unwrap();
        let one = value.get("signatures").unwrap().as_array().unwrap()[0].clone();
        set(&mut value, &["signatures"], Value::Array(vec![one.clone(), one]));
        s.repo.files.insert("timestamp.json".to_owned(), value.to_json());
        s.refresh()
    } => Malformed("two signatures by key");
    "threshold of two, signed by one": |s| {
        s.repo.rotate(|root| root.targets = role(&[TARGETS, 21], 2));
        s.repo.release();
        s.refresh()
    } => Refused(Attack::ArbitrarySoftware, "targets metadata has 1 valid signatures");
    "threshold of two, one key under two ids": |s| {
        // The second entry is the same key with one more field: another id, the same bytes.
        let mut twin = key(TARGETS).public_key().to_value().clone();
        set(&mut twin, &["x"], "y");
        let twin = PublicKey::from_value(&twin).unwrap();
        assert_ne!(twin.id(), key(TARGETS).public_key().id());
        s.repo.rotate(|root| {
            root.keys.insert(twin.id().clone(), twin.clone());
            root.targets = role(&[TARGETS], 2);
            root.targets.key_ids.insert(twin.id().clone());
        });
        Repo::bump(&mut s.repo.targets);
        let mut value = Value::parse(&signed(&s.repo.targets, &[TARGETS])).unwrap();
        let one = value.get("signatures").unwrap().as_array().unwrap()[0].clone();
        let mut two = one.clone();
        set(&mut two, &["keyid"], twin.id().as_str());
        set(&mut value, &["signatures"], Value::Array(vec![one, two]));
        let bytes = value.to_json();
        set(&mut s.repo.snapshot, &["meta", "targets.json"], MetaFile::of(2, &bytes).to_value());
        s.repo.files.insert("2.targets.json".to_owned(), bytes);
        Repo::bump(&mut s.repo.snapshot);
        Repo::bump(&mut s.repo.timestamp);
        s.repo.publish_snapshot();
        s.refresh()
    } => Refused(Attack::ArbitrarySoftware, "1 valid signatures by keys of its role, 2 are needed");
    "a key that is not its id's": |s| {
        let mut root = image_root();
        root.header.version = 2;
        let mut value = root.to_value();
        let id = key(TIMESTAMP).public_key().id().clone();
        set(&mut value, &["keys", id.as_str()], key(MALLORY).public_key().to_value().clone());
        s.repo.root = value;
        s.repo.publish_root();
        s.repo.timestamp_keys = vec![MALLORY];
        s.repo.release();
        s.refresh()
    } => Refused(Attack::ArbitrarySoftware, "timestamp metadata has 0 valid");
    "a key in two roles signs for both": |s| {
        s.repo.rotate(|root| {
            root.snapshot = role(&[TIMESTAMP], 1);
        });
        s.repo.snapshot_keys = vec![TIMESTAMP];
        s.repo.release();
        s.refresh()
    } => Taken;
    "a good signature among bad ones counts": |s| {
        s.repo.timestamp_keys = vec![MALLORY, TIMESTAMP];
        s.repo.release();
        s.refresh()
    } => Taken;
    "a key of an unknown scheme is no reason to refuse": |s| {
        let unknown = Value::object([
            ("keytype", "quantum".into()),
            ("scheme", "lattice".into()),
            ("keyval", Value::object([("public", "??".into())])),
        ]);
        let unknown = PublicKey::from_value(&unknown).unwrap();
        s.repo.rotate(|root| {
            root.timestamp.key_ids.insert(unknown.id().clone());
            root.keys.insert(unknown.id().clone(), unknown);
        });
        s.repo.release();
        s.refresh()
    } => Taken;

    "rollback: an older timestamp": |s| {
        let old = s.repo.bytes("timestamp.json").to_vec();
        s.repo.release();
        s.refresh()?;
        s.repo.files.insert("timestamp.json".to_owned(), old);
        s.refresh()
    } => Refused(Attack::Rollback, "timestamp version 1 was offered, version 2");
    "rollback: a newer timestamp of an older snapshot": |s| {
        s.repo.release();
        s.refresh()?;
        Repo::bump(&mut s.repo.timestamp);
        set(&mut s.repo.snapshot, &["version"], 1);
        s.repo.publish_snapshot();
        s.refresh()
    } => Refused(Attack::Rollback, "snapshot version 1 was offered, version 2");
    "rollback: a newer snapshot of older targets": |s| {
        s.repo.release();
        s.refresh()?;
        Repo::bump(&mut s.repo.timestamp);
        Repo::bump(&mut s.repo.snapshot);
        set(&mut s.repo.targets, &["version"], 1);
        s.repo.publish();
        s.refresh()
    } => Refused(Attack::Rollback, "targets version 1 was offered, version 2");
    "rollback: a role dropped from the snapshot": |s| {
        let meta = MetaFile { version: 3, length: None, hashes: None };
        set(&mut s.repo.snapshot, &["meta", "team.json"], meta.to_value());
        s.repo.release();
        s.refresh()?;
        let Value::Object(content) = &mut s.repo.snapshot else { unreachable!() };
        let Some(Value::Object(list)) = content.get_mut("meta") else { unreachable!() };
        list.remove("team.json");
        s.repo.release();
        s.refresh()
    } => Refused(Attack::Rollback, "does not list team.json");
    "rollback across a restart": |s| {
        let old = s.repo.clone();
        s.repo.release();
        s.refresh()?;
        s.restart();
        s.repo = old;
        s.refresh()
    } => Refused(Attack::Rollback, "timestamp version 1 was offered, version 2");
    "rollback across a restart after expiry": |s| {
        let old = s.repo.bytes("timestamp.json").to_vec();
        s.repo.release();
        s.refresh()?;
        s.now = NOW.plus(2 * DAY);
        let report = s.restart();
        assert_eq!(report.timestamp, LocalState::Expired { since: NOW.plus(DAY) });
        assert_eq!(report.snapshot, LocalState::Trusted);
        s.repo.files.insert("timestamp.json".to_owned(), old);
        s.refresh()
    } => Refused(Attack::Rollback, "timestamp version 1 was offered");

    "freeze: expired timestamp": |s| {
        s.repo.release();
        s.now = NOW.plus(DAY);
        s.refresh()
    } => Refused(Attack::Freeze, "timestamp metadata expired at 2026-11-23T12:00:00Z (now: 2026-11-23T12:00:00Z)");
    "the second before": |s| {
        s.repo.release();
        s.now = NOW.plus(DAY - 1);
        s.refresh()
    } => Taken;
    "freeze: expired snapshot": |s| {
        set(&mut s.repo.snapshot, &["expires"], "2026-11-22T11:59:59Z");
        s.repo.release();
        s.refresh()
    } => Refused(Attack::Freeze, "snapshot metadata expired");
    "freeze: expired targets": |s| {
        set(&mut s.repo.targets, &["expires"], "2026-11-22T11:59:59Z");
        s.repo.release();
        s.refresh()
    } => Refused(Attack::Freeze, "targets metadata expired");
    "freeze: expired root": |s| {
        s.repo.rotate(|root| root.header.expires = NOW);
        s.repo.release();
        s.refresh()
    } => Refused(Attack::Freeze, "root metadata expired");
    "an expired root followed by a fresh one": |s| {
        s.repo.rotate(|root| root.header.expires = NOW);
        s.repo.rotate(|root| root.header.expires = NOW.plus(DAY));
        s.repo.release();
        s.refresh()
    } => Taken;
    "freeze: the same timestamp for ever": |s| {
        s.now = NOW.plus(2 * DAY);
        s.document.header.expires = NOW.plus(3 * DAY);
        s.refresh()?;
        s.decide().map(drop)
    } => Refused(Attack::Freeze, "timestamp metadata expired");

    "mix and match: snapshot of another release": |s| {
        s.repo.release();
        let old = s.repo.bytes("1.snapshot.json").to_vec();
        s.repo.files.insert("2.snapshot.json".to_owned(), old);
        s.refresh()
    } => Refused(Attack::MixAndMatch, "snapshot does not have the sha256 hash");
    "mix and match: targets of another release": |s| {
        s.repo.release();
        let old = s.repo.bytes("1.targets.json").to_vec();
        s.repo.files.insert("2.targets.json".to_owned(), old);
        s.refresh()
    } => Refused(Attack::MixAndMatch, "targets does not have the sha256 hash");
    "mix and match: right signature, wrong version, no hash stated": |s| {
        s.repo.release();
        let meta = MetaFile { version: 3, length: None, hashes: None };
        set(&mut s.repo.timestamp, &["meta", "snapshot.json"], meta.to_value());
        s.repo.publish_timestamp();
        let two = s.repo.bytes("2.snapshot.json").to_vec();
        s.repo.files.insert("3.snapshot.json".to_owned(), two);
        s.refresh()
    } => Refused(Attack::MixAndMatch, "snapshot metadata has version 2, its parent states 3");
    "mix and match: targets, right signature, wrong version, no hash stated": |s| {
        s.repo.release();
        let meta = MetaFile { version: 3, length: None, hashes: None };
        set(&mut s.repo.snapshot, &["meta", "targets.json"], meta.to_value());
        s.repo.publish_snapshot();
        let two = s.repo.bytes("2.targets.json").to_vec();
        s.repo.files.insert("3.targets.json".to_owned(), two);
        s.refresh()
    } => Refused(Attack::MixAndMatch, "targets metadata has version 2, its parent states 3");
    "endless data: a byte more than stated": |s| {
        s.repo.release();
        s.repo.files.get_mut("2.snapshot.json").unwrap().push(b' ');
        s.refresh()
    } => Refused(Attack::MixAndMatch, "its parent states");
    "endless data: a timestamp beyond the limit": |s| {
        s.repo.release();
        s.repo.files.get_mut("timestamp.json").unwrap().resize(16_385, b' ');
        s.refresh()
    } => Refused(Attack::EndlessData, "16385 bytes, at most 16384");
    "endless data: a root beyond the limit": |s| {
        s.repo.rotate(|_| {});
        s.repo.files.get_mut("2.root.json").unwrap().resize(512_001, b' ');
        s.refresh()
    } => Refused(Attack::EndlessData, "at most 512000");
    "endless data: more signatures than are read": |s| {
        let many = (0..257u64).map(|n| Value::object([("keyid", format!("{n}").into()), ("sig", "".into())]));
        let file = Value::object([("signatures", Value::Array(many.collect())), ("signed", Value::Null)]);
        let bytes = file.to_json();
        assert!(bytes.len() < 16_384);
        s.repo.files.insert("timestamp.json".to_owned(), bytes);
        s.refresh()
    } => Refused(Attack::EndlessData, "more than 256 signatures");
    "a hash of unknown kind": |s| {
        s.repo.release();
        let hashes = Value::object([("md5", "00".into())]);
        set(&mut s.repo.timestamp, &["meta", "snapshot.json", "hashes"], hashes);
        s.repo.publish_timestamp();
        s.refresh()
    } => Refused(Attack::MixAndMatch, "hash of kind \"md5\"");
    "sha512 is checked too": |s| {
        s.repo.release();
        set(&mut s.repo.timestamp, &["meta", "snapshot.json", "hashes", "sha512"], "00");
        s.repo.publish_timestamp();
        s.refresh()
    } => Refused(Attack::MixAndMatch, "sha512");
    "a snapshot without targets": |s| {
        set(&mut s.repo.snapshot, &["meta"], Value::object([]));
        Repo::bump(&mut s.repo.snapshot);
        Repo::bump(&mut s.repo.timestamp);
        s.repo.publish_snapshot();
        s.refresh()
    } => Malformed("lacks the field `targets.json`");

    "wrong type: a snapshot as timestamp": |s| {
        s.repo.rotate(|root| root.snapshot = role(&[TIMESTAMP], 1));
        s.repo.snapshot_keys = vec![TIMESTAMP];
        s.repo.release();
        let snapshot = s.repo.bytes("2.snapshot.json").to_vec();
        s.repo.files.insert("timestamp.json".to_owned(), snapshot);
        s.refresh()
    } => Malformed("\"timestamp\" was asked for");
    "version 0": |s| {
        set(&mut s.repo.timestamp, &["version"], 0);
        s.repo.publish_timestamp();
        s.refresh()
    } => Malformed("`version` must be an integer from 1");
    "version as text": |s| {
        set(&mut s.repo.timestamp, &["version"], "2");
        s.repo.publish_timestamp();
        s.refresh()
    } => Malformed("`version` must be an integer from 1");
    "specification 2": |s| {
        set(&mut s.repo.timestamp, &["spec_version"], "2.0.0");
        s.repo.publish_timestamp();
        s.refresh()
    } => Malformed("not a 1.x version");
    "specification 1 without minor version": |s| {
        set(&mut s.repo.timestamp, &["spec_version"], "1");
        s.repo.publish_timestamp();
        s.refresh()
    } => Malformed("not a 1.x version");
    "a time with an offset": |s| {
        set(&mut s.repo.timestamp, &["expires"], "2036-01-01T00:00:00+00:00");
        s.repo.publish_timestamp();
        s.refresh()
    } => Malformed("must be a time");
    "the same key twice in an object": |s| {
        s.repo.release();
        let text = core::str::from_utf8(s.repo.bytes("timestamp.json")).unwrap();
        let text = text.replace("\"version\":2}", "\"version\":2,\"version\":2}");
        assert!(text.contains("\"version\":2,\"version\":2"));
        s.repo.files.insert("timestamp.json".to_owned(), text.into_bytes());
        s.refresh()
    } => Malformed("appears twice");
    "a float": |s| {
        s.repo.release();
        let text = core::str::from_utf8(s.repo.bytes("timestamp.json")).unwrap();
        let text = text.replace("\"version\":2}", "\"version\":2.0}");
        s.repo.files.insert("timestamp.json".to_owned(), text.into_bytes());
        s.refresh()
    } => Malformed("floats");
    "not JSON": |s| {
        s.repo.files.insert("timestamp.json".to_owned(), b"<html>404</html>".to_vec());
        s.refresh()
    } => Malformed("not strict JSON");
};

const ROOTS: &[Case] = cases! {
    "an honest rotation of one key": |s| {
        s.repo.root_keys = vec![1, 2, 4];
        s.repo.rotate(|root| {
            root.root = role(&[1, 2, 4], 2);
            root.keys.extend(key_map(&[4]));
        });
        s.repo.root_keys = vec![2, 4];
        s.repo.rotate(|_| {});
        s.refresh()
    } => Taken;
    "a root signed by new keys only": |s| {
        s.repo.root_keys = vec![4, 5];
        s.repo.rotate(|root| {
            root.root = role(&[4, 5], 2);
            root.keys.extend(key_map(&[4, 5]));
        });
        s.refresh()
    } => Refused(Attack::ArbitrarySoftware, "(the trusted root's keys)");
    "a root signed by old keys only": |s| {
        s.repo.rotate(|root| {
            root.root = role(&[4, 5], 2);
            root.keys.extend(key_map(&[4, 5]));
        });
        s.refresh()
    } => Refused(Attack::ArbitrarySoftware, "(its own keys)");
    "a root signed by one key of two": |s| {
        s.repo.root_keys = vec![3];
        s.repo.rotate(|_| {});
        s.refresh()
    } => Refused(Attack::ArbitrarySoftware, "root metadata has 1 valid signatures");
    "a root that skips a version": |s| {
        s.repo.rotate(|root| root.header.version = 3);
        let bytes = s.repo.bytes("3.root.json").to_vec();
        s.repo.files.insert("2.root.json".to_owned(), bytes);
        s.refresh()
    } => Refused(Attack::Rollback, "root version 3 was offered where 2 must follow");
    "the first root again": |s| {
        let first = s.repo.bytes("1.root.json").to_vec();
        s.repo.files.insert("2.root.json".to_owned(), first);
        s.refresh()
    } => Refused(Attack::Rollback, "root version 1 was offered where 2 must follow");
    "a demo's root in production": |s| {
        s.repo.rotate(|root| root.demo = true);
        s.refresh()
    } => Refused(Attack::ArbitrarySoftware, "belongs to a demo");
    "the director's next root passed off as the image repository's": |s| {
        // The same people hold the root keys of both; the director's targets key is online.
        s.repo.rotate(|root| *root = Root { header: root.header, ..director_root() });
        s.refresh()
    } => Refused(Attack::MixAndMatch, "\"director\" was offered for that of \"image\"");
    "a threshold of 0": |s| {
        Repo::bump(&mut s.repo.root);
        set(&mut s.repo.root, &["roles", "root", "threshold"], 0);
        s.repo.publish_root();
        s.refresh()
    } => Malformed("`roles.root.threshold` must be an integer from 1");
    "a key id repeated in a role": |s| {
        Repo::bump(&mut s.repo.root);
        let id: Value = key(1).public_key().id().as_str().into();
        set(&mut s.repo.root, &["roles", "root", "keyids"], Value::Array(vec![id.clone(), id]));
        s.repo.publish_root();
        s.refresh()
    } => Malformed("repeats a key id");
    "a role missing": |s| {
        Repo::bump(&mut s.repo.root);
        set(&mut s.repo.root, &["roles"], Value::object([]));
        s.repo.publish_root();
        s.refresh()
    } => Malformed("lacks the field `root`");

    "fast-forward: versions pushed up by a thief, keys not rotated": |s| {
        set(&mut s.repo.snapshot, &["version"], 1_000_000);
        set(&mut s.repo.timestamp, &["version"], 1_000_000);
        s.repo.publish_snapshot();
        s.refresh()?;
        set(&mut s.repo.snapshot, &["version"], 2);
        set(&mut s.repo.timestamp, &["version"], 2);
        s.repo.publish_snapshot();
        s.refresh()
    } => Refused(Attack::Rollback, "timestamp version 2 was offered, version 1000000");
    "fast-forward recovery: both keys rotated": |s| {
        fast_forward(s)?;
        s.repo.timestamp_keys = vec![22];
        s.repo.snapshot_keys = vec![23];
        s.repo.rotate(|root| {
            root.keys.extend(key_map(&[22, 23]));
            root.timestamp = role(&[22], 1);
            root.snapshot = role(&[23], 1);
        });
        s.repo.publish_snapshot();
        s.refresh()
    } => Taken;
    "fast-forward recovery: the snapshot's key rotated": |s| {
        fast_forward(s)?;
        s.repo.snapshot_keys = vec![23];
        s.repo.rotate(|root| {
            root.keys.extend(key_map(&[23]));
            root.snapshot = role(&[23], 1);
        });
        s.repo.publish_snapshot();
        s.refresh()
    } => Taken;
    "fast-forward recovery: the power fails after the new root is stored": |s| {
        fast_forward(s)?;
        s.repo.snapshot_keys = vec![23];
        s.repo.rotate(|root| {
            root.keys.extend(key_map(&[23]));
            root.snapshot = role(&[23], 1);
        });
        s.repo.publish_snapshot();
        // Old timestamp and snapshot are still on disk under the new root.
        let (timestamp, snapshot) = (s.images.timestamp().cloned(), s.images.snapshot().cloned());
        s.images.update_root(s.repo.bytes("2.root.json"))?;
        let local = Local {
            timestamp: timestamp.as_ref().map(Verified::bytes),
            snapshot: snapshot.as_ref().map(Verified::bytes),
            targets: None,
        };
        let report = s.images.load_local(local, s.now);
        assert!(matches!(report.timestamp, LocalState::Refused(TrustError::Signatures { .. })));
        assert!(matches!(report.snapshot, LocalState::Refused(TrustError::Signatures { .. })));
        s.refresh()
    } => Taken;
    "a rotated timestamp key takes the stored snapshot along": |s| {
        let (timestamp, snapshot) = (s.images.timestamp().cloned(), s.images.snapshot().cloned());
        s.repo.timestamp_keys = vec![22];
        s.repo.rotate(|root| {
            root.keys.extend(key_map(&[22]));
            root.timestamp = role(&[22], 1);
        });
        s.images.update_root(s.repo.bytes("2.root.json"))?;
        let local = Local {
            timestamp: timestamp.as_ref().map(Verified::bytes),
            snapshot: snapshot.as_ref().map(Verified::bytes),
            targets: None,
        };
        let report = s.images.load_local(local, s.now);
        assert!(matches!(report.snapshot, LocalState::Refused(TrustError::Signatures { .. })));
        assert!(s.images.snapshot().is_none());
        s.repo.publish_timestamp();
        s.refresh()
    } => Taken;
    "an unrelated rotation keeps the floor under versions": |s| {
        let old = s.repo.bytes("timestamp.json").to_vec();
        s.repo.release();
        s.refresh()?;
        s.repo.rotate(|root| root.targets = role(&[TARGETS, 24], 1));
        s.repo.files.insert("timestamp.json".to_owned(), old);
        s.refresh()
    } => Refused(Attack::Rollback, "timestamp version 1");
};

/// A thief pushes versions up; the owner then goes on from 2.
fn fast_forward(s: &mut Scene) -> Result<(), TrustError> {
    set(&mut s.repo.snapshot, &["version"], 1_000_000);
    set(&mut s.repo.timestamp, &["version"], u64::MAX);
    s.repo.publish_snapshot();
    s.refresh()?;
    set(&mut s.repo.snapshot, &["version"], 2);
    set(&mut s.repo.timestamp, &["version"], 2);
    Ok(())
}

const DIRECTORS: &[Case] = cases! {
    "an honest assignment": |s| {
        let assignment = s.decide()?;
        let target = assignment.target.unwrap();
        assert_eq!((target.sha256, target.release), (Digest::of(BUNDLE), release(1)));
        Ok(())
    } => Taken;
    "nothing to do needs no image metadata": |s| {
        s.document.target = None;
        s.document.rollout = None;
        s.document.header.expires = NOW.plus(400 * DAY);
        s.now = NOW.plus(300 * DAY);
        s.decide().map(drop)
    } => Taken;
    "replay of another device's document": |s| {
        s.document.device = DeviceId::of_public_key(&[8; 32]);
        s.decide().map(drop)
    } => Refused(Attack::WrongRecipient, "is for device");
    "a document for other hardware": |s| {
        s.document.hardware = HardwareId::new("jetson").unwrap();
        s.decide().map(drop)
    } => Refused(Attack::WrongRecipient, "is for hardware jetson, this is pi4");
    "a document with delegations": |s| {
        s.document.header.version += 1;
        let mut value = s.document.to_value();
        set(&mut value, &["delegations"], Value::object([("keys", Value::object([])), ("roles", Value::Array(vec![]))]));
        s.decide_by(&signed(&value, &[DIRECTOR])).map(drop)
    } => Refused(Attack::ExcessiveRights, "may not delegate");
    "a document with empty delegations": |s| {
        let mut value = s.document.to_value();
        set(&mut value, &["delegations"], Value::Null);
        s.decide_by(&signed(&value, &[DIRECTOR])).map(drop)
    } => Refused(Attack::ExcessiveRights, "may not delegate");
    "a document by a stranger": |s| {
        s.document.header.version += 1;
        let bytes = signed(&s.document.to_value(), &[MALLORY]);
        s.decide_by(&bytes).map(drop)
    } => Refused(Attack::ArbitrarySoftware, "director metadata has 0 valid");
    "a document by the image repository's key": |s| {
        s.document.header.version += 1;
        let bytes = signed(&s.document.to_value(), &[TARGETS]);
        s.decide_by(&bytes).map(drop)
    } => Refused(Attack::ArbitrarySoftware, "director metadata has 0 valid");
    "the image repository's targets as a document": |s| {
        let bytes = signed(&s.repo.targets, &[DIRECTOR]);
        s.decide_by(&bytes).map(drop)
    } => Malformed("lacks the field `x-sanderling-director`");
    "replay of this device's older document": |s| {
        let old = signed(&s.document.to_value(), &[DIRECTOR]);
        s.decide()?;
        s.decide_by(&old).map(drop)
    } => Refused(Attack::Rollback, "director version 2 was offered, version 3");
    "the same document again": |s| {
        let bytes = signed(&s.document.to_value(), &[DIRECTOR]);
        s.decide_by(&bytes).map(drop)
    } => Taken;
    "two documents under one version": |s| {
        s.document.target = None;
        let bytes = signed(&s.document.to_value(), &[DIRECTOR]);
        s.decide_by(&bytes).map(drop)
    } => Refused(Attack::MixAndMatch, "version 2 was offered with other content");
    "replay across a restart": |s| {
        let old = signed(&s.document.to_value(), &[DIRECTOR]);
        s.decide()?;
        let stored = s.director.trusted().unwrap().bytes().to_vec();
        s.now = NOW.plus(1800);
        assert_eq!(s.director.load_local(Some(&stored), &s.device, s.now), LocalState::Trusted);
        s.decide_by(&old).map(drop)
    } => Refused(Attack::Rollback, "director version 2 was offered, version 3");
    "an expired document": |s| {
        s.now = NOW.plus(3600);
        s.decide().map(drop)
    } => Refused(Attack::Freeze, "director metadata expired");
    "an expired document is not even trusted": |s| {
        s.document.header.version += 1;
        let bytes = signed(&s.document.to_value(), &[DIRECTOR]);
        let trusted = s.director.trusted().cloned();
        let refused = s.director.verify(&bytes, &s.device, NOW.plus(3600)).map(drop);
        assert_eq!(s.director.trusted().cloned(), trusted);
        refused
    } => Refused(Attack::Freeze, "director metadata expired");
    "a document that expires between check-in and installation": |s| {
        let document = s.director.trusted().cloned().unwrap();
        decide(&s.images, &document, &s.device, NOW.plus(3600)).map(drop)
    } => Refused(Attack::Freeze, "director metadata expired");
    "an expired director's root": |s| {
        let mut root = director_root();
        root.header = Header { version: 2, expires: NOW };
        s.director.update_root(&signed(&root.to_value(), &[1, 2]))?;
        s.decide().map(drop)
    } => Refused(Attack::Freeze, "root metadata expired");
    "issued after it expires": |s| {
        s.document.issued = NOW.plus(3601);
        s.decide().map(drop)
    } => Malformed("is after `expires`");
    "two targets": |s| {
        s.document.header.version += 1;
        let mut value = s.document.to_value();
        let one = value.get("targets").unwrap().get(NAME).unwrap().clone();
        set(&mut value, &["targets", "other.sdl"], one);
        s.decide_by(&signed(&value, &[DIRECTOR])).map(drop)
    } => Malformed("may hold one target");
    "an unknown mode": |s| {
        s.document.header.version += 1;
        let mut value = s.document.to_value();
        set(&mut value, &["x-sanderling-director", "rollout", "mode"], "brick");
        s.decide_by(&signed(&value, &[DIRECTOR])).map(drop)
    } => Malformed("known are activate, shadow and restore");
    "a document of a later format": |s| {
        s.document.header.version += 1;
        let mut value = s.document.to_value();
        set(&mut value, &["x-sanderling-director", "format"], 2);
        s.decide_by(&signed(&value, &[DIRECTOR])).map(drop)
    } => Malformed("update the agent");
    "a bundle that its owner never signed": |s| {
        let target = s.document.target.as_mut().unwrap();
        target.name = "evil.sdl".to_owned();
        target.sha256 = Digest::of(b"evil");
        s.decide().map(drop)
    } => Refused(Attack::ArbitrarySoftware, "\"evil.sdl\", which the image repository does not list");
    "other bytes under a listed name": |s| {
        s.document.target.as_mut().unwrap().sha256 = Digest::of(b"evil");
        s.decide().map(drop)
    } => Refused(Attack::MixAndMatch, "sha256");
    "another length": |s| {
        s.document.target.as_mut().unwrap().length = u64::MAX;
        s.decide().map(drop)
    } => Refused(Attack::MixAndMatch, "length");
    "another release counter than the owner signed": |s| {
        s.document.target.as_mut().unwrap().release_counter = 9;
        s.decide().map(drop)
    } => Refused(Attack::MixAndMatch, "release_counter");
    "a release under the device's floor": |s| {
        s.device.release_floor = 2;
        s.decide().map(drop)
    } => Refused(Attack::Rollback, "release counter 1 of \"magika-3.3.0.sdl\" is under this device's floor 2");
    "a release at the floor rolls back freely": |s| {
        s.document.rollout.as_mut().unwrap().mode = Mode::Restore;
        s.decide().map(drop)
    } => Taken;
    "a listed release that the owner has since removed": |s| {
        set(&mut s.repo.targets, &["targets"], Value::object([]));
        s.repo.release();
        s.refresh()?;
        s.decide().map(drop)
    } => Refused(Attack::ArbitrarySoftware, "does not list");
    "a mirror that holds image metadata back": |s| {
        s.document.image_timestamp_version = 2;
        s.decide().map(drop)
    } => Refused(Attack::Freeze, "the director has seen image timestamp 2, this device holds 1");
    "a release without Sanderling's fields": |s| {
        set(&mut s.repo.targets, &["targets", NAME, "custom"], Value::object([]));
        s.repo.release();
        s.refresh()?;
        s.decide().map(drop)
    } => Refused(Attack::MixAndMatch, "release_counter");
    "metadata from disk that has expired installs nothing": |s| {
        s.now = NOW.plus(100 * DAY);
        s.document.header.expires = NOW.plus(101 * DAY);
        let report = s.restart();
        assert_eq!(report.targets, LocalState::Expired { since: NOW.plus(90 * DAY) });
        assert!(s.images.targets().is_some());
        s.decide().map(drop)
    } => Refused(Attack::Freeze, "expired");
    "a stolen director key pushes versions up; a new root brings the device back": |s| {
        s.document.header.version = u64::MAX - 1;
        s.decide()?;
        let mut root = director_root();
        root.header.version = 2;
        root.keys.extend(key_map(&[25]));
        root.targets = role(&[25], 1);
        s.director.update_root(&signed(&root.to_value(), &[1, 3]))?;
        assert!(s.director.trusted().is_none());
        s.document.header.version = 3;
        let bytes = signed(&s.document.to_value(), &[25]);
        s.decide_by(&bytes)?;
        // The thief's key is worth nothing now.
        s.document.header.version = 4;
        let bytes = signed(&s.document.to_value(), &[DIRECTOR]);
        s.decide_by(&bytes).map(drop)
    } => Refused(Attack::ArbitrarySoftware, "director metadata has 0 valid");
};

#[test]
fn pins() {
    let root = signed(&image_root().to_value(), &[1, 2]);
    let demo = signed(
        &Root {
            demo: true,
            ..image_root()
        }
        .to_value(),
        &[1, 2],
    );
    let new = |kind, pinned: &[u8], offered: &[u8]| {
        TrustedSet::new(&RootPin::of(kind, pinned), offered, Limits::default()).map(drop)
    };
    assert_eq!(new(Roots::Production, &root, &root), Ok(()));
    assert_eq!(new(Roots::Demo, &demo, &demo), Ok(()));
    assert_eq!(new(Roots::Production, &demo, &demo), Err(TrustError::DemoRoot));
    assert_eq!(new(Roots::Demo, &root, &root), Err(TrustError::NotDemoRoot));
    assert!(matches!(
        new(Roots::Production, &root, &demo),
        Err(TrustError::Pin { .. })
    ));
    let unsigned = signed(&image_root().to_value(), &[1]);
    let error = new(Roots::Production, &unsigned, &unsigned).unwrap_err();
    assert_eq!(error.attack(), Some(Attack::ArbitrarySoftware), "{error}");
}

/// What has expired on arrival is not kept.
#[test]
fn expired_on_arrival() {
    let scene = Scene::new();
    for role in [Role::Timestamp, Role::Snapshot, Role::Targets] {
        let mut late = scene.clone();
        let value = match role {
            Role::Timestamp => &mut late.repo.timestamp,
            Role::Snapshot => &mut late.repo.snapshot,
            _ => &mut late.repo.targets,
        };
        set(value, &["expires"], "2026-11-22T12:00:00Z");
        late.repo.release();
        let error = late.refresh().unwrap_err();
        assert_eq!(
            error,
            TrustError::Expired {
                role: role.clone(),
                expired: NOW,
                now: NOW
            }
        );
        let kept = match role {
            Role::Timestamp => late.images.timestamp().unwrap().header.version,
            Role::Snapshot => late.images.snapshot().unwrap().header.version,
            _ => late.images.targets().unwrap().header.version,
        };
        assert_eq!(kept, 1, "{role}");
    }
}

/// Damage to one stored file costs that file, not the floor under the others.
#[test]
fn rotten_files_on_disk() {
    let scene = Scene::new();
    let bytes = |name: &str| scene.repo.bytes(name).to_vec();
    let good = [
        bytes("timestamp.json"),
        bytes("1.snapshot.json"),
        bytes("1.targets.json"),
    ];
    for rotten in 0..3 {
        for bit in (0..good[rotten].len() * 8).step_by(37) {
            let mut files = good.clone();
            // The other case of a hexadecimal digit of a signature is the same signature.
            if bit % 8 == 5 && files[rotten][bit / 8].is_ascii_alphabetic() {
                continue;
            }
            files[rotten][bit / 8] ^= 1 << (bit % 8);
            let mut set = scene.images.clone();
            let local = Local {
                timestamp: Some(&files[0]),
                snapshot: Some(&files[1]),
                targets: Some(&files[2]),
            };
            let report = set.load_local(local, NOW);
            let states = [&report.timestamp, &report.snapshot, &report.targets];
            assert!(
                matches!(states[rotten], LocalState::Refused(_)),
                "file {rotten} bit {bit}: {report:?}"
            );
            if rotten != 0 {
                assert!(set.timestamp().is_some(), "file {rotten} bit {bit}: {report:?}");
            }
            assert!(rotten == 2 || set.targets().is_some());
        }
    }
}
