// The same elements in row-major order under another shape: one word of the output a thread.
struct Params {
    u32 x;
    u32 y;
    u32 words;
    u32 x_axis;
    u32 y_axis;
    u32 x0;
    u32 x1;
    u32 x2;
    u32 x3;
    u32 x4;
    u32 y0;
    u32 y1;
    u32 y2;
    u32 y3;
    u32 y4;
};

// The byte at a row-major number of the source.
__device__ __forceinline__ u32 source(const u32* arena, const Params& p, u32 number) {
    const u32 dims[5] = {p.x0, p.x1, p.x2, p.x3, p.x4};
    u32 rest = number;
    u32 stride = 1u;
    for (u32 i = 0u; i < 5u; i++) {
        stride = i == p.x_axis ? (dims[i] + 3u) / 4u : stride;
    }
    u32 word = p.x;
    u32 lane = 0u;
    for (u32 i = 5u; i > 0u; i--) {
        const u32 index = rest % dims[i - 1u];
        rest = rest / dims[i - 1u];
        if (i - 1u == p.x_axis) {
            word += index / 4u;
            lane = index % 4u;
        } else {
            word += index * stride;
            stride *= dims[i - 1u];
        }
    }
    return byte_of(arena[word], lane);
}

extern "C" __global__ void reshape(u32* arena, const u32* __restrict__, const Params p) {
    const u32 thread = number();
    if (thread >= p.words) {
        return;
    }
    const u32 dims[5] = {p.y0, p.y1, p.y2, p.y3, p.y4};
    u32 size = 1u;
    for (u32 i = 0u; i < 5u; i++) {
        size = i == p.y_axis ? dims[i] : size;
    }
    const u32 packed = (size + 3u) / 4u;
    // The row-major number of the word's first element, and the distance of the next.
    u32 rest = thread / packed;
    u32 stride = 1u;
    u32 step = 1u;
    u32 first = 0u;
    for (u32 i = 5u; i > 0u; i--) {
        u32 index = 4u * (thread % packed);
        if (i - 1u == p.y_axis) {
            step = stride;
        } else {
            index = rest % dims[i - 1u];
            rest = rest / dims[i - 1u];
        }
        first += index * stride;
        stride *= dims[i - 1u];
    }
    u32 result = 0u;
    for (u32 lane = 0u; lane < 4u; lane++) {
        if (4u * (thread % packed) + lane < size) {
            result |= source(arena, p, first + lane * step) << (8u * lane);
        }
    }
    arena[p.y + thread] = result;
}
