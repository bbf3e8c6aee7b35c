use super::*;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use proptest::prelude::*;

fn runtime() -> RuntimeInfo {
    RuntimeInfo {
        version: (0, 1, 0),
        numerics: 1,
        bundle_format: 1,
        operators: vec![":Conv".to_string(), "com.microsoft:Gelu".to_string()],
        memory_limit: 1 << 20,
    }
}

fn check_in() -> CheckIn {
    let mut latency_us = Sketch::new();
    latency_us.add(1500.0);
    CheckIn {
        incarnation: 0x0102_0304,
        state: StateReport {
            phase: Phase::Trial,
            active: Some(ActiveImage {
                digest: Digest([7; 32]),
                rollout: Some(RolloutId(3)),
                confirmed: false,
            }),
            standby: Some(Digest([6; 32])),
            director_version: 9,
            image_root_version: 1,
            director_root_version: 1,
            release_floor: 0,
            runtime: runtime(),
            dropped_records: 0,
        },
        records: vec![
            Record {
                sequence: 41,
                time: 1_800_000_000,
                body: RecordBody::Paired {
                    rollout: RolloutId(3),
                    new: Digest([7; 32]),
                    old: Digest([6; 32]),
                    outcomes: vec![PairedOutcome { unit: 5, agree: true }],
                },
            },
            Record {
                sequence: 42,
                time: 1_800_000_001,
                body: RecordBody::Event(Event {
                    kind: EventKind::Activated,
                    image: Some(Digest([7; 32])),
                    rollout: Some(RolloutId(3)),
                    detail: "on trial".to_string(),
                }),
            },
            Record {
                sequence: 43,
                time: 1_800_000_002,
                body: RecordBody::Serving(ServingWindow {
                    image: Digest([7; 32]),
                    seconds: 10,
                    answers: 20,
                    errors: 0,
                    rejected_inputs: 1,
                    flagged_inputs: 0,
                    cascaded: 2,
                    degraded: 0,
                    latency_us,
                    confidence: [0, 0, 0, 0, 0, 0, 0, 0, 1, 19],
                    classes: vec![(3, 20)],
                }),
            },
        ],
    }
}

/// The bytes of version 1, fixed for ever: a change here is a new wire version.
#[test]
fn golden_bytes_of_version_1() {
    let golden = include_str!("../tests/golden/check_in.v1.hex").trim();
    assert_eq!(hex::encode(encode(&check_in())), golden);
    let bytes = hex::decode(golden).unwrap();
    assert_eq!(decode::<CheckIn>(&bytes).unwrap(), check_in());
}

#[test]
fn refuses_what_is_not_one_message() {
    let good = encode(&check_in());
    assert_eq!(decode::<CheckIn>(&[]), Err(DecodeError::Empty));
    assert_eq!(decode::<CheckIn>(&[99]), Err(DecodeError::Version { found: 99 }));
    assert_eq!(
        decode::<CheckIn>(&good[..good.len() - 1]),
        Err(DecodeError::Malformed)
    );
    let long = [good.as_slice(), &[0]].concat();
    assert_eq!(decode::<CheckIn>(&long), Err(DecodeError::Trailing { bytes: 1 }));
}

#[test]
fn ids_round_trip_as_text() {
    let id = DeviceId::of_public_key(&[1; 32]);
    assert_eq!(id.to_string().parse(), Ok(id));
    assert_eq!(
        "xyz".parse::<DeviceId>(),
        Err(ParseIdError::Length {
            what: "a device id",
            expected: 32,
            found: 3
        })
    );
    assert_eq!(
        "g".repeat(32).parse::<DeviceId>(),
        Err(ParseIdError::NotHex { what: "a device id" })
    );
    assert!(HardwareId::new("jetson-orin").is_ok());
    assert!(HardwareId::new("a b").is_err());
    assert!(HardwareId::new("").is_err());
}

#[test]
fn password_round_trips() {
    let text = topics::password(17, &[9; 64]);
    assert_eq!(topics::parse_password(&text), Some((17, [9; 64])));
    assert_eq!(topics::parse_password("17.zz"), None);
}

proptest! {
    #[test]
    fn decoding_is_total(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = decode::<CheckIn>(&bytes);
        let _ = decode::<CheckInReply>(&bytes);
        let _ = decode::<EnrolRequest>(&bytes);
        let mut versioned = vec![WIRE_VERSION];
        versioned.extend_from_slice(&bytes);
        let _ = decode::<CheckIn>(&versioned);
    }

    #[test]
    fn quantiles_are_within_the_stated_accuracy(mut values in proptest::collection::vec(1e-3f64..1e6, 1..300)) {
        let mut sketch = Sketch::new();
        values.iter().for_each(|&v| sketch.add(v));
        values.sort_by(f64::total_cmp);
        for q in [0.0, 0.5, 0.95, 0.99, 1.0] {
            let exact = values[(q * (values.len() - 1) as f64) as usize];
            let got = sketch.quantile(q).unwrap();
            prop_assert!((got - exact).abs() <= exact * (sketch::ACCURACY + 1e-9), "{q}: {got} for {exact}");
        }
    }

    #[test]
    fn merging_is_counting_together(a in proptest::collection::vec(0f64..1e6, 0..100), b in proptest::collection::vec(0f64..1e6, 0..100)) {
        let fill = |values: &[f64]| { let mut s = Sketch::new(); values.iter().for_each(|&v| s.add(v)); s };
        let mut merged = fill(&a);
        merged.merge(&fill(&b));
        let both: Vec<f64> = a.iter().chain(&b).copied().collect();
        prop_assert_eq!(merged, fill(&both));
    }
}
