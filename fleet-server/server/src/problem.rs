//! Errors as `application/problem+json` (RFC 9457), with what to do.

use crate::api::ProblemView;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sanderling_store::StoreError;
use sanderling_trust::http_sig::HttpSigError;
use sanderling_wire::api;

/// An answer that is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    kind: &'static str,
    title: &'static str,
    detail: String,
    action: String,
    /// When the device was decommissioned.
    since: Option<u64>,
}

impl Problem {
    pub(crate) fn new(
        status: StatusCode,
        kind: &'static str,
        title: &'static str,
        detail: impl Into<String>,
        action: impl Into<String>,
    ) -> Self {
        let (detail, action) = (detail.into(), action.into());
        Self {
            status,
            kind,
            title,
            detail,
            action,
            since: None,
        }
    }

    pub(crate) fn bad_request(detail: impl Into<String>, action: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad-request",
            "The request is not understood",
            detail,
            action,
        )
    }

    /// The request is understood and asks for what cannot be.
    pub(crate) fn refused(kind: &'static str, detail: impl Into<String>, action: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            kind,
            "The request cannot be carried out",
            detail,
            action,
        )
    }

    pub(crate) fn not_found(
        kind: &'static str,
        detail: impl Into<String>,
        action: impl Into<String>,
    ) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            kind,
            "There is no such thing",
            detail,
            action,
        )
    }

    pub(crate) fn conflict(kind: &'static str, detail: impl Into<String>, action: impl Into<String>) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            kind,
            "The request contradicts what is there",
            detail,
            action,
        )
    }

    pub(crate) fn forbidden(
        kind: &'static str,
        detail: impl Into<String>,
        action: impl Into<String>,
    ) -> Self {
        Self::new(StatusCode::FORBIDDEN, kind, "That is not allowed", detail, action)
    }

    /// The device was decommissioned: agents know this status and give up.
    pub(crate) fn gone(detail: impl Into<String>, since: Option<u64>) -> Self {
        let action =
            "to take the device back, enrol it anew: a new enrolment string, a new, empty state folder";
        let problem = Self::new(
            StatusCode::GONE,
            "decommissioned",
            "The device was decommissioned",
            detail,
            action,
        );
        Self { since, ..problem }
    }

    pub(crate) fn unauthorized(detail: impl Into<String>, action: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "Who are you?",
            detail,
            action,
        )
    }

    pub(crate) fn too_large(detail: impl Into<String>) -> Self {
        let action = "send less";
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            "The body is too large",
            detail,
            action,
        )
    }

    pub(crate) fn too_many() -> Self {
        let (detail, action) = ("too many failed attempts from this address", "wait a minute");
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too-many",
            "Slow down",
            detail,
            action,
        )
    }

    /// Not the caller's fault. The particulars go to the log, not to the caller.
    pub(crate) fn internal(context: &'static str, error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, context, "a request failed");
        let detail = format!("the server failed while {context}");
        let action = "try again; if it stays so, read the server's log";
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "The server failed",
            detail,
            action,
        )
    }

    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    pub(crate) fn action(&self) -> &str {
        &self.action
    }

    pub(crate) fn title(&self) -> &'static str {
        self.title
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = ProblemView {
            kind: self.kind.to_owned(),
            title: self.title.to_owned(),
            status: self.status.as_u16(),
            detail: self.detail,
            action: self.action,
        };
        let text = serde_json::to_string(&body).unwrap_or_default();
        let mut response = (self.status, text).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(at) = self.since {
            headers.insert(api::DECOMMISSIONED_AT, HeaderValue::from(at));
        }
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
            }
            _ => {}
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let text = error.to_string();
        match error {
            StoreError::Busy | StoreError::Closed => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "busy",
                "Not now",
                text,
                "try again in a second",
            ),
            StoreError::Conflict { .. } => {
                Self::conflict("conflict", text, "read what is there and decide anew")
            }
            StoreError::NotFound { .. } => Self::not_found("not-found", text, "read what is there"),
            StoreError::UnknownDevice(_) => Self::not_found(
                "unknown-device",
                text,
                "check the device's id in the list of devices",
            ),
            StoreError::Decommissioned(_) => Self::gone(text, None),
            StoreError::TokenInvalid | StoreError::TokenUsed => Self::forbidden(
                "enrolment-token",
                text,
                "make a new enrolment string and use it once",
            ),
            StoreError::TooManyIncarnations { .. } => Self::forbidden(
                "too-many-outboxes",
                text,
                "find out why the device loses its state",
            ),
            other => Self::internal("storing", &other),
        }
    }
}

impl From<HttpSigError> for Problem {
    fn from(error: HttpSigError) -> Self {
        let action = match error {
            HttpSigError::Stale { .. } => {
                "set the device's clock; the Date header of this answer is the server's"
            }
            _ => "sign the request with the device's key as RFC 9421 and sanderling-trust::http_sig say",
        };
        Self::unauthorized(error.to_string(), action)
    }
}
