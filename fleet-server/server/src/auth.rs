//! Who commands: operators by bearer token, browsers by a session cookie; and what keeps other pages out.
//!
//! A page of another site can make a browser send requests here, even to loopback. So a browser's request counts only
//! if its `Host` is one of ours (a name rebound to this address is not), if its `Origin`, where it has one, is ours
//! too, and if a form carries the session's CSRF token. The cookie is `SameSite=Strict` besides.

use crate::app::{App, Shared, random};
use crate::config::Operator;
use crate::problem::Problem;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use sanderling_wire::Digest;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};

/// The session cookie's name.
const COOKIE: &str = "sanderling_session";
/// Seconds that a session lives.
const SESSION_S: u64 = 12 * 3600;
/// Sessions held; beyond, the oldest goes.
const MAX_SESSIONS: usize = 1024;
/// Failed attempts of one address in a minute before it has to wait.
const MAX_FAILURES: u32 = 20;
/// Addresses watched; beyond, all are forgotten, which favours the innocent.
const MAX_ADDRESSES: usize = 16_384;

/// The other end of a connection, as an extension of its requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// An operator by bearer token, as handlers of the API ask for.
#[derive(Debug, Clone)]
pub(crate) struct Bearer(pub(crate) String);

impl FromRequestParts<Shared> for Bearer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Problem> {
        check_bearer(app, &parts.headers, peer(&parts.extensions)).map(Self)
    }
}

/// The address at the other end; unknown counts as one address.
fn peer(extensions: &axum::http::Extensions) -> IpAddr {
    extensions
        .get::<Peer>()
        .map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.0.ip())
}

/// The operator of a request's bearer token.
pub(crate) fn check_bearer(app: &App, headers: &HeaderMap, peer: IpAddr) -> Result<String, Problem> {
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "))
        .ok_or_else(|| {
            Problem::unauthorized(
                "the request has no operator's token",
                "send `Authorization: Bearer <token>` with a token of this server's configuration",
            )
        })?;
    check_token(app, token, peer)
}

/// The operator of a token. A right one passes whatever else comes from its address: a whole company may be behind one.
/// Wrong ones are counted by address, and told to wait once they are many. Trying costs one hash either way, and tokens
/// are random and too long to be guessed.
pub(crate) fn check_token(app: &App, token: &str, peer: IpAddr) -> Result<String, Problem> {
    // Comparing hashes tells an attacker nothing about the token, however long it takes.
    let hash = Digest::of(token.trim().as_bytes());
    let found = app
        .config
        .operators
        .iter()
        .find(|operator: &&Operator| operator.token == hash);
    match found {
        Some(operator) => Ok(operator.name.clone()),
        None if !app.throttle.may_try(peer, app.now()) => Err(Problem::too_many()),
        None => {
            app.throttle.failed(peer, app.now());
            Err(Problem::unauthorized(
                "the token is not one of this server's operators",
                "check the token, or add its SHA-256 to the server's configuration",
            ))
        }
    }
}

/// Counts failures by address.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    /// (start of the minute, failures).
    failures: Mutex<HashMap<IpAddr, (u64, u32)>>,
}

impl Throttle {
    pub(crate) fn may_try(&self, peer: IpAddr, now: u64) -> bool {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures
            .get(&peer)
            .is_none_or(|&(since, count)| now >= since + 60 || count < MAX_FAILURES)
    }

    pub(crate) fn failed(&self, peer: IpAddr, now: u64) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= MAX_ADDRESSES {
            failures.clear();
        }
        let entry = failures.entry(peer).or_insert((now, 0));
        if now >= entry.0 + 60 {
            *entry = (now, 0);
        }
        entry.1 += 1;
    }
}

/// A person at the page.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) operator: String,
    pub(crate) csrf: String,
    expires: u64,
}

/// Sessions by the hash of their cookie.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<HashMap<Digest, Session>>);

impl Sessions {
    /// Opens a session; answers its `Set-Cookie` value.
    pub(crate) fn open(&self, operator: &str, now: u64, secure: bool) -> Result<String, Problem> {
        let (id, csrf) = (hex::encode(random::<32>()?), hex::encode(random::<32>()?));
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_, session| session.expires > now);
        if sessions.len() >= MAX_SESSIONS {
            let oldest = sessions
                .iter()
                .min_by_key(|(_, session)| session.expires)
                .map(|(key, _)| *key);
            oldest.map(|key| sessions.remove(&key));
        }
        let session = Session {
            operator: operator.to_owned(),
            csrf,
            expires: now + SESSION_S,
        };
        sessions.insert(Digest::of(id.as_bytes()), session);
        let secure = if secure { "; Secure" } else { "" };
        Ok(format!(
            "{COOKIE}={id}; Path=/; HttpOnly; SameSite=Strict; Max-Age={SESSION_S}{secure}"
        ))
    }

    /// The session of a request's cookie.
    pub(crate) fn find(&self, headers: &HeaderMap, now: u64) -> Option<Session> {
        let key = Digest::of(cookie(headers)?.as_bytes());
        let sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions
            .get(&key)
            .filter(|session| session.expires > now)
            .cloned()
    }

    /// Ends the session of a request's cookie.
    pub(crate) fn close(&self, headers: &HeaderMap) {
        if let Some(id) = cookie(headers) {
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&Digest::of(id.as_bytes()));
        }
    }
}

/// The `Set-Cookie` value that takes the cookie away.
pub(crate) fn no_cookie() -> String {
    format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0")
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let mut pairs = cookies
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, id)| id)
}

/// A person at the page, as handlers of the page ask for; others are sent to the login.
impl FromRequestParts<Shared> for Session {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Response> {
        app.sessions
            .find(&parts.headers, app.now())
            .ok_or_else(|| Redirect::to("/login").into_response())
    }
}

impl Session {
    /// Checks a form's CSRF token.
    pub(crate) fn check_csrf(&self, token: &str) -> Result<(), Problem> {
        if Digest::of(token.as_bytes()) == Digest::of(self.csrf.as_bytes()) {
            return Ok(());
        }
        Err(Problem::forbidden(
            "csrf",
            "the form does not carry this session's token: it may come from another site",
            "reload the page and try again",
        ))
    }
}

/// An operator by token or by session: for what both API clients and the page read.
#[derive(Debug, Clone)]
pub(crate) struct Reader;

impl FromRequestParts<Shared> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Problem> {
        if app.sessions.find(&parts.headers, app.now()).is_some() {
            return Ok(Self);
        }
        check_bearer(app, &parts.headers, peer(&parts.extensions)).map(|_| Self)
    }
}

/// Refuses requests that name another host, or come from another site's page.
pub(crate) async fn same_site(State(app): State<Shared>, request: Request, next: Next) -> Response {
    match check_site(&app.hosts, request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn check_site(hosts: &[String], method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = text(header::HOST).unwrap_or_default();
    let ours = |name: &str| hosts.iter().any(|host| host.eq_ignore_ascii_case(name));
    if !ours(host) {
        return Err(Problem::new(
            axum::http::StatusCode::MISDIRECTED_REQUEST,
            "host",
            "Wrong host",
            format!("this server does not answer for {host:?}"),
            format!("call it by one of {}, or set `public_url`", hosts.join(", ")),
        ));
    }
    let foreign = |what: &str| {
        let action = "use the server's own page or the command line";
        Problem::forbidden(
            "origin",
            format!("the request comes from {what}, another site's page"),
            action,
        )
    };
    let reads = *method == Method::GET || *method == Method::HEAD;
    if let Some(origin) = text(header::ORIGIN) {
        let name = origin.split_once("://").map_or(origin, |(_, name)| name);
        if !ours(name) {
            return Err(foreign(origin));
        }
    }
    match headers
        .get("sec-fetch-site")
        .and_then(|value| value.to_str().ok())
    {
        Some("cross-site" | "same-site") if !reads => Err(foreign("a cross-site request")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn check(method: Method, headers: &[(&'static str, &'static str)]) -> Result<(), Problem> {
        let mut map = HeaderMap::new();
        for &(name, value) in headers {
            map.insert(name, HeaderValue::from_static(value));
        }
        check_site(&["127.0.0.1:8080".into(), "localhost:8080".into()], &method, &map)
    }

    #[test]
    fn only_our_hosts_and_our_pages() {
        assert!(check(Method::GET, &[("host", "localhost:8080")]).is_ok());
        assert!(check(Method::GET, &[]).is_err());
        assert!(check(Method::GET, &[("host", "rebound.example:8080")]).is_err());
        let ours = ("host", "127.0.0.1:8080");
        assert!(check(Method::POST, &[ours, ("origin", "http://127.0.0.1:8080")]).is_ok());
        assert!(check(Method::POST, &[ours, ("origin", "http://evil.example")]).is_err());
        assert!(check(Method::POST, &[ours, ("origin", "null")]).is_err());
        assert!(check(Method::POST, &[ours, ("sec-fetch-site", "cross-site")]).is_err());
        assert!(check(Method::GET, &[ours, ("sec-fetch-site", "cross-site")]).is_ok());
    }

    #[test]
    fn failures_are_counted_by_minute() {
        let throttle = Throttle::default();
        let peer = IpAddr::from([127, 0, 0, 1]);
        (0..MAX_FAILURES).for_each(|_| throttle.failed(peer, 100));
        assert!(!throttle.may_try(peer, 159));
        assert!(throttle.may_try(peer, 160));
        assert!(throttle.may_try(IpAddr::from([127, 0, 0, 2]), 100));
    }

    #[test]
    fn sessions_end() {
        let sessions = Sessions::default();
        let cookie = sessions.open("ann", 100, true).unwrap();
        assert!(
            cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && cookie.contains("Secure")
        );
        let mut headers = HeaderMap::new();
        let pair = format!("other=1; {}", cookie.split(';').next().unwrap());
        headers.insert(header::COOKIE, HeaderValue::from_str(&pair).unwrap());
        let session = sessions.find(&headers, 101).unwrap();
        assert!(session.check_csrf(&session.csrf).is_ok() && session.check_csrf("x").is_err());
        assert!(sessions.find(&headers, 100 + SESSION_S).is_none());
        sessions.close(&headers);
        assert!(sessions.find(&headers, 101).is_none());
    }
}
