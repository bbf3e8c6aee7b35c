//! The devices' API: enrolment, check-in, downloads, and those who only pretend to be a device.

use crate::fixture::{Device, Fleet, TOKEN, send};
use sanderling_wire::{Digest, EventKind, RecordBody, ServingWindow, Sketch, api};
use serde_json::json;
use sqlx::Connection as _;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

#[test]
fn a_token_enrols_one_device_and_a_lost_reply_is_repeated() {
    let fleet = Fleet::new();
    let mut device = fleet.enrol(1);
    let token = device.token.clone();
    assert_eq!(device.enrol(&fleet, &token).status, 200);
    let mut other = Device::new(&fleet, 2);
    let refused = other.enrol(&fleet, &token);
    assert_eq!(
        (refused.status, refused.json()["type"].as_str()),
        (403, Some("enrolment-token"))
    );
    assert_eq!(other.enrol(&fleet, "no such token").status, 403);
    let listed = fleet.get("/v1/enrolments");
    assert_eq!(listed[0]["used_by"], json!(device.id));
}

#[test]
fn enrolment_is_signed_by_the_key_it_names() {
    let fleet = Fleet::new();
    let made = fleet.post("/v1/enrolments", json!({}));
    let text: sanderling_wire::enrolment::EnrolmentString =
        made["enrolment"].as_str().unwrap().parse().unwrap();
    assert_eq!(
        text.image_root,
        Digest::of(&crate::fixture::read(&fleet.keys().join("image/1.root.json")))
    );
    let (mut honest, mut thief) = (Device::new(&fleet, 1), Device::new(&fleet, 2));
    let request = sanderling_wire::EnrolRequest {
        token: text.token.clone(),
        public_key: sanderling_trust::Signer::public_key(&honest.signer)
            .ed25519_bytes()
            .unwrap(),
        hardware: crate::fixture::hardware(),
        runtime: crate::fixture::runtime(),
    };
    let stolen = thief.send(&fleet, "POST", api::ENROL, &sanderling_wire::encode(&request));
    assert_eq!(stolen.status, 401);
    assert_eq!(honest.enrol(&fleet, &text.token).status, 200);
}

#[test]
fn an_expired_enrolment_string_is_refused() {
    let fleet = Fleet::new();
    let made = fleet.post("/v1/enrolments", json!({ "ttl_s": 60 }));
    let text: sanderling_wire::enrolment::EnrolmentString =
        made["enrolment"].as_str().unwrap().parse().unwrap();
    fleet.advance(61);
    assert_eq!(Device::new(&fleet, 1).enrol(&fleet, &text.token).status, 403);
    assert_eq!(
        fleet.call("POST", "/v1/enrolments", json!({ "ttl_s": 0 })).status,
        400
    );
}

#[test]
fn a_device_cannot_speak_for_another() {
    let fleet = Fleet::new();
    let (device, mut other) = (fleet.enrol(1), fleet.enrol(2));
    let body = device.check_in_body();
    // Signed by the other's key, in the first one's name.
    let mut headers = other.sign("POST", api::CHECK_IN, &body, fleet.now());
    for (_, value) in &mut headers {
        *value = value.replace(&other.id.to_string(), &device.id.to_string());
    }
    assert_eq!(send(&fleet, "POST", api::CHECK_IN, &headers, &body).status, 401);
    // By nobody.
    assert_eq!(send(&fleet, "POST", api::CHECK_IN, &[], &body).status, 401);
    // By a device that never enrolled.
    let mut stranger = Device::new(&fleet, 9);
    assert_eq!(stranger.send(&fleet, "POST", api::CHECK_IN, &body).status, 401);
}

#[test]
fn what_is_signed_cannot_be_changed_moved_or_sent_again() {
    let mut fleet = Fleet::new();
    let mut device = fleet.enrol(1);
    let body = device.check_in_body();
    let headers = device.sign("POST", api::CHECK_IN, &body, fleet.now());
    let mut changed = body.clone();
    *changed.last_mut().unwrap() ^= 1;
    assert_eq!(
        send(&fleet, "POST", api::CHECK_IN, &headers, &changed).status,
        401
    );
    assert_eq!(
        send(&fleet, "POST", &format!("{}?x=1", api::CHECK_IN), &headers, &body).status,
        401
    );
    assert_eq!(send(&fleet, "POST", api::CHECK_IN, &headers, &body).status, 200);
    let again = send(&fleet, "POST", api::CHECK_IN, &headers, &body);
    assert_eq!(
        (again.status, again.json()["type"].as_str()),
        (409, Some("replay"))
    );
    // Nor after a restart, though nonces are kept in memory only.
    fleet.restart();
    assert_eq!(send(&fleet, "POST", api::CHECK_IN, &headers, &body).status, 409);
    fleet.advance(1);
    device.check_in(&fleet);
    // Nor when it is old.
    let late = device.sign("POST", api::CHECK_IN, &body, fleet.now() - 301);
    assert_eq!(send(&fleet, "POST", api::CHECK_IN, &late, &body).status, 401);
}

#[test]
fn telemetry_is_counted_once_over_lost_replies_and_restarts() {
    let mut fleet = Fleet::new();
    let mut device = fleet.enrol(1);
    let image = Digest([1; 32]);
    let window = |answers| {
        RecordBody::Serving(ServingWindow {
            image,
            seconds: 10,
            answers,
            errors: 0,
            rejected_inputs: 0,
            flagged_inputs: 0,
            cascaded: 0,
            degraded: 0,
            latency_us: Sketch::new(),
            confidence: [0; 10],
            classes: Vec::new(),
        })
    };
    device.record(&fleet, window(5));
    // The reply is lost: the outbox keeps the record.
    let body = device.check_in_body();
    assert_eq!(device.send(&fleet, "POST", api::CHECK_IN, &body).status, 200);
    fleet.restart();
    fleet.advance(1);
    device.record(&fleet, window(7));
    let (reply, _) = device.check_in(&fleet);
    assert_eq!((reply.acknowledged, device.outbox.len()), (2, 0));
    let seen = fleet.get(&format!("/v1/devices/{}", device.id));
    assert_eq!(seen["serving"][image.to_string()]["answers"], 12);
    device.event(&fleet, EventKind::Started, image, 1);
    device.check_in(&fleet);
    let events = fleet.get(&format!("/v1/devices/{}/events", device.id));
    assert_eq!(events["events"][0]["kind"], "started");
}

#[test]
fn documents_are_for_one_device_and_keep_their_bytes() {
    let mut fleet = Fleet::new();
    let mut device = fleet.enrol(1);
    let (first, document) = device.check_in(&fleet);
    assert_eq!((document.header.version, document.target), (1, None));
    assert_eq!(device.check_in(&fleet).0.director, first.director);
    // A restarted server no longer has the bytes: it moves on.
    fleet.restart();
    fleet.advance(1);
    assert_eq!(device.check_in(&fleet).1.header.version, 2);
    // A server from an old backup jumps past what the device has seen.
    device.director_version = 40;
    assert_eq!(device.check_in(&fleet).1.header.version, 41);
}

#[test]
fn bundles_and_metadata_are_for_members() {
    let fleet = Fleet::new();
    let digest = fleet.publish("v1", &[]);
    let mut device = fleet.enrol(1);
    let path = format!("/v1/images/{digest}.sdl");
    let whole = device.send(&fleet, "GET", &path, b"");
    assert_eq!((whole.status, Digest::of(&whole.body)), (200, digest));
    let mut headers = device.sign("GET", &path, b"", fleet.now());
    headers.push(("Range".into(), "bytes=100-199".into()));
    let part = send(&fleet, "GET", &path, &headers, b"");
    assert_eq!((part.status, &part.body[..]), (206, &whole.body[100..200]));
    let range = part.header("content-range").unwrap();
    assert_eq!(range, format!("bytes 100-199/{}", whole.body.len()));
    assert_eq!(send(&fleet, "GET", &path, &[], b"").status, 401);
    for name in [
        "image/1.root.json",
        "director/1.root.json",
        "image/timestamp.json",
        "image/1.targets.json",
    ] {
        let answer = device.send(&fleet, "GET", &format!("/v1/tuf/{name}"), b"");
        assert_eq!(answer.status, 200, "{name}");
    }
    for name in [
        "image/2.root.json",
        "image/..%2f..%2fserver.lock",
        "other/1.root.json",
    ] {
        assert_eq!(
            device.send(&fleet, "GET", &format!("/v1/tuf/{name}"), b"").status,
            404,
            "{name}"
        );
    }
    let missing = format!("/v1/images/{}.sdl", Digest([9; 32]));
    assert_eq!(device.send(&fleet, "GET", &missing, b"").status, 404);
    assert_eq!(
        device.send(&fleet, "GET", "/v1/images/..%2ffleet.db", b"").status,
        400
    );
}

#[test]
fn a_decommissioned_device_is_gone() {
    let fleet = Fleet::new();
    let mut device = fleet.enrol(1);
    device.check_in(&fleet);
    let path = format!("/v1/devices/{}", device.id);
    let gone = fleet.post(&format!("{path}/decommission"), json!({ "why": "stolen" }));
    assert_eq!(gone, fleet.get(&path));
    assert!(gone["decommissioned_at"].is_u64());
    let body = device.check_in_body();
    let answer = device.send(&fleet, "POST", api::CHECK_IN, &body);
    assert_eq!(answer.status, 410);
    // The device's log says when.
    assert_eq!(
        answer.header(api::DECOMMISSIONED_AT),
        Some(gone["decommissioned_at"].to_string())
    );
    let unknown = fleet.call(
        "POST",
        &format!("/v1/devices/{}/decommission", "0".repeat(32)),
        json!({}),
    );
    assert_eq!(unknown.status, 404);
    assert_eq!(fleet.get("/v1/fleet")["devices"], 0);
}

#[test]
fn too_much_and_nonsense_are_refused() {
    let fleet = Fleet::new();
    let mut device = fleet.enrol(1);
    let huge = vec![0; api::MAX_MESSAGE_LEN + 1];
    assert_eq!(device.send(&fleet, "POST", api::CHECK_IN, &huge).status, 413);
    assert_eq!(
        device.send(&fleet, "POST", api::CHECK_IN, b"nonsense").status,
        400
    );
    for _ in 0..=api::MAX_RECORDS {
        device.event(&fleet, EventKind::Started, Digest([1; 32]), 1);
    }
    let body = device.check_in_body();
    assert_eq!(device.send(&fleet, "POST", api::CHECK_IN, &body).status, 413);
}

/// Takes the database, so that nothing is committed until it is given back.
async fn take_database(fleet: &Fleet) -> sqlx::SqliteConnection {
    let url = format!("sqlite://{}", fleet.folder.path().join("data/fleet.db").display());
    let mut taken = sqlx::SqliteConnection::connect(&url).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut taken).await.unwrap();
    taken
}

/// A call whose caller hangs up before its commit is carried out whole, or not at all.
#[test]
fn a_caller_that_hangs_up_leaves_nothing_half_done() {
    let fleet = Fleet::new();
    let image = fleet.publish("v1", &["champion"]);
    let mut gone = fleet.enrol(1);
    let path = format!("/v1/images/{image}.sdl");
    assert_eq!(gone.send(&fleet, "GET", &path, &[]).status, 200);
    let head = format!(
        "POST /v1/devices/{}/decommission HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 0\r\n\r\n",
        gone.id,
        fleet.address()
    );
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // Whether the call had come as far as the commit is seen by its having been carried out: the commit was after the
    // hanging up, for the database was taken until then. Where it had not, it was called off, and gets more time.
    let mut grace = Duration::from_millis(10);
    loop {
        let mut taken = runtime.block_on(take_database(&fleet));
        let mut stream = TcpStream::connect(fleet.address()).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        std::thread::sleep(grace);
        stream.shutdown(Shutdown::Write).unwrap();
        // The server lets go of the connection.
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(
            answer.is_empty(),
            "it was answered: {}",
            String::from_utf8_lossy(&answer)
        );
        runtime.block_on(async {
            sqlx::query("ROLLBACK").execute(&mut taken).await.unwrap();
            taken.close().await.unwrap();
        });
        // Operators' calls are carried out one at a time: this one waits for the one before.
        fleet.post("/v1/enrolments", json!({}));
        let device = fleet.get(&format!("/v1/devices/{}", gone.id));
        if device["decommissioned_at"].is_u64() {
            break;
        }
        grace *= 2;
        assert!(
            grace < Duration::from_secs(5),
            "the call never came as far: {device}"
        );
    }
    let deadline = Instant::now() + Duration::from_secs(5);
    while gone.send(&fleet, "GET", &path, &[]).status != 410 {
        assert!(Instant::now() < deadline, "the key is still good");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn wrong_enrolment_tokens_lock_no_operator_out() {
    let fleet = Fleet::new();
    let mut device = Device::new(&fleet, 1);
    let answers: Vec<u16> = (0..21)
        .map(|_| device.enrol(&fleet, "no such token").status)
        .collect();
    assert_eq!((answers[19], answers[20]), (403, 429));
    assert_eq!(fleet.call("GET", "/v1/fleet", json!(null)).status, 200);
}

#[test]
fn a_decommissioned_device_that_asks_again_is_no_guess() {
    let fleet = Fleet::new();
    let mut device = fleet.enrol(1);
    let token = device.token.clone();
    fleet.post(&format!("/v1/devices/{}/decommission", device.id), json!({}));
    for _ in 0..25 {
        assert_eq!(device.enrol(&fleet, &token).status, 410);
    }
}
