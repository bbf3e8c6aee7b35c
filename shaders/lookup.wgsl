// A function of one byte, as a table: one word a thread.
struct Params {
    x: u32,
    y: u32,
    words: u32,
    table: u32,
}
@group(0) @binding(2) var<uniform> p: Params;

fn found(value: u32) -> u32 {
    return byte(constants[p.table + value / 4u], value % 4u);
}

@compute @workgroup_size(64)
fn lookup(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let thread = number(group, groups, local);
    if thread >= p.words {
        return;
    }
    let x = arena[p.x + thread];
    let low = found(byte(x, 0u)) | (found(byte(x, 1u)) << 8u);
    arena[p.y + thread] = low | (found(byte(x, 2u)) << 16u) | (found(byte(x, 3u)) << 24u);
}
