//! Operators' calls that change something: one at a time, written once, answered again where they come again.
//!
//! A call becomes a list of changes and an answer. Changes, audit entry and the answer (under the call's idempotency
//! key) are committed together, so a call whose answer was lost is answered again and not carried out again.

use crate::app::{App, Shared};
use crate::auth::{Bearer, Session};
use crate::problem::Problem;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts as _, Request};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use sanderling_store::{AuditEntry, Change, Committed, IdempotentReply};
use sanderling_wire::Digest;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// The header that carries the key.
pub(crate) const KEY: &str = "idempotency-key";
/// The header that marks an answer given before.
const REPLAYED: &str = "idempotency-replayed";
/// Longest key.
const MAX_KEY_LEN: usize = 255;

/// A call as received: by an operator's token, or by a form of the page.
pub(crate) struct Call {
    pub(crate) operator: String,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

impl Call {
    /// A form's submission. A browser repeats no form by itself, so it carries no idempotency key.
    pub(crate) fn of_form(session: &Session, method: Method, uri: Uri) -> Self {
        Self {
            operator: session.operator.clone(),
            method,
            uri,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    /// The JSON body; an empty one stands for `{}`.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let body: &[u8] = if self.body.is_empty() { b"{}" } else { &self.body };
        serde_json::from_slice(body).map_err(|error| {
            Problem::bad_request(
                format!("the body is not as expected: {error}"),
                "see /v1/openapi.json for its form",
            )
        })
    }
}

impl FromRequest<Shared> for Call {
    type Rejection = Response;

    async fn from_request(request: Request, app: &Shared) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        // Who calls comes first: a stranger's body is not read.
        let bearer = Bearer::from_request_parts(&mut parts, app).await;
        let Bearer(operator) = bearer.map_err(IntoResponse::into_response)?;
        let (method, uri, headers) = (parts.method.clone(), parts.uri.clone(), parts.headers.clone());
        let body = Bytes::from_request(Request::from_parts(parts, body), app).await;
        Ok(Self {
            operator,
            method,
            uri,
            headers,
            body: body.map_err(IntoResponse::into_response)?,
        })
    }
}

/// What a call comes to.
pub(crate) struct Outcome {
    pub(crate) status: StatusCode,
    /// The answer, JSON.
    pub(crate) body: String,
    pub(crate) changes: Vec<Change>,
    /// (action, subject, detail) for the audit trail.
    pub(crate) audit: (&'static str, String, String),
}

impl Outcome {
    pub(crate) fn new<T: Serialize>(
        status: StatusCode,
        body: &T,
        audit: (&'static str, String, String),
    ) -> Result<Self, Problem> {
        let body =
            serde_json::to_string(body).map_err(|error| Problem::internal("writing the answer", &error))?;
        Ok(Self {
            status,
            body,
            changes: Vec::new(),
            audit,
        })
    }

    pub(crate) fn with(mut self, changes: impl IntoIterator<Item = Change>) -> Self {
        self.changes.extend(changes);
        self
    }
}

/// Carries a call out, once. `decide` runs with no other operation under way; `after` runs after the commit.
///
/// A caller that goes away while `decide` runs has called nothing off but this call. From the commit on, a task of its own
/// sees to it that `after` runs too, so that memory and store never differ.
pub(crate) async fn once<D, A>(app: &Shared, call: Call, decide: D, after: A) -> Result<Response, Problem>
where
    D: AsyncFnOnce(&App) -> Result<Outcome, Problem>,
    A: FnOnce(&App, &Committed) + Send + 'static,
{
    let key = read_key(&call.headers)?;
    let fingerprint = fingerprint(&call);
    let alone = Arc::clone(&app.operations).lock_owned().await;
    if let Some(key) = key
        && let Some(kept) = app.store.remembered(&call.operator, key).await?
    {
        return replay(&kept, fingerprint);
    }
    let Outcome {
        status,
        body,
        mut changes,
        audit: (action, subject, detail),
    } = decide(app).await?;
    let (at, operator) = (app.now(), call.operator.clone());
    tracing::info!(operator, action, subject, detail, "an operator acts");
    changes.push(Change::Audit(AuditEntry {
        at,
        operator: operator.clone(),
        action: action.into(),
        subject,
        detail,
    }));
    if let Some(key) = key {
        changes.push(Change::Remember(IdempotentReply {
            operator,
            key: key.to_owned(),
            fingerprint,
            status: status.as_u16(),
            body: body.clone(),
            at,
        }));
    }
    let app = Arc::clone(app);
    let rest = tokio::spawn(async move {
        let committed = app.commit(changes).await?;
        after(&app, &committed);
        drop(alone);
        Ok::<_, Problem>(())
    });
    rest.await
        .map_err(|error| Problem::internal("carrying out an operator's call", &error))??;
    Ok(json(status, body))
}

fn read_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get(KEY) else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(key) if (1..=MAX_KEY_LEN).contains(&key.len()) => Ok(Some(key)),
        _ => Err(Problem::bad_request(
            "the Idempotency-Key is empty, too long or not plain text",
            format!("send 1 to {MAX_KEY_LEN} printable characters, a UUID for example"),
        )),
    }
}

fn fingerprint(call: &Call) -> Digest {
    let mut bytes = format!("{} {}\n", call.method, call.uri).into_bytes();
    bytes.extend_from_slice(&call.body);
    Digest::of(&bytes)
}

fn replay(kept: &IdempotentReply, fingerprint: Digest) -> Result<Response, Problem> {
    if kept.fingerprint != fingerprint {
        return Err(Problem::refused(
            "idempotency-key-reused",
            "this Idempotency-Key was used for another request",
            "use a new key for a new request",
        ));
    }
    let mut response = json(
        StatusCode::from_u16(kept.status).unwrap_or(StatusCode::OK),
        kept.body.clone(),
    );
    response
        .headers_mut()
        .insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

fn json(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
