// The greatest of each window: four channels of one pixel a thread. Every window meets the input.
struct Params {
    x: u32,
    y: u32,
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
}
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(64)
fn max_pool(
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
    var greatest = vec4<i32>(-128);
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
            greatest = max(greatest, lanes(read));
        }
    }
    arena[p.y + thread] = bytes(greatest) ^ p.flip;
}
