// Copies a box of elements: one word of the output a thread, which keeps the lanes outside of the box.
struct Params {
    u32 x;
    u32 y;
    u32 words;
    u32 packed;
    u32 first;
    u32 len;
    u32 dim1;
    u32 dim2;
    u32 dim3;
    u32 y0;
    u32 y1;
    u32 y2;
    u32 y3;
    i32 x0;
    i32 x1;
    i32 x2;
    i32 x3;
    i32 xp;
    i32 l0;
    i32 l1;
    i32 l2;
    i32 l3;
    i32 lp;
    i32 x_lane;
};

extern "C" __global__ void copy(u32* arena, const u32* __restrict__, const Params p) {
    const u32 thread = number();
    if (thread >= p.words) {
        return;
    }
    const u32 packed = thread % p.packed;
    const u32 i3 = thread / p.packed % p.dim3;
    const u32 i2 = thread / p.packed / p.dim3 % p.dim2;
    const u32 i1 = thread / p.packed / p.dim3 / p.dim2 % p.dim1;
    const u32 i0 = thread / p.packed / p.dim3 / p.dim2 / p.dim1;
    // Strides may be negative: unsigned sums of them wrap to the right place.
    const u32 read_at = p.x + i0 * (u32)p.x0 + i1 * (u32)p.x1 + i2 * (u32)p.x2 + i3 * (u32)p.x3;
    const u32 first = (u32)p.x_lane + i0 * (u32)p.l0 + i1 * (u32)p.l1 + i2 * (u32)p.l2 + i3 * (u32)p.l3;
    const u32 to = p.y + i0 * p.y0 + i1 * p.y1 + i2 * p.y2 + i3 * p.y3 + packed;
    u32 result = arena[to];
    for (u32 lane = 0u; lane < 4u; lane++) {
        // Its number within the box, on the packed axis; below it a great one.
        const u32 along = 4u * packed + lane - p.first;
        if (along >= p.len) {
            continue;
        }
        const u32 element = first + along * (u32)p.lp;
        const u32 value = byte_of(arena[read_at + along * (u32)p.xp + element / 4u], element % 4u);
        result = (result & ~(255u << (8u * lane))) | (value << (8u * lane));
    }
    arena[to] = result;
}
