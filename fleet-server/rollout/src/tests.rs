use crate::order::{Entrant, sequence};
use crate::*;
use proptest::prelude::*;
use sanderling_wire::{DeviceId, HardwareId};

#[test]
fn ranks_are_fixed_for_good() {
    // printf 'sanderling rollout order 1\0' + 16 × 5a + 16 × 07 | sha256sum
    assert_eq!(rank(&[0x5a; 16], DeviceId([7; 16])), 0x1b7d3c3386394924);
}

#[test]
fn stages_read_back_as_written() {
    for text in ["1", "25%", "0.1%", "100%", "0.0001%", "33.3333%"] {
        let stage: Stage = text.parse().unwrap();
        assert_eq!(stage.to_string(), text);
    }
    for text in ["", "%", "1.5", "-1", "1e99%", "inf%", "0.00001%", "99999999999"] {
        assert!(text.parse::<Stage>().is_err(), "{text}");
    }
}

#[test]
fn a_policy_is_asked_for_in_part_and_without_typos() {
    let policy: Policy = serde_json::from_str(r#"{"stages":["2","50%"],"dwell_s":9}"#).unwrap();
    assert_eq!(
        policy,
        Policy {
            stages: vec![Stage::Count(2), Stage::Share(Ppm::percent(50))],
            dwell_s: 9,
            ..Policy::default()
        }
    );
    policy.check().unwrap();
    let typo = serde_json::from_str::<Policy>(r#"{"dwel_s":9}"#)
        .unwrap_err()
        .to_string();
    assert!(typo.contains("dwel_s"), "{typo}");
    let stage = serde_json::from_str::<Policy>(r#"{"stages":["lots"]}"#)
        .unwrap_err()
        .to_string();
    assert!(stage.contains("lots"), "{stage}");
}

#[test]
fn shares_round_up() {
    assert_eq!(
        [1, 3, 4, 12, 1_000_000].map(|n| Ppm::percent(25).of(n)),
        [1, 1, 1, 3, 250_000]
    );
    assert_eq!(Ppm::ONE.of(usize::MAX), usize::MAX);
}

#[test]
fn damaged_state_is_told_from_sound() {
    let row = Assignment {
        device: DeviceId([1; 16]),
        class: 0,
        stage: 0,
        enrolled_at: 10,
        target_at: Some(20),
        silent_at: None,
        reverted_at: None,
    };
    let class = HardwareId::new("pi4").unwrap();
    let read = |rows: &[Assignment]| Assignments::from_parts(vec![class.clone()], rows.to_vec(), Vec::new());
    assert!(read(&[row]).is_ok());
    assert!(read(&[row, row]).is_err());
    assert!(read(&[Assignment { class: 1, ..row }]).is_err());
    assert!(
        read(&[Assignment {
            target_at: Some(9),
            ..row
        }])
        .is_err()
    );
    assert!(
        read(&[Assignment {
            target_at: None,
            reverted_at: Some(30),
            ..row
        }])
        .is_err()
    );
    let broken = serde_json::to_string(&read(&[row]).unwrap())
        .unwrap()
        .replace(r#""class":0"#, r#""class":7"#);
    assert!(serde_json::from_str::<Assignments>(&broken).is_err());
}

proptest! {
    /// Every head of the order holds each class in proportion, to about a device.
    #[test]
    fn heads_of_the_order_are_stratified(sizes in prop::collection::vec(1_usize..40, 1..5), salt: [u8; 16]) {
        let classes: Vec<_> = (0..sizes.len()).map(|c| HardwareId::new(&format!("c{c}")).unwrap()).collect();
        let mut entrants = Vec::new();
        for (class, &size) in sizes.iter().enumerate() {
            for i in 0..size {
                let device = DeviceId([class as u8, i as u8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
                entrants.push(Entrant { device, class: class as u16, handle: entrants.len() as u32 });
            }
        }
        let order = sequence(&salt, &classes, &entrants);
        let mut seen = vec![0_usize; sizes.len()];
        for (k, &handle) in order.iter().enumerate() {
            seen[usize::from(entrants[handle as usize].class)] += 1;
            for (class, &size) in sizes.iter().enumerate() {
                let share = size as f64 / entrants.len() as f64;
                let off = (seen[class] as f64 - (k + 1) as f64 * share).abs();
                prop_assert!(off <= 1.0 + share * sizes.len() as f64, "{off} at {k}");
            }
        }
        let mut handles = order.clone();
        handles.sort_unstable();
        prop_assert!(handles.into_iter().eq(0..entrants.len() as u32));
        entrants.reverse();
        prop_assert_eq!(sequence(&salt, &classes, &entrants), order);
    }
}

#[test]
fn what_cannot_be_planned_can_be_looked_at() {
    let release = |label: &str| Release::new(label, sanderling_wire::Digest::of(label.as_bytes()));
    let (id, policy) = (sanderling_wire::RolloutId(1), Policy::default());
    let rollout = Rollout::start(id, [7; 16], release("v2"), release("v1"), policy, 100).unwrap();
    let mut evidence = Evidence::default();
    evidence.paired.fleet = Counts {
        inputs: 1,
        disagreements: 2,
    };
    let input = Input {
        rollout: &rollout,
        assignments: &Assignments::default(),
        inventory: &Inventory::default(),
        evidence: &evidence,
        freeze: None,
        now: 200,
    };
    assert!(matches!(plan(&input), Err(Error::Evidence(_))));
    let plan = standing(&input);
    assert!(plan.is_empty() && plan.holding.is_empty());
    assert_eq!(plan.assessment.agreement.fleet, Counts::default());
}
