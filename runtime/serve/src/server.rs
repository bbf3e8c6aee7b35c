//! The HTTP server.

use crate::ServeError;
use crate::listen::{self, Listener};
use crate::models::{Job, Missing, Model, Models, Refusal};
use crate::protocol::{ErrorBody, InferRequest, InferResponse, ModelMetadata, ServerMetadata};
use crate::{socket, worker};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;

/// Bytes of a request that are counted at once.
const BLOCK: usize = 1024;
/// Texts up to this are read and written where connections are served; longer ones aside, so that they hold nobody up.
const SHORT: usize = 16 << 10;
/// Threads for the longer ones.
const ASIDE: usize = 2;

/// A model to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelSource {
    /// Name in the URL.
    pub name: String,
    /// Version in the URL.
    pub version: String,
    /// Bundle file.
    pub path: PathBuf,
}

/// How to serve.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Where to listen; port 0 takes a free one.
    pub address: Option<SocketAddr>,
    /// Unix socket to listen at as well, for the process's user and group (mode 0660); no token is asked there.
    pub socket: Option<PathBuf>,
    /// Bearer token that requests to the address must carry. Needed for any address but loopback.
    pub token: Option<String>,
    /// Listen on other addresses than loopback though this server speaks no TLS: something in front of it does.
    pub allow_plain_http: bool,
    /// Threads a model computes with.
    pub threads: usize,
    /// Requests that may wait for a model; more are refused with 503.
    pub queue: usize,
    /// Largest request body, bytes.
    pub max_body: usize,
    /// Most bytes of requests at a time, over all models; more are refused with 503 before they are read. A request
    /// counts from its head until its model is done with it, by its `Content-Length`, or as [`Self::max_body`] without
    /// one. A request in memory takes at most five times its body, and a copy of the body more while it is read.
    pub max_bodies: usize,
    /// Longest time one request may take, its wait in line included.
    pub timeout: Duration,
    /// Connections at a time; more are closed at once.
    pub connections: usize,
    /// Longest time until a connection has sent a request's head, and that it may be idle between two.
    pub head_timeout: Duration,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            address: Some(SocketAddr::from(([127, 0, 0, 1], 8600))),
            socket: None,
            token: None,
            allow_plain_http: false,
            threads: 1,
            queue: 64,
            max_body: 64 << 20,
            max_bodies: 128 << 20,
            timeout: Duration::from_secs(30),
            connections: 1024,
            head_timeout: Duration::from_secs(30),
        }
    }
}

/// A server of the models in a table.
pub struct Server {
    models: Models,
    options: ServeOptions,
    /// [`ServeOptions::max_bodies`] in blocks.
    room: Arc<Semaphore>,
}

/// A server that listens. Dropping it stops it.
pub struct Running {
    /// Where it listens, if at an address.
    pub address: Option<SocketAddr>,
    /// One for each listener.
    stop: Vec<oneshot::Sender<()>>,
    runtime: Option<tokio::runtime::Runtime>,
    done: Vec<tokio::task::JoinHandle<()>>,
}

impl Server {
    /// Loads the models, each on a thread of its own.
    ///
    /// # Errors
    /// As [`Self::over`]; [`ServeError::Model`], [`ServeError::DoubleModel`].
    pub fn load(models: &[ModelSource], options: ServeOptions) -> Result<Self, ServeError> {
        let server = Self::over(Models::default(), options)?;
        for source in models {
            let model = worker::start(source, server.options.threads, server.options.queue)?;
            if !server.models.add(model) {
                return Err(ServeError::DoubleModel {
                    name: source.name.clone(),
                    version: source.version.clone(),
                });
            }
        }
        Ok(server)
    }

    /// Serves what a table holds, whenever a request comes.
    ///
    /// # Errors
    /// [`ServeError::NoListener`], [`ServeError::Unprotected`], [`ServeError::PlainHttp`].
    pub fn over(models: Models, options: ServeOptions) -> Result<Self, ServeError> {
        match options.address {
            None if options.socket.is_none() => return Err(ServeError::NoListener),
            Some(address) if !address.ip().is_loopback() && options.token.is_none() => {
                return Err(ServeError::Unprotected { address });
            }
            Some(address) if !address.ip().is_loopback() && !options.allow_plain_http => {
                return Err(ServeError::PlainHttp { address });
            }
            _ => {}
        }
        let room = Semaphore::new(options.max_bodies.max(options.max_body).div_ceil(BLOCK));
        Ok(Self {
            models,
            options,
            room: Arc::new(room),
        })
    }

    /// Listens, on a runtime of its own.
    ///
    /// # Errors
    /// [`ServeError::Bind`], [`ServeError::Socket`].
    pub fn start(self) -> Result<Running, ServeError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(ASIDE)
            .enable_all()
            .build()?;
        let mut address = None;
        // With the token that is asked there.
        let mut listeners = Vec::new();
        if let Some(wanted) = self.options.address {
            let listener = runtime.block_on(tokio::net::TcpListener::bind(wanted));
            let listener = listener.map_err(|source| ServeError::Bind {
                address: wanted,
                source,
            })?;
            address = Some(listener.local_addr()?);
            listeners.push((Listener::Tcp(listener), self.options.token.clone()));
        }
        if let Some(path) = &self.options.socket {
            let (listener, _file) = socket::bind(path)?;
            let _entered = runtime.enter();
            let listener = tokio::net::UnixListener::from_std(listener)?;
            listeners.push((Listener::Unix { listener, _file }, None));
        }
        let (most, head) = (self.options.connections, self.options.head_timeout);
        let server = Arc::new(self);
        let (mut stop, mut done) = (Vec::new(), Vec::new());
        for (listener, token) in listeners {
            let (sender, stopped) = oneshot::channel::<()>();
            let stopped = async move {
                // An error means that the sender was dropped, which stops the server as well.
                drop(stopped.await);
            };
            let app = router(server.clone(), token);
            done.push(runtime.spawn(listen::serve(listener, app, most, head, stopped)));
            stop.push(sender);
        }
        Ok(Running {
            address,
            stop,
            runtime: Some(runtime),
            done,
        })
    }

    /// Room for a request's body, before any of it is read.
    fn room_for(&self, request: &Request) -> Result<OwnedSemaphorePermit, Failure> {
        let length = request.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        let length = length.unwrap_or(self.options.max_body);
        if length > self.options.max_body {
            return Err(self.too_long());
        }
        u32::try_from(length.div_ceil(BLOCK))
            .ok()
            .and_then(|blocks| Arc::clone(&self.room).try_acquire_many_owned(blocks).ok())
            .ok_or_else(|| Failure::new(StatusCode::SERVICE_UNAVAILABLE, "too many requests at a time"))
    }

    fn too_long(&self) -> Failure {
        let message = format!("a request has at most {} bytes", self.options.max_body);
        Failure::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    }

    /// A request's body, and the room it takes.
    async fn read(
        &self,
        request: Request,
        room: OwnedSemaphorePermit,
        until: Instant,
    ) -> Result<(InferRequest, OwnedSemaphorePermit), Failure> {
        // Pages in a browser cannot send this type to another site without its leave.
        let kind = request.headers().get(header::CONTENT_TYPE);
        let kind = kind.and_then(|value| value.to_str().ok()).unwrap_or("");
        if kind.split(';').next().map(str::trim) != Some("application/json") {
            let message = "a request is 'Content-Type: application/json'";
            return Err(Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
        }
        let body = axum::body::to_bytes(request.into_body(), self.options.max_body);
        let bytes = tokio::time::timeout_at(until, body)
            .await
            .map_err(|_| Failure::new(StatusCode::REQUEST_TIMEOUT, "the request's body took too long"))?
            .map_err(|_| self.too_long())?;
        // The room goes along: a caller who hangs up does not end the reading.
        let read = aside(bytes.len(), move || (serde_json::from_slice(&bytes), room)).await?;
        let (parsed, room) = read;
        parsed
            .map(|request| (request, room))
            .map_err(|error| Failure::new(StatusCode::BAD_REQUEST, format!("the request's body: {error}")))
    }

    fn find(&self, name: &str, version: Option<&str>) -> Result<Arc<Model>, Failure> {
        self.models.find(name, version).map_err(|missing| match missing {
            Missing::Nothing(why) => Failure::new(StatusCode::SERVICE_UNAVAILABLE, why),
            Missing::Other(message) => Failure::new(StatusCode::NOT_FOUND, message),
        })
    }
}

/// Does what a text of `length` bytes needs: aside where it is long.
async fn aside<T: Send + 'static>(
    length: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    if length <= SHORT {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

impl Running {
    /// Waits until the server ends by itself or the process is told to stop.
    ///
    /// # Errors
    /// [`ServeError::Io`] where serving failed.
    pub fn wait(mut self) -> Result<(), ServeError> {
        for done in std::mem::take(&mut self.done) {
            if let Some(runtime) = &self.runtime {
                runtime.block_on(done).map_err(std::io::Error::other)?;
            }
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.clear();
        if let Some(runtime) = self.runtime.take() {
            // What was taken in is answered; how long that may take is limited there.
            for done in self.done.drain(..) {
                drop(runtime.block_on(done));
            }
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }
}

struct Failure {
    status: StatusCode,
    message: String,
}

impl Failure {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let body = Json(ErrorBody { error: self.message });
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            (self.status, [(header::RETRY_AFTER, "1")], body).into_response()
        } else {
            (self.status, body).into_response()
        }
    }
}

fn router(server: Arc<Server>, token: Option<String>) -> Router {
    let token: Option<Arc<str>> = token.map(Into::into);
    Router::new()
        .route("/v2", get(metadata))
        .route("/v2/health/live", get(|| async { StatusCode::OK }))
        .route("/v2/health/ready", get(ready))
        .route("/v2/models/{name}", get(model))
        .route("/v2/models/{name}/ready", get(model_ready))
        .route("/v2/models/{name}/infer", post(infer))
        .route("/v2/models/{name}/versions/{version}", get(version))
        .route("/v2/models/{name}/versions/{version}/ready", get(version_ready))
        .route("/v2/models/{name}/versions/{version}/infer", post(infer_version))
        .layer(axum::middleware::from_fn_with_state(token, authorise))
        .with_state(server)
}

async fn authorise(
    State(token): State<Option<Arc<str>>>,
    headers: HeaderMap,
    request: Request,
    next: Next,
) -> Response {
    if let Some(token) = &token {
        let given = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let given = given
            .and_then(|value| value.strip_prefix("Bearer "))
            .unwrap_or("");
        if !same(token.as_bytes(), given.as_bytes()) {
            let message = "this server wants 'Authorization: Bearer <token>'";
            return Failure::new(StatusCode::UNAUTHORIZED, message).into_response();
        }
    }
    next.run(request).await
}

/// Compares without telling by its time where two texts differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (x, y)| difference | (x ^ y)) == 0
}

async fn metadata() -> Json<ServerMetadata> {
    Json(ServerMetadata {
        name: "sanderling".to_string(),
        version: env!("CARGO_PKG_VERSION").to_string(),
        extensions: Vec::new(),
    })
}

/// Whether there is a model to ask; if not, why.
async fn ready(State(server): State<Arc<Server>>) -> Result<StatusCode, Failure> {
    match server.models.why_empty() {
        None => Ok(StatusCode::OK),
        Some(why) => Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, why)),
    }
}

async fn model(
    State(server): State<Arc<Server>>,
    Path(name): Path<String>,
) -> Result<Json<ModelMetadata>, Failure> {
    describe(&server, &name, None)
}

async fn version(
    State(server): State<Arc<Server>>,
    Path((name, version)): Path<(String, String)>,
) -> Result<Json<ModelMetadata>, Failure> {
    describe(&server, &name, Some(&version))
}

fn describe(server: &Server, name: &str, version: Option<&str>) -> Result<Json<ModelMetadata>, Failure> {
    let model = server.find(name, version)?;
    let (inputs, outputs) = (model.inputs.clone(), model.outputs.clone());
    Ok(Json(ModelMetadata {
        name: name.to_string(),
        versions: server.models.versions(name),
        platform: "sanderling_sdl".to_string(),
        inputs,
        outputs,
    }))
}

async fn model_ready(
    State(server): State<Arc<Server>>,
    Path(name): Path<String>,
) -> Result<StatusCode, Failure> {
    server.find(&name, None).map(|_| StatusCode::OK)
}

async fn version_ready(
    State(server): State<Arc<Server>>,
    Path((name, version)): Path<(String, String)>,
) -> Result<StatusCode, Failure> {
    server.find(&name, Some(&version)).map(|_| StatusCode::OK)
}

async fn infer(
    State(server): State<Arc<Server>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    answer(&server, &name, None, request).await
}

async fn infer_version(
    State(server): State<Arc<Server>>,
    Path((name, version)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Failure> {
    answer(&server, &name, Some(&version), request).await
}

async fn answer(
    server: &Server,
    name: &str,
    version: Option<&str>,
    request: Request,
) -> Result<Response, Failure> {
    let model = server.find(name, version)?;
    let room = server.room_for(&request)?;
    let until = Instant::now() + server.options.timeout;
    let (request, room) = server.read(request, room, until).await?;
    let id = request.id.clone();
    let (reply, answer) = oneshot::channel();
    let job = Job {
        model: name.to_string(),
        version: version.map(str::to_string),
        request,
        _room: room,
        reply: Some(reply),
    };
    let failed = |refusal| failure(refusal, name);
    model.line.put(job).map_err(failed)?;
    // Where this is dropped, as the caller has gone, the job is not run unless it is running already.
    let answered = tokio::time::timeout_at(until, answer)
        .await
        .map_err(|_| Failure::new(StatusCode::GATEWAY_TIMEOUT, "the model took too long"))?
        .unwrap_or_else(|_| Err(Refusal::Failed("the model's thread has ended".to_string())))
        .map_err(failed)?;
    let length = answered
        .outputs
        .iter()
        .map(|data| data.tensor().bytes().len())
        .sum();
    let response = InferResponse {
        model_name: name.to_string(),
        model_version: Some(answered.version),
        id,
        outputs: answered.outputs,
    };
    aside(length, move || Json(response).into_response()).await
}

fn failure(refusal: Refusal, model: &str) -> Failure {
    match refusal {
        Refusal::Bad(message) => Failure::new(StatusCode::BAD_REQUEST, message),
        Refusal::Gone(message) => Failure::new(StatusCode::NOT_FOUND, message),
        Refusal::Nothing(message) => Failure::new(StatusCode::SERVICE_UNAVAILABLE, message),
        Refusal::Busy => Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many requests wait for this model",
        ),
        Refusal::Failed(message) => {
            tracing::error!(model, message, "a model failed");
            Failure::new(StatusCode::INTERNAL_SERVER_ERROR, message)
        }
    }
}
