//! Errors of server and client.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a server does not start, or a message is not one of the protocol.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address cannot be bound.
    #[error("cannot listen on {address}: {source}; choose another with --listen")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The system's word.
        source: std::io::Error,
    },
    /// The Unix socket cannot be made.
    #[error("cannot listen at {path}: {what}; choose another path, or stop who listens there", path = path.display())]
    Socket {
        /// Its file.
        path: PathBuf,
        /// Why.
        what: String,
    },
    /// Neither an address nor a socket to listen at.
    #[error("there is nowhere to listen: give an address or the path of a Unix socket")]
    NoListener,
    /// An address that other machines reach, without a token.
    #[error(
        "{address} can be reached from other machines: set a token (--token-file), or listen on 127.0.0.1"
    )]
    Unprotected {
        /// The address.
        address: SocketAddr,
    },
    /// An address that other machines reach, without TLS, which this server does not speak.
    #[error(
        "{address} can be reached from other machines, which would send inputs and the token in the clear: listen on \
         127.0.0.1 behind a proxy that ends TLS; if that proxy is on another machine of a network of yours, say \
         --allow-plain-http"
    )]
    PlainHttp {
        /// The address.
        address: SocketAddr,
    },
    /// An endpoint's address by which inputs and the token would travel in the clear.
    #[error(
        "the endpoint {url} needs https://: only a server on this machine (127.0.0.1) is spoken to by http://"
    )]
    InsecureEndpoint {
        /// The address.
        url: String,
    },
    /// What is no endpoint's address, or holds more than an address.
    #[error(
        "the endpoint '{url}' is not of the form https://host, with a port and a path where need be and nothing else"
    )]
    EndpointAddress {
        /// The address.
        url: String,
    },
    /// A model cannot be loaded.
    #[error("model '{name}' ({path}): {message}", path = path.display())]
    Model {
        /// Its name.
        name: String,
        /// Its file.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// Two models of one name and version.
    #[error("model '{name}' version {version} is given twice")]
    DoubleModel {
        /// Its name.
        name: String,
        /// Its version.
        version: String,
    },
    /// A tensor in a message does not hang together.
    #[error("tensor '{name}': {message}")]
    Tensor {
        /// Its name.
        name: String,
        /// Why.
        message: String,
    },
    /// Anything else of the system's.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}
