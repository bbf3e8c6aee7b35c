//! Login and logout.

use super::{Refusal, render};
use crate::app::Shared;
use crate::auth::{Peer, Session, check_token, no_cookie};
use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, Form};
use serde::Deserialize;

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    problem: Option<&'a str>,
    no_operators: bool,
}

/// What the form sends.
#[derive(Deserialize)]
pub(super) struct Login {
    token: String,
}

/// What the logout form sends.
#[derive(Deserialize)]
pub(super) struct Leave {
    csrf: String,
}

/// `GET /login`.
pub(super) async fn form(State(app): State<Shared>) -> Result<Response, Refusal> {
    render(&LoginPage {
        problem: None,
        no_operators: app.config.operators.is_empty(),
    })
}

/// `POST /login`.
pub(super) async fn submit(
    State(app): State<Shared>,
    Extension(peer): Extension<Peer>,
    Form(login): Form<Login>,
) -> Result<Response, Refusal> {
    match check_token(&app, &login.token, peer.0.ip()) {
        Ok(operator) => {
            let cookie = app.sessions.open(&operator, app.now(), app.secure())?;
            tracing::info!(operator, "an operator logged in");
            Ok(with_cookie(Redirect::to("/").into_response(), &cookie))
        }
        Err(problem) => {
            let page = LoginPage {
                problem: Some(problem.detail()),
                no_operators: app.config.operators.is_empty(),
            };
            let mut response = render(&page)?;
            *response.status_mut() = StatusCode::UNAUTHORIZED;
            Ok(response)
        }
    }
}

/// `POST /logout`.
pub(super) async fn leave(
    State(app): State<Shared>,
    session: Session,
    headers: HeaderMap,
    Form(leave): Form<Leave>,
) -> Result<Response, Refusal> {
    session.check_csrf(&leave.csrf)?;
    app.sessions.close(&headers);
    Ok(with_cookie(Redirect::to("/login").into_response(), &no_cookie()))
}

fn with_cookie(mut response: Response, cookie: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    response
}
