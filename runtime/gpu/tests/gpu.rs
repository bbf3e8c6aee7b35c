//! The GPU gives the vectors' bytes, and every integer layer of real models the CPU's.
//!
//! Any Vulkan device will do, an emulated one (Mesa's llvmpipe) too. Without one these tests are passed over, unless
//! `SANDERLING_GPU=required`, as `cargo xtask test` sets it.
#![allow(missing_docs, clippy::unwrap_used)]

use sanderling_exactness::models::{graph, image, session};
use sanderling_exactness::{chains, models, node, random};
use sanderling_gpu::{Dot, GpuBackend, GpuOptions};
use sanderling_launch::{Kernel, LaunchTable};
use sanderling_session::{Handover, Progress};
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};

const OPS: LaunchTable = LaunchTable(sanderling_launch::ops::ALL);

/// A device; none where there is none and none need be.
fn open(dot: Option<Dot>) -> Option<GpuBackend> {
    let options = GpuOptions { software: true, dot };
    match GpuBackend::open_blocking(OPS, options) {
        Ok(backend) => Some(backend),
        Err(error) => {
            let required = std::env::var_os("SANDERLING_GPU").is_some_and(|v| v == "required");
            assert!(!required, "{error}");
            eprintln!("passed over: {error}");
            None
        }
    }
}

#[test]
fn the_gpu_gives_every_vector_that_it_takes() {
    for dot in [Dot::Packed, Dot::Plain] {
        let Some(backend) = open(Some(dot)) else { return };
        let (taken, left) = node::every_vector(&backend).unwrap_or_else(|e| panic!("{dot:?}: {e}"));
        eprintln!(
            "{taken} vectors on {}, left to others: {left:?}",
            backend.adapter()
        );
        assert!(taken > 60, "only {taken}; left: {left:?}");
    }
}

#[test]
fn random_nodes_give_the_references_bytes() {
    if let Some(backend) = open(None) {
        random::hold(&backend);
        chains::hold(&backend);
    }
}

#[test]
fn efficientnet_lite0() {
    if let Some(gpu) = open(None) {
        models::hold(Rc::new(gpu), models::INT8[0]).unwrap();
    }
}

#[test]
fn page_orientation() {
    if let Some(gpu) = open(None) {
        models::hold(Rc::new(gpu), models::INT8[1]).unwrap();
    }
}

/// A device that is lost in the middle: the run is answered by the CPU, and says so.
#[test]
fn a_lost_device_is_taken_over_by_the_cpu() {
    let (Some(graph), Some(gpu)) = (graph(models::INT8[0].0).unwrap(), open(None)) else {
        return;
    };
    let gpu = Rc::new(gpu);
    let (input, name) = (image().unwrap(), graph.value(graph.inputs[0]).name.clone());
    let given = [(name.as_str(), input.view())];
    let expected = session(&graph, Vec::new())
        .unwrap()
        .run(&given)
        .unwrap()
        .at(0)
        .unwrap()
        .to_tensor();
    let mut session = session(&graph, vec![gpu.clone()]).unwrap();
    assert_eq!(session.run(&given).unwrap().at(0).unwrap().to_tensor(), expected);
    assert!(session.fallbacks().is_empty());
    session.start(&given).unwrap();
    gpu.destroy();
    while session.poll().unwrap() == Progress::Pending {
        std::thread::yield_now();
    }
    assert_eq!(session.results().unwrap().at(0).unwrap().to_tensor(), expected);
    assert_eq!(session.fallbacks().len(), 1);
    assert_eq!(session.fallbacks()[0].backend, "gpu");
    assert!(
        session.fallbacks()[0].reason.contains("lost"),
        "{:?}",
        session.fallbacks()
    );
    assert_eq!(session.run(&given).unwrap().at(0).unwrap().to_tensor(), expected);
}

/// A run that another overtakes.
#[test]
fn runs_in_steps_can_be_given_up() {
    let (Some(graph), Some(gpu)) = (graph(models::INT8[1].0).unwrap(), open(None)) else {
        return;
    };
    let (input, name) = (image().unwrap(), graph.value(graph.inputs[0]).name.clone());
    let given = [(name.as_str(), input.view())];
    let mut session = session(&graph, vec![Rc::new(gpu)]).unwrap();
    session.start(&given).unwrap();
    session.poll().unwrap();
    let whole = session.run(&given).unwrap().at(0).unwrap().to_tensor();
    assert!(session.results().is_none(), "the run that was overtaken has none");
    session.start(&given).unwrap();
    while session.poll().unwrap() == Progress::Pending {
        std::thread::yield_now();
    }
    assert_eq!(session.results().unwrap().at(0).unwrap().to_tensor(), whole);
    assert!(session.fallbacks().is_empty());
}

/// Layers in steps: a device that is lost in the middle leaves them to the CPU, and says so.
#[test]
fn layers_in_steps_survive_a_lost_device() {
    let (Some(graph), Some(gpu)) = (graph(models::INT8[1].0).unwrap(), open(None)) else {
        return;
    };
    let gpu = Rc::new(gpu);
    let (input, name) = (image().unwrap(), graph.value(graph.inputs[0]).name.clone());
    let given = [(name.as_str(), input.view())];
    let expected = session(&graph, Vec::new()).unwrap().layers(&given).unwrap();
    let digests = |layers: &[sanderling_session::Layer]| -> Vec<_> {
        layers.iter().map(|layer| layer.digest).collect()
    };
    let mut session = session(&graph, vec![gpu.clone()]).unwrap();
    for lost in [false, true] {
        let mut run = session.start_layers(&given).unwrap();
        assert!(session.poll_layers(&mut run).unwrap().is_none());
        if lost {
            gpu.destroy();
        }
        let layers = loop {
            if let Some(layers) = session.poll_layers(&mut run).unwrap() {
                break layers;
            }
            std::thread::yield_now();
        };
        assert_eq!(digests(&layers), digests(&expected));
        assert_eq!(session.fallbacks().len(), usize::from(lost));
    }
}

/// News wakes who waits, and none is missed between a poll and the wait.
#[test]
fn news_wakes_and_hands_over() {
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let (Some(graph), Some(gpu)) = (graph(models::INT8[1].0).unwrap(), open(None)) else {
        return;
    };
    let gpu = Rc::new(gpu);
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(count.clone());
    let mut context = Context::from_waker(&waker);
    let mut handover = Handover::new(session(&graph, vec![gpu.clone()]).unwrap()).unwrap();
    assert!(handover.poll().is_none(), "the device cannot be done yet");
    let (early, mut waiting) = (gpu.news(), pin!(gpu.news()));
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    let ready = loop {
        if let Some(session) = handover.poll() {
            break session;
        }
        std::thread::yield_now();
    };
    assert!(ready.fallbacks().is_empty());
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    assert!(waiting.as_mut().poll(&mut context).is_ready());
    assert!(
        pin!(early).poll(&mut context).is_ready(),
        "it was news before the first look"
    );
    let mut loss = pin!(gpu.news());
    assert!(loss.as_mut().poll(&mut context).is_pending());
    gpu.destroy();
    assert!(loss.poll(&mut context).is_ready() && gpu.is_lost());
}

/// The fields of a shader's `Params` are the words that it is given, in order.
#[test]
fn shaders_and_launches_agree_on_parameters() {
    for &kernel in Kernel::ALL {
        let text = sanderling_shaders::source(kernel.name(), Dot::Plain).unwrap();
        let module = naga::front::wgsl::parse_str(&text).unwrap();
        let params = module
            .types
            .iter()
            .find(|(_, ty)| ty.name.as_deref() == Some("Params"));
        let naga::TypeInner::Struct { members, .. } = &params.unwrap().1.inner else {
            panic!("{}: Params is no struct", kernel.name())
        };
        let names: Vec<&str> = members
            .iter()
            .filter_map(|member| member.name.as_deref())
            .collect();
        assert_eq!(names, kernel.params(), "{}", kernel.name());
        let offsets = members.iter().map(|member| member.offset);
        assert!(
            offsets.eq((0..members.len() as u32).map(|i| 4 * i)),
            "{}",
            kernel.name()
        );
    }
    assert_eq!(Kernel::ALL.len(), sanderling_shaders::ALL.len());
}
