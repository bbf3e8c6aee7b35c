// Convolution: four output channels of four neighbours in a row a thread.
struct Params {
    x: u32,
    y: u32,
    weights: u32,
    starts: u32,
    multipliers: u32,
    zeros: u32,
    batch: u32,
    in_h: u32,
    in_w: u32,
    in_c: u32,
    out_h: u32,
    out_w: u32,
    out_c: u32,
    group_in: u32,
    group_out: u32,
    kernel_h: u32,
    kernel_w: u32,
    stride_h: u32,
    stride_w: u32,
    pad_h: i32,
    pad_w: i32,
    dilation_h: u32,
    dilation_w: u32,
    flip: u32,
    pad_word: u32,
    y_zero: i32,
    y_least: i32,
    y_most: i32,
}
@group(0) @binding(2) var<uniform> p: Params;

// The sums of one pixel's four outputs.
fn products(x: u32, w: vec4<u32>) -> vec4<i32> {
    return vec4<i32>(dot4(x, w.x), dot4(x, w.y), dot4(x, w.z), dot4(x, w.w));
}

fn finished(sums: vec4<i32>, total: i32, o: u32) -> u32 {
    var values: vec4<i32>;
    for (var lane = 0u; lane < 4u; lane++) {
        var sum = sums[lane];
        if p.zeros != 0xffffffffu {
            sum = sum - bitcast<i32>(constants[p.zeros + 4u * o + lane]) * total;
        }
        values[lane] = requantised(sum, constants[p.multipliers + 4u * o + lane], p.y_zero, p.y_least, p.y_most);
    }
    return bytes(values);
}

@compute @workgroup_size(64)
fn conv(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let thread = number(group, groups, local);
    let quads = (p.out_w + 3u) / 4u;
    if thread >= p.batch * p.out_h * quads * p.out_c {
        return;
    }
    let o = thread % p.out_c;
    let column = (thread / p.out_c % quads) * 4u;
    let row = thread / p.out_c / quads % p.out_h;
    let n = thread / p.out_c / quads / p.out_h;
    let columns = column + vec4<u32>(0u, 1u, 2u, 3u);
    let first = p.x + (o / p.group_out) * p.group_in;

    let start = bitcast<vec4<i32>>(vec4<u32>(
        constants[p.starts + 4u * o],
        constants[p.starts + 4u * o + 1u],
        constants[p.starts + 4u * o + 2u],
        constants[p.starts + 4u * o + 3u],
    ));
    var sums0 = start;
    var sums1 = start;
    var sums2 = start;
    var sums3 = start;
    // The sum of each pixel's inputs, for weights with zero points.
    var totals = vec4<i32>(0);
    var w = p.weights + 4u * o * p.kernel_h * p.kernel_w * p.group_in;
    for (var i = 0u; i < p.kernel_h; i++) {
        let y = i32(row * p.stride_h + i * p.dilation_h) - p.pad_h;
        for (var j = 0u; j < p.kernel_w; j++) {
            let x = vec4<i32>(columns * p.stride_w + j * p.dilation_w) - p.pad_w;
            let on_row = y >= 0 && y < i32(p.in_h);
            let inside = (x >= vec4<i32>(0)) & (x < vec4<i32>(i32(p.in_w))) & vec4<bool>(on_row);
            // A pixel outside reads one that is there, and takes the padding instead.
            let pixels = select(vec4<i32>(0), (i32(n * p.in_h) + y) * i32(p.in_w) + x, inside);
            let at = first + vec4<u32>(pixels) * p.in_c;
            for (var c = 0u; c < p.group_in; c++) {
                let weights = vec4<u32>(constants[w], constants[w + 1u], constants[w + 2u], constants[w + 3u]);
                w = w + 4u;
                let read = vec4<u32>(arena[at.x + c], arena[at.y + c], arena[at.z + c], arena[at.w + c]);
                let values = select(vec4<u32>(p.pad_word), read ^ vec4<u32>(p.flip), inside);
                sums0 = sums0 + products(values.x, weights);
                sums1 = sums1 + products(values.y, weights);
                sums2 = sums2 + products(values.z, weights);
                sums3 = sums3 + products(values.w, weights);
                if p.zeros != 0xffffffffu {
                    totals = totals + products(0x01010101u, values);
                }
            }
        }
    }
    let to = p.y + ((n * p.out_h + row) * p.out_w + column) * p.out_c + o;
    arena[to] = finished(sums0, totals.x, o);
    if column + 1u < p.out_w {
        arena[to + p.out_c] = finished(sums1, totals.y, o);
    }
    if column + 2u < p.out_w {
        arena[to + 2u * p.out_c] = finished(sums2, totals.z, o);
    }
    if column + 3u < p.out_w {
        arena[to + 3u * p.out_c] = finished(sums3, totals.w, o);
    }
}
