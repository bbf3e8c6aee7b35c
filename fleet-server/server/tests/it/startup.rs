//! What keeps a server from starting is said in words that help.

use crate::fixture::Fleet;
use sanderling_server::{Server, ServerConfig, ServerError};

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
    let mut config = fleet.config();
    config.public_url = Some("fleet.example/path".into());
    assert!(matches!(
        Server::start_blocking(config),
        Err(ServerError::Setting {
            setting: "public_url",
            ..
        })
    ));
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
