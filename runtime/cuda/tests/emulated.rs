//! The backend as it is, over a driver that runs the kernels' own sources on the CPU: exact, asynchronous, and honest about
//! what fails. What a GPU itself would do is `device.rs`'s to show.
#![cfg(target_os = "linux")]
#![allow(missing_docs, clippy::unwrap_used)]

mod host;

use host::{Driver, Knob};
use sanderling_core::CoreError;
use sanderling_core::backend::{Backend, Executable, Located, Progress, Segment};
use sanderling_core::infer::specialise;
use sanderling_core::partition::partition;
use sanderling_core::plan::{Arena, PlanView, encode};
use sanderling_core::{OpTable, Tensor, ops};
use sanderling_cuda::{CudaBackend, CudaError, CudaOptions};
use sanderling_exactness::{Vector, chains, models, node, random, vectors};
use sanderling_launch::LaunchTable;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard, PoisonError};

const OPS: LaunchTable = LaunchTable(sanderling_launch::ops::ALL);

/// The driver, for one test at a time, as at first; none where there is no NVRTC and none need be.
fn driver() -> Option<(MutexGuard<'static, ()>, &'static Driver)> {
    static ONE: Mutex<()> = Mutex::new(());
    let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    host::nvrtc().then(|| (one, Driver::load().afresh()))
}

fn options(cache: Option<&Path>) -> CudaOptions {
    CudaOptions {
        cache: cache.map(Into::into),
        ..CudaOptions::default()
    }
}

fn open() -> CudaBackend {
    CudaBackend::open(OPS, options(None)).unwrap()
}

#[test]
fn every_vector_is_given_by_both_forms_of_the_kernels() {
    let Some((_one, driver)) = driver() else { return };
    for capability in [53, 87] {
        driver.set(Knob::Capability, capability);
        let (taken, left) = node::every_vector(&open()).unwrap();
        eprintln!("{taken} vectors as sm_{capability}, left to others: {left:?}");
        assert!(taken > 60, "only {taken}; left: {left:?}");
    }
}

fn hold(model: (&str, usize)) {
    let Some((_one, driver)) = driver() else { return };
    for capability in [53, 87] {
        driver.set(Knob::Capability, capability);
        models::hold(Rc::new(open()), model).unwrap_or_else(|e| panic!("as sm_{capability}: {e}"));
    }
    assert_eq!(driver.get(Knob::InUse), 0, "memory was not given back");
}

#[test]
fn random_nodes_give_the_references_bytes() {
    let Some((_one, driver)) = driver() else { return };
    for capability in [53, 87] {
        driver.set(Knob::Capability, capability);
        random::hold(&open());
        chains::hold(&open());
    }
}

#[test]
fn efficientnet_lite0() {
    hold(models::INT8[0]);
}

#[test]
fn page_orientation() {
    hold(models::INT8[1]);
}

/// A vector as a prepared segment, and what to give it.
fn prepare(backend: &CudaBackend, vector: &Vector) -> (Result<Box<dyn Executable>, CoreError>, Vec<Tensor>) {
    let (graph, given) = node::graph(vector, false).unwrap();
    let (bytes, ids) = encode(&graph, &Arena::default()).unwrap();
    let plan = PlanView::parse(&bytes).unwrap();
    let constants: Vec<Tensor> = ids
        .iter()
        .map(|&id| graph.constant(id).unwrap().clone())
        .collect();
    let types: Vec<_> = given.iter().map(Tensor::ty).collect();
    let facts = specialise(&plan, &constants, OpTable(ops::ALL), &types).unwrap();
    let parts = partition(&plan, &facts, &[backend]).unwrap();
    let prepared = backend.prepare(&Segment {
        plan,
        nodes: parts[0].nodes.clone(),
        facts: &facts,
        inputs: &parts[0].inputs,
        outputs: &parts[0].outputs,
        constants: Rc::new(constants),
        memory_limit: 1 << 30,
    });
    (prepared, given)
}

fn convolution() -> Vector {
    let all = vectors().unwrap();
    all.into_iter().find(|vector| vector.op == "QLinearConv").unwrap()
}

#[test]
fn a_run_is_submitted_asked_about_and_read() {
    let Some((_one, driver)) = driver() else { return };
    for pools in [0, 1] {
        driver.set(Knob::Pools, pools);
        let (backend, vector) = (open(), convolution());
        let (prepared, given) = prepare(&backend, &vector);
        let mut run = prepared.unwrap();
        assert!(run.poll().is_err(), "there is no run");
        for _ in 0..2 {
            run.submit(&[Located::Host(given[0].view())]).unwrap();
            assert!(run.read_output(0).unwrap().is_none());
            assert_eq!(run.poll().unwrap(), Progress::Pending, "nothing waits");
            while run.poll().unwrap() == Progress::Pending {}
            assert!(run.read_output(0).unwrap().unwrap().to_tensor() == vector.output);
        }
        // A run that another overtakes: the second one's inputs count.
        let other = Tensor::zeros(given[0].ty().dtype, given[0].shape()).unwrap();
        run.submit(&[Located::Host(other.view())]).unwrap();
        run.submit(&[Located::Host(given[0].view())]).unwrap();
        while run.poll().unwrap() == Progress::Pending {}
        assert!(run.read_output(0).unwrap().unwrap().to_tensor() == vector.output);
        assert!(run.submit(&[]).is_err(), "an input is missing");
        // Dropped while a run is under way: the driver ends the process where that is not waited for.
        run.submit(&[Located::Host(given[0].view())]).unwrap();
        drop((run, backend));
        assert_eq!(driver.get(Knob::InUse), 0, "memory was not given back");
    }
}

fn recoverable(error: &CoreError) -> &str {
    match error {
        CoreError::Backend {
            recoverable: true,
            message,
            ..
        } => message,
        other => panic!("not recoverable: {other}"),
    }
}

#[test]
fn a_lack_of_memory_is_said_and_passes() {
    let Some((_one, driver)) = driver() else { return };
    let backend = open();
    for allocations in 0..2 {
        driver.set(Knob::Allocations, allocations);
        let (prepared, _) = prepare(&backend, &convolution());
        let error = prepared.err().unwrap();
        assert!(recoverable(&error).contains("out of memory"), "{error}");
    }
    driver.set(Knob::Allocations, -1);
    prepare(&backend, &convolution()).0.unwrap();
    driver.set(Knob::FreeMib, 0);
    let (prepared, _) = prepare(&backend, &convolution());
    let error = prepared.err().unwrap();
    assert!(
        recoverable(&error).contains("this device cannot take it: the arena"),
        "{error}"
    );
}

#[test]
fn a_failed_launch_is_said_and_the_device_is_not_asked_again() {
    let Some((_one, driver)) = driver() else { return };
    let backend = open();
    let (prepared, given) = prepare(&backend, &convolution());
    let mut run = prepared.unwrap();
    driver.set(Knob::LaunchError, 719);
    run.submit(&[Located::Host(given[0].view())]).unwrap();
    let error = loop {
        match run.poll() {
            Ok(Progress::Pending) => {}
            Ok(Progress::Ready) => panic!("a failed launch is ready"),
            Err(error) => break error,
        }
    };
    assert!(recoverable(&error).contains("launch failure"), "{error}");
    recoverable(&run.submit(&[Located::Host(given[0].view())]).unwrap_err());
    assert!(prepare_all(&backend).is_empty(), "a lost device takes nodes");
    drop(run);
    driver.afresh();
}

/// Vectors of which the backend takes the node.
fn prepare_all(backend: &CudaBackend) -> Vec<String> {
    let all = vectors().unwrap();
    let taken = all.iter().filter(|vector| {
        let (graph, given) = node::graph(vector, false).unwrap();
        node::run(backend, &graph, &given).is_ok()
    });
    taken.map(|vector| vector.name.clone()).collect()
}

/// A session goes on with the CPU where the GPU fails in the middle of a run.
#[test]
fn a_session_falls_back_to_the_cpu() {
    let Some((_one, driver)) = driver() else { return };
    let Some(graph) = models::graph(models::INT8[1].0).unwrap() else {
        return;
    };
    let (input, name) = (models::image().unwrap(), &graph.value(graph.inputs[0]).name);
    let given = [(name.as_str(), input.view())];
    let mut alone = models::session(&graph, Vec::new()).unwrap();
    let mut both = models::session(&graph, vec![Rc::new(open())]).unwrap();
    let wanted = alone.run(&given).unwrap().at(0).unwrap().to_tensor();
    driver.set(Knob::LaunchError, 719);
    let found = both.run(&given).unwrap().at(0).unwrap().to_tensor();
    assert!(found == wanted);
    let fallbacks = both.fallbacks();
    assert!(
        fallbacks.len() == 1 && fallbacks[0].backend == "cuda",
        "{fallbacks:?}"
    );
    assert!(fallbacks[0].reason.contains("launch failure"), "{fallbacks:?}");
    drop(both);
    driver.afresh();
}

#[test]
fn compiled_kernels_are_kept_and_bad_ones_made_again() {
    let Some((_one, driver)) = driver() else { return };
    let folder = tempfile::tempdir().unwrap();
    let files = || -> Vec<(std::path::PathBuf, Vec<u8>)> {
        let entries = std::fs::read_dir(folder.path()).unwrap();
        let mut files: Vec<_> = entries
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), std::fs::read(path).unwrap()))
            .collect();
        files.sort();
        files
    };
    let run = || {
        let backend = CudaBackend::open(OPS, options(Some(folder.path()))).unwrap();
        let (taken, _) = node::every_vector(&backend).unwrap();
        assert!(taken > 60);
    };
    let loaded = || usize::try_from(driver.get(Knob::Loaded)).unwrap();
    let before = loaded();
    run();
    let first = files();
    // There are no vectors of what only moves bytes.
    assert!(
        first.len() == loaded() - before && first.len() > 4,
        "{}",
        first.len()
    );
    // Damaged; refused by the driver, whose hash is right: both are compiled again and written over.
    std::fs::write(&first[0].0, &first[0].1[..100]).unwrap();
    std::fs::write(&first[1].0, b"").unwrap();
    run();
    assert!(files() == first);
    driver.set(Knob::Refused, 1);
    run();
    assert_eq!(driver.get(Knob::Refused), 0);
    assert!(files() == first);
    // Another device's code has other names.
    driver.set(Knob::Capability, 90);
    run();
    assert_eq!(files().len(), 2 * first.len());
}

#[test]
fn what_a_machine_lacks_is_said() {
    let Some((_one, driver)) = driver() else { return };
    let error = |device| {
        let options = CudaOptions {
            device,
            ..CudaOptions::default()
        };
        CudaBackend::open(OPS, options).err().unwrap()
    };
    assert_eq!(error(1), CudaError::NoDevice { index: 1, count: 1 });
    assert_eq!(
        error(1).to_string(),
        "there is no CUDA device 1: there are 1, numbered from 0"
    );
    driver.set(Knob::Devices, 0);
    assert_eq!(error(0), CudaError::NoDevice { index: 0, count: 0 });
    assert!(error(0).to_string().contains("finds no GPU"));
    driver.afresh().set(Knob::Version, 10_020);
    let old = error(0);
    assert!(matches!(
        old,
        CudaError::OldDriver {
            found: 10_020,
            lacks: None
        }
    ));
    assert!(
        old.to_string().contains("it is of CUDA 10.2, 11.4 is needed"),
        "{old}"
    );
    driver.afresh().set(Knob::Capability, 35);
    let old = error(0).to_string();
    assert!(
        old.contains("makes no code for a CPU in a GPU's place (compute capability 3.5)"),
        "{old}"
    );
}

/// A device that is younger than NVRTC gets PTX, which the driver translates.
#[test]
fn a_younger_device_gets_ptx() {
    let Some((_one, driver)) = driver() else { return };
    driver.set(Knob::Capability, 999);
    let (taken, _) = node::every_vector(&open()).unwrap();
    assert!(taken > 60);
}
