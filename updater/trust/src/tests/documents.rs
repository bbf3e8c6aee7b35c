//! Documents as bytes: golden forms, round trips, delegations.

use super::*;
use std::string::ToString;

/// The form of a director document is what servers and devices of different age have in common.
#[test]
fn golden_director_document() {
    let scene = Scene::new();
    let bytes = signed(&document_for(&scene.device).to_value(), &[DIRECTOR]);
    let text = core::str::from_utf8(&bytes).unwrap();
    let wanted = concat!(
        r#""signed":{"_type":"targets","expires":"2026-11-22T13:00:00Z","spec_version":"1.0.31","targets":{"#,
        r#""magika-3.3.0.sdl":{"custom":{"release_counter":1},"hashes":{"sha256":"#,
        r#""ef6491519350b79da40251c6f1fd39044a87c9894c08f6cc2cce46330f530cfd"},"length":21}},"version":1,"#,
        r#""x-sanderling-director":{"device":"4bb06f8e4e3a7715d201d573d0aa4237","format":1,"hardware":"pi4","#,
        r#""image_timestamp_version":1,"issued":"2026-11-22T12:00:00Z","rollout":{"arm":"target","id":7,"#,
        r#""ledger_head":"fe14010b4fe83303852f0467c919ef9a7ca089b91e96e3aad7d426dd87079297","mode":"activate"}}}}"#,
    );
    assert_eq!(
        text.split_once(",\"signed\"")
            .map(|(_, rest)| format!("\"signed\"{rest}"))
            .unwrap(),
        wanted
    );
}

/// Ed25519 is deterministic: one seed, one document, one signature. The key id is the SHA-256 of the canonical
/// form of the key object.
#[test]
fn golden_key_and_signature() {
    let signer = Ed25519Signer::from_seed(&[1; 32]);
    let value = signer.public_key().to_value().canonical();
    assert_eq!(
        core::str::from_utf8(&value),
        Ok(concat!(
            r#"{"keytype":"ed25519","keyval":{"public":"8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c"},"#,
            r#""scheme":"ed25519"}"#
        ))
    );
    assert_eq!(signer.public_key().id().as_str(), Digest::of(&value).to_string());
    // RFC 8032, 7.1, test 1.
    let mut seed = [0; 32];
    hex::decode_to_slice(
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        &mut seed,
    )
    .unwrap();
    let signature = Ed25519Signer::from_seed(&seed).sign(b"").unwrap();
    assert_eq!(
        hex::encode(signature.0),
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    );
}

#[test]
fn views_round_trip() {
    let scene = Scene::new();
    for root in [
        image_root(),
        director_root(),
        Root {
            demo: true,
            repository: None,
            ..image_root()
        },
    ] {
        assert_eq!(Root::from_value(&root.to_value()), Ok(root));
    }
    let document = document_for(&scene.device);
    for document in [
        DirectorTargets {
            rollout: None,
            ..document.clone()
        },
        DirectorTargets {
            target: None,
            ..document.clone()
        },
        document,
    ] {
        assert_eq!(DirectorTargets::from_value(&document.to_value()), Ok(document));
    }
    let targets = scene.images.targets().unwrap();
    assert_eq!(
        Targets::from_value(&Role::Targets, &targets.to_value()).as_ref(),
        Ok(&**targets)
    );
    let snapshot = scene.images.snapshot().unwrap();
    assert_eq!(
        Snapshot::from_value(&snapshot.to_value()).as_ref(),
        Ok(&**snapshot)
    );
    let timestamp = scene.images.timestamp().unwrap();
    assert_eq!(
        Timestamp::from_value(&timestamp.to_value()).as_ref(),
        Ok(&**timestamp)
    );
    let release = release(u64::MAX);
    assert_eq!(Release::from_custom(&release.to_custom()), Ok(Some(release)));
}

#[test]
fn small_order_keys_verify_nothing() {
    // The identity and a point of order eight: with them a lax verifier accepts signatures over anything.
    for bytes in [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    ] {
        let mut public = [0; 32];
        hex::decode_to_slice(bytes, &mut public).unwrap();
        let key = PublicKey::ed25519(&public);
        let mut signature = [0; 64];
        signature[0] = 1;
        assert!(!key.verify(b"anything", &signature));
    }
}

#[test]
fn what_is_wanted_next() {
    let repo = Repo::new();
    let first = repo.bytes("1.root.json");
    let mut set = TrustedSet::new(&RootPin::of(Roots::Production, first), first, Limits::default()).unwrap();
    let mut names = vec![set.next_root().name];
    while let Some(fetch) = set.wanted() {
        assert!(fetch.max_len >= repo.bytes(&fetch.name).len());
        set.update(&fetch, repo.bytes(&fetch.name), NOW).unwrap();
        names.push(fetch.name);
    }
    assert_eq!(
        names,
        [
            "2.root.json",
            "timestamp.json",
            "1.snapshot.json",
            "1.targets.json"
        ]
    );
    assert_eq!(set.first_expiry(), (Role::Timestamp, NOW.plus(DAY)));
    assert!(matches!(
        set.update_targets(b"", NOW),
        Err(TrustError::Length { .. })
    ));
    assert_eq!(
        Role::Delegated("../a b".to_owned()).file_name(),
        "..%2Fa%20b.json"
    );
}

/// One delegation: who delegates, to whom, which paths, and whether the search ends there.
type Delegation = (&'static str, &'static str, &'static str, bool);

/// A repository of these delegations, each role with a key of its own, and the files that roles list.
fn delegated(delegations: &[Delegation], files: &[(&str, &str)]) -> Scene {
    let mut scene = Scene::new();
    let mut names: Vec<&str> = delegations.iter().map(|d| d.1).collect();
    names.sort_unstable();
    names.dedup();
    let key_of = |name: &str| 100 + u8::try_from(names.iter().position(|n| *n == name).unwrap()).unwrap();
    let content = |name: &str, base: Value| {
        let mut value = base;
        let (mut keys, mut roles) = (BTreeMap::new(), Vec::new());
        for (_, child, paths, terminating) in delegations.iter().filter(|d| d.0 == name) {
            let key = key(key_of(child));
            keys.insert(
                key.public_key().id().as_str().to_owned(),
                key.public_key().to_value().clone(),
            );
            roles.push(Value::object([
                ("name", (*child).into()),
                (
                    "keyids",
                    Value::Array(vec![key.public_key().id().as_str().into()]),
                ),
                ("threshold", 1.into()),
                ("terminating", (*terminating).into()),
                ("paths", Value::Array(vec![(*paths).into()])),
            ]));
        }
        if !roles.is_empty() {
            let delegations = Value::object([("keys", Value::Object(keys)), ("roles", Value::Array(roles))]);
            set(&mut value, &["delegations"], delegations);
        }
        for (_, path) in files.iter().filter(|(role, _)| *role == name) {
            let file = TargetFile {
                length: 1,
                hashes: Hashes::sha256(&Digest::of(name.as_bytes())),
                custom: None,
            };
            set(&mut value, &["targets", path], file.to_value());
        }
        value
    };
    let empty = Targets {
        header: Header {
            version: 1,
            expires: NOW.plus(DAY),
        },
        targets: BTreeMap::new(),
        delegations: None,
    };
    for name in &names {
        let bytes = signed(&content(name, empty.to_value()), &[key_of(name)]);
        set(
            &mut scene.repo.snapshot,
            &["meta", &format!("{name}.json")],
            MetaFile::of(1, &bytes).to_value(),
        );
        scene.repo.files.insert(format!("1.{name}.json"), bytes);
    }
    scene.repo.targets = content("targets", scene.repo.targets.clone());
    scene.repo.release();
    scene.refresh().unwrap();
    scene
}

/// Looks for `path`: the roles fetched, in order, and whether it was found.
fn search(scene: &mut Scene, path: &str) -> (Vec<String>, Result<bool, TrustError>) {
    let mut search = Search::new(path);
    let mut fetched = Vec::new();
    loop {
        let fetch = match search.step(&scene.images) {
            Ok(Step::Found(_)) => return (fetched, Ok(true)),
            Ok(Step::Absent) => return (fetched, Ok(false)),
            Ok(Step::Fetch(fetch)) => fetch,
            Err(error) => return (fetched, Err(error)),
        };
        let Role::Delegated(name) = &fetch.role else {
            panic!("{fetch:?}")
        };
        fetched.push(name.clone());
        if let Err(error) = scene.images.update(&fetch, scene.repo.bytes(&fetch.name), NOW) {
            return (fetched, Err(error));
        }
    }
}

#[test]
fn delegations_are_searched_in_order() {
    #[track_caller]
    fn check(delegations: &[Delegation], files: &[(&str, &str)], path: &str, order: &[&str], found: bool) {
        let mut scene = delegated(delegations, files);
        assert_eq!(
            search(&mut scene, path),
            (order.iter().map(|s| (*s).to_owned()).collect(), Ok(found))
        );
    }
    let any = "*";
    check(&[("targets", "A", any, false)], &[], "x", &["A"], false);
    check(&[("targets", "A", any, false)], &[("A", "x")], "x", &["A"], true);
    check(
        &[("targets", "A", any, false)],
        &[("targets", "x")],
        "x",
        &[],
        true,
    );
    let tree = [
        ("targets", "A", any, false),
        ("targets", "B", any, false),
        ("A", "C", any, false),
        ("A", "D", any, false),
    ];
    check(&tree, &[], "x", &["A", "C", "D", "B"], false);
    check(&tree, &[("D", "x"), ("B", "x")], "x", &["A", "C", "D"], true);
    let terminating = [
        ("targets", "A", any, false),
        ("targets", "B", any, false),
        ("A", "C", any, true),
        ("A", "D", any, false),
        ("C", "E", any, false),
    ];
    check(
        &terminating,
        &[("B", "x"), ("D", "x")],
        "x",
        &["A", "C", "E"],
        false,
    );
    let scoped = [
        ("targets", "A", "*.py", false),
        ("targets", "B", any, false),
        ("A", "C", any, false),
    ];
    check(&scoped, &[("C", "x")], "x", &["B"], false);
    let cycle = [
        ("targets", "A", any, false),
        ("A", "B", any, false),
        ("B", "A", any, false),
    ];
    check(&cycle, &[], "x", &["A", "B"], false);
}

#[test]
fn a_delegated_role_is_trusted_along_its_own_path_only() {
    let delegations = [
        ("targets", "A", "a/*", false),
        ("targets", "B", "b/*", false),
        ("A", "release", "a/*", false),
        ("B", "release", "b/*", false),
    ];
    let mut scene = delegated(&delegations, &[("release", "a/x"), ("release", "b/x")]);
    // B names another key for the shared role.
    let stranger = key(MALLORY);
    let bytes = scene.repo.bytes("1.B.json").to_vec();
    let mut value = Value::parse(&bytes).unwrap().get("signed").unwrap().clone();
    let id = stranger.public_key().id().as_str();
    set(
        &mut value,
        &["delegations", "keys"],
        Value::object([(id, stranger.public_key().to_value().clone())]),
    );
    let mut role = value
        .get("delegations")
        .unwrap()
        .get("roles")
        .unwrap()
        .as_array()
        .unwrap()[0]
        .clone();
    set(&mut role, &["keyids"], Value::Array(vec![id.into()]));
    set(&mut value, &["delegations", "roles"], Value::Array(vec![role]));
    let signer = [100u8, 101, 102].into_iter().find(|n| {
        let id = key(*n).public_key().id().as_str().to_owned();
        core::str::from_utf8(&bytes)
            .unwrap()
            .contains(&format!("\"keyid\":\"{id}\""))
    });
    let bytes = signed(&value, &[signer.unwrap()]);
    set(
        &mut scene.repo.snapshot,
        &["meta", "B.json"],
        MetaFile::of(1, &bytes).to_value(),
    );
    scene.repo.files.insert("1.B.json".to_owned(), bytes);
    scene.repo.release();
    scene.refresh().unwrap();

    assert_eq!(search(&mut scene, "a/x").1, Ok(true));
    let error = search(&mut scene, "b/x").1.unwrap_err();
    assert!(matches!(error, TrustError::Signatures { .. }), "{error}");
}

#[test]
fn an_expired_delegated_role_installs_nothing() {
    let mut scene = delegated(&[("targets", "A", "*", false)], &[("A", "x")]);
    set(&mut scene.repo.timestamp, &["expires"], "2026-12-01T00:00:00Z");
    scene.repo.release();
    scene.refresh().unwrap();
    assert_eq!(search(&mut scene, "x").1, Ok(true));
    assert!(scene.images.fresh_target("x", NOW).is_ok());
    let late = NOW.plus(DAY);
    assert_eq!(scene.images.check_fresh(late), Ok(()));
    let error = scene.images.fresh_target("x", late).unwrap_err();
    assert_eq!(
        error,
        TrustError::Expired {
            role: Role::Delegated("A".to_owned()),
            expired: late,
            now: late
        }
    );
}

/// The file of a delegated role, changed, signed by `signer`, and listed as `listed`.
fn republish(scene: &mut Scene, name: &str, signer: u8, listed: u64, edit: impl FnOnce(&mut Value)) {
    let mut value = Value::parse(scene.repo.bytes(&format!("1.{name}.json")))
        .unwrap()
        .get("signed")
        .unwrap()
        .clone();
    edit(&mut value);
    let bytes = signed(&value, &[signer]);
    let meta = MetaFile {
        version: listed,
        length: None,
        hashes: None,
    };
    set(
        &mut scene.repo.snapshot,
        &["meta", &format!("{name}.json")],
        meta.to_value(),
    );
    scene.repo.files.insert(format!("{listed}.{name}.json"), bytes);
    Repo::bump(&mut scene.repo.snapshot);
    Repo::bump(&mut scene.repo.timestamp);
    scene.repo.publish_snapshot();
    scene.refresh().unwrap();
}

#[test]
fn delegated_roles_have_the_listed_version_and_are_fresh() {
    let mut scene = delegated(&[("targets", "A", "*", false)], &[("A", "x")]);
    republish(&mut scene, "A", 100, 2, |_| {});
    let error = search(&mut scene, "x").1.unwrap_err();
    assert!(
        matches!(
            error,
            TrustError::ListedVersion {
                listed: 2,
                found: 1,
                ..
            }
        ),
        "{error}"
    );
    let mut scene = delegated(&[("targets", "A", "*", false)], &[("A", "x")]);
    republish(&mut scene, "A", 100, 2, |value| {
        set(value, &["version"], 2);
        set(value, &["expires"], "2026-11-22T12:00:00Z");
    });
    let error = search(&mut scene, "x").1.unwrap_err();
    assert!(
        matches!(
            error,
            TrustError::Expired {
                role: Role::Delegated(_),
                ..
            }
        ),
        "{error}"
    );
}

/// C stays as it is, but A, which delegates to it, now names another key for it.
#[test]
fn a_role_is_verified_again_when_its_delegator_changes() {
    let mut scene = delegated(
        &[("targets", "A", "*", false), ("A", "C", "*", false)],
        &[("C", "x")],
    );
    assert_eq!(search(&mut scene, "x").1, Ok(true));
    republish(&mut scene, "A", 100, 2, |value| {
        set(value, &["version"], 2);
        let (old, new) = (key(101), key(MALLORY));
        let (old, new) = (old.public_key().id().as_str(), new.public_key());
        let id = new.id().as_str();
        assert!(
            value
                .get("delegations")
                .unwrap()
                .get("keys")
                .unwrap()
                .get(old)
                .is_some()
        );
        set(
            value,
            &["delegations", "keys"],
            Value::object([(id, new.to_value().clone())]),
        );
        let mut role = value
            .get("delegations")
            .unwrap()
            .get("roles")
            .unwrap()
            .as_array()
            .unwrap()[0]
            .clone();
        set(&mut role, &["keyids"], Value::Array(vec![id.into()]));
        set(value, &["delegations", "roles"], Value::Array(vec![role]));
    });
    let error = search(&mut scene, "x").1.unwrap_err();
    assert!(matches!(error, TrustError::Signatures { .. }), "{error}");
}

#[test]
fn a_search_visits_a_bounded_number_of_roles() {
    let names: Vec<String> = (0..40).map(|n| format!("role-{n:02}")).collect();
    let names: &'static [String] = names.leak();
    let delegations: Vec<Delegation> = names
        .iter()
        .map(|name| ("targets", name.as_str(), "*", false))
        .collect();
    let mut scene = delegated(&delegations, &[]);
    let (fetched, outcome) = search(&mut scene, "x");
    assert_eq!(fetched.len(), 32);
    assert_eq!(
        outcome,
        Err(TrustError::TooMany {
            what: "delegated roles in one search",
            limit: 32
        })
    );
}

#[test]
fn a_delegated_role_the_snapshot_does_not_list_is_not_fetched() {
    let mut scene = delegated(&[("targets", "A", "*", false)], &[]);
    let mut fresh = Scene::new();
    fresh.repo.targets = scene.repo.targets.clone();
    set(&mut fresh.repo.targets, &["version"], 1);
    fresh.repo.release();
    fresh.refresh().unwrap();
    assert!(
        matches!(search(&mut fresh, "x"), (fetched, Err(TrustError::NotListed { .. })) if fetched.is_empty())
    );
    assert_eq!(search(&mut scene, "x").1, Ok(false));
}

#[test]
fn succinct_roles_name_one_bin() {
    let mut scene = Scene::new();
    let signer = key(101);
    let id = signer.public_key().id().as_str();
    let succinct = Value::object([
        ("keyids", Value::Array(vec![id.into()])),
        ("threshold", 1.into()),
        ("bit_length", 8.into()),
        ("name_prefix", "bin".into()),
    ]);
    let keys = Value::object([(id, signer.public_key().to_value().clone())]);
    set(
        &mut scene.repo.targets,
        &["delegations"],
        Value::object([("keys", keys), ("succinct_roles", succinct)]),
    );
    let targets = Targets::from_value(&Role::Targets, &scene.repo.targets).unwrap();
    let delegations = targets.delegations.unwrap();
    // SHA-256("x") starts with 2d.
    assert_eq!(
        delegations.roles_for("x"),
        [(Role::Delegated("bin-2d".to_owned()), true)]
    );
    assert!(delegations.role_keys("bin-2d").is_some());
    for name in [
        "bin-100", "bin-2D", "bin-2", "bin-02d", "bun-2d", "bin2d", "bin-+d",
    ] {
        assert!(delegations.role_keys(name).is_none(), "{name}");
    }
}
