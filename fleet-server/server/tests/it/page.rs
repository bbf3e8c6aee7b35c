//! The page: login, what it shows, and forms that count only with the session's token.

use crate::fixture::{Answer, Fleet, TOKEN, http};
use serde_json::json;

pub(crate) struct Browser<'a> {
    fleet: &'a Fleet,
    cookie: String,
    csrf: String,
}

impl<'a> Browser<'a> {
    pub(crate) fn login(fleet: &'a Fleet) -> Self {
        let form = format!("token={}", TOKEN.replace(' ', "+").replace('\'', "%27"));
        let answer = post(fleet, "/login", "", &form);
        assert_eq!(answer.status, 303, "{}", answer.text());
        let cookie = answer
            .header("set-cookie")
            .unwrap()
            .split(';')
            .next()
            .unwrap()
            .to_owned();
        let mut browser = Self {
            fleet,
            cookie,
            csrf: String::new(),
        };
        let text = browser.get("/").text();
        let start = text.find("name=\"csrf\" value=\"").unwrap() + 19;
        browser.csrf = text[start..].split('"').next().unwrap().to_owned();
        browser
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        http(
            self.fleet.address(),
            "GET",
            path,
            &[("Cookie", &self.cookie)],
            b"",
        )
    }

    fn submit(&self, path: &str, more: &str) -> Answer {
        post(
            self.fleet,
            path,
            &self.cookie,
            &format!("csrf={}&{more}", self.csrf),
        )
    }
}

fn post(fleet: &Fleet, path: &str, cookie: &str, form: &str) -> Answer {
    let kind = ("Content-Type", "application/x-www-form-urlencoded");
    http(
        fleet.address(),
        "POST",
        path,
        &[kind, ("Cookie", cookie)],
        form.as_bytes(),
    )
}

#[test]
fn strangers_see_the_login_only() {
    let fleet = Fleet::new();
    for path in ["/", "/versions", "/rollouts", "/devices", "/rollouts/1"] {
        let answer = http(fleet.address(), "GET", path, &[], b"");
        assert_eq!(
            (answer.status, answer.header("location").as_deref()),
            (303, Some("/login")),
            "{path}"
        );
    }
    let login = http(fleet.address(), "GET", "/login", &[], b"");
    assert!(login.text().contains("Operator&#39;s token") || login.text().contains("Operator's token"));
    let wrong = post(&fleet, "/login", "", "token=wrong");
    assert!(wrong.status == 401 && wrong.header("set-cookie").is_none());
    let policy = login.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
}

#[test]
fn pages_show_the_fleet() {
    let fleet = Fleet::new();
    let v1 = fleet.publish("v1", &["champion"]);
    fleet.publish("v2", &[]);
    let mut device = fleet.enrol(1);
    device.active = Some(sanderling_wire::ActiveImage {
        digest: v1,
        rollout: None,
        confirmed: true,
    });
    device.check_in(&fleet);
    let browser = Browser::login(&fleet);
    let started = browser.submit(
        "/rollouts",
        "target=magika%40v2&base=&stages=1%2C+25%25%2C+100%25",
    );
    assert_eq!(started.status, 303, "{}", started.text());
    fleet.wait_event(1, "assign");
    let overview = browser.get("/").text();
    for part in [
        "v2 replaces v1",
        "magika v1",
        &device.id.short(),
        "What this can rule out",
        "Emergency brake",
    ] {
        assert!(overview.contains(part), "{part} is not on the page:\n{overview}");
    }
    assert!(browser.get("/versions").text().contains("champion"));
    assert!(browser.get("/rollouts").text().contains("Rollout 1"));
    assert!(
        browser
            .get("/rollouts/1")
            .text()
            .contains("starts rolling out magika v2 over v1")
    );
    assert!(
        browser
            .get(&format!("/devices/{}", device.id))
            .text()
            .contains("pi4")
    );
    assert_eq!(browser.get("/rollouts/9").status, 404);
    assert!(browser.get("/rollouts/9").text().contains("What to do"));
    for (path, kind) in [
        ("/static/style.css", "text/css"),
        ("/static/live.js", "text/javascript"),
        ("/static/icon.svg", "image/svg"),
    ] {
        assert!(
            browser
                .get(path)
                .header("content-type")
                .unwrap()
                .starts_with(kind)
        );
    }
    let paused = browser.submit("/rollouts/1/pause", "why=lunch");
    assert_eq!(paused.status, 303, "{}", paused.text());
    assert!(
        browser
            .get("/rollouts/1")
            .text()
            .contains("paused by its operator (lunch)")
    );
}

#[test]
fn forms_count_only_with_the_sessions_token() {
    let fleet = Fleet::new();
    let browser = Browser::login(&fleet);
    let forged = post(&fleet, "/fleet/freeze", &browser.cookie, "csrf=guess&why=evil");
    assert_eq!(forged.status, 403);
    assert_eq!(
        post(&fleet, "/fleet/freeze", &browser.cookie, "why=evil").status,
        422
    );
    assert_eq!(
        post(&fleet, "/fleet/freeze", "", "csrf=guess&why=evil").status,
        303
    );
    assert_eq!(fleet.get("/v1/fleet")["frozen"], json!(null));
    assert_eq!(browser.submit("/fleet/freeze", "why=%3Cb%3Eholidays").status, 303);
    // What operators write is text, never markup.
    assert!(
        browser.get("/").text().contains("&#60;b&#62;holidays"),
        "{}",
        browser.get("/").text()
    );
    assert_eq!(browser.submit("/fleet/unfreeze", "").status, 303);
    let enrolled = browser.submit("/enrolments", "why=desk");
    assert!(enrolled.text().contains("sdl1:"), "{}", enrolled.text());
    // A cookie is not enough for the API's commands.
    let kind = ("Cookie", browser.cookie.as_str());
    assert_eq!(
        http(fleet.address(), "POST", "/v1/freeze", &[kind], b"{}").status,
        401
    );
    assert_eq!(
        http(fleet.address(), "GET", "/v1/fleet", &[kind], b"").status,
        200
    );
    assert_eq!(browser.submit("/logout", "").status, 303);
    assert_eq!(browser.get("/").status, 303);
}

#[test]
fn a_device_is_decommissioned_from_its_page() {
    let fleet = Fleet::new();
    let device = fleet.enrol(1);
    let browser = Browser::login(&fleet);
    let path = format!("/devices/{}", device.id);
    assert_eq!(browser.submit(&format!("{path}/freeze"), "why=spare").status, 303);
    assert!(browser.get(&path).text().contains("kept from rollouts"));
    assert_eq!(
        browser.submit(&format!("{path}/decommission"), "why=sold").status,
        303
    );
    assert!(browser.get(&path).text().contains("decommissioned"));
}

#[test]
fn a_device_is_called_by_its_label() {
    let fleet = Fleet::new();
    let device = fleet.enrol(1);
    assert_eq!(fleet.get(&format!("/v1/devices/{}", device.id))["label"], "test");
    let browser = Browser::login(&fleet);
    for path in ["/".to_owned(), "/devices".to_owned()] {
        assert!(
            browser.get(&path).text().contains("</code></a> test</th>"),
            "{path}"
        );
    }
    let page = browser.get(&format!("/devices/{}", device.id)).text();
    assert!(page.contains("<dt>Label</dt><dd>test</dd>"), "{page}");
    let answer = fleet.call("POST", "/v1/enrolments", json!({ "label": "two\nlines" }));
    assert_eq!(answer.status, 400, "{}", answer.text());
}
