// The mean of the pixels: four channels a thread.
struct Params {
    u32 x;
    u32 y;
    u32 batch;
    u32 channels;
    u32 pixels;
    u32 flip;
    i32 x_zero;
    u32 multiplier;
    i32 y_zero;
    i32 y_least;
    i32 y_most;
};

extern "C" __global__ void mean(u32* arena, const u32* __restrict__, const Params p) {
    const u32 thread = number();
    if (thread >= p.batch * p.channels) {
        return;
    }
    const u32 c = thread % p.channels;
    const u32 n = thread / p.channels;
    u32 sums[4] = {0u, 0u, 0u, 0u};
    for (u32 i = 0u; i < p.pixels; i++) {
        const Four x = lanes(arena[p.x + (n * p.pixels + i) * p.channels + c] ^ p.flip);
        for (u32 lane = 0u; lane < 4u; lane++) {
            sums[lane] += (u32)(x.at[lane] - p.x_zero);
        }
    }
    u32 result = 0u;
    for (u32 lane = 0u; lane < 4u; lane++) {
        result |= placed(requantised(sums[lane], p.multiplier, p.y_zero, p.y_least, p.y_most), lane);
    }
    arena[p.y + thread] = result;
}
