//! Whatever happens, in whatever order: what serves is an image the owner signed, the serving model is never lost,
//! the budget is kept, and telemetry comes once.
#![allow(clippy::unwrap_used)]

mod device;
mod fleet;

use device::Device;
use fleet::{Fault, Fleet, Kind, digest};
use proptest::prelude::*;
use sanderling_agent::Input;
use sanderling_trust::Mode;
use sanderling_wire::DeviceId;

#[derive(Debug, Clone)]
enum Happening {
    Run(u64),
    Want(u8, Mode),
    WantNothing,
    Fault(Kind, Fault),
    Restart,
    Offline(bool),
    Ring,
    Forge,
    OldDocument,
    NightPasses,
    FailsSelfTest(u8),
    Errs(u8),
    StrayInputs(u64),
}

fn happening() -> impl Strategy<Value = Happening> {
    let kind = prop::sample::select(vec![Kind::CheckIn, Kind::Metadata, Kind::Image]);
    let fault = prop::sample::select(vec![
        Fault::Drop,
        Fault::Status(404),
        Fault::Status(500),
        Fault::RetryAfter(3),
        Fault::Cut(50),
        Fault::Flip,
        Fault::Garbage,
        Fault::NoRanges,
        Fault::LostAnswer,
    ]);
    let mode = prop::sample::select(vec![Mode::Activate, Mode::Activate, Mode::Restore, Mode::Shadow]);
    prop_oneof![
        4 => (1u64..40).prop_map(Happening::Run),
        3 => (1u8..5, mode).prop_map(|(n, mode)| Happening::Want(n, mode)),
        1 => Just(Happening::WantNothing),
        3 => (kind, fault).prop_map(|(kind, fault)| Happening::Fault(kind, fault)),
        2 => Just(Happening::Restart),
        1 => any::<bool>().prop_map(Happening::Offline),
        1 => Just(Happening::Ring),
        1 => Just(Happening::Forge),
        1 => Just(Happening::OldDocument),
        1 => Just(Happening::NightPasses),
        1 => (2u8..5).prop_map(Happening::FailsSelfTest),
        1 => (2u8..5).prop_map(Happening::Errs),
        1 => any::<u64>().prop_map(Happening::StrayInputs),
    ]
}

fn apply(
    happening: Happening,
    mut device: Device,
    fleet: &mut Fleet,
    rollout: &mut u64,
    seed: u64,
) -> Device {
    match happening {
        Happening::Run(seconds) => device.run(fleet, seconds),
        Happening::Want(n, mode) => {
            *rollout += 1;
            fleet.want(n, *rollout, mode);
        }
        Happening::WantNothing => fleet.wanted = None,
        Happening::Fault(kind, fault) => fleet.fault(kind, fault),
        Happening::Restart => return device.restart(fleet, seed),
        Happening::Offline(offline) => device.offline = offline,
        Happening::Ring => device.agent.handle(Input::Doorbell, device.now),
        Happening::Forge => {
            let id = device.agent.device();
            fleet.document = Some(fleet.mint(id, fleet::MALLORY, |d| {
                if let Some(target) = &mut d.target {
                    target.sha256 = digest(66);
                }
            }));
        }
        Happening::OldDocument => fleet.document = Some(fleet.last_document.clone()),
        Happening::NightPasses => {
            device.now.unix_s += 86_400;
            fleet.now += 86_400;
            fleet.seen.image_bytes = 0;
            fleet.publish();
        }
        Happening::FailsSelfTest(n) => drop(device.fails_self_test.insert(digest(n))),
        Happening::Errs(n) => drop(device.errs.insert(digest(n))),
        Happening::StrayInputs(n) => {
            let id = sanderling_agent::RequestId(n % 50);
            let head = sanderling_agent::ResponseHead {
                status: 200,
                range_start: Some(n),
                ..Default::default()
            };
            // Answers to requests that are none, or not under way.
            for stray in [
                Input::End {
                    id: sanderling_agent::RequestId(u64::MAX),
                },
                Input::Tick,
            ] {
                device.agent.handle(stray, device.now);
            }
            let stray = Input::Response {
                id: sanderling_agent::RequestId(u64::MAX - id.0),
                head,
            };
            device.agent.handle(stray, device.now);
            let (image, outcome) = (digest(n as u8), Ok(()));
            device
                .agent
                .handle(Input::SelfTested { image, outcome }, device.now);
        }
    }
    device
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn nothing_is_lost_in_any_order(happenings in proptest::collection::vec(happening(), 1..40)) {
        let mut fleet = Fleet::new();
        (1..5).for_each(|n| fleet.release(n, 1));
        let mut device = Device::new(&fleet);
        device.update(&mut fleet, 1, 1);
        fleet.seen.image_bytes = 0;
        let budget = device::policy().1.daily_budget;
        let mut rollout = 1;
        for (seed, happening) in happenings.into_iter().enumerate() {
            device = apply(happening, device, &mut fleet, &mut rollout, 1_000 + seed as u64);
            let state = device.agent.state_report();
            let active = state.active.map(|active| active.digest);
            prop_assert!((1..5).any(|n| active == Some(digest(n))), "serves {active:?}");
            prop_assert!(state.standby != active);
            // What the server sent too much, the agent did not take.
            prop_assert!(fleet.seen.image_bytes <= budget + 64 * 5_000, "{} bytes", fleet.seen.image_bytes);
            prop_assert!(device.agent.slots().journal().budget.spent <= budget);
            prop_assert_eq!(fleet.seen.contradictions, 0);
        }
        for n in 2..5 {
            // What fails its self-test from the start never answers.
            if device.fails_self_test.contains(&digest(n)) && !device.served.contains(&digest(n)) {
                prop_assert!(device.answers_from != Some(digest(n)));
            }
        }
        // At the end the network is back and nothing goes wrong any more: all telemetry arrives, once.
        device.offline = false;
        fleet.faults.clear();
        fleet.document = None;
        fleet.publish();
        device.run(&mut fleet, 200);
        if device.agent.state_report().dropped_records == 0 {
            fleet.check_telemetry();
        }
        let known = device.agent.device();
        prop_assert_ne!(known, DeviceId([0; 16]));
    }
}
