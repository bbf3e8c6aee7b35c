//! Certificate and key out of PEM files; rustls with ring (docs/adr/0004-tls-provider.md).

use crate::ServerError;
use crate::config::TlsFiles;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

fn refused(path: &Path, reason: impl ToString) -> ServerError {
    ServerError::Tls {
        path: path.to_path_buf(),
        reason: reason.to_string(),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ServerError> {
    let found = CertificateDer::pem_file_iter(path).map_err(|error| refused(path, error))?;
    let found: Vec<_> = found
        .collect::<Result<_, _>>()
        .map_err(|error| refused(path, error))?;
    if found.is_empty() {
        return Err(refused(path, "it holds no certificate (PEM, BEGIN CERTIFICATE)"));
    }
    Ok(found)
}

/// What accepts TLS connections.
pub(crate) fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, ServerError> {
    let chain = certificates(&files.certificates)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| refused(&files.key, error))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| refused(&files.key, error))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| refused(&files.certificates, format!("it does not fit the key: {error}")))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The authority's certificate for enrolment strings, DER.
pub(crate) fn authority(files: &TlsFiles) -> Result<Option<Vec<u8>>, ServerError> {
    let Some(path) = &files.authority else {
        return Ok(None);
    };
    Ok(certificates(path)?
        .first()
        .map(|certificate| certificate.to_vec()))
}
