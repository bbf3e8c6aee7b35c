//! GFLOP/s of the products that matter, on each instruction set of this machine.
//!
//! `cargo run --release -p sanderling-kernels --features std --example gemm [isa]`

use std::time::Instant;

use sanderling_kernels::{Best, Ctx, Epilogue, Lhs, MatRef, PackedA, PackedB, Rhs, gemm, gemm_scratch_len};

/// The best time of several runs, in seconds.
fn best_of(mut f: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    let start = Instant::now();
    while start.elapsed().as_secs_f64() < 0.3 {
        let at = Instant::now();
        f();
        best = best.min(at.elapsed().as_secs_f64());
    }
    best
}

/// Which operands are packed before the clock starts.
#[derive(Clone, Copy, Debug)]
enum Packing {
    None,
    A,
    B,
}

fn main() {
    let only = std::env::args().nth(1);
    let shapes = [
        ("square 512", 512, 512, 512, Packing::None),
        ("square 512, weights right", 512, 512, 512, Packing::B),
        ("256x512x512", 256, 512, 512, Packing::B),
        ("magika conv as gemm", 512, 508, 1280, Packing::A),
        ("magika one-hot", 2048, 64, 257, Packing::B),
        ("magika head", 1, 214, 512, Packing::B),
        ("1x1 conv 112x112, 32 to 16", 16, 12544, 32, Packing::A),
        ("1x1 conv 56x56, 24 to 144", 144, 3136, 24, Packing::A),
        ("1x1 conv 14x14, 480 to 80", 80, 196, 480, Packing::A),
        ("1x1 conv 7x7, 1152 to 192", 192, 49, 1152, Packing::A),
        ("MiniLM 128 tokens, ffn", 128, 1536, 384, Packing::B),
        ("MiniLM attention scores", 128, 128, 32, Packing::None),
        ("gemv 1x1024x1024", 1, 1024, 1024, Packing::B),
    ];
    println!("{:30} {:>8} {:>10} {:>10}", "product", "isa", "us", "GFLOP/s");
    for isa in Best::available().filter(|b| only.as_deref().is_none_or(|o| o == b.name())) {
        let ctx = Ctx::inline(isa);
        for &(name, m, n, k, packing) in &shapes {
            let a: Vec<f32> = (0..m * k).map(|i| (i % 17) as f32 * 0.1).collect();
            let b: Vec<f32> = (0..k * n).map(|i| (i % 13) as f32 * 0.1).collect();
            let (a, b) = (MatRef::row_major(&a, m, k), MatRef::row_major(&b, k, n));
            let packed_a = PackedA::new(isa, a).expect("the slices fit");
            let packed_b = PackedB::new(isa, b).expect("the slices fit");
            let lhs = if matches!(packing, Packing::A) {
                Lhs::Packed(&packed_a)
            } else {
                Lhs::Plain(a)
            };
            let rhs = if matches!(packing, Packing::B) {
                Rhs::Packed(&packed_b)
            } else {
                Rhs::Plain(b)
            };
            let mut out = vec![0.0; m * n];
            let mut scratch = vec![0.0; gemm_scratch_len(ctx, m, n, k)];
            let epilogue = Epilogue::default();
            let seconds = best_of(|| {
                gemm(ctx, lhs, rhs, &mut out, n, &epilogue, &mut scratch).expect("the operands fit");
            });
            let flops = 2.0 * (m * n * k) as f64;
            println!(
                "{name:30} {:>8} {:>10.1} {:>10.1}",
                isa.name(),
                seconds * 1e6,
                flops / seconds / 1e9
            );
        }
    }
}
