// The same elements in row-major order under another shape: one word of the output a thread.
struct Params {
    x: u32,
    y: u32,
    words: u32,
    x_axis: u32,
    y_axis: u32,
    x0: u32,
    x1: u32,
    x2: u32,
    x3: u32,
    x4: u32,
    y0: u32,
    y1: u32,
    y2: u32,
    y3: u32,
    y4: u32,
}
@group(0) @binding(2) var<uniform> p: Params;

// The byte at a row-major number of the source.
fn source(number: u32) -> u32 {
    let dims = array<u32, 5>(p.x0, p.x1, p.x2, p.x3, p.x4);
    var rest = number;
    var stride = (dims[p.x_axis] + 3u) / 4u;
    var word = p.x;
    var lane = 0u;
    for (var i = 5u; i > 0u; i--) {
        let index = rest % dims[i - 1u];
        rest = rest / dims[i - 1u];
        if i - 1u == p.x_axis {
            word = word + index / 4u;
            lane = index % 4u;
        } else {
            word = word + index * stride;
            stride = stride * dims[i - 1u];
        }
    }
    return byte(arena[word], lane);
}

@compute @workgroup_size(64)
fn reshape(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let thread = number(group, groups, local);
    if thread >= p.words {
        return;
    }
    let dims = array<u32, 5>(p.y0, p.y1, p.y2, p.y3, p.y4);
    let size = dims[p.y_axis];
    let packed = (size + 3u) / 4u;
    // The row-major number of the word's first element, and the distance of the next.
    var rest = thread / packed;
    var stride = 1u;
    var step = 1u;
    var first = 0u;
    for (var i = 5u; i > 0u; i--) {
        var index = 4u * (thread % packed);
        if i - 1u == p.y_axis {
            step = stride;
        } else {
            index = rest % dims[i - 1u];
            rest = rest / dims[i - 1u];
        }
        first = first + index * stride;
        stride = stride * dims[i - 1u];
    }
    var result = 0u;
    for (var lane = 0u; lane < 4u; lane++) {
        if 4u * (thread % packed) + lane < size {
            result = result | (source(first + lane * step) << (8u * lane));
        }
    }
    arena[p.y + thread] = result;
}
