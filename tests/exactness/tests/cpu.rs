//! The CPU backend gives the vectors' bytes on every instruction set of this machine, for one thread and for three.
#![allow(missing_docs, clippy::unwrap_used)]

use sanderling_core::{OpTable, ops};
use sanderling_cpu::{Best, CpuBackend, CpuOptions, CpuTable, ThreadPool};
use sanderling_exactness::{node, vectors};
use std::rc::Rc;

const TABLE: OpTable<'static> = OpTable(ops::ALL);
/// Operators of which a vector may be left to the reference: products of two computed matrices or of batches, three spatial
/// axes, channels last.
const MAY_BE_REFERENCE: &[&str] = &[
    "QLinearMatMul",
    "QGemm",
    "QLinearConv",
    "QLinearGlobalAveragePool",
];

#[test]
fn the_cpu_gives_every_vector() {
    let all = vectors().unwrap();
    let mut by_kernel = 0;
    for (isa, threads) in Best::available().flat_map(|isa| [(isa, 1), (isa, 3)]) {
        let options = CpuOptions {
            isa,
            parallel: Rc::new(ThreadPool::new(threads)),
            profile: None,
        };
        let backend = CpuBackend::new(CpuTable(sanderling_cpu::ops::ALL), TABLE, options);
        for vector in &all {
            let computed = matches!(vector.op.as_str(), "QLinearAdd" | "QLinearMul" | "QLinearMatMul");
            for two in [false, true].into_iter().take(1 + usize::from(computed)) {
                let (graph, given) = node::graph(vector, two).unwrap();
                let (found, kernel) = node::run(&backend, &graph, &given).unwrap();
                let by_reference = kernel.starts_with("reference");
                by_kernel += usize::from(!by_reference);
                assert!(
                    !by_reference || MAY_BE_REFERENCE.contains(&vector.op.as_str()),
                    "{}: no kernel",
                    vector.name
                );
                assert!(
                    found == vector.output,
                    "{} by {kernel} on {}, {threads} threads: other bytes",
                    vector.name,
                    isa.name()
                );
            }
        }
    }
    assert!(by_kernel > 80, "only {by_kernel} runs by kernels");
}
