use super::*;
use sanderling_wire::{Digest, EnrolmentString};
use std::path::Path;
use std::time::Duration;

fn enrolment(server: &str) -> String {
    let string = EnrolmentString {
        server: server.to_string(),
        token: "nobody listens there".to_string(),
        image_root: Digest([1; 32]),
        director_root: Digest([2; 32]),
        tls_ca: None,
    };
    string.to_string()
}

fn options(folder: &Path) -> UpdaterOptions {
    UpdaterOptions {
        state: folder.join("state"),
        enrolment: Some(enrolment("http://127.0.0.1:1")),
        hardware: "test-phone".to_string(),
        factory: None,
        model: ModelOptions::default(),
        daily_budget: 0,
        trial_seconds: 0,
    }
}

fn with_factory(folder: &Path) -> UpdaterOptions {
    let factory = folder.join("factory.sdl");
    let bundle = sanderling_support::bundle(sanderling_support::manifest("sides"), "any", Some(0.5));
    std::fs::write(&factory, bundle).unwrap();
    UpdaterOptions {
        factory: Some(factory),
        ..options(folder)
    }
}

fn kind<T>(result: Result<T, AppError>) -> Kind {
    result.err().map(|error| error.kind).unwrap()
}

#[test]
fn the_factory_bundle_answers_while_nobody_can_be_reached() {
    let folder = tempfile::tempdir().unwrap();
    let updater = Updater::open(with_factory(folder.path())).unwrap();
    let state = updater.state();
    let digest = Digest::of(&std::fs::read(folder.path().join("factory.sdl")).unwrap());
    assert_eq!(state.place.as_deref(), Some("factory"));
    assert_eq!(
        (&state.image, &state.factory),
        (&Some(digest.to_string()), &Some(digest.to_string()))
    );
    assert_eq!(
        (state.model.as_deref(), state.version.as_deref()),
        (Some("sides"), Some("1"))
    );
    assert!(!state.enrolled);
    let Step::Request(request) = updater.step().unwrap() else {
        panic!("a new device has somebody to enrol with");
    };
    assert!(request.url.starts_with("http://127.0.0.1:1/"), "{}", request.url);
    assert_eq!((request.method, request.body.is_empty()), ("POST", false));
    // It is asked for once, and answers come meanwhile.
    assert!(matches!(updater.step().unwrap(), Step::Wait(_)));
    let input = [[0u8; 4], [0, 0, 128, 63]].concat();
    assert_eq!(updater.answer(&input, Some(1)).unwrap().label, "right");
    assert_eq!(kind(updater.answer(b"abc", None)), Kind::Input);
    updater
        .failed(request.id, Cause::Unreachable, "no network")
        .unwrap();
    // What comes of a request that ended is of no interest.
    assert!(!updater.body(request.id, b"late").unwrap());
    assert!(matches!(updater.step().unwrap(), Step::Wait(ms) if ms < 60_000));
    let log: Vec<String> = std::iter::from_fn(|| updater.line()).collect();
    assert!(log.iter().any(|line| line.contains("no network")), "{log:?}");
    assert_eq!(updater.state().place.as_deref(), Some("factory"));
}

#[test]
fn without_any_image_the_answer_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let updater = Updater::open(options(folder.path())).unwrap();
    assert_eq!(kind(updater.answer(b"12345678", None)), Kind::NoModel);
    assert_eq!(kind(updater.model()), Kind::NoModel);
    assert_eq!(updater.state().phase, "NoModel");
}

#[test]
fn a_folder_has_one_updater_and_a_closed_one_gives_it_free() {
    let folder = tempfile::tempdir().unwrap();
    let updater = Updater::open(with_factory(folder.path())).unwrap();
    let second = Updater::open(with_factory(folder.path()));
    assert_eq!(kind(second), Kind::State);
    updater.close();
    updater.close();
    assert_eq!(kind(updater.step()), Kind::Closed);
    assert_eq!(kind(updater.rest()), Kind::Closed);
    assert_eq!(kind(updater.check_in()), Kind::Closed);
    assert_eq!(kind(updater.answer(b"12345678", None)), Kind::Closed);
    assert_eq!(kind(updater.model()), Kind::Closed);
    // The folder knows its fleet, and the device its id.
    let again = Updater::open(UpdaterOptions {
        enrolment: None,
        ..with_factory(folder.path())
    });
    assert_eq!(again.unwrap().state().device, updater.state().device);
}

#[test]
fn what_is_wrong_is_told_before_anything_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let good = || options(folder.path());
    for (bad, expected) in [
        (
            UpdaterOptions {
                enrolment: Some("sdl1:zzz".into()),
                ..good()
            },
            Kind::Argument,
        ),
        (
            UpdaterOptions {
                hardware: "a b".into(),
                ..good()
            },
            Kind::Argument,
        ),
        (
            UpdaterOptions {
                factory: Some("no/such.sdl".into()),
                ..good()
            },
            Kind::File,
        ),
        (
            UpdaterOptions {
                enrolment: Some(enrolment("http://fleet.example")),
                ..good()
            },
            Kind::State,
        ),
    ] {
        assert_eq!(kind(Updater::open(bad.clone())), expected, "{bad:?}");
        assert!(!bad.state.exists(), "{bad:?}");
    }
    // Whether a folder belongs to a fleet is seen once it is open.
    let unknown = UpdaterOptions {
        enrolment: None,
        ..good()
    };
    assert_eq!(kind(Updater::open(unknown)), Kind::State);
}

#[test]
fn a_damaged_factory_bundle_is_no_model() {
    let folder = tempfile::tempdir().unwrap();
    let options = with_factory(folder.path());
    let path = options.factory.clone().unwrap();
    let bundle = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bundle[..bundle.len() / 2]).unwrap();
    let updater = Updater::open(options).unwrap();
    assert_eq!(kind(updater.answer(b"12345678", None)), Kind::NoModel);
}

/// Long enough for a thread that does not wait.
const MOMENT: Duration = Duration::from_millis(100);

#[test]
fn what_is_asked_for_during_a_call_is_done_by_it() {
    let folder = tempfile::tempdir().unwrap();
    let updater = Updater::open(with_factory(folder.path())).unwrap();
    let Step::Request(request) = updater.step().unwrap() else {
        panic!("a new device has somebody to enrol with");
    };
    let held = updater.driver.lock().unwrap();
    // The app's main thread, while a job is at it.
    updater.rest().unwrap();
    updater.check_in().unwrap();
    let wishes = updater.wishes.lock().unwrap();
    assert!(wishes.rest && wishes.check_in);
    drop(wishes);
    assert!(!held.as_ref().unwrap().rested);
    updater.give_back(held);
    assert!(updater.driver.lock().unwrap().as_ref().unwrap().rested);
    let wishes = updater.wishes.lock().unwrap();
    assert!(!wishes.rest && !wishes.check_in);
    drop(wishes);
    updater
        .failed(request.id, Cause::Unreachable, "no network")
        .unwrap();
}

#[test]
fn what_hands_in_an_answer_waits_and_a_second_step_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let updater = Updater::open(with_factory(folder.path())).unwrap();
    let Step::Request(request) = updater.step().unwrap() else {
        panic!("a new device has somebody to enrol with");
    };
    let calls: [&(dyn Fn() -> Result<(), AppError> + Sync); 6] = [
        &|| updater.respond(request.id, 503, |_| None).map(drop),
        &|| updater.body(request.id, b"no").map(drop),
        &|| updater.end(request.id),
        &|| updater.failed(request.id, Cause::Broken, "late"),
        &|| updater.wait().map(drop),
        &|| updater.step().map(drop),
    ];
    for call in calls {
        let held = updater.driver.lock().unwrap();
        std::thread::scope(|scope| {
            let waits = scope.spawn(call);
            std::thread::sleep(MOMENT);
            assert!(!waits.is_finished());
            updater.give_back(held);
            waits.join().unwrap().unwrap();
        });
    }
    let stepping = updater.stepping.lock().unwrap();
    assert_eq!(kind(updater.step()), Kind::Busy);
    drop(stepping);
    assert!(updater.step().is_ok());
}

#[test]
fn no_wish_is_lost_between_two_calls() {
    let folder = tempfile::tempdir().unwrap();
    let updater = Updater::open(with_factory(folder.path())).unwrap();
    std::thread::scope(|scope| {
        let steps = scope.spawn(|| {
            for _ in 0..500 {
                updater.step().unwrap();
            }
        });
        let rests = scope.spawn(|| {
            for _ in 0..500 {
                updater.check_in().unwrap();
            }
            updater.rest().unwrap();
        });
        steps.join().unwrap();
        rests.join().unwrap();
    });
    assert!(updater.driver.lock().unwrap().as_ref().unwrap().rested);
}
