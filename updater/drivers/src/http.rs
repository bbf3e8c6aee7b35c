//! HTTP: one thread that carries out the agent's requests, one after the other, and streams answers back in blocks.
//!
//! Redirects are not followed and no environment's proxy is asked, so a signed request goes to the pinned server or
//! nowhere. Time and bytes are limited by the request itself.

use crate::error::DriverError;
use crate::server::check_server;
use sanderling_agent::{HttpRequest, Method, RequestId, ResponseHead, TransportError};
use sanderling_wire::EnrolmentString;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;
use ureq::config::Config;
use ureq::http::Response;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body};

/// Bytes of an answer handed on at once.
const BLOCK_LEN: usize = 16 * 1024;
/// Bytes that the client buffers in each direction.
const BUFFER_LEN: usize = 16 * 1024;
/// Most bytes of an answer's headers.
const MAX_HEADERS_LEN: usize = 16 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What comes of a request.
#[derive(Debug)]
pub(crate) enum Answer {
    Head(RequestId, ResponseHead),
    Block(RequestId, Vec<u8>),
    End(RequestId),
    Failed(RequestId, TransportError),
}

/// The thread that carries out requests.
pub(crate) struct HttpDriver {
    requests: SyncSender<HttpRequest>,
    cancelled: Arc<AtomicU64>,
}

impl HttpDriver {
    /// Starts the thread; `answer` is called for each part of an answer and returns false when nobody listens.
    pub(crate) fn start(
        enrolment: &EnrolmentString,
        mut answer: impl FnMut(Answer) -> bool + Send + 'static,
    ) -> Result<Self, DriverError> {
        check_server(&enrolment.server)?;
        let client = client(enrolment.tls_ca.as_deref());
        let server = enrolment.server.trim_end_matches('/').to_string();
        let cancelled = Arc::new(AtomicU64::new(0));
        let (requests, inbox): (_, Receiver<HttpRequest>) = sync_channel(2);
        let until = cancelled.clone();
        let work = move || {
            for request in inbox {
                let id = request.id;
                let alive = || until.load(Ordering::Relaxed) < id.0;
                let done = match exchange(&client, &server, request, &mut answer, &alive) {
                    Ok(true) => Answer::End(id),
                    Ok(false) => continue,
                    Err(error) => Answer::Failed(id, error),
                };
                if alive() && !answer(done) {
                    return;
                }
            }
        };
        let spawned = thread::Builder::new()
            .name("sanderling-http".into())
            .stack_size(512 * 1024)
            .spawn(work);
        spawned.map_err(DriverError::io("a thread for HTTP"))?;
        Ok(Self { requests, cancelled })
    }

    /// Hands a request over. The agent has one under way at a time; a thread that is still busy with one that was
    /// given up answers "unreachable" in its place.
    pub(crate) fn send(&self, request: HttpRequest) -> Result<(), (RequestId, TransportError)> {
        let id = request.id;
        let detail = || "the connection before this one has not ended yet".to_string();
        self.requests
            .try_send(request)
            .map_err(|_| (id, TransportError::Unreachable { detail: detail() }))
    }

    /// Drops a request and all before it.
    pub(crate) fn cancel(&self, id: RequestId) {
        self.cancelled.fetch_max(id.0, Ordering::Relaxed);
    }
}

fn client(ca: Option<&[u8]>) -> Agent {
    let roots = match ca {
        Some(der) => RootCerts::new_with_certs(&[Certificate::from_der(der).to_owned()]),
        None => RootCerts::WebPki,
    };
    Config::builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .user_agent(concat!("sanderling/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .input_buffer_size(BUFFER_LEN)
        .output_buffer_size(BUFFER_LEN)
        .max_response_header_size(MAX_HEADERS_LEN)
        .max_idle_connections(1)
        .tls_config(TlsConfig::builder().root_certs(roots).build())
        .build()
        .new_agent()
}

fn exchange(
    client: &Agent,
    server: &str,
    request: HttpRequest,
    answer: &mut (impl FnMut(Answer) -> bool + Send),
    alive: &dyn Fn() -> bool,
) -> Result<bool, TransportError> {
    let id = request.id;
    let limit = request.max_body;
    let response = send(client, server, request)?;
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let head = ResponseHead::of(response.status().as_u16(), header);
    if !alive() || !answer(Answer::Head(id, head)) {
        return Ok(false);
    }
    let mut body = response.into_body().into_reader();
    let mut block = vec![0; BLOCK_LEN];
    let mut received = 0;
    loop {
        let n = body
            .read(&mut block)
            .map_err(|error| transport(ureq::Error::from(error)))?;
        if n == 0 {
            return Ok(true);
        }
        received += n as u64;
        if !alive() || !answer(Answer::Block(id, block[..n].to_vec())) {
            return Ok(false);
        }
        if received > limit {
            // One block too many was handed on: the agent cuts it off. The rest is not read.
            return Err(TransportError::TooLong { limit });
        }
    }
}

fn send(client: &Agent, server: &str, request: HttpRequest) -> Result<Response<Body>, TransportError> {
    let url = format!("{server}{}", request.path);
    let timeout = Some(Duration::from_secs(request.timeout_s.into()));
    let answer = match request.method {
        Method::Get => {
            let get = client.get(&url).config().timeout_global(timeout).build();
            request
                .headers
                .iter()
                .fold(get, |get, (name, value)| get.header(name, value))
                .call()
        }
        Method::Post => {
            let post = client.post(&url).config().timeout_global(timeout).build();
            let post = request
                .headers
                .iter()
                .fold(post, |post, (name, value)| post.header(name, value));
            post.send(&request.body[..])
        }
    };
    answer.map_err(transport)
}

fn transport(error: ureq::Error) -> TransportError {
    let detail = error.to_string();
    match error {
        ureq::Error::Timeout(_) => TransportError::TimedOut,
        ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => TransportError::Unreachable { detail },
        ureq::Error::Io(error) => match error.kind() {
            std::io::ErrorKind::TimedOut => TransportError::TimedOut,
            std::io::ErrorKind::ConnectionRefused
            | std::io::ErrorKind::HostUnreachable
            | std::io::ErrorKind::NetworkUnreachable => TransportError::Unreachable { detail },
            _ => TransportError::Broken { detail },
        },
        _ => TransportError::Broken { detail },
    }
}
