// A function of one byte, as a table: one word a thread.
struct Params {
    u32 x;
    u32 y;
    u32 words;
    u32 table;
};

__device__ __forceinline__ u32 found(const u32* table, u32 value) {
    return byte_of(table[value / 4u], value % 4u);
}

extern "C" __global__ void lookup(u32* arena, const u32* __restrict__ constants, const Params p) {
    const u32 thread = number();
    if (thread >= p.words) {
        return;
    }
    const u32* table = constants + p.table;
    const u32 x = arena[p.x + thread];
    u32 result = 0u;
    for (u32 lane = 0u; lane < 4u; lane++) {
        result |= found(table, byte_of(x, lane)) << (8u * lane);
    }
    arena[p.y + thread] = result;
}
