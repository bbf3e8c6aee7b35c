//! What keeps a server from starting is said in words that help.

use crate::fixture::{Fleet, real_now};
use crate::page::Browser;
use sanderling_server::{Server, ServerConfig, ServerError};
use sanderling_trust::{Change, Limits, RootPin, Roots, TrustedSet, UnixTime};
use serde_json::Value;
use std::fs;
use std::path::Path;

#[test]
fn a_taken_port_is_named() {
    let fleet = Fleet::new();
    let mut config = fleet.config();
    config.data = fleet.folder.path().join("other");
    config.http = fleet.address();
    let error = Server::start_blocking(config).unwrap_err();
    assert!(matches!(error, ServerError::Listen { .. }), "{error}");
    assert!(error.to_string().contains(&fleet.address().to_string()) && error.to_string().contains("port 0"));
}

#[test]
fn a_data_folder_serves_one_server() {
    let fleet = Fleet::new();
    let error = Server::start_blocking(fleet.config()).unwrap_err();
    assert!(error.to_string().contains("another server uses it"), "{error}");
}

#[test]
fn other_addresses_want_tls_and_operators() {
    let fleet = Fleet::new();
    let mut config = fleet.config();
    config.http = "0.0.0.0:0".parse().unwrap();
    let error = Server::start_blocking(config.clone()).unwrap_err();
    assert!(
        matches!(
            error,
            ServerError::Exposed {
                missing: "it has no TLS certificate",
                ..
            }
        ),
        "{error}"
    );
    config.tls = Some(sanderling_server::TlsFiles {
        certificates: "/nowhere".into(),
        key: "/nowhere".into(),
        authority: None,
    });
    config.operators.clear();
    let error = Server::start_blocking(config).unwrap_err();
    assert!(matches!(error, ServerError::Exposed { .. }), "{error}");
}

#[test]
fn keys_must_be_the_roots_own() {
    let (fleet, other) = (Fleet::new(), Fleet::new());
    let mut config = fleet.config();
    config.data = fleet.folder.path().join("fresh");
    config.trust.director = other.config().trust.director;
    let error = Server::start_blocking(config).unwrap_err();
    assert!(
        matches!(error, ServerError::WrongKey { key: "director", .. }),
        "{error}"
    );
    // An offline key in the server's hands is refused, whatever else is right.
    let mut config = fleet.config();
    config.data = fleet.folder.path().join("fresh");
    config.trust.timestamp = std::sync::Arc::new(fleet.key("offline/targets.key.json"));
    assert!(matches!(
        Server::start_blocking(config),
        Err(ServerError::WrongKey { key: "timestamp", .. })
    ));
    // A data folder stays with its first roots.
    let data = fleet.folder.path().join("data");
    drop(fleet.server.unwrap().stop());
    let mut config = other.config();
    config.data = data;
    let error = Server::start_blocking(config).unwrap_err();
    assert!(error.to_string().contains("devices pin the first"), "{error}");
}

#[test]
fn demo_roots_are_not_production_roots() {
    let fleet = Fleet::new();
    let mut config = fleet.config();
    config.data = fleet.folder.path().join("fresh");
    config.trust.demo = true;
    assert!(matches!(
        Server::start_blocking(config),
        Err(ServerError::Metadata { .. })
    ));
}

#[test]
fn a_configuration_file_is_read_and_its_faults_named() {
    let fleet = Fleet::new();
    let path = fleet.folder.path().join("server.toml");
    let good = "data = \"d\"\nhttp = \"127.0.0.1:9\"\n[trust]\nfolder = \"keys\"\n[[operators]]\nname = \"ann\"\n\
                token_sha256 = \"0000000000000000000000000000000000000000000000000000000000000000\"\n";
    std::fs::write(&path, good).unwrap();
    let config = ServerConfig::from_file(&path).unwrap();
    assert_eq!(
        (config.http.port(), config.operators.len(), config.mqtt),
        (9, 1, None)
    );
    assert!(config.data.ends_with("d") && config.data.is_absolute());
    for (bad, names) in [
        (good.replace("http", "htpt"), "htpt"),
        (good.replace("127.0.0.1:9", "here"), "server.toml"),
        (good.replace("00", "zz"), "token_sha256"),
        (good.replace("folder = \"keys\"", "folder = \"nokeys\""), "nokeys"),
        ("data = ".to_owned(), "server.toml"),
    ] {
        std::fs::write(&path, bad).unwrap();
        let error = ServerConfig::from_file(&path).unwrap_err().to_string();
        assert!(error.contains(names), "{error}");
    }
    let missing = ServerConfig::from_file(&fleet.folder.path().join("none.toml")).unwrap_err();
    assert!(missing.to_string().contains("none.toml"), "{missing}");
}

#[test]
fn nonsense_settings_are_refused() {
    let fleet = Fleet::new();
    let wrong = [
        "fleet.example/path",
        "https://",
        "https://fleet.example/path",
        "https://ann@fleet.example",
        "http://fleet.example",
        "http://192.0.2.7:8080",
        "http://127.0.0.1@fleet.example",
        "ftp://127.0.0.1",
    ];
    for url in wrong {
        let mut config = fleet.config();
        config.public_url = Some(url.into());
        let refused = matches!(
            Server::start_blocking(config),
            Err(ServerError::Setting {
                setting: "public_url",
                ..
            })
        );
        assert!(refused, "{url}");
    }
    for url in [
        "https://fleet.example:8443",
        "http://localhost:80",
        "http://[::1]:80",
    ] {
        let mut config = fleet.config();
        (config.public_url, config.timing.poll_interval_s) = (Some(url.into()), 0);
        let error = Server::start_blocking(config).err().unwrap().to_string();
        assert!(error.contains("poll_interval_s"), "{url}: {error}");
    }
    let mut config = fleet.config();
    config.timing.poll_interval_s = 0;
    assert!(matches!(
        Server::start_blocking(config),
        Err(ServerError::Setting { .. })
    ));
}

#[test]
fn serves_tls_where_it_has_a_certificate() {
    use rustls::pki_types::{CertificateDer, ServerName};
    use std::io::{Read as _, Write as _};
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
    std::fs::write(&chain, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let fleet = Fleet::with(|config| {
        let authority = Some(chain.clone());
        config.tls = Some(sanderling_server::TlsFiles {
            certificates: chain.clone(),
            key: key.clone(),
            authority,
        });
    });
    assert!(fleet.server.as_ref().unwrap().url().starts_with("https://"));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from(made.cert.der().to_vec())).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let connection = rustls::ClientConnection::new(std::sync::Arc::new(config), name).unwrap();
    let stream = std::net::TcpStream::connect(fleet.address()).unwrap();
    let mut tls = rustls::StreamOwned::new(connection, stream);
    tls.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    let _ = tls.read_to_string(&mut answer);
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok\n"),
        "{answer}"
    );
}

/// The database was lost, or a part of another data folder was copied: no empty fleet takes its place.
#[test]
fn images_without_their_database_are_refused() {
    let mut fleet = Fleet::new();
    fleet.publish("v1", &[]);
    fleet.server.take().unwrap().stop().unwrap();
    let data = fleet.folder.path().join("data");
    let away = fleet.folder.path().join("away");
    fs::create_dir(&away).unwrap();
    for entry in fs::read_dir(&data).unwrap() {
        let name = entry.unwrap().file_name();
        if name.to_string_lossy().starts_with("fleet.db") {
            fs::rename(data.join(&name), away.join(&name)).unwrap();
        }
    }
    let refused = || {
        let error = Server::start_blocking(fleet.config()).unwrap_err();
        let words = error.to_string();
        assert!(matches!(error, ServerError::Data { .. }), "{words}");
        assert!(
            words.contains("1 bundle") && words.contains("Restore fleet.db"),
            "{words}"
        );
    };
    refused();
    assert!(!data.join("fleet.db").exists(), "nothing was put in its place");
    // An empty database that somebody's first try left behind is none.
    fs::write(data.join("fleet.db"), b"").unwrap();
    refused();
    refused();
    fs::rename(data.join("images"), fleet.folder.path().join("images")).unwrap();
    fleet.start(|_| {});
    fleet.server.take().unwrap().stop().unwrap();
    // The whole of it is welcome again.
    fs::remove_dir_all(&data).unwrap();
    fs::rename(&away, &data).unwrap();
    fs::rename(fleet.folder.path().join("images"), data.join("images")).unwrap();
    fleet.start(|_| {});
    assert_eq!(fleet.get("/v1/versions").as_array().map(Vec::len), Some(1));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (entry, name) = (entry.as_ref().unwrap(), entry.as_ref().unwrap().file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to.join(name));
        } else {
            fs::copy(entry.path(), to.join(name)).unwrap();
        }
    }
}

/// What a device makes of the server's newest timestamp.
fn update(images: &mut TrustedSet, fleet: &Fleet) -> u64 {
    let answer = fleet.call("GET", "/v1/tuf/image/timestamp.json", Value::Null);
    let updated = images.update_timestamp(&answer.body, UnixTime(fleet.now()));
    assert_eq!(updated, Ok(Change::Updated));
    images.timestamp().unwrap().header.version
}

/// A backup knows nothing of the numbers given out after it; devices have seen them.
#[test]
fn a_restored_database_goes_past_what_devices_have_seen() {
    let mut fleet = Fleet::new();
    let image = fleet.publish("v1", &[]);
    let root = crate::fixture::read(&fleet.keys().join("image/1.root.json"));
    let pin = RootPin::of(Roots::Production, &root);
    let mut images = TrustedSet::new(&pin, &root, Limits::default()).unwrap();
    update(&mut images, &fleet);
    fleet.server.take().unwrap().stop().unwrap();
    let (data, backup) = (
        fleet.folder.path().join("data"),
        fleet.folder.path().join("backup"),
    );
    copy(&data, &backup);
    fleet.start(|_| {});
    let mut device = fleet.enrol_with(1, image);
    for _ in 0..5 {
        fleet.advance(7);
        fleet.restart();
        update(&mut images, &fleet);
        device.check_in(&fleet);
    }
    let seen = (
        images.timestamp().unwrap().header.version,
        device.director_version,
    );
    fleet.server.take().unwrap().stop().unwrap();
    fs::remove_dir_all(&data).unwrap();
    fs::rename(&backup, &data).unwrap();
    fleet.advance(60);
    fleet.start(|_| {});
    assert!(update(&mut images, &fleet) > seen.0);
    // The device is new to the backup. Enrolled again, it takes the documents that come, as their version is past its own.
    let mut again = fleet.enrol(1);
    std::mem::swap(&mut again.director, &mut device.director);
    again.director_version = device.director_version;
    again.nonce += 1_000;
    let (_, document) = again.check_in(&fleet);
    assert!(document.header.version > seen.1);
    assert!(document.image_timestamp_version > seen.0);
}

#[test]
fn what_expires_is_told_a_week_ahead() {
    let mut fleet = Fleet::new();
    fleet.publish("v1", &[]);
    let ready = |fleet: &Fleet| fleet.call("GET", "/readyz", Value::Null).text();
    assert_eq!(ready(&fleet), "ready\n");
    // The list of targets is good for 30 days, the roots for a year.
    fleet.advance(24 * 86_400);
    let said = ready(&fleet);
    assert!(
        said.starts_with("ready\n") && said.contains("expires within 6 days"),
        "{said}"
    );
    assert!(
        said.contains("list of targets") && !said.contains("root"),
        "{said}"
    );
    let page = Browser::login(&fleet).get("/").text();
    assert!(page.contains("expires within 6 days"), "{page}");
    // Once all has expired, a server starts and says so.
    fleet
        .clock
        .store(real_now() + 3_000 * 86_400, std::sync::atomic::Ordering::Relaxed);
    fleet.restart();
    let said = ready(&fleet);
    for what in [
        "image repository's root",
        "director's root",
        "snapshot",
        "list of targets",
    ] {
        assert!(said.contains(&format!("{what} has expired")), "{said}");
    }
}
