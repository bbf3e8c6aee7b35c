//! The operators' API: who may, what is said, and that what is done is done once.

use crate::fixture::{Fleet, TOKEN, base64_files, bundle, http};
use crate::page::Browser;
use sanderling_wire::Digest;
use serde_json::{Value, json};

#[test]
fn the_openapi_document_is_the_one_checked_in() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
    let now = sanderling_server::openapi_json();
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(path, &now).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        kept == now,
        "docs/openapi.json is out of date: run the tests with UPDATE_OPENAPI=1 and commit it"
    );
}

/// The command line and the page show these texts, too: an operation has a name in words, not a path.
#[test]
fn no_problem_tells_operators_to_call_a_path() {
    let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
    let mut folders = vec![std::path::PathBuf::from(sources)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
                let named = ["GET /", "POST /", "PUT /", "PUT them"]
                    .iter()
                    .any(|call| line.contains(call));
                assert!(!named, "{}: {line}", path.display());
            }
        }
    }
}

#[test]
fn only_operators_command() {
    let fleet = Fleet::new();
    let address = fleet.address();
    for (headers, status) in [
        (vec![], 401),
        (vec![("Authorization", "Bearer wrong")], 401),
        (vec![("Authorization", TOKEN)], 401),
    ] {
        let answer = http(address, "POST", "/v1/freeze", &headers, b"{}");
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("content-type").unwrap(), "application/problem+json");
        assert!(!answer.json()["action"].as_str().unwrap().is_empty());
    }
    for path in [
        "/v1/fleet",
        "/v1/devices",
        "/v1/ledger",
        "/v1/audit",
        "/v1/stream",
        "/v1/versions",
    ] {
        assert_eq!(http(address, "GET", path, &[], b"").status, 401, "{path}");
    }
    assert_eq!(fleet.call("GET", "/v1/fleet", Value::Null).status, 200);
}

#[test]
fn guessing_tokens_is_slowed_down() {
    let fleet = Fleet::new();
    let guess = || {
        http(
            fleet.address(),
            "GET",
            "/v1/fleet",
            &[("Authorization", "Bearer guess")],
            b"",
        )
        .status
    };
    let answers: Vec<_> = (0..25).map(|_| guess()).collect();
    assert_eq!((answers[0], answers[24]), (401, 429));
    // Who has a token is not locked out by a neighbour who guesses, nor does a right one open the door for more guesses.
    assert_eq!(fleet.call("GET", "/v1/fleet", Value::Null).status, 200);
    Browser::login(&fleet);
    assert_eq!(guess(), 429);
    fleet.advance(60);
    assert_eq!(guess(), 401);
}

#[test]
fn other_hosts_and_other_sites_are_turned_away() {
    let fleet = Fleet::new();
    let bearer = format!("Bearer {TOKEN}");
    let mut headers = vec![("Authorization", bearer.as_str()), ("Host", "rebound.example")];
    assert_eq!(
        http(fleet.address(), "GET", "/v1/fleet", &headers, b"").status,
        421
    );
    headers.truncate(1);
    headers.push(("Origin", "http://evil.example"));
    assert_eq!(
        http(fleet.address(), "POST", "/v1/freeze", &headers, b"{}").status,
        403
    );
}

#[test]
fn a_repeated_call_is_carried_out_once() {
    let mut fleet = Fleet::new();
    let key = [("Idempotency-Key", "one")];
    let body = br#"{"why":"test"}"#;
    let first = fleet.keyed("POST", "/v1/freeze", body, &key);
    assert_eq!((first.status, first.header("idempotency-replayed")), (200, None));
    let again = fleet.keyed("POST", "/v1/freeze", body, &key);
    assert_eq!((again.status, &again.body), (200, &first.body));
    assert_eq!(again.header("idempotency-replayed").as_deref(), Some("true"));
    fleet.restart();
    assert_eq!(fleet.keyed("POST", "/v1/freeze", body, &key).body, first.body);
    let other = fleet.keyed("POST", "/v1/freeze", br#"{"why":"other"}"#, &key);
    assert_eq!(
        (other.status, other.json()["type"].as_str()),
        (422, Some("idempotency-key-reused"))
    );
    assert_eq!(fleet.keyed("POST", "/v1/freeze", body, &[]).status, 409);
    let frozen = fleet.get("/v1/ledger")["entries"].as_array().unwrap().len();
    assert_eq!(frozen, 1);
    assert_eq!(fleet.get("/v1/audit")["actions"].as_array().unwrap().len(), 1);
    assert_eq!(fleet.get("/v1/fleet")["frozen"], "test");
    assert_eq!(first.json()["ledger"], 1);
    let thawed = fleet.post("/v1/unfreeze", json!({}));
    assert_eq!(
        (&thawed["frozen"], &thawed),
        (&Value::Null, &fleet.get("/v1/fleet"))
    );
}

#[test]
fn versions_are_published_with_metadata_that_devices_would_take() {
    let mut fleet = Fleet::new();
    let v1 = fleet.publish("v1", &["champion"]);
    let v2 = fleet.publish("v2", &[]);
    let versions = fleet.get("/v1/versions");
    assert_eq!(versions.as_array().unwrap().len(), 2);
    assert_eq!(fleet.get("/v1/versions/magika:champion")["digest"], json!(v1));
    let shown = fleet.get("/v1/versions/magika@v2");
    assert_eq!(
        (&shown["digest"], &shown["metadata"]["requires"]["operators"][0]),
        (&json!(v2), &json!(":Conv"))
    );
    let moved = fleet.call(
        "PUT",
        "/v1/models/magika/aliases/champion",
        json!({ "version": "magika@v2" }),
    );
    assert_eq!(moved.status, 200, "{}", moved.text());
    assert_eq!(fleet.get("/v1/versions/magika:champion")["digest"], json!(v2));
    assert_eq!(
        fleet
            .call("DELETE", "/v1/models/magika/aliases/champion", Value::Null)
            .status,
        200
    );
    assert_eq!(
        fleet
            .call("DELETE", "/v1/models/magika/aliases/champion", Value::Null)
            .status,
        404
    );
    fleet.restart();
    assert_eq!(
        fleet.get("/v1/metadata/image")["targets"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    // A number for each publication and one for the start, from the time on.
    assert_eq!(
        fleet.get("/v1/metadata/image")["timestamp"],
        json!(fleet.now() + 2)
    );
    for (text, status) in [
        ("magika@v9", 404),
        ("magika:none", 404),
        ("what", 400),
        (&"0".repeat(64), 404),
    ] {
        assert_eq!(
            fleet
                .call("GET", &format!("/v1/versions/{text}"), Value::Null)
                .status,
            status,
            "{text}"
        );
    }
}

#[test]
fn what_the_owner_did_not_sign_is_not_published() {
    let (fleet, stranger) = (Fleet::new(), Fleet::new());
    let (bytes, name, files) = stranger.sign("v1");
    let digest = Digest::of(&bytes);
    let put = |bytes: &[u8]| fleet.keyed("PUT", &format!("/v1/images/{digest}.sdl"), bytes, &[]);
    let wrong = put(b"other bytes");
    assert_eq!(
        (wrong.status, wrong.json()["type"].as_str()),
        (422, Some("wrong-hash"))
    );
    assert_eq!((put(&bytes).status, put(&bytes).status), (201, 200));
    let refused = |body: Value| {
        let answer = fleet.call("POST", "/v1/versions", body);
        assert_eq!(answer.status, 422, "{}", answer.text());
        answer.json()["type"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        refused(json!({ "target": name, "metadata": base64_files(&files) })),
        "metadata-refused"
    );
    assert_eq!(
        refused(json!({ "target": name, "metadata": base64_files(&files[1..]) })),
        "metadata-refused"
    );
    assert_eq!(refused(json!({ "target": name })), "not-listed");
    // Signed, but its bytes are not here; then the other way round.
    let (own, name, files) = fleet.sign("own");
    assert_eq!(
        refused(json!({ "target": name, "metadata": base64_files(&files[..1]) })),
        "metadata-unused"
    );
    assert_eq!(
        refused(json!({ "target": name, "metadata": base64_files(&files) })),
        "no-bytes"
    );
    assert_eq!(
        fleet.get("/v1/metadata/image")["targets"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
    fleet.keyed("PUT", &format!("/v1/images/{}.sdl", Digest::of(&own)), &own, &[]);
    fleet.post(
        "/v1/versions",
        json!({ "target": name, "metadata": base64_files(&files) }),
    );
    // The same again changes nothing; older metadata is not taken back in.
    let again = fleet.call("POST", "/v1/versions", json!({ "target": name }));
    assert_eq!(again.status, 201, "{}", again.text());
    let (_, _, newer) = fleet.sign("v2");
    fleet.post("/v1/metadata/image", json!({ "metadata": base64_files(&newer) }));
    let older = fleet.call(
        "POST",
        "/v1/metadata/image",
        json!({ "metadata": base64_files(&files) }),
    );
    assert_eq!(older.status, 422);
    // Two versions signed before either is published: both come with the same newest metadata.
    let (third, third_name, _) = fleet.sign("v3");
    let (fourth, fourth_name, newest) = fleet.sign("v4");
    for (bytes, name) in [(third, third_name), (fourth, fourth_name)] {
        fleet.keyed(
            "PUT",
            &format!("/v1/images/{}.sdl", Digest::of(&bytes)),
            &bytes,
            &[],
        );
        fleet.post(
            "/v1/versions",
            json!({ "target": name, "metadata": base64_files(&newest) }),
        );
    }
}

#[test]
fn uploads_are_bounded() {
    let fleet = Fleet::with(|config| config.limits.image_bytes = 1000);
    let bytes = bundle("magika", "big");
    let path = format!("/v1/images/{}.sdl", Digest::of(&bytes));
    assert_eq!(fleet.keyed("PUT", &path, &bytes, &[]).status, 413);
    let left = std::fs::read_dir(fleet.folder.path().join("data/images"))
        .unwrap()
        .count();
    assert_eq!(left, 0);
    assert_eq!(fleet.keyed("PUT", "/v1/images/short.sdl", b"x", &[]).status, 400);
}

#[test]
fn health_metrics_and_unknown_paths() {
    let fleet = Fleet::new();
    assert_eq!(http(fleet.address(), "GET", "/healthz", &[], b"").text(), "ok\n");
    assert_eq!(
        http(fleet.address(), "GET", "/readyz", &[], b"").text(),
        "ready\n"
    );
    fleet.enrol(1).check_in(&fleet);
    let metrics = http(fleet.address(), "GET", "/metrics", &[], b"").text();
    assert!(
        metrics.contains("sanderling_check_ins_total 1") && metrics.contains("sanderling_devices 1"),
        "{metrics}"
    );
    assert_eq!(fleet.call("GET", "/v1/nothing", Value::Null).status, 404);
    assert_eq!(fleet.call("DELETE", "/v1/fleet", Value::Null).status, 405);
    let bad = fleet.call("POST", "/v1/rollouts", json!({ "tarteg": "x" }));
    assert_eq!(bad.status, 400);
    assert!(
        bad.json()["detail"].as_str().unwrap().contains("tarteg"),
        "{}",
        bad.text()
    );
}

#[test]
fn feeds_wait_for_news_and_streams_carry_them() {
    use std::io::{Read as _, Write as _};
    let fleet = Fleet::new();
    let began = std::time::Instant::now();
    let empty = fleet.get("/v1/ledger?after=0&wait_s=1");
    assert_eq!(empty["entries"], json!([]));
    assert!(began.elapsed().as_millis() >= 900);
    let mut stream = std::net::TcpStream::connect(fleet.address()).unwrap();
    stream
        .set_read_timeout(Some(std::time::Duration::from_secs(10)))
        .unwrap();
    let head = format!(
        "GET /v1/stream HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n",
        fleet.address()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut seen = String::new();
    let mut read_until = |mark: &str| {
        let mut buffer = [0; 4096];
        while !seen.contains(mark) {
            let count = stream.read(&mut buffer).unwrap();
            assert!(count > 0, "the stream ended: {seen}");
            seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    };
    read_until("retry:");
    let news = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| fleet.get("/v1/ledger?after=0&wait_s=20"));
        std::thread::sleep(std::time::Duration::from_millis(200));
        fleet.post("/v1/freeze", json!({ "why": "news" }));
        waiting.join().unwrap()
    });
    assert_eq!(news["entries"][0]["kind"], "fleet.frozen");
    read_until("event: ledger");
    read_until("fleet.frozen");
}
