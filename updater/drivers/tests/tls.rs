//! HTTPS to a server whose certificate authority the enrolment string pins, and to one that it does not.
#![allow(clippy::unwrap_used)]

mod device;
#[path = "../../agent/tests/fleet/mod.rs"]
mod fleet;
mod server;

use device::{Device, options};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use server::Server;

/// A certificate authority (DER) and a server that it vouches for.
fn authority() -> (Vec<u8>, rustls::ServerConfig) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["127.0.0.1".into()])
        .unwrap()
        .signed_by(&key, &ca)
        .unwrap();
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = config
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .unwrap();
    (ca.der().to_vec(), config)
}

#[test]
fn only_the_pinned_authority_vouches_for_the_server() {
    let (pinned, config) = authority();
    let (stranger, _) = authority();
    let server = Server::start_tls(config);
    server.fleet().release(1, 1);
    server.fleet().next_check_in_s = 1;

    let folder = tempfile::tempdir().unwrap();
    for (ca, name) in [(Some(stranger), "a"), (None, "b")] {
        let mut options = options(&folder_of(&folder, name), &server);
        options.enrolment.as_mut().unwrap().tls_ca = ca;
        let device = Device::start(options);
        device.wait("refusal", |device| device.log().contains("certificate"));
        assert!(
            server.fleet().seen.requests.is_empty(),
            "nothing is said to a server that nobody vouches for"
        );
        device.stop();
    }

    let mut options = options(&folder_of(&folder, "c"), &server);
    options.enrolment.as_mut().unwrap().tls_ca = Some(pinned);
    let device = Device::start(options);
    device.update(&server, 1, 1);
    device.stop();
}

fn folder_of(folder: &tempfile::TempDir, name: &str) -> std::path::PathBuf {
    folder.path().join(name)
}
