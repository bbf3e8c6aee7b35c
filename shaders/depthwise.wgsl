// Convolution of each channel by itself: four channels of one pixel a thread. Padding adds nothing.
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
    channels: u32,
    out_h: u32,
    out_w: u32,
    kernel_h: u32,
    kernel_w: u32,
    stride_h: u32,
    stride_w: u32,
    pad_h: i32,
    pad_w: i32,
    dilation_h: u32,
    dilation_w: u32,
    flip: u32,
    x_zero: i32,
    y_zero: i32,
    y_least: i32,
    y_most: i32,
}
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(64)
fn depthwise(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let thread = number(group, groups, local);
    if thread >= p.batch * p.out_h * p.out_w * p.channels {
        return;
    }
    let c = thread % p.channels;
    let column = thread / p.channels % p.out_w;
    let row = thread / p.channels / p.out_w % p.out_h;
    let n = thread / p.channels / p.out_w / p.out_h;
    let zeros = lanes(constants[p.zeros + c]);
    var sums = bitcast<vec4<i32>>(vec4<u32>(
        constants[p.starts + 4u * c],
        constants[p.starts + 4u * c + 1u],
        constants[p.starts + 4u * c + 2u],
        constants[p.starts + 4u * c + 3u],
    ));
    for (var i = 0u; i < p.kernel_h; i++) {
        let y = i32(row * p.stride_h + i * p.dilation_h) - p.pad_h;
        if y < 0 || y >= i32(p.in_h) {
            continue;
        }
        for (var j = 0u; j < p.kernel_w; j++) {
            let x = i32(column * p.stride_w + j * p.dilation_w) - p.pad_w;
            if x < 0 || x >= i32(p.in_w) {
                continue;
            }
            let read = arena[p.x + ((n * p.in_h + u32(y)) * p.in_w + u32(x)) * p.channels + c] ^ p.flip;
            let weights = lanes(constants[p.weights + (i * p.kernel_w + j) * p.channels + c]) - zeros;
            sums = sums + (lanes(read) - p.x_zero) * weights;
        }
    }
    var values: vec4<i32>;
    for (var lane = 0u; lane < 4u; lane++) {
        let multiplier = constants[p.multipliers + 4u * c + lane];
        values[lane] = requantised(sums[lane], multiplier, p.y_zero, p.y_least, p.y_most);
    }
    arena[p.y + thread] = bytes(values);
}
