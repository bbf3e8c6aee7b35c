//! Which addresses of a server are spoken to.

use crate::error::DriverError;
use http::Uri;
use std::net::IpAddr;

/// Checks that a server is a plain address, and without TLS only this machine's.
///
/// # Errors
/// [`DriverError::InsecureServer`], [`DriverError::ServerAddress`].
pub fn check_server(server: &str) -> Result<(), DriverError> {
    // The client's own parser: what is checked here is what it connects to.
    let uri = server.parse::<Uri>().ok().filter(|uri| {
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        // Nothing but an address: a name and a password in front of it only make it look like another.
        !authority.contains('@') && uri.path() == "/" && uri.query().is_none() && !server.contains('#')
    });
    let host = uri.as_ref().and_then(Uri::host).unwrap_or("");
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let loopback = host == "localhost"
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    match uri.as_ref().and_then(Uri::scheme_str) {
        Some("https") if !host.is_empty() => Ok(()),
        Some("http") if loopback => Ok(()),
        Some("http") => Err(DriverError::InsecureServer {
            server: server.to_string(),
        }),
        _ => Err(DriverError::ServerAddress {
            server: server.to_string(),
        }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_spoken_to_without_tls() {
        for server in [
            "https://fleet.example",
            "http://127.0.0.1:80",
            "http://[::1]:8080",
            "http://localhost",
            "http://localhost:8080/",
            "https://[2001:db8::1]:443",
            "HTTPS://fleet.example",
        ] {
            assert!(check_server(server).is_ok(), "{server}");
        }
        for server in [
            "http://fleet.example",
            "http://10.0.0.1:8080",
            "http://[fe80::1]:80",
            "HTTP://fleet.example",
            "http://127.0.0.1.fleet.example",
            "http://localhost.fleet.example:80",
            "http://[::ffff:10.0.0.1]:80",
            "http://0.0.0.0:80",
        ] {
            let error = check_server(server).unwrap_err();
            assert!(
                matches!(error, DriverError::InsecureServer { .. }),
                "{server}: {error}"
            );
        }
        for server in [
            "http://127.0.0.1:80@fleet.example",
            "http://127.0.0.1@fleet.example:80",
            "http://localhost:@fleet.example",
            "http://[::1]:80@fleet.example",
            "http://fleet.example@127.0.0.1",
            "https://user:password@fleet.example",
            "http://fleet.example#127.0.0.1",
            "http://127.0.0.1#@fleet.example",
            "http://127.0.0.1?@fleet.example",
            "http://127.0.0.1/@fleet.example",
            "http://127.0.0.1\\@fleet.example",
            "http://127.0.0.1:80:80",
            "http://127.0.0.1 ",
            "http://",
            "https://",
            "https:///v1",
            "ftp://127.0.0.1",
            "127.0.0.1:80",
            "",
        ] {
            let error = check_server(server).unwrap_err();
            assert!(
                matches!(error, DriverError::ServerAddress { .. }),
                "{server}: {error}"
            );
        }
    }
}
