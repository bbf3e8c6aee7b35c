//! The page: server-rendered HTML, one stylesheet, one small script that keeps it live.
//!
//! Every page is whole without the script. With it, server-sent events say that something changed; the script fetches
//! the same page again and puts the parts marked `data-live` in place. Forms carry the session's CSRF token and
//! end in the same functions as the API's calls.

mod actions;
mod login;
mod show;
mod text;
mod timeline;

use crate::app::Shared;
use crate::problem::Problem;
use askama::Template;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};

/// What browsers may load and do on these pages.
pub(crate) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The page's routes.
pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/", get(show::overview))
        .route("/login", get(login::form).post(login::submit))
        .route("/logout", post(login::leave))
        .route("/versions", get(show::versions))
        .route("/rollouts", get(show::rollouts).post(actions::start))
        .route("/rollouts/{id}", get(show::rollout))
        .route("/rollouts/{id}/{command}", post(actions::steer))
        .route("/devices", get(show::devices))
        .route("/devices/{id}", get(show::device))
        .route("/devices/{id}/{command}", post(actions::device))
        .route("/fleet/{command}", post(actions::fleet))
        .route("/enrolments", post(actions::enrol))
        .route("/static/style.css", get(style))
        .route("/static/live.js", get(script))
        .route("/static/icon.svg", get(icon))
}

/// Files are part of the binary: an hour in the browser's cache is short beside a server's update.
fn file(kind: &'static str, text: &'static str) -> Response {
    (
        [
            (header::CONTENT_TYPE, kind),
            (header::CACHE_CONTROL, "max-age=3600"),
        ],
        text,
    )
        .into_response()
}

async fn style() -> Response {
    file("text/css; charset=utf-8", include_str!("../../static/style.css"))
}

async fn script() -> Response {
    file(
        "text/javascript; charset=utf-8",
        include_str!("../../static/live.js"),
    )
}

async fn icon() -> Response {
    file("image/svg+xml", include_str!("../../static/icon.svg"))
}

/// Renders a template.
fn render(template: &impl Template) -> Result<Response, Refusal> {
    let text = template
        .render()
        .map_err(|error| Problem::internal("drawing a page", &error))?;
    Ok(Html(text).into_response())
}

/// A problem as a page.
#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    title: &'a str,
    detail: &'a str,
    action: &'a str,
}

/// What a page's handler answers instead of the page.
pub(crate) struct Refusal(Problem);

impl<P: Into<Problem>> From<P> for Refusal {
    fn from(problem: P) -> Self {
        Self(problem.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(problem) = self;
        let page = ProblemPage {
            title: problem.title(),
            detail: problem.detail(),
            action: problem.action(),
        };
        let status: StatusCode = problem.status;
        match page.render() {
            Ok(text) => (status, Html(text)).into_response(),
            Err(_) => problem.into_response(),
        }
    }
}
