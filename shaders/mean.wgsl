// The mean of the pixels: four channels a thread.
struct Params {
    x: u32,
    y: u32,
    batch: u32,
    channels: u32,
    pixels: u32,
    flip: u32,
    x_zero: i32,
    multiplier: u32,
    y_zero: i32,
    y_least: i32,
    y_most: i32,
}
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(64)
fn mean(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let thread = number(group, groups, local);
    if thread >= p.batch * p.channels {
        return;
    }
    let c = thread % p.channels;
    let n = thread / p.channels;
    var sums = vec4<i32>(0);
    for (var i = 0u; i < p.pixels; i++) {
        sums = sums + lanes(arena[p.x + (n * p.pixels + i) * p.channels + c] ^ p.flip) - p.x_zero;
    }
    var values: vec4<i32>;
    for (var lane = 0u; lane < 4u; lane++) {
        values[lane] = requantised(sums[lane], p.multiplier, p.y_zero, p.y_least, p.y_most);
    }
    arena[p.y + thread] = bytes(values);
}
