//! Whether an address may be given an operator's token: what is checked is parsed by the client's own parser, so that
//! it connects to what was checked.

use crate::ClientError;
use std::net::IpAddr;
use ureq::http::Uri;

/// How a server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// In the clear, on this machine.
    Http,
    /// By TLS.
    Https,
}

/// Checks that `base` is an address, and that what is sent there can be read on the way by nobody else.
pub(crate) fn check(base: &str) -> Result<Scheme, ClientError> {
    // A name and a password in front of an address only make it look like another; they are not printed.
    let shown = base
        .rsplit_once('@')
        .map_or(base.to_string(), |(_, rest)| format!("…@{rest}"));
    let no_address = || ClientError::Address { url: shown.clone() };
    let uri = base.parse::<Uri>().map_err(|_| no_address())?;
    let host = uri.host().unwrap_or("");
    if base.contains(['@', '#']) || uri.query().is_some() || host.is_empty() {
        return Err(no_address());
    }
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let loopback = host == "localhost"
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    match uri.scheme_str() {
        Some("https") => Ok(Scheme::Https),
        Some("http") if loopback => Ok(Scheme::Http),
        Some("http") => Err(ClientError::Insecure {
            url: base.to_string(),
        }),
        _ => Err(no_address()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_goes_to_this_machine_or_by_tls() {
        for (base, scheme) in [
            ("https://fleet.example", Scheme::Https),
            ("https://fleet.example:8443/fleet/", Scheme::Https),
            ("http://127.0.0.1:8080", Scheme::Http),
            ("http://[::1]:8080/", Scheme::Http),
            ("HTTP://localhost", Scheme::Http),
        ] {
            assert_eq!(check(base).ok(), Some(scheme), "{base}");
        }
        for base in [
            "http://fleet.example",
            "HTTP://10.0.0.1:8080",
            "http://127.0.0.1.fleet.example",
            "http://localhost.fleet.example:80",
            "http://[::ffff:10.0.0.1]:80",
        ] {
            assert!(matches!(check(base), Err(ClientError::Insecure { .. })), "{base}");
        }
        for base in [
            "http://127.0.0.1:80@fleet.example",
            "http://localhost:secret@fleet.example",
            "https://user:secret@fleet.example",
            "http://fleet.example@127.0.0.1",
            "http://127.0.0.1#@fleet.example",
            "http://127.0.0.1?@fleet.example",
            "http://127.0.0.1\\@fleet.example",
            "http://127.0.0.1:80:80",
            "https://fleet.example?x",
            "ftp://127.0.0.1",
            "127.0.0.1:8080",
            "",
        ] {
            let error = check(base).unwrap_err();
            assert!(matches!(error, ClientError::Address { .. }), "{base}: {error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
