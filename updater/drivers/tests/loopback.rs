//! A device's host against a real server on loopback, which is good, broken or hostile.
#![allow(clippy::unwrap_used)]

mod device;
#[path = "../../agent/tests/fleet/mod.rs"]
mod fleet;
mod server;

use device::{Device, Engine, options};
use fleet::{Fault, Kind, digest};
use sanderling_drivers::{DriverError, FileOptions, Host, inspect};
use sanderling_trust::Mode;
use sanderling_wire::{Digest, EventKind, RecordBody};
use server::Server;
use std::path::Path;
use std::sync::Arc;
use std::thread;

fn server() -> Server {
    let server = Server::start();
    let mut fleet = server.fleet();
    (1..=4).for_each(|n| fleet.release(n, 1));
    fleet.next_check_in_s = 1;
    drop(fleet);
    server
}

#[test]
fn the_whole_way_and_a_restart() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let device = Device::start(options(folder.path(), &server));
    device.update(&server, 1, 1);
    device.update(&server, 2, 2);

    let view = inspect(folder.path()).unwrap();
    assert!(view.running);
    assert_eq!(view.serving.unwrap().image.digest, digest(2));
    assert_eq!(view.standby, Some(digest(1)));
    assert!(
        view.metadata.iter().any(|name| name == "timestamp.json"),
        "{:?}",
        view.metadata
    );
    let images = server.fleet().seen.requests[&Kind::Image];
    device.stop();

    // Everything is on the disk: the server may be away at the next start.
    server.fleet().now += 1;
    let mut offline = options(folder.path(), &server);
    offline.enrolment = None;
    let device = Device::start(offline);
    device.wait("serving", |device| device.stands_on(2));
    server.fleet().want(1, 2, Mode::Restore);
    device.handle.ring();
    device.wait("rollback", |device| device.stands_on(1));
    assert_eq!(
        server.fleet().seen.requests[&Kind::Image],
        images,
        "a rollback downloads nothing"
    );

    // A failed self-test changes nothing, and is told.
    server.fleet().want(4, 3, Mode::Activate);
    device.handle.ring();
    device.wait("refusal", |_| server.fleet().has_event(EventKind::SelfTestFailed));
    assert!(device.stands_on(1));
    device.stop();
    let fleet = server.fleet();
    fleet.check_telemetry();
    assert!(
        fleet
            .seen
            .records
            .values()
            .any(|record| matches!(record.body, RecordBody::Paired { .. }))
    );
    let view = inspect(folder.path()).unwrap();
    assert!(!view.running);
    println!("{}", rss());
}

/// This process's memory, server and all.
fn rss() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap_or("no VmRSS")
        .to_string()
}

#[test]
fn a_download_goes_on_where_it_broke_off() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let device = Device::start(options(folder.path(), &server));
    server.fleet().fault(Kind::Image, Fault::Cut(1_234));
    server.fleet().fault(Kind::Image, Fault::Cut(77));
    device.update(&server, 1, 1);
    device.stop();
    assert_eq!(server.fleet().seen.image_bytes, 5_000, "each byte came once");
}

#[test]
fn broken_and_hostile_servers_are_survived() {
    let faults = [
        (Kind::Image, Fault::Flip),
        (Kind::Image, Fault::Status(404)),
        (Kind::Image, Fault::Endless),
        (Kind::Image, Fault::Garbage),
        (Kind::Image, Fault::NoRanges),
        (Kind::Metadata, Fault::Status(302)),
        (Kind::Metadata, Fault::Endless),
        (Kind::Metadata, Fault::Cut(20)),
        (Kind::CheckIn, Fault::Garbage),
        (Kind::CheckIn, Fault::Drop),
        (Kind::CheckIn, Fault::LostAnswer),
        (Kind::Enrol, Fault::LostAnswer),
        (Kind::Enrol, Fault::Status(500)),
    ];
    thread::scope(|scope| {
        for (kind, fault) in faults {
            scope.spawn(move || survives(kind, fault));
        }
    });
}

fn survives(kind: Kind, fault: Fault) {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    server.fleet().fault(kind, fault);
    let device = Device::start(options(folder.path(), &server));
    device.update(&server, 1, 1);
    device.stop();
    server.fleet().check_telemetry();
}

#[test]
fn a_server_that_drips_is_given_up() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    server.drip(1);
    let mut options = options(folder.path(), &server);
    options.network.message_timeout_s = 1;
    let device = Device::start(options);
    device.wait("giving up", |device| device.log().contains("took too long"));
    device.update(&server, 1, 1);
    device.stop();
}

#[test]
fn a_server_that_is_away_at_first_is_found_later() {
    let folder = tempfile::tempdir().unwrap();
    let server = server();
    let options = options(folder.path(), &server);
    let address = server.address();
    server.close();
    let device = Device::start(options);
    device.wait("trying", |device| device.log().contains("cannot be reached"));
    let server = server.open_again(address);
    device.update(&server, 1, 1);
    device.stop();
}

#[test]
fn two_agents_on_one_folder() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let first = Host::open(options(folder.path(), &server), Engine(Arc::default())).unwrap();
    let second = Host::open(options(folder.path(), &server), Engine(Arc::default()))
        .err()
        .unwrap();
    assert!(matches!(second, DriverError::StateLocked { .. }), "{second}");
    assert!(second.to_string().contains("another agent"));
    drop(first);
    assert!(Host::open(options(folder.path(), &server), Engine(Arc::default())).is_ok());
}

#[test]
fn a_factory_image_serves_until_the_first_download() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let factory = folder.path().join("factory.sdl");
    std::fs::write(&factory, fleet::image(3)).unwrap();
    let state = folder.path().join("state");
    let mut options = options(&state, &server);
    options.files = FileOptions {
        factory: Some(factory),
        ..FileOptions::default()
    };
    let device = Device::start(options);
    device.wait("factory image", |device| {
        device.seen.lock().unwrap().answer == Some(digest(3))
    });
    device.update(&server, 1, 1);
    device.stop();
}

/// A disk without room, by a limit on file sizes in a process of its own.
#[test]
fn a_full_disk_in_the_middle_of_a_download() {
    let this = std::env::current_exe().unwrap();
    let script = "trap '' XFSZ; ulimit -f 8; exec \"$0\" --exact --ignored --nocapture full_disk_child";
    let output = std::process::Command::new("sh")
        .args(["-c", script])
        .arg(this)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(text.contains("1 passed"), "{text}");
}

#[test]
#[ignore = "run by a_full_disk_in_the_middle_of_a_download under a limit on file sizes of 4 KiB"]
fn full_disk_child() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let factory = folder.path().join("factory.sdl");
    std::fs::write(&factory, b"small").unwrap();
    let mut options = options(&folder.path().join("state"), &server);
    options.files = FileOptions {
        factory: Some(factory),
        ..FileOptions::default()
    };
    options.files.outbox_capacity = 4_096;
    server.fleet().want(1, 1, Mode::Activate);
    let device = Device::start(options);
    device.wait("full disk", |device| {
        device.log().contains("no room left to write slot.a.sdl")
    });
    device.wait("telling", |_| server.fleet().has_event(EventKind::StorageFull));
    assert_eq!(
        device.seen.lock().unwrap().answer,
        Some(Digest::of(b"small")),
        "it goes on answering"
    );
    device.stop();
}

#[test]
fn keys_are_kept_and_kept_secret() {
    use sanderling_drivers::DeviceKey;
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let made = DeviceKey::of_folder(folder.path()).unwrap().device();
    assert_eq!(DeviceKey::of_folder(folder.path()).unwrap().device(), made);
    let path = folder.path().join("key");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = DeviceKey::of_folder(folder.path()).err().unwrap();
    assert!(error.to_string().contains("chmod 600"), "{error}");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&path, [1; 5]).unwrap();
    assert!(matches!(
        DeviceKey::of_folder(folder.path()),
        Err(DriverError::KeyDamaged { found: 5, .. })
    ));
    assert!(matches!(inspect(folder.path()), Err(DriverError::NoState { .. })));
}

/// A device that was updated once and then stopped.
fn used(server: &Server, state: &Path) {
    let device = Device::start(options(state, server));
    device.update(server, 1, 1);
    device.stop();
}

#[test]
fn a_lost_key_is_told_and_never_made_anew() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    used(&server, folder.path());
    let key = folder.path().join("key");
    let seed = std::fs::read(&key).unwrap();
    let lose = |path: &Path| std::fs::remove_file(path).unwrap();
    lose(&key);
    for blobs in ["enrolled", "enrolment", "timestamp.json"] {
        let error = Host::open(options(folder.path(), &server), Engine(Arc::default())).err();
        let error = error.expect("it started with a new key");
        assert!(matches!(error, DriverError::KeyLost { .. }), "{error}");
        let words = error.to_string();
        assert!(words.contains(&*key.to_string_lossy()), "{words}");
        assert!(
            words.contains("backup") && words.contains("device enrol"),
            "{words}"
        );
        assert!(!key.exists());
        assert!(inspect(folder.path()).unwrap().damage.contains(&words));
        lose(&folder.path().join("meta").join(blobs));
    }
    // Nothing but its images left: still in use.
    std::fs::remove_dir_all(folder.path().join("meta")).unwrap();
    let error = Host::open(options(folder.path(), &server), Engine(Arc::default())).err();
    assert!(matches!(error, Some(DriverError::KeyLost { .. })));
    // The key from a backup heals it.
    std::fs::write(&key, seed).unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    used(&server, folder.path());
    assert_eq!(inspect(folder.path()).unwrap().damage, [""; 0]);
}

#[test]
fn a_damaged_enrolment_is_told_with_its_file() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    used(&server, folder.path());
    let file = folder.path().join("meta").join("enrolment");
    let mut offline = options(folder.path(), &server);
    offline.enrolment = None;
    for damage in [Some("sdl1:AAAA"), Some(""), None] {
        match damage {
            Some(text) => std::fs::write(&file, text).unwrap(),
            None => std::fs::remove_file(&file).unwrap(),
        }
        let error = Host::open(offline.clone(), Engine(Arc::default())).err().unwrap();
        assert!(matches!(error, DriverError::EnrolmentDamaged { .. }), "{error}");
        let words = error.to_string();
        assert!(words.contains(&*file.to_string_lossy()), "{words}");
        assert!(words.contains("--enrol sdl1:"), "{words}");
        let view = inspect(folder.path()).unwrap();
        assert!(view.damage[0].contains("meta/enrolment"), "{:?}", view.damage);
    }
    used(&server, folder.path());
    let device = Device::start(offline);
    device.wait("serving", |device| device.stands_on(1));
    device.stop();
}

#[test]
fn a_decommissioned_device_says_when() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    server.fleet().fault(Kind::CheckIn, Fault::Status(410));
    let device = Device::start(options(folder.path(), &server));
    device.wait("being told", |device| {
        device
            .log()
            .contains("decommissioned this device at 2026-01-01T00:00:00Z")
    });
    device.stop();
}
