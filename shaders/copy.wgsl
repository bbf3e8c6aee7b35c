// Copies a box of elements: one word of the output a thread, which keeps the lanes outside of the box.
struct Params {
    x: u32,
    y: u32,
    words: u32,
    packed: u32,
    first: u32,
    len: u32,
    dim1: u32,
    dim2: u32,
    dim3: u32,
    y0: u32,
    y1: u32,
    y2: u32,
    y3: u32,
    x0: i32,
    x1: i32,
    x2: i32,
    x3: i32,
    xp: i32,
    l0: i32,
    l1: i32,
    l2: i32,
    l3: i32,
    lp: i32,
    x_lane: i32,
}
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(64)
fn copy(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let thread = number(group, groups, local);
    if thread >= p.words {
        return;
    }
    let packed = thread % p.packed;
    let i3 = thread / p.packed % p.dim3;
    let i2 = thread / p.packed / p.dim3 % p.dim2;
    let i1 = thread / p.packed / p.dim3 / p.dim2 % p.dim1;
    let i0 = thread / p.packed / p.dim3 / p.dim2 / p.dim1;
    let at = vec4<i32>(vec4<u32>(i0, i1, i2, i3));
    let words = at * vec4<i32>(p.x0, p.x1, p.x2, p.x3);
    let elements = at * vec4<i32>(p.l0, p.l1, p.l2, p.l3);
    let read_at = i32(p.x) + words.x + words.y + words.z + words.w;
    let first = p.x_lane + elements.x + elements.y + elements.z + elements.w;
    let to = p.y + i0 * p.y0 + i1 * p.y1 + i2 * p.y2 + i3 * p.y3 + packed;
    var result = arena[to];
    for (var lane = 0u; lane < 4u; lane++) {
        // Its number within the box, on the packed axis.
        let along = i32(4u * packed + lane) - i32(p.first);
        if along < 0 || along >= i32(p.len) {
            continue;
        }
        let element = u32(first + along * p.lp);
        let value = byte(arena[u32(read_at + along * p.xp) + element / 4u], element % 4u);
        result = (result & ~(255u << (8u * lane))) | (value << (8u * lane));
    }
    arena[to] = result;
}
