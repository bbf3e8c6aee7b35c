//! Metadata files and bundles: what devices fetch, and how bundles come in.
//!
//! A bundle is named by its SHA-256, so it is written once, under a name that says what is in it: streamed into a
//! temporary file, hashed on the way, synced, then renamed. Half a bundle is never there.

use crate::app::{App, Shared, random};
use crate::auth::{Bearer, Peer, check_bearer};
use crate::problem::Problem;
use crate::registry::{DIRECTOR, IMAGE};
use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt as _;
use sanderling_wire::Digest;
use sha2::{Digest as _, Sha256};
use std::path::{Path as FilePath, PathBuf};
use std::time::Duration;
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;
use tower::ServiceExt as _;
use tower_http::services::ServeFile;

/// Seconds without a byte after which an upload is given up.
const STALL: Duration = Duration::from_secs(30);

/// Devices sign, operators have a token: nobody else reads.
async fn authorise(
    app: &App,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    peer: Peer,
) -> Result<(), Problem> {
    if headers.contains_key(header::AUTHORIZATION) {
        return check_bearer(app, headers, peer.0.ip()).map(drop);
    }
    app.guard
        .check(app, &crate::device::signed(method, uri, b""), headers)
        .await
        .map(drop)
}

/// `GET /v1/tuf/{repository}/{name}`.
pub(crate) async fn metadata(
    State(app): State<Shared>,
    Extension(peer): Extension<Peer>,
    Path((repository, name)): Path<(String, String)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    authorise(&app, &method, &uri, &headers, peer).await?;
    let missing = || {
        Problem::not_found(
            "no-metadata",
            format!("{repository} has no {name}"),
            "ask for another version",
        )
    };
    if repository != IMAGE && repository != DIRECTOR {
        return Err(missing());
    }
    let bytes = app
        .store
        .tuf_file(&repository, &name)
        .await?
        .ok_or_else(missing)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], bytes).into_response())
}

/// The digest of a file name `<hex>.sdl`.
fn digest_of(name: &str) -> Result<Digest, Problem> {
    let hex = name.strip_suffix(".sdl").unwrap_or(name);
    hex.parse().map_err(|error| {
        Problem::bad_request(
            format!("{name}: {error}"),
            "name a bundle by the SHA-256 of its bytes, <hex>.sdl",
        )
    })
}

/// Where a bundle is.
pub(crate) fn image_path(app: &App, digest: Digest) -> PathBuf {
    app.images().join(format!("{digest}.sdl"))
}

/// `GET /v1/images/{sha256}.sdl`, with ranges.
pub(crate) async fn get_image(
    State(app): State<Shared>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    authorise(&app, request.method(), request.uri(), request.headers(), peer).await?;
    let path = image_path(&app, digest_of(&name)?);
    if !tokio::fs::try_exists(&path).await.unwrap_or(false) {
        let detail = format!("no bundle {name} was published here");
        return Err(Problem::not_found(
            "no-image",
            detail,
            "publish it with `sanderling rollout publish`",
        ));
    }
    let mut served = match ServeFile::new(path).oneshot(request).await {
        Ok(served) => served.map(Body::new),
        Err(never) => match never {},
    };
    served.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    app.metrics.downloads.inc();
    Ok(served)
}

/// Uploads a bundle's bytes.
#[utoipa::path(put, path = "/v1/images/{file}", request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    params(("file" = String, Path, description = "`<sha256>.sdl`")),
    responses((status = 201, description = "stored"), (status = 200, description = "was there already"),
        (status = 422, body = crate::api::ProblemView)))]
pub(crate) async fn put_image(
    State(app): State<Shared>,
    Bearer(operator): Bearer,
    Path(name): Path<String>,
    mut body: Body,
) -> Result<Response, Problem> {
    let digest = digest_of(&name)?;
    let path = image_path(&app, digest);
    if tokio::fs::try_exists(&path).await.unwrap_or(false) {
        // Read on, within the limit: a client that still sends would take an early answer for a broken connection.
        let mut left = app.config.limits.image_bytes;
        while let Ok(Some(Ok(frame))) = tokio::time::timeout(STALL, body.frame()).await {
            let length = frame.data_ref().map_or(0, |data| data.len() as u64);
            let Some(rest) = left.checked_sub(length) else {
                break;
            };
            left = rest;
        }
        return Ok(StatusCode::OK.into_response());
    }
    let temporary = app
        .images()
        .join(format!(".upload-{}", hex::encode(random::<8>()?)));
    let received = receive(&app, &temporary, body).await;
    let placed = match received {
        Ok(found) if found == digest => place(&temporary, &path).await,
        Ok(found) => Err(Problem::refused(
            "wrong-hash",
            format!("the bytes have the SHA-256 {found}, not {digest}"),
            "upload the file again: it was changed on the way",
        )),
        Err(problem) => Err(problem),
    };
    if let Err(problem) = placed {
        // Best effort: what is left over is cleared at the next start.
        let _ = tokio::fs::remove_file(&temporary).await;
        return Err(problem);
    }
    tracing::info!(%digest, operator, "a bundle was uploaded");
    Ok(StatusCode::CREATED.into_response())
}

/// Writes a body to a file; answers its hash.
async fn receive(app: &App, path: &FilePath, mut body: Body) -> Result<Digest, Problem> {
    let mut file = File::create_new(path).await.map_err(storing)?;
    let (mut sha, mut length) = (Sha256::new(), 0u64);
    loop {
        let frame = tokio::time::timeout(STALL, body.frame())
            .await
            .map_err(|_| Problem::bad_request("the upload stalled", "check the network and upload again"))?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| {
            Problem::bad_request(format!("the upload broke off: {error}"), "upload the file again")
        })?;
        let Ok(data) = frame.into_data() else { continue };
        length += data.len() as u64;
        if length > app.config.limits.image_bytes {
            let limit = app.config.limits.image_bytes;
            return Err(Problem::too_large(format!(
                "a bundle has at most {limit} bytes (limits.image_bytes)"
            )));
        }
        sha.update(&data);
        file.write_all(&data).await.map_err(storing)?;
    }
    // tokio's file answers for a write at the next call; `sync_all` would pass over the last one's failure.
    file.flush().await.map_err(storing)?;
    file.sync_all().await.map_err(storing)?;
    Ok(Digest(sha.finalize().into()))
}

async fn place(temporary: &FilePath, path: &FilePath) -> Result<(), Problem> {
    tokio::fs::rename(temporary, path).await.map_err(storing)?;
    if let Some(folder) = path.parent() {
        let folder = File::open(folder).await.map_err(storing)?;
        folder.sync_all().await.map_err(storing)?;
    }
    Ok(())
}

fn storing(error: std::io::Error) -> Problem {
    if error.kind() == std::io::ErrorKind::StorageFull {
        return Problem::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "disk-full",
            "No room",
            "the server's disk is full",
            "make room on the server and upload again",
        );
    }
    Problem::internal("storing a bundle", &error)
}

/// Clears what uploads left behind when the server was killed.
pub(crate) fn clear_leftovers(folder: &FilePath) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(".upload-") {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
