//! What a fleet meets in its life: a server that is killed, that is down, that is offered nonsense; a full disk; a
//! second agent; a stranger. Each ends in a clear word or in a fleet that goes on, and nothing acknowledged is lost.
#![allow(missing_docs, clippy::unwrap_used)]

use sanderling_e2e::fleet::{Bundle, Device, Fleet, PATIENCE, Versions, text};
use sanderling_e2e::{json, output, sanderling, succeed, wait_for, words};
use sanderling_sign::{Expiries, ImageRepo, KeyFile, ReleaseSigners};
use sanderling_trust::http_sig::{Request, SignatureHeaders, sign_request};
use sanderling_trust::{Ed25519Signer, Signer as _, UnixTime};
use sanderling_wire::DeviceId;
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

/// Packed once for all tests of this program.
static VERSIONS: LazyLock<Versions> = LazyLock::new(Versions::pack);
const EVERY_MS: u64 = 100;

/// A command that must fail with status 1, without a panic, and say all of `expected`.
fn check_refused(command: &mut Command, expected: &[&str]) {
    let result = output(command);
    let said = words(&result);
    assert_eq!(
        result.status.code(),
        Some(1),
        "{command:?} should fail with status 1:\n{said}"
    );
    assert!(!said.contains("panicked"), "{command:?} panicked:\n{said}");
    for word in expected {
        assert!(said.contains(word), "{command:?} does not say '{word}':\n{said}");
    }
}

fn started(fleet: &Fleet, names: &[&str]) -> Vec<Device> {
    let start = |name: &&str| {
        let mut device = fleet.device(name, &VERSIONS.old);
        device.start(EVERY_MS);
        device
    };
    let devices: Vec<Device> = names.iter().map(start).collect();
    wait_for("every device's first word", PATIENCE, || {
        let known = fleet.devices();
        let answers = |device: &Value| device["active"] == VERSIONS.old.digest.as_str();
        (known.len() == names.len() && known.iter().all(answers)).then_some(())
    });
    devices
}

/// Answers that the server has counted, of all devices.
fn counted(fleet: &Fleet) -> u64 {
    let ids: Vec<String> = fleet.devices().iter().map(|device| text(device, "/id")).collect();
    let devices: Vec<Value> = ids.iter().map(|id| fleet.shown(id)).collect();
    let sums = devices
        .iter()
        .filter_map(|device| device["serving"].as_object())
        .flatten();
    sums.filter_map(|(_, sum)| sum["answers"].as_u64()).sum()
}

fn wait_for_image(device: &Device, image: &Bundle) {
    wait_for("the new version, confirmed", PATIENCE, || {
        let state = device.inspect()?;
        let serves = state.pointer("/serving/image/digest")? == image.digest.as_str();
        (serves && state["trial"].is_null()).then_some(())
    });
}

fn ledger(fleet: &Fleet) -> Vec<Value> {
    json(&mut fleet.operator("rollout", &["ledger"]))
        .as_array()
        .expect("a ledger is a list")
        .clone()
}

#[test]
fn a_rollout_goes_on_after_the_server_was_killed() {
    let mut fleet = Fleet::start(&VERSIONS, 1);
    let mut devices = started(&fleet, &["a", "b", "c", "d"]);
    let rollout = fleet.roll_out("1,100%");
    wait_for("the first device on the new version", PATIENCE, || {
        fleet
            .devices()
            .iter()
            .any(|device| device["active"] == VERSIONS.new.digest.as_str())
            .then_some(())
    });
    let (known, entries) = (counted(&fleet), ledger(&fleet));
    fleet.kill_server();
    for device in &devices {
        device.wait_for_answers();
    }
    fleet.start_server();
    assert!(
        counted(&fleet) >= known,
        "telemetry that was acknowledged is gone"
    );
    assert_eq!(
        ledger(&fleet)[..entries.len()],
        entries[..],
        "the ledger has lost entries"
    );
    fleet.wait_completed(&rollout);
    for device in &mut devices {
        wait_for_image(device, &VERSIONS.new);
        device.stop();
    }
    // No agent was killed: what they answered and what the server counts is the same number.
    let given: usize = devices.iter().map(|device| device.lines().len()).sum();
    for device in &mut devices {
        device.start_delivering();
    }
    wait_for("all telemetry", PATIENCE, || {
        (counted(&fleet) >= given as u64).then_some(())
    });
    assert_eq!(counted(&fleet), given as u64, "telemetry was counted twice");
}

#[test]
fn the_doorbell_rings_again_after_the_broker_was_killed() {
    // Polling once an hour: whatever happens sooner, the doorbell has brought about.
    let mut fleet = Fleet::start(&VERSIONS, 3600);
    let devices = started(&fleet, &["a", "b"]);
    wait_connected(&fleet, 2);
    fleet.kill_server();
    fleet.start_server();
    wait_connected(&fleet, 2);
    let rollout = fleet.roll_out("50%,100%");
    wait_for("a device that was rung up", PATIENCE, || {
        devices
            .iter()
            .any(|device| device.serving().as_ref() == Some(&VERSIONS.new.digest))
            .then_some(())
    });
    drop(succeed(&mut fleet.operator(
        "rollout",
        &["rollback", &rollout, "--why", "to see them go back"],
    )));
    wait_for("both on the old version", PATIENCE, || {
        devices
            .iter()
            .all(|device| device.serving().as_ref() == Some(&VERSIONS.old.digest))
            .then_some(())
    });
}

#[test]
fn a_device_that_comes_after_a_rollout_gets_what_it_left() {
    let fleet = Fleet::start(&VERSIONS, 1);
    let _devices = started(&fleet, &["a", "b"]);
    let rollout = fleet.roll_out("100%");
    fleet.wait_completed(&rollout);
    let mut late = fleet.device("late", &VERSIONS.old);
    late.start(EVERY_MS);
    wait_for_image(&late, &VERSIONS.new);
    let assigned = |entry: &&Value| entry["kind"] == "newcomers.assigned";
    assert_eq!(ledger(&fleet).iter().filter(assigned).count(), 1);
    // It was in no rollout, and goes back with those that were.
    let back = ["rollback", &rollout, "--why", "to see all go back"];
    drop(succeed(&mut fleet.operator("rollout", &back)));
    wait_for("the late one on the old version", PATIENCE, || {
        (late.serving().as_ref() == Some(&VERSIONS.old.digest)).then_some(())
    });
}

/// Waits until the broker holds so many devices' connections.
fn wait_connected(fleet: &Fleet, count: u64) {
    let token =
        std::fs::read_to_string(fleet.data().join("operator.token")).expect("the server has made a token");
    let wanted = format!("sanderling_mqtt_connections {count}\n");
    wait_for("the devices' connections to the broker", PATIENCE, || {
        let head = format!(
            "GET /metrics HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n",
            host(fleet),
            token.trim()
        );
        exchange(fleet, &head, b"").1.contains(&wanted).then_some(())
    });
}

#[test]
fn a_device_starts_and_answers_while_the_server_is_down() {
    let mut fleet = Fleet::start(&VERSIONS, 1);
    let mut device = fleet.device("early", &VERSIONS.old);
    fleet.kill_server();
    device.start(EVERY_MS);
    device.wait_for_answers();
    assert_eq!(device.serving(), Some(VERSIONS.old.digest.clone()));
    fleet.start_server();
    wait_for("the device's enrolment and first word", PATIENCE, || {
        fleet
            .devices()
            .iter()
            .any(|known| known["active"] == VERSIONS.old.digest.as_str())
            .then_some(())
    });
}

#[test]
fn two_agents_on_one_state_folder() {
    let fleet = Fleet::start(&VERSIONS, 60);
    let mut device = fleet.device("only", &VERSIONS.old);
    device.start(EVERY_MS);
    device.wait_for_answers();
    check_refused(&mut device.command(EVERY_MS), &["another agent", "state"]);
    device.wait_for_answers();
}

#[test]
fn a_disk_that_fills_up_in_the_middle_of_a_download() {
    let fleet = Fleet::start(&VERSIONS, 1);
    let mut device = fleet.device("small", &VERSIONS.old);
    // No file may grow beyond 640 KiB (bash counts in KiB), and the process is told so instead of killed.
    let command = device.command(EVERY_MS);
    let mut limited = Command::new("bash");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 640; exec \"$0\" \"$@\""]);
    limited.arg(command.get_program()).args(command.get_args());
    limited
        .current_dir(command.get_current_dir().expect("commands run in the repository"))
        .stdin(Stdio::null());
    device.run(&mut limited);
    device.wait_for_answers();
    wait_for("the device's first word", PATIENCE, || {
        (!fleet.devices().is_empty()).then_some(())
    });
    let rollout = fleet.roll_out("100%");
    wait_for("a word about the disk", PATIENCE, || {
        device.log().contains("no room").then_some(())
    });
    device.wait_for_answers();
    assert_eq!(device.serving(), Some(VERSIONS.old.digest.clone()));
    device.stop();
    device.start(EVERY_MS);
    wait_for_image(&device, &VERSIONS.new);
    fleet.wait_completed(&rollout);
}

#[test]
fn rollouts_of_nonsense() {
    let fleet = Fleet::start(&VERSIONS, 60);
    let start = |target: &str, stages: &str| {
        fleet.operator(
            "rollout",
            &["start", target, "--base", "magika@1", "--stages", stages],
        )
    };
    check_refused(&mut start("magika@9", "1,100%"), &["magika has no version 9"]);
    check_refused(&mut start("nobody@1", "1,100%"), &["nobody has no version 1"]);
    check_refused(&mut start("magika@2", "50%,10%"), &["10%", "rise"]);
    check_refused(&mut start("magika@2", "0,100%"), &["at least 1 device"]);
    check_refused(&mut start("magika@2", "120%"), &["100%"]);
    let result = output(&mut start("magika@2", "some"));
    let said = words(&result);
    assert!(
        !result.status.success() && said.contains("some") && !said.contains("panicked"),
        "{said}"
    );
    let rollouts = json(&mut fleet.operator("rollout", &["list"]));
    assert_eq!(rollouts, serde_json::json!([]), "a refused rollout was kept");
}

#[test]
fn a_device_that_claims_another_ones_id() {
    let fleet = Fleet::start(&VERSIONS, 3600);
    let devices = started(&fleet, &["victim"]);
    let victim: DeviceId = devices[0]
        .id()
        .expect("it is enrolled")
        .parse()
        .expect("ids read back");
    let before = fleet.devices();
    // A stranger with a key of its own: under its own name, and with the victim's name written over it.
    let stranger = Ed25519Signer::from_seed(&[7; 32]);
    let own = DeviceId::of_public_key(
        &stranger
            .public_key()
            .ed25519_bytes()
            .expect("it is an Ed25519 key"),
    );
    let body = b"whatever a stranger says";
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the clock is past 1970")
        .as_secs();
    let request = Request {
        method: "POST",
        path: "/v1/device/checkin",
        query: None,
        body,
    };
    let signed = sign_request(&stranger, &request, now, &[1; 16]).expect("an Ed25519 key signs");
    let claimed = SignatureHeaders {
        signature_input: signed
            .signature_input
            .replace(&own.to_string(), &victim.to_string()),
        ..signed.clone()
    };
    assert_ne!(claimed, signed);
    for (headers, whose) in [(&signed, "an unknown device's"), (&claimed, "another device's")] {
        let mut head = format!("POST /v1/device/checkin HTTP/1.1\r\nhost: {}\r\n", host(&fleet));
        for (name, value) in headers.entries() {
            head += &format!("{name}: {value}\r\n");
        }
        let (status, answer) = exchange(&fleet, &head, body);
        assert_eq!(status, 401, "a check-in in {whose} name: {answer}");
    }
    let after = fleet.devices();
    assert_eq!(after.len(), before.len(), "a stranger got in");
    assert_eq!(after[0]["director_version"], before[0]["director_version"]);
    devices[0].wait_for_answers();
}

#[test]
fn keys_of_another_fleet() {
    let mut fleet = Fleet::start(&VERSIONS, 60);
    let other = fleet.scratch().join("other");
    drop(succeed(sanderling(&["keys", "init"]).arg(&other)));
    // Metadata signed by keys that this fleet's root does not name.
    let mut sign = sanderling(&["sign"]);
    sign.arg(&VERSIONS.new.path)
        .arg("--keys")
        .arg(other.join("offline"));
    drop(succeed(sign.arg("--repo").arg(other.join("image"))));
    check_refused(
        &mut fleet.publish_from(&VERSIONS.new.path, &other.join("image"), &[]),
        &["refuse"],
    );
    // The other fleet's keys on this fleet's repository.
    let mut sign = sanderling(&["sign"]);
    sign.arg(&VERSIONS.old.path)
        .arg("--keys")
        .arg(other.join("offline"));
    check_refused(sign.arg("--repo").arg(fleet.trust().join("image")), &["key"]);
    // A server on this fleet's data with the other fleet's keys.
    fleet.kill_server();
    check_refused(&mut fleet.server_command(&other), &["root"]);
    fleet.start_server();
}

#[test]
fn metadata_that_is_older_or_expired() {
    let fleet = Fleet::start(&VERSIONS, 60);
    let image = fleet.trust().join("image");
    let (older, bundle) = (fleet.scratch().join("older"), &VERSIONS.old.path);
    copy_folder(&image, &older);
    // Signed anew and published: what was newest before is older now.
    fleet.sign(bundle, &[]);
    fleet.publish(bundle, &[]);
    check_refused(&mut fleet.publish_from(bundle, &older, &[]), &["refuse"]);
    let mut at_once = sanderling(&[
        "sign",
        "x.sdl",
        "--keys",
        "x",
        "--repo",
        "x",
        "--expires-days",
        "0",
    ]);
    let said = words(&output(&mut at_once));
    assert!(said.contains("refused by every device"), "{said}");
    sign_expired(&fleet);
    check_refused(&mut fleet.publish_from(bundle, &image, &[]), &["expired"]);
    let versions = json(&mut fleet.operator("rollout", &["versions"]));
    assert_eq!(versions.as_array().map(Vec::len), Some(2), "{versions:#}");
    assert_eq!(text(&versions, "/0/name"), "magika");
}

/// Signs the list of images so that it has expired already: what no command does.
fn sign_expired(fleet: &Fleet) {
    let offline = fleet.trust().join("offline");
    let key = |role: &str| KeyFile::load(&offline.join(format!("{role}.key.json"))).unwrap();
    let (targets, snapshot) = (key("targets"), key("snapshot"));
    let signers = ReleaseSigners {
        targets: &targets,
        snapshot: &snapshot,
    };
    let expiries = Expiries {
        targets: UnixTime(1),
        snapshot: UnixTime(1),
    };
    let mut repo = ImageRepo::open(&fleet.trust().join("image")).unwrap();
    repo.publish(signers, expiries).unwrap();
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("the scratch folder takes folders");
    for entry in std::fs::read_dir(from).expect("the repository is a folder") {
        let entry = entry.expect("the repository can be listed");
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("the scratch folder takes files");
    }
}

fn host(fleet: &Fleet) -> String {
    fleet
        .url
        .strip_prefix("http://")
        .expect("the server is on loopback")
        .to_string()
}

/// One HTTP request as bytes, for what no command would send; status and body of the answer.
fn exchange(fleet: &Fleet, head: &str, body: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(host(fleet)).expect("the server listens");
    let length = body.len();
    write!(
        stream,
        "{head}connection: close\r\ncontent-length: {length}\r\n\r\n"
    )
    .expect("the server reads");
    stream.write_all(body).expect("the server reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the server answers");
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    (status.expect("an answer has a status"), body.to_string())
}
