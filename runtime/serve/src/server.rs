//! The HTTP server.

use crate::ServeError;
use crate::listen;
use crate::protocol::{ErrorBody, InferRequest, InferResponse, ModelMetadata, ServerMetadata};
use crate::worker::{Refusal, Worker};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Bytes of a request that are counted at once.
const BLOCK: usize = 1024;

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
    pub address: SocketAddr,
    /// Bearer token that requests must carry. Needed for any address but loopback.
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
            address: SocketAddr::from(([127, 0, 0, 1], 8600)),
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

/// Models by name and version.
pub struct Server {
    models: BTreeMap<String, BTreeMap<String, Worker>>,
    options: ServeOptions,
    /// [`ServeOptions::max_bodies`] in blocks.
    room: Arc<Semaphore>,
}

/// A server that listens. Dropping it stops it.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    runtime: Option<tokio::runtime::Runtime>,
    done: Option<tokio::task::JoinHandle<()>>,
}

impl Server {
    /// Loads the models.
    ///
    /// # Errors
    /// [`ServeError::Unprotected`], [`ServeError::PlainHttp`], [`ServeError::Model`], [`ServeError::DoubleModel`].
    pub fn load(models: &[ModelSource], options: ServeOptions) -> Result<Self, ServeError> {
        if !options.address.ip().is_loopback() && options.token.is_none() {
            return Err(ServeError::Unprotected {
                address: options.address,
            });
        }
        if !options.address.ip().is_loopback() && !options.allow_plain_http {
            return Err(ServeError::PlainHttp {
                address: options.address,
            });
        }
        let mut loaded: BTreeMap<String, BTreeMap<String, Worker>> = BTreeMap::new();
        for source in models {
            let versions = loaded.entry(source.name.clone()).or_default();
            if versions.contains_key(&source.version) {
                return Err(ServeError::DoubleModel {
                    name: source.name.clone(),
                    version: source.version.clone(),
                });
            }
            versions.insert(
                source.version.clone(),
                Worker::start(source, options.threads, options.queue)?,
            );
        }
        Ok(Self::new(loaded, options))
    }

    pub(crate) fn new(models: BTreeMap<String, BTreeMap<String, Worker>>, options: ServeOptions) -> Self {
        let room = Semaphore::new(options.max_bodies.max(options.max_body).div_ceil(BLOCK));
        Self {
            models,
            options,
            room: Arc::new(room),
        }
    }

    /// Listens, on a runtime of its own.
    ///
    /// # Errors
    /// [`ServeError::Bind`].
    pub fn start(self) -> Result<Running, ServeError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let wanted = self.options.address;
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind(wanted))
            .map_err(|source| ServeError::Bind {
                address: wanted,
                source,
            })?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let (most, head) = (self.options.connections, self.options.head_timeout);
        let app = router(Arc::new(self));
        let stopped = async move {
            // An error means that the sender was dropped, which stops the server as well.
            drop(stopped.await);
        };
        let done = runtime.spawn(listen::serve(listener, app, most, head, stopped));
        Ok(Running {
            address,
            stop: Some(stop),
            runtime: Some(runtime),
            done: Some(done),
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

    async fn read(&self, request: Request) -> Result<InferRequest, Failure> {
        // Pages in a browser cannot send this type to another site without its leave.
        let kind = request.headers().get(header::CONTENT_TYPE);
        let kind = kind.and_then(|value| value.to_str().ok()).unwrap_or("");
        if kind.split(';').next().map(str::trim) != Some("application/json") {
            let message = "a request is 'Content-Type: application/json'";
            return Err(Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
        }
        let body = axum::body::to_bytes(request.into_body(), self.options.max_body);
        let bytes = tokio::time::timeout(self.options.timeout, body)
            .await
            .map_err(|_| Failure::new(StatusCode::REQUEST_TIMEOUT, "the request's body took too long"))?
            .map_err(|_| self.too_long())?;
        serde_json::from_slice(&bytes)
            .map_err(|error| Failure::new(StatusCode::BAD_REQUEST, format!("the request's body: {error}")))
    }

    fn find(&self, name: &str, version: Option<&str>) -> Result<(&str, &Worker), Failure> {
        let versions = self.models.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.models.keys().map(String::as_str).collect();
            Failure::new(
                StatusCode::NOT_FOUND,
                format!(
                    "model '{name}' is not served here; there is: {}",
                    known.join(", ")
                ),
            )
        })?;
        let found = match version {
            Some(version) => versions.get_key_value(version),
            None => versions.last_key_value(),
        };
        found
            .map(|(version, worker)| (version.as_str(), worker))
            .ok_or_else(|| {
                let known: Vec<&str> = versions.keys().map(String::as_str).collect();
                let wanted = version.unwrap_or("");
                Failure::new(
                    StatusCode::NOT_FOUND,
                    format!(
                        "model '{name}' has no version '{wanted}' here; there is: {}",
                        known.join(", ")
                    ),
                )
            })
    }
}

impl Running {
    /// Waits until the server ends by itself or the process is told to stop.
    ///
    /// # Errors
    /// [`ServeError::Io`] where serving failed.
    pub fn wait(mut self) -> Result<(), ServeError> {
        if let (Some(runtime), Some(done)) = (&self.runtime, self.done.take()) {
            runtime.block_on(done).map_err(std::io::Error::other)?;
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(runtime) = self.runtime.take() {
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

fn router(server: Arc<Server>) -> Router {
    Router::new()
        .route("/v2", get(metadata))
        .route("/v2/health/live", get(|| async { StatusCode::OK }))
        .route("/v2/health/ready", get(|| async { StatusCode::OK }))
        .route("/v2/models/{name}", get(model))
        .route("/v2/models/{name}/ready", get(model_ready))
        .route("/v2/models/{name}/infer", post(infer))
        .route("/v2/models/{name}/versions/{version}", get(version))
        .route("/v2/models/{name}/versions/{version}/ready", get(version_ready))
        .route("/v2/models/{name}/versions/{version}/infer", post(infer_version))
        .layer(axum::middleware::from_fn_with_state(server.clone(), authorise))
        .with_state(server)
}

async fn authorise(
    State(server): State<Arc<Server>>,
    headers: HeaderMap,
    request: Request,
    next: Next,
) -> Response {
    if let Some(token) = &server.options.token {
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
    let (_, worker) = server.find(name, version)?;
    let versions = server
        .models
        .get(name)
        .map(|versions| versions.keys().cloned().collect())
        .unwrap_or_default();
    let (inputs, outputs) = (worker.inputs.clone(), worker.outputs.clone());
    Ok(Json(ModelMetadata {
        name: name.to_string(),
        versions,
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
) -> Result<Json<InferResponse>, Failure> {
    answer(&server, &name, None, request).await
}

async fn infer_version(
    State(server): State<Arc<Server>>,
    Path((name, version)): Path<(String, String)>,
    request: Request,
) -> Result<Json<InferResponse>, Failure> {
    answer(&server, &name, Some(&version), request).await
}

async fn answer(
    server: &Server,
    name: &str,
    version: Option<&str>,
    request: Request,
) -> Result<Json<InferResponse>, Failure> {
    let (version, worker) = server.find(name, version)?;
    let room = server.room_for(&request)?;
    let request = server.read(request).await?;
    check_outputs(&request, worker)?;
    let id = request.id.clone();
    let outputs = tokio::time::timeout(server.options.timeout, worker.infer(request, room))
        .await
        .map_err(|_| Failure::new(StatusCode::GATEWAY_TIMEOUT, "the model took too long"))?
        .map_err(|refusal| match refusal {
            Refusal::Bad(message) => Failure::new(StatusCode::BAD_REQUEST, message),
            Refusal::Busy => Failure::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many requests wait for this model",
            ),
            Refusal::Failed(message) => {
                tracing::error!(model = name, version, message, "a model failed");
                Failure::new(StatusCode::INTERNAL_SERVER_ERROR, message)
            }
        })?;
    Ok(Json(InferResponse {
        model_name: name.to_string(),
        model_version: Some(version.to_string()),
        id,
        outputs,
    }))
}

/// Whether the model has the outputs that are asked for.
fn check_outputs(request: &InferRequest, worker: &Worker) -> Result<(), Failure> {
    let known: Vec<&str> = worker.outputs.iter().map(|output| output.name.as_str()).collect();
    let mut wanted = request.outputs.iter().map(|output| output.name.as_str());
    match wanted.find(|name| !known.contains(name)) {
        None => Ok(()),
        Some(name) => Err(Failure::new(
            StatusCode::BAD_REQUEST,
            format!("the model has no output '{name}'; there is: {}", known.join(", ")),
        )),
    }
}
