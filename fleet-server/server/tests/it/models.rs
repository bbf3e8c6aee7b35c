//! A fleet with several models: a rollout of one leaves the others' devices alone.

use crate::fixture::Fleet;
use crate::page::Browser;
use crate::rollouts::round;
use serde_json::json;

#[test]
fn a_rollout_leaves_devices_of_another_model_alone() {
    let fleet = Fleet::new();
    let v1 = fleet.publish("v1", &["champion"]);
    fleet.publish("v2", &[]);
    let ocr = fleet.publish_model("ocr", "1", &["champion"]);
    fleet.publish_model("ocr", "2", &[]);
    let mut readers = vec![fleet.enrol_with(1, v1), fleet.enrol_with(2, v1)];
    let mut other = fleet.enrol_with(3, ocr);
    let start = |target: &str| fleet.post("/v1/rollouts", json!({ "target": target }));
    assert_eq!(start("magika@v2")["model"], "magika");
    let entry = fleet.wait_event(1, "exclude");
    let sentences = entry["body"]["sentences"].to_string();
    assert!(
        sentences.contains("1 device left out: runs ocr, another model"),
        "{sentences}"
    );
    round(&fleet, &mut readers);
    assert!(
        readers
            .iter()
            .all(|device| device.active.unwrap().rollout.is_some())
    );
    let (_, document) = other.check_in(&fleet);
    assert_eq!((document.target, document.rollout), (None, None));
    assert_eq!(fleet.get("/v1/rollouts/1")["assessment"]["excluded"], 1);
    // Its own model's rollout runs beside, and takes nobody from the first.
    assert_eq!(start("ocr@2")["model"], "ocr");
    fleet.wait_event(2, "assign");
    fleet.advance(1);
    let (_, document) = other.check_in(&fleet);
    assert_eq!(document.rollout.unwrap().rollout.0, 2);
    let first = readers[0].active;
    round(&fleet, &mut readers);
    assert_eq!(readers[0].active, first);
    let page = Browser::login(&fleet).get("/").text();
    for words in [
        "Rollout 1</a> of magika",
        "Rollout 2</a> of ocr",
        "magika: 1 device left out",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
}
