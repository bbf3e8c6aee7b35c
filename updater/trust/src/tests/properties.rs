//! What must hold for any bytes.

use super::*;
use proptest::prelude::*;

/// Every single bit of a signed file: flipped, the file is refused or means the same (white space there is
/// none; hexadecimal digits of a signature have two cases).
#[test]
fn any_flipped_bit_is_refused() {
    let scene = Scene::new();
    let mut repo = scene.repo.clone();
    repo.release();
    let mut kept = 0;
    let good = repo.bytes("timestamp.json").to_vec();
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let mut images = scene.images.clone();
        if images.update_timestamp(&bytes, NOW).is_ok() {
            let letter = good[bit / 8].is_ascii_alphabetic() && bit % 8 == 5;
            assert!(letter, "bit {bit} of {:?}", core::str::from_utf8(&good).unwrap());
            kept += 1;
        }
    }
    // Upper-case digits within the one signature.
    assert!(kept <= 128, "{kept}");

    let mut director = scene.director.clone();
    let mut document = scene.document.clone();
    document.header.version += 1;
    let good = signed(&document.to_value(), &[DIRECTOR]);
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let letter = good[bit / 8].is_ascii_alphabetic() && bit % 8 == 5;
        let taken = director.verify(&bytes, &scene.device, NOW).is_ok();
        assert!(!taken || letter, "bit {bit}");
    }
}

fn metadata_like() -> impl Strategy<Value = String> {
    let token = prop_oneof![
        Just("{"),
        Just("}"),
        Just("["),
        Just("]"),
        Just(","),
        Just(":"),
        Just("1"),
        Just("null"),
        Just("true"),
        Just("\"signatures\""),
        Just("\"signed\""),
        Just("\"_type\""),
        Just("\"root\""),
        Just("\"targets\""),
        Just("\"version\""),
        Just("\"expires\""),
        Just("\"2036-01-01T00:00:00Z\""),
        Just("\"1.0.31\""),
        Just("\"spec_version\""),
        Just("\"roles\""),
        Just("\"keys\""),
        Just("\"keyids\""),
        Just("\"meta\""),
    ];
    prop::collection::vec(token, 0..60).prop_map(|tokens| tokens.concat())
}

/// A value with one of its leaves replaced.
fn damaged(good: &Value, pick: usize, with: Value) -> Value {
    fn walk(value: &mut Value, at: &mut usize, with: &mut Option<Value>) {
        if *at == 0 {
            if let Some(with) = with.take() {
                *value = with;
            }
            return;
        }
        *at -= 1;
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| walk(item, at, with)),
            Value::Object(entries) => entries.values_mut().for_each(|item| walk(item, at, with)),
            _ => {}
        }
    }
    let mut value = good.clone();
    walk(&mut value, &mut { pick }, &mut Some(with));
    value
}

proptest! {
    #[test]
    fn every_reader_is_total(text in metadata_like()) {
        let mut scene = Scene::new();
        let _ = scene.images.update_root(text.as_bytes());
        let _ = scene.images.update_timestamp(text.as_bytes(), NOW);
        let _ = scene.director.verify(text.as_bytes(), &scene.device, NOW);
        if let Ok(value) = Value::parse(text.as_bytes()) {
            let _ = Root::from_value(&value);
            let _ = Targets::from_value(&Role::Targets, &value);
            let _ = Snapshot::from_value(&value);
            let _ = PublicKey::from_value(&value);
        }
    }

    /// Damage that is signed: an owner's mistake must be an error, never a panic.
    #[test]
    fn every_view_is_total(
        pick in 0usize..80,
        with in prop_oneof![
            Just(Value::Null), Just(Value::Int(-1)), Just(Value::Int(u64::MAX.into())), Just(Value::from("")),
            Just(Value::from("é/../")), Just(Value::Array(vec![])), Just(Value::object([])), Just(Value::Bool(true)),
        ],
    ) {
        let scene = Scene::new();
        let _ = Root::from_value(&damaged(&scene.repo.root, pick, with.clone()));
        let _ = Targets::from_value(&Role::Targets, &damaged(&scene.repo.targets, pick, with.clone()));
        let _ = Snapshot::from_value(&damaged(&scene.repo.snapshot, pick, with.clone()));
        let _ = Timestamp::from_value(&damaged(&scene.repo.timestamp, pick, with.clone()));
        let document = document_for(&scene.device).to_value();
        let _ = DirectorTargets::from_value(&damaged(&document, pick, with));
    }
}
