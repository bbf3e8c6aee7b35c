//! Bundles through the session: what is checked when loading and running, golden vectors, pipeline and cascade.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use sanderling_bundle::{BundleBuilder, Manifest, PostStep, RuntimeVersion};
use sanderling_session::cascade::{CacheConfig, CascadeConfig};
use sanderling_session::{
    CascadeHost, CascadePipeline, CloudEndpoint, CloudError, CloudReply, CloudRequest, DType, Degraded,
    Input, ModelBytes, NUMERICS, OnBadInput, Pipeline, RUNTIME_VERSION, SelfTestRun, Session, SessionError,
    SessionOptions, Source, Tensor, TensorView,
};
use sanderling_support::bundle;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

fn manifest() -> Manifest {
    let mut manifest = sanderling_support::manifest("sides");
    manifest.inputs[0].range = Some((-4.0, 4.0));
    manifest
}

fn load(bytes: &[u8]) -> Result<Session, SessionError> {
    Session::from_bundle(ModelBytes::copy_of(bytes), &SessionOptions::default())
}

fn session() -> Session {
    load(&bundle(manifest(), "any", Some(0.5))).unwrap()
}

fn floats(shape: &[usize], values: &[f32]) -> Tensor {
    Tensor::from_slice(shape, values).unwrap()
}

#[test]
fn a_bundle_runs_at_any_batch() {
    let mut session = session();
    assert_eq!(session.inputs()[0].range, Some((-4.0, 4.0)));
    for n in [1usize, 3, 1, 7, 2, 5, 4, 1] {
        let x = floats(&[n, 2], &[1.0, -1.0].repeat(n));
        let outputs = session.run(&[("x", x.view())]).unwrap();
        let y = outputs.get("y").unwrap();
        assert_eq!(y.shape(), [n, 2]);
        let y = y.as_slice::<f32>().unwrap();
        assert!(
            (y[0] - 0.880_797).abs() < 1e-5 && (y[0] + y[1] - 1.0).abs() < 1e-6,
            "{y:?}"
        );
    }
    assert_eq!(session.counters().runs, 8);
    assert_eq!(session.kernels().len(), 2);
}

#[test]
fn an_input_may_lie_anywhere() {
    let bytes: Vec<u8> = std::iter::once(0)
        .chain([1.0f32, -1.0].iter().flat_map(|x| x.to_le_bytes()))
        .collect();
    let mut session = session();
    session.warm_up(&[("x", &[1, 2])]).unwrap();
    for from in [0usize, 1] {
        let shifted = [&vec![0; from][..], &bytes[1..]].concat();
        let view = TensorView::new(DType::F32, &[1, 2], &shifted[from..]).unwrap();
        let outputs = session.run(&[("x", view)]).unwrap();
        assert!(outputs.at(0).unwrap().as_slice::<f32>().unwrap()[0] > 0.88);
    }
}

#[test]
fn inputs_are_held_to_names_types_and_ranges() {
    let mut session = session();
    let mut refused = |inputs: &[(&str, TensorView<'_>)]| session.run(inputs).map(|_| ()).unwrap_err();
    let (good, wide) = (floats(&[1, 2], &[0.0; 2]), floats(&[1, 3], &[0.0; 3]));
    assert!(matches!(refused(&[]), SessionError::InputName { .. }));
    assert!(matches!(
        refused(&[("q", good.view())]),
        SessionError::InputName { .. }
    ));
    assert!(matches!(
        refused(&[("x", good.view()), ("x", good.view())]),
        SessionError::InputName { .. }
    ));
    assert!(matches!(
        refused(&[("x", wide.view())]),
        SessionError::InputType { .. }
    ));
    let whole = Tensor::from_slice(&[1, 2], &[1i32, 2]).unwrap();
    assert!(matches!(
        refused(&[("x", whole.view())]),
        SessionError::InputType { .. }
    ));
    let nan = floats(&[1, 2], &[0.0, f32::NAN]);
    assert!(matches!(
        refused(&[("x", nan.view())]),
        SessionError::InputValue {
            element: 1,
            range: None,
            ..
        }
    ));
    let far = floats(&[1, 2], &[5.0, 0.0]);
    assert!(matches!(
        refused(&[("x", far.view())]),
        SessionError::InputValue {
            element: 0,
            range: Some(_),
            ..
        }
    ));
    let counters = session.counters();
    assert_eq!(
        (
            counters.wrong_type,
            counters.non_finite,
            counters.out_of_range,
            counters.runs
        ),
        (5, 1, 1, 0)
    );
}

#[test]
fn bad_values_may_be_flagged_instead() {
    let options = SessionOptions {
        non_finite: OnBadInput::Flag,
        out_of_range: OnBadInput::Flag,
        ..SessionOptions::default()
    };
    let bytes = ModelBytes::copy_of(&bundle(manifest(), "any", None));
    let mut session = Session::from_bundle(bytes, &options).unwrap();
    let far = floats(&[1, 2], &[9.0, 0.0]);
    let flags = session.run(&[("x", far.view())]).unwrap().flags();
    assert!(flags.out_of_range && !flags.non_finite);
    assert!(session.self_test().unwrap().vectors.is_empty());
}

#[test]
fn what_a_bundle_needs_is_checked_first() {
    let newer = RuntimeVersion {
        major: RUNTIME_VERSION.major + 1,
        minor: 0,
        patch: 0,
    };
    let needs = bundle(
        Manifest {
            min_runtime: newer,
            ..manifest()
        },
        "any",
        None,
    );
    assert!(matches!(load(&needs), Err(SessionError::NeedsRuntime { .. })));
    let mut later = BundleBuilder::new(manifest());
    let later = later.numerics(NUMERICS + 1).finish().unwrap();
    let refused = load(&later).err().unwrap();
    assert_eq!(refused.code(), "NeedsNumerics");
    assert!(refused.to_string().contains("numerics version 2"), "{refused}");
    let operators = vec!["ai.onnx:MatMul".to_string(), "acme:Fold".to_string()];
    let lacks = bundle(
        Manifest {
            operators,
            ..manifest()
        },
        "any",
        None,
    );
    assert!(
        matches!(load(&lacks), Err(SessionError::MissingOperators { operators }) if operators == ["acme:Fold"])
    );
    let mut large = manifest();
    large.resources.arena_bytes = Some(1 << 40);
    assert!(matches!(
        load(&bundle(large, "any", None)),
        Err(SessionError::TooLarge { .. })
    ));
    assert!(matches!(
        load(&bundle(manifest(), "other", None)),
        Err(SessionError::NoPlan { .. })
    ));
    assert!(matches!(load(b"PK not a bundle"), Err(SessionError::Bundle(_))));
}

#[test]
fn damaged_bundles_are_refused() {
    let good = bundle(manifest(), "any", Some(0.5));
    for len in (0..good.len()).step_by(37) {
        assert!(load(&good[..len]).is_err(), "cut at {len}");
    }
    for at in (0..good.len()).step_by(11) {
        let mut flipped = good.clone();
        flipped[at] ^= 0x10;
        assert!(load(&flipped).is_err(), "flipped at {at}");
    }
}

#[test]
fn golden_vectors_tell_a_wrong_model() {
    let passed = session().self_test().unwrap();
    assert!(passed.passed(), "{passed:?}");
    let failed = load(&bundle(manifest(), "any", Some(0.6)))
        .unwrap()
        .self_test()
        .unwrap();
    assert!(!failed.passed());
    assert!(
        failed.vectors[0].failure.as_ref().unwrap().contains("element 0"),
        "{failed:?}"
    );
    // In steps the same; the CPU is done at the first look.
    for (expected, golden) in [(passed, 0.5), (failed, 0.6)] {
        let mut session = load(&bundle(manifest(), "any", Some(golden))).unwrap();
        let mut run = SelfTestRun::default();
        assert_eq!(session.poll_self_test(&mut run).unwrap(), Some(expected));
    }
}

#[test]
fn versions_agree() {
    assert_eq!(RUNTIME_VERSION.to_string(), env!("CARGO_PKG_VERSION"));
    assert!(sanderling_session::operators().contains(&"ai.onnx:Conv".to_string()));
}

/// An endpoint that answers from a script and notes what it was asked.
struct Scripted {
    replies: RefCell<Vec<Result<[f32; 2], CloudError>>>,
    asked: Rc<RefCell<Vec<Duration>>>,
}

impl CloudEndpoint for Scripted {
    fn infer(&mut self, request: &CloudRequest<'_>) -> Result<CloudReply, CloudError> {
        assert_eq!((request.model, request.inputs[0].0), ("large", "x"));
        self.asked.borrow_mut().push(request.timeout);
        let reply = self
            .replies
            .borrow_mut()
            .pop()
            .unwrap_or(Err(CloudError::Timeout));
        reply.map(|scores| CloudReply {
            outputs: vec![("y".to_string(), floats(&[1, 2], &scores))],
        })
    }
}

/// A clock that sleeping turns.
struct Clock(Duration);

impl CascadeHost for Clock {
    fn now(&self) -> Duration {
        self.0
    }

    fn sleep(&mut self, time: Duration) {
        self.0 += time;
    }

    fn random(&mut self) -> f64 {
        0.5
    }
}

fn cascade(replies: Vec<Result<[f32; 2], CloudError>>) -> (CascadePipeline, Rc<RefCell<Vec<Duration>>>) {
    let asked = Rc::new(RefCell::new(Vec::new()));
    let endpoint = Scripted {
        replies: RefCell::new(replies),
        asked: asked.clone(),
    };
    let cache = CacheConfig {
        fresh_for: Duration::from_secs(1),
        ..CacheConfig::default()
    };
    let config = CascadeConfig {
        threshold: 0.9,
        cache,
        ..CascadeConfig::default()
    };
    let pipeline = Pipeline::new(session()).unwrap();
    let clock = Clock(Duration::from_secs(100));
    (
        CascadePipeline::new(pipeline, config, "large", Box::new(endpoint), Box::new(clock)),
        asked,
    )
}

#[test]
fn unsure_answers_come_from_the_cloud() {
    // The last is popped first.
    let (mut cascade, asked) = cascade(vec![Ok([0.01, 0.99]), Err(CloudError::Timeout)]);
    let (sure, unsure) = (floats(&[1, 2], &[4.0, -4.0]), floats(&[1, 2], &[1.0, 0.9]));
    let answer = cascade.answer(&Input::Tensors(&[("x", sure.view())])).unwrap();
    assert_eq!(
        (answer.answer.label.as_str(), answer.source),
        ("left", Source::Device)
    );
    let inputs = [("x", unsure.view())];
    let answer = cascade.answer(&Input::Tensors(&inputs)).unwrap();
    assert_eq!(
        (answer.answer.label.as_str(), answer.source),
        ("right", Source::Cloud)
    );
    assert_eq!(
        (answer.local.unwrap().label.as_str(), asked.borrow().len()),
        ("left", 2)
    );
    let answer = cascade.answer(&Input::Tensors(&inputs)).unwrap();
    assert_eq!((answer.source, asked.borrow().len()), (Source::Cache, 2));
}

#[test]
fn answers_go_on_without_the_cloud() {
    let (mut cascade, asked) = cascade(Vec::new());
    let unsure = floats(&[1, 2], &[1.0, 0.9]);
    let mut reasons = Vec::new();
    for _ in 0..5 {
        let answer = cascade.answer(&Input::Tensors(&[("x", unsure.view())])).unwrap();
        assert_eq!(
            (answer.answer.label.as_str(), answer.source),
            ("left", Source::Device)
        );
        reasons.push(answer.degraded.unwrap());
    }
    assert_eq!(reasons[0], Degraded::Attempts);
    assert_eq!(reasons[4], Degraded::BreakerOpen, "{reasons:?}");
    assert!(asked.borrow().len() < 10);
}

/// What the endpoint said is kept over an update only where the new version reads it alike.
#[test]
fn a_version_with_other_labels_takes_no_cached_answer() {
    let version = |labels: [&str; 2]| {
        let mut manifest = manifest();
        if let PostStep::Classification(classes) = &mut manifest.post[0].step {
            for (label, name) in classes.labels.iter_mut().zip(labels) {
                label.name = name.into();
            }
        }
        let bytes = ModelBytes::copy_of(&bundle(manifest, "any", None));
        Pipeline::new(Session::from_bundle(bytes, &SessionOptions::default()).unwrap()).unwrap()
    };
    let (mut cascade, asked) = cascade(vec![Ok([0.01, 0.99]); 3]);
    let unsure = floats(&[1, 2], &[1.0, 0.9]);
    let mut answer = |labels: Option<[&str; 2]>| {
        if let Some(labels) = labels {
            cascade.replace_pipeline(version(labels));
        }
        let answer = cascade.answer(&Input::Tensors(&[("x", unsure.view())])).unwrap();
        (answer.answer.label, answer.source, asked.borrow().len())
    };
    let right = |source, asked| ("right".to_owned(), source, asked);
    assert_eq!(answer(None), right(Source::Cloud, 1));
    assert_eq!(answer(Some(["left", "right"])), right(Source::Cache, 1));
    let swapped = ["right", "left"];
    assert_eq!(answer(Some(swapped)), ("left".to_owned(), Source::Cloud, 2));
    assert_eq!(answer(Some(["left", "right"])), right(Source::Cloud, 3));
}
