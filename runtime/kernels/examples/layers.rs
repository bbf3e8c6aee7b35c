//! Times of the layers that real models spend theirs in, on each instruction set of this machine.
//!
//! `cargo run --release -p sanderling-kernels --features std --example layers [isa] [threads]`

use std::time::Instant;

use sanderling_kernels::{
    Axis, Best, Binary, Conv2d, ConvWeights, Ctx, PackedConv, Pool2d, Reduce, ThreadPool, Unary, binary,
    conv2d, layer_norm, max_pool2d, reduce, softmax, transpose, unary_inplace,
};

/// The best time of several runs, in seconds.
fn best_of(mut f: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    let start = Instant::now();
    while start.elapsed().as_secs_f64() < 0.2 {
        let at = Instant::now();
        f();
        best = best.min(at.elapsed().as_secs_f64());
    }
    best
}

fn ramp(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i % 251) as f32 * 0.008 - 1.0).collect()
}

fn convolutions(ctx: Ctx<'_>) {
    let square = |channels: [usize; 2], size: usize, kernel: usize, stride: usize, groups: usize| Conv2d {
        batch: 1,
        in_channels: channels[0],
        out_channels: channels[1],
        in_h: size,
        in_w: size,
        kernel: [kernel; 2],
        strides: [stride; 2],
        dilations: [1; 2],
        pads: [kernel / 2; 4],
        groups,
    };
    let cases = [
        (
            "magika 5x1, 256 to 512, 512 long",
            Conv2d {
                in_h: 512,
                in_w: 1,
                kernel: [5, 1],
                pads: [0; 4],
                ..square([256, 512], 1, 1, 1, 1)
            },
        ),
        ("stem 3x3/2, 3 to 32, 224", square([3, 32], 224, 3, 2, 1)),
        ("stem 7x7/2, 3 to 64, 224", square([3, 64], 224, 7, 2, 1)),
        ("3x3, 64 to 64, 56", square([64, 64], 56, 3, 1, 1)),
        ("3x3, 256 to 256, 14", square([256, 256], 14, 3, 1, 1)),
        ("3x3, 512 to 512, 7", square([512, 512], 7, 3, 1, 1)),
        ("1x1, 32 to 16, 112", square([32, 16], 112, 1, 1, 1)),
        ("1x1, 144 to 24, 56", square([144, 24], 56, 1, 1, 1)),
        ("1x1, 672 to 112, 14", square([672, 112], 14, 1, 1, 1)),
        ("1x1, 1152 to 320, 7", square([1152, 320], 7, 1, 1, 1)),
        ("1x1, 512 to 128, 1", square([512, 128], 1, 1, 1, 1)),
        ("depthwise 3x3, 32, 112", square([32, 32], 112, 3, 1, 32)),
        ("depthwise 3x3/2, 96, 112", square([96, 96], 112, 3, 2, 96)),
        ("depthwise 5x5, 480, 14", square([480, 480], 14, 5, 1, 480)),
        ("depthwise 5x5, 1152, 7", square([1152, 1152], 7, 5, 1, 1152)),
    ];
    for (name, conv) in cases {
        let (oh, ow) = conv.out_hw().expect("the window fits");
        let weights = conv.out_channels * conv.in_channels / conv.groups * conv.kernel[0] * conv.kernel[1];
        let x = ramp(conv.in_channels * conv.in_h * conv.in_w);
        let (w, bias) = (ramp(weights), ramp(conv.out_channels));
        let packed = PackedConv::new(ctx.isa, &conv, &w).expect("the weights fit");
        let mut y = vec![0.0; conv.out_channels * oh * ow];
        let mut scratch = vec![0.0; conv.scratch_len(ctx)];
        let act = Some(Unary::Clip { min: 0.0, max: 6.0 });
        let seconds = best_of(|| {
            let weights = ConvWeights::Packed(&packed);
            conv2d(
                ctx,
                &conv,
                &x,
                weights,
                Some(&bias),
                None,
                act,
                &mut y,
                &mut scratch,
            )
            .expect("it fits");
        });
        let flops = 2.0 * (weights * oh * ow) as f64;
        line(
            ctx,
            name,
            seconds,
            &format!("{:.1} GFLOP/s", flops / seconds / 1e9),
        );
    }
}

fn line(ctx: Ctx<'_>, name: &str, seconds: f64, rate: &str) {
    println!(
        "{name:36} {:>8} x{} {:>10.1} us  {rate}",
        ctx.isa.name(),
        ctx.threads(),
        seconds * 1e6
    );
}

fn element_wise(ctx: Ctx<'_>) {
    let len = 512 * 508;
    let rate = |seconds: f64, len: usize| format!("{:.2} ns an element", seconds * 1e9 / len as f64);
    let mut x = ramp(len);
    for f in [
        Unary::Relu,
        Unary::HardSwish,
        Unary::Exp,
        Unary::Tanh,
        Unary::Gelu,
        Unary::GeluTanh,
        Unary::Sigmoid,
    ] {
        let seconds = best_of(|| unary_inplace(ctx, f, &mut x));
        line(ctx, &format!("{f:?}, 260 k"), seconds, &rate(seconds, len));
    }
    let (x, row) = (ramp(len), ramp(508));
    let mut y = vec![0.0; len];
    let seconds = best_of(|| {
        binary(
            ctx,
            Binary::Add,
            &[512, 508],
            &x,
            &[508, 1],
            &row,
            &[0, 1],
            &mut y,
        )
        .expect("it fits");
    });
    line(ctx, "Add a row to 512x508", seconds, &rate(seconds, len));
    let seconds = best_of(|| transpose(&x, &[512, 508], &[1, 0], &mut y).expect("it fits"));
    line(ctx, "transpose 512x508", seconds, &rate(seconds, len));
    let seconds = best_of(|| {
        softmax(
            ctx,
            Axis {
                outer: 508,
                len: 512,
                inner: 1,
            },
            &x,
            &mut y,
        )
        .expect("it fits");
    });
    line(ctx, "softmax 508x512", seconds, &rate(seconds, len));
    let seconds = best_of(|| {
        layer_norm(ctx, 677, 384, &x, &row, Some(&row), 1e-5, &mut y).expect("it fits");
    });
    line(ctx, "layer norm 677x384", seconds, &rate(seconds, len));
    for (name, axis) in [
        (
            "sum along rows 512x508",
            Axis {
                outer: 512,
                len: 508,
                inner: 1,
            },
        ),
        (
            "sum along columns 512x508",
            Axis {
                outer: 1,
                len: 512,
                inner: 508,
            },
        ),
    ] {
        let seconds = best_of(|| reduce(ctx, Reduce::Sum, axis, &x, &mut y).expect("it fits"));
        line(ctx, name, seconds, &rate(seconds, len));
    }
    let pool = Pool2d {
        planes: 20,
        in_h: 112,
        in_w: 112,
        kernel: [3; 2],
        strides: [2; 2],
        dilations: [1; 2],
        pads: [1; 4],
        ceil_mode: false,
    };
    let mut scratch = vec![0.0; pool.scratch_len(ctx)];
    let seconds = best_of(|| max_pool2d(ctx, &pool, &x, &mut y, &mut scratch).expect("it fits"));
    line(
        ctx,
        "max pool 3x3/2, 20x112x112",
        seconds,
        &rate(seconds, 20 * 112 * 112),
    );
}

fn main() {
    let only = std::env::args().nth(1);
    let threads = std::env::args().nth(2).and_then(|t| t.parse().ok()).unwrap_or(1);
    let pool = ThreadPool::new(threads);
    for isa in Best::available().filter(|b| only.as_deref().is_none_or(|o| o == b.name())) {
        let ctx = Ctx::new(isa, &pool);
        convolutions(ctx);
        element_wise(ctx);
    }
}
