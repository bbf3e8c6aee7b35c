//! Which path leads where, and what every request goes through.

use crate::app::Shared;
use crate::auth::same_site;
use crate::metrics::RequestLabels;
use crate::operator::{devices, fleet, rollouts, versions};
use crate::problem::Problem;
use crate::{device, feeds, files, metrics, page};
use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use sanderling_wire::api;
use std::time::Duration;
use tower::util::option_layer;
use tower_http::cors::CorsLayer;

/// Most bytes of an operator's JSON: metadata files in base64, mostly.
const MAX_JSON: usize = 16 * 1024 * 1024;
/// Most bytes of a form.
const MAX_FORM: usize = 64 * 1024;
/// How long a request may take until its answer begins. Uploads and long polls have their own bounds.
const PATIENCE: Duration = Duration::from_secs(90);

/// How long a browser need not ask again whether a page may.
const ASK_AGAIN: Duration = Duration::from_secs(3600);

/// All routes.
pub(crate) fn router(app: Shared) -> Router {
    let devices = Router::new()
        // A browser's question before a request (OPTIONS) has a route of its own: the fallback is not layered.
        .route(api::ENROL, post(device::enrol).options(wrong_method))
        .route(api::CHECK_IN, post(device::check_in).options(wrong_method))
        .route(
            "/v1/tuf/{repository}/{name}",
            get(files::metadata).options(wrong_method),
        )
        .route("/v1/images/{file}", get(files::get_image).options(wrong_method))
        .layer(DefaultBodyLimit::max(api::MAX_MESSAGE_LEN))
        .layer(option_layer(cors(&app.config.allow_origins)));
    let people = operators().merge(page::routes().layer(DefaultBodyLimit::max(MAX_FORM)));
    let people = people.layer(from_fn_with_state(app.clone(), same_site));
    Router::new()
        .merge(devices)
        .merge(people)
        .route("/metrics", get(metrics::show))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .fallback(nothing)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(app.clone(), around))
        .with_state(app)
}

/// Lets pages of these origins call the devices' API; none: browsers let no page of another origin read its answers.
fn cors(origins: &[String]) -> Option<CorsLayer> {
    let origins: Vec<HeaderValue> = origins.iter().filter_map(|origin| origin.parse().ok()).collect();
    let layer = CorsLayer::new()
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([
            header::CONTENT_TYPE,
            header::RANGE,
            HeaderName::from_static("content-digest"),
            HeaderName::from_static("signature-input"),
            HeaderName::from_static("signature"),
        ])
        .expose_headers([
            header::CONTENT_RANGE,
            header::RETRY_AFTER,
            HeaderName::from_static(api::DECOMMISSIONED_AT),
        ])
        .max_age(ASK_AGAIN);
    (!origins.is_empty()).then(|| layer.allow_origin(origins))
}

fn operators() -> Router<Shared> {
    Router::new()
        .route("/v1/fleet", get(fleet::show))
        .route("/v1/freeze", post(fleet::freeze))
        .route("/v1/unfreeze", post(fleet::unfreeze))
        .route("/v1/audit", get(fleet::audit))
        .route(
            "/v1/enrolments",
            post(devices::create_enrolment).get(devices::enrolments),
        )
        .route("/v1/devices", get(devices::list))
        .route("/v1/devices/{id}", get(devices::show))
        .route("/v1/devices/{id}/events", get(devices::events))
        .route("/v1/devices/{id}/decommission", post(devices::decommission))
        .route("/v1/devices/{id}/freeze", post(devices::freeze))
        .route("/v1/devices/{id}/unfreeze", post(devices::unfreeze))
        .route("/v1/versions", post(versions::publish).get(versions::list))
        .route("/v1/versions/{ref}", get(versions::show))
        .route(
            "/v1/models/{name}/aliases/{alias}",
            put(versions::set_alias).delete(versions::remove_alias),
        )
        .route(
            "/v1/metadata/{repository}",
            post(versions::put_metadata).get(versions::show_metadata),
        )
        .route("/v1/rollouts", post(rollouts::create).get(rollouts::list))
        .route("/v1/rollouts/{id}", get(rollouts::show))
        .route("/v1/rollouts/{id}/{command}", post(rollouts::command))
        .route("/v1/ledger", get(feeds::ledger))
        .route("/v1/events", get(feeds::events))
        .route("/v1/stream", get(feeds::stream))
        .route("/v1/openapi.json", get(openapi))
        .layer(DefaultBodyLimit::max(MAX_JSON))
        .route(
            "/v1/images/{file}",
            put(files::put_image).layer(DefaultBodyLimit::disable()),
        )
}

async fn openapi() -> Response {
    (
        [(header::CONTENT_TYPE, "application/json")],
        crate::api::openapi_json(),
    )
        .into_response()
}

/// Ready: the database answers and the server is not stopping. Lines after the first say what people have to renew.
async fn ready(State(app): State<Shared>) -> Result<String, Problem> {
    if *app.stop.borrow() {
        let (detail, action) = ("the server is stopping", "ask another one");
        return Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "stopping",
            "Not ready",
            detail,
            action,
        ));
    }
    app.store.ping().await?;
    let lines = app
        .expiring()
        .into_iter()
        .map(|warning| format!("warning: {warning}\n"));
    Ok(std::iter::once("ready\n".to_owned()).chain(lines).collect())
}

async fn nothing(request: Request) -> Problem {
    let detail = format!("there is nothing at {}", request.uri().path());
    Problem::not_found("no-route", detail, "see /v1/openapi.json for what there is")
}

async fn wrong_method(request: Request) -> Problem {
    let detail = format!("{} is not possible at {}", request.method(), request.uri().path());
    let action = "see /v1/openapi.json for what is";
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "wrong-method",
        "Wrong method",
        detail,
        action,
    )
}

/// Bounds the time, counts, logs, and says to browsers what they must not do.
async fn around(State(app): State<Shared>, request: Request, next: Next) -> Response {
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("none".to_owned(), |path| path.as_str().to_owned());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let unbounded = method == Method::PUT;
    let began = std::time::Instant::now();
    let mut response = if unbounded {
        next.run(request).await
    } else {
        match tokio::time::timeout(PATIENCE, next.run(request)).await {
            Ok(response) => response,
            Err(_) => {
                let detail = format!("the request took more than {} s", PATIENCE.as_secs());
                Problem::new(
                    StatusCode::REQUEST_TIMEOUT,
                    "timeout",
                    "Too slow",
                    detail,
                    "try again",
                )
                .into_response()
            }
        }
    };
    let status = response.status().as_u16();
    app.metrics
        .requests
        .get_or_create(&RequestLabels { route, status })
        .inc();
    tracing::debug!(%method, path, status, micros = began.elapsed().as_micros() as u64, "request");
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (header::CONTENT_SECURITY_POLICY, page::POLICY),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}
