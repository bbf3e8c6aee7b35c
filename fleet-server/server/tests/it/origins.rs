//! Pages of other origins: which may call the devices' API from a browser, and what they may read.

use crate::fixture::{Answer, Fleet, TOKEN, http};
use sanderling_server::{Server, ServerError};
use sanderling_wire::api;

const APP: &str = "https://app.example";
const DEVICE_PATHS: [(&str, &str); 4] = [
    ("POST", api::ENROL),
    ("POST", api::CHECK_IN),
    ("GET", "/v1/tuf/image/1.root.json"),
    ("GET", "/v1/images/00.sdl"),
];

fn fleet() -> Fleet {
    Fleet::with(|config| config.allow_origins = vec!["https://first.example".into(), APP.into()])
}

/// What a browser asks before it sends a request of an updater.
fn preflight(fleet: &Fleet, origin: &str, (method, path): (&str, &str)) -> Answer {
    let headers = [
        ("Origin", origin),
        ("Access-Control-Request-Method", method),
        (
            "Access-Control-Request-Headers",
            "content-digest,content-type,range,signature,signature-input",
        ),
    ];
    http(fleet.address(), "OPTIONS", path, &headers, b"")
}

fn list(answer: &Answer, header: &str) -> Vec<String> {
    let value = answer.header(header).unwrap_or_default().to_lowercase();
    let mut names: Vec<String> = value.split(',').map(|name| name.trim().to_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_page_of_an_allowed_origin_may_call_as_a_device() {
    let fleet = fleet();
    for call in DEVICE_PATHS {
        let asked = preflight(&fleet, APP, call);
        assert_eq!(asked.status, 200, "{call:?}: {}", asked.text());
        assert_eq!(asked.header("access-control-allow-origin").as_deref(), Some(APP));
        assert_eq!(asked.header("access-control-allow-credentials"), None);
        assert_eq!(list(&asked, "access-control-allow-methods"), ["get", "post"]);
        assert_eq!(
            list(&asked, "access-control-allow-headers"),
            [
                "content-digest",
                "content-type",
                "range",
                "signature",
                "signature-input"
            ]
        );
        // Nobody signed it; the page may read that, and what an updater reads of an answer.
        let sent = http(fleet.address(), call.0, call.1, &[("Origin", APP)], b"");
        assert!((400..500).contains(&sent.status), "{call:?}: {}", sent.status);
        assert_eq!(
            sent.header("access-control-allow-origin").as_deref(),
            Some(APP),
            "{call:?}"
        );
        assert_eq!(
            list(&sent, "access-control-expose-headers"),
            ["content-range", "decommissioned-at", "retry-after"]
        );
        assert!(list(&sent, "vary").contains(&"origin".to_owned()), "{call:?}");
    }
}

#[test]
fn any_other_page_may_not() {
    let fleet = fleet();
    for origin in [
        "https://other.example",
        "http://app.example",
        "https://app.example:8443",
        "https://app.example.evil.example",
        "https://app.exampl",
        "null",
    ] {
        for call in DEVICE_PATHS {
            let asked = preflight(&fleet, origin, call);
            assert_eq!(
                asked.header("access-control-allow-origin"),
                None,
                "{origin} {call:?}"
            );
            let sent = http(fleet.address(), call.0, call.1, &[("Origin", origin)], b"");
            assert_eq!(
                sent.header("access-control-allow-origin"),
                None,
                "{origin} {call:?}"
            );
        }
    }
}

#[test]
fn operators_calls_are_for_no_page_of_another_origin() {
    let fleet = fleet();
    let bearer = format!("Bearer {TOKEN}");
    for call in [
        ("GET", "/v1/fleet"),
        ("POST", "/v1/freeze"),
        ("PUT", "/v1/images/00.sdl"),
    ] {
        let asked = preflight(&fleet, APP, call);
        let methods = list(&asked, "access-control-allow-methods");
        let headers = list(&asked, "access-control-allow-headers");
        assert!(!methods.contains(&"put".to_owned()), "{call:?}");
        assert!(!headers.contains(&"authorization".to_owned()), "{call:?}");
    }
    let headers = [("Origin", APP), ("Authorization", bearer.as_str())];
    let sent = http(fleet.address(), "GET", "/v1/fleet", &headers, b"");
    assert_eq!(sent.header("access-control-allow-origin"), None);
}

#[test]
fn by_default_no_page_may() {
    let fleet = Fleet::new();
    for call in DEVICE_PATHS {
        let asked = preflight(&fleet, APP, call);
        assert_eq!(asked.status, 405, "{call:?}");
        assert_eq!(asked.header("access-control-allow-origin"), None);
    }
}

#[test]
fn an_origin_that_would_never_match_is_refused() {
    let fleet = Fleet::new();
    for origin in [
        "*",
        "null",
        "app.example",
        "https://app.example/",
        "https://app.example/path",
        "https://App.example",
        "https://app.example:443",
        "http://127.0.0.1:80",
        "http://app.example",
        "https://",
    ] {
        let mut config = fleet.config();
        config.data = fleet.folder.path().join("other");
        config.allow_origins = vec![origin.into()];
        let setting = match Server::start_blocking(config) {
            Err(ServerError::Setting { setting, value, .. }) => Some((setting, value)),
            _ => None,
        };
        assert_eq!(setting, Some(("allow_origins", origin.to_owned())));
    }
    for origin in [
        APP,
        "https://app.example:8443",
        "http://127.0.0.1:8000",
        "http://localhost:5173",
    ] {
        drop(Fleet::with(|config| config.allow_origins = vec![origin.into()]));
    }
}
