//! Connections: accepted, bounded, in TLS or plain, and handed on.

use crate::app::Shared;
use crate::auth::Peer;
use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower::Service as _;

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a request's head may take, and a connection be idle.
const HEAD: Duration = Duration::from_secs(30);
/// How long requests under way may take once the server stops.
const FAREWELL: Duration = Duration::from_secs(5);
/// How long connections may take to end then: a moment longer, for those that are cut by [`FAREWELL`].
const LAST_CALL: Duration = Duration::from_secs(FAREWELL.as_secs() + 1);

/// A connection, plain or TLS.
pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// Accepts connections until the server stops, and waits for those under way; `serve` is given each with the address at
/// its other end.
pub(crate) async fn accept<F, S>(
    app: Shared,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    limit: usize,
    serve: F,
) where
    F: Fn(Box<dyn Io>, SocketAddr) -> S + Clone + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(limit));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = app.stopped() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, mostly: some will be free soon.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
            tracing::warn!(limit, "too many connections: one was turned away");
            continue;
        };
        tokio::spawn(connection(stream, peer, tls.clone(), serve.clone(), permit));
    }
    // Every connection gives its place back when it ends; the store is closed after that.
    let all = u32::try_from(limit).unwrap_or(u32::MAX);
    if timeout(LAST_CALL, room.acquire_many(all)).await.is_err() {
        tracing::warn!("some connections did not end in time: they are cut");
    }
}

async fn connection<F, S>(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    serve: F,
    _permit: OwnedSemaphorePermit,
) where
    F: Fn(Box<dyn Io>, SocketAddr) -> S + Send,
    S: Future<Output = ()> + Send,
{
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    match tls {
        None => serve(Box::new(stream), peer).await,
        Some(acceptor) => match timeout(HANDSHAKE, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => serve(Box::new(stream), peer).await,
            Ok(Err(error)) => tracing::debug!(%error, %peer, "a TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
        },
    }
}

/// Serves HTTP on one connection.
pub(crate) async fn http(app: Shared, router: Router, stream: Box<dyn Io>, peer: SocketAddr) {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        router.clone().call(request)
    });
    let mut builder = http1::Builder::new();
    let mut connection = std::pin::pin!(
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .serve_connection(TokioIo::new(stream), service)
    );
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = app.stopped() => {
            connection.as_mut().graceful_shutdown();
            timeout(FAREWELL, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, %peer, "a connection broke off");
    }
}
