// Sum or product of two tensors, with broadcasting: one word a thread.
struct Params {
    a: u32,
    b: u32,
    y: u32,
    words: u32,
    packed: u32,
    dim1: u32,
    dim2: u32,
    dim3: u32,
    a0: u32,
    a1: u32,
    a2: u32,
    a3: u32,
    b0: u32,
    b1: u32,
    b2: u32,
    b3: u32,
    a_splat: u32,
    b_splat: u32,
    a_flip: u32,
    b_flip: u32,
    a_zero: i32,
    b_zero: i32,
    is_product: u32,
    a_factor: i32,
    b_factor: i32,
    multiplier: u32,
    y_zero: i32,
    y_least: i32,
    y_most: i32,
}
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(64)
fn binary(
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
    let from_a = p.a + i0 * p.a0 + i1 * p.a1 + i2 * p.a2 + i3 * p.a3;
    let from_b = p.b + i0 * p.b0 + i1 * p.b1 + i2 * p.b2 + i3 * p.b3;
    // Where an operand has one element on the packed axis, that one stands for all.
    var a = lanes(arena[from_a + select(packed, 0u, p.a_splat == 1u)] ^ p.a_flip);
    var b = lanes(arena[from_b + select(packed, 0u, p.b_splat == 1u)] ^ p.b_flip);
    a = select(a, a.xxxx, p.a_splat == 1u) - p.a_zero;
    b = select(b, b.xxxx, p.b_splat == 1u) - p.b_zero;
    let sums = select(a * p.a_factor + b * p.b_factor, a * b, p.is_product == 1u);
    var values: vec4<i32>;
    for (var lane = 0u; lane < 4u; lane++) {
        values[lane] = requantised(sums[lane], p.multiplier, p.y_zero, p.y_least, p.y_most);
    }
    arena[p.y + thread] = bytes(values);
}
