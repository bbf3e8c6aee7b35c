// Sum or product of two tensors, with broadcasting: one word a thread.
struct Params {
    u32 a;
    u32 b;
    u32 y;
    u32 words;
    u32 packed;
    u32 dim1;
    u32 dim2;
    u32 dim3;
    u32 a0;
    u32 a1;
    u32 a2;
    u32 a3;
    u32 b0;
    u32 b1;
    u32 b2;
    u32 b3;
    u32 a_splat;
    u32 b_splat;
    u32 a_flip;
    u32 b_flip;
    i32 a_zero;
    i32 b_zero;
    u32 is_product;
    i32 a_factor;
    i32 b_factor;
    u32 multiplier;
    i32 y_zero;
    i32 y_least;
    i32 y_most;
};

extern "C" __global__ void binary(u32* arena, const u32* __restrict__, const Params p) {
    const u32 thread = number();
    if (thread >= p.words) {
        return;
    }
    const u32 packed = thread % p.packed;
    const u32 i3 = thread / p.packed % p.dim3;
    const u32 i2 = thread / p.packed / p.dim3 % p.dim2;
    const u32 i1 = thread / p.packed / p.dim3 / p.dim2 % p.dim1;
    const u32 i0 = thread / p.packed / p.dim3 / p.dim2 / p.dim1;
    const u32 from_a = p.a + i0 * p.a0 + i1 * p.a1 + i2 * p.a2 + i3 * p.a3;
    const u32 from_b = p.b + i0 * p.b0 + i1 * p.b1 + i2 * p.b2 + i3 * p.b3;
    // Where an operand has one element on the packed axis, that one stands for all.
    const Four a = lanes(arena[from_a + (p.a_splat == 1u ? 0u : packed)] ^ p.a_flip);
    const Four b = lanes(arena[from_b + (p.b_splat == 1u ? 0u : packed)] ^ p.b_flip);
    u32 result = 0u;
    for (u32 lane = 0u; lane < 4u; lane++) {
        const u32 x = (u32)((p.a_splat == 1u ? a.at[0] : a.at[lane]) - p.a_zero);
        const u32 y = (u32)((p.b_splat == 1u ? b.at[0] : b.at[lane]) - p.b_zero);
        const u32 sum = p.is_product == 1u ? x * y : x * (u32)p.a_factor + y * (u32)p.b_factor;
        result |= placed(requantised(sum, p.multiplier, p.y_zero, p.y_least, p.y_most), lane);
    }
    arena[p.y + thread] = result;
}
