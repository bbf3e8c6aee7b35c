//! Real models through the whole engine: a run allocates nothing, and gives what the references give.
//!
//! The models come from the folder that `cargo xtask setup` fills (`SANDERLING_ZOO`, else `.cache/zoo`).
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use sanderling_compiler::onnx::{Limits, Model, read_file};
use sanderling_compiler::{OptimiseOptions, QuantiseOptions, optimise, quantise};
use sanderling_core::plan::{self, PlanView};
use sanderling_core::{OpTable, Tensor, TensorView, ops, reference};
use sanderling_session::{Session, SessionOptions};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::PathBuf;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting on each thread for itself.
struct Counting;

// SAFETY: every call goes to the system's allocator as it came; the counter is not allocated.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const TABLE: OpTable<'static> = OpTable(ops::ALL);

const MAGIKA: &str = "magika/magika/models/standard_v3_3/model.onnx";
const EFFICIENTNET: &str = "efficientnet_lite0.onnx";

fn model(name: &str) -> Model {
    let zoo = std::env::var_os("SANDERLING_ZOO").map(PathBuf::from);
    let zoo = zoo.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../.cache/zoo"));
    let path = zoo.join(name);
    assert!(
        path.exists(),
        "{} is not there: run `cargo xtask setup`",
        path.display()
    );
    let mut model = read_file(&path, TABLE, &Limits::default()).unwrap();
    optimise(&mut model.graph, TABLE, &OptimiseOptions::default()).unwrap();
    model
}

/// Text-like bytes for magika, noise for images.
fn input(name: &str) -> (&'static str, Tensor) {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 8
    };
    match name {
        MAGIKA => {
            let bytes: Vec<i32> = (0..2048).map(|_| 32 + (next() % 96) as i32).collect();
            ("bytes", Tensor::from_slice(&[1, 2048], &bytes).unwrap())
        }
        _ => {
            let pixels: Vec<f32> = (0..3 * 224 * 224)
                .map(|_| (next() % 256) as f32 / 128.0 - 1.0)
                .collect();
            ("input", Tensor::from_slice(&[1, 3, 224, 224], &pixels).unwrap())
        }
    }
}

fn allocations_of_a_run(name: &str, int8: bool) -> u64 {
    let mut model = model(name);
    if int8 {
        quantise(&mut model.graph, &QuantiseOptions::default()).unwrap();
    }
    let mut session = Session::from_graph(model.graph, &SessionOptions::default()).unwrap();
    let (port, tensor) = input(name);
    session.warm_up(&[(port, tensor.shape())]).unwrap();
    let inputs = [(port, tensor.view())];
    let before = ALLOCATIONS.with(Cell::get);
    for _ in 0..3 {
        let outputs = session.run(&inputs).unwrap();
        assert!(outputs.at(0).is_some());
    }
    ALLOCATIONS.with(Cell::get) - before
}

#[test]
fn magika_runs_without_allocating() {
    assert_eq!(allocations_of_a_run(MAGIKA, false), 0);
    assert_eq!(allocations_of_a_run(MAGIKA, true), 0);
}

#[test]
fn efficientnet_runs_without_allocating() {
    assert_eq!(allocations_of_a_run(EFFICIENTNET, false), 0);
}

/// max|a − b| / max|b|.
fn difference(a: &TensorView<'_>, b: &TensorView<'_>) -> f32 {
    let (a, b) = (a.as_slice::<f32>().unwrap(), b.as_slice::<f32>().unwrap());
    assert_eq!(a.len(), b.len());
    let largest = b.iter().fold(f32::MIN_POSITIVE, |max, x| max.max(x.abs()));
    a.iter().zip(b).fold(0f32, |max, (x, y)| max.max((x - y).abs())) / largest
}

#[test]
fn magika_is_what_the_references_say() {
    for int8 in [false, true] {
        let mut model = model(MAGIKA);
        if int8 {
            quantise(&mut model.graph, &QuantiseOptions::default()).unwrap();
        }
        let (port, tensor) = input(MAGIKA);
        let (bytes, ids) = plan::encode(&model.graph, &plan::Arena::default()).unwrap();
        let constants: Vec<Tensor> = ids
            .iter()
            .map(|&id| model.graph.constant(id).unwrap().clone())
            .collect();
        let plan = PlanView::parse(&bytes).unwrap();
        let expected = reference::run(&plan, &constants, TABLE, &[tensor.view()], &mut |_, _| {}).unwrap();
        let mut session = Session::from_graph(model.graph, &SessionOptions::default()).unwrap();
        let outputs = session.run(&[(port, tensor.view())]).unwrap();
        let apart = difference(&outputs.at(0).unwrap(), &expected[0].view());
        assert!(apart < 1e-4, "int8 {int8}: {apart}");
    }
}

#[test]
fn a_memory_limit_is_kept_and_named() {
    let options = SessionOptions {
        memory_limit: 1 << 20,
        ..SessionOptions::default()
    };
    let mut session = Session::from_graph(model(MAGIKA).graph, &options).unwrap();
    let (port, tensor) = input(MAGIKA);
    let error = session
        .run(&[(port, tensor.view())])
        .map(|_| ())
        .unwrap_err()
        .to_string();
    assert!(error.contains("the limit is"), "{error}");
}
