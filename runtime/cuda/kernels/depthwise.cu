// Convolution of each channel by itself: four channels of one pixel a thread. Padding adds nothing.
struct Params {
    u32 x;
    u32 y;
    u32 weights;
    u32 starts;
    u32 multipliers;
    u32 zeros;
    u32 batch;
    u32 in_h;
    u32 in_w;
    u32 channels;
    u32 out_h;
    u32 out_w;
    u32 kernel_h;
    u32 kernel_w;
    u32 stride_h;
    u32 stride_w;
    i32 pad_h;
    i32 pad_w;
    u32 dilation_h;
    u32 dilation_w;
    u32 flip;
    i32 x_zero;
    i32 y_zero;
    i32 y_least;
    i32 y_most;
};

extern "C" __global__ void depthwise(u32* arena, const u32* __restrict__ constants, const Params p) {
    const u32 thread = number();
    if (thread >= p.batch * p.out_h * p.out_w * p.channels) {
        return;
    }
    const u32 c = thread % p.channels;
    const u32 column = thread / p.channels % p.out_w;
    const u32 row = thread / p.channels / p.out_w % p.out_h;
    const u32 n = thread / p.channels / p.out_w / p.out_h;
    const Four zeros = lanes(constants[p.zeros + c]);
    u32 sums[4];
    for (u32 lane = 0u; lane < 4u; lane++) {
        sums[lane] = constants[p.starts + 4u * c + lane];
    }
    for (u32 i = 0u; i < p.kernel_h; i++) {
        const i32 y = (i32)(row * p.stride_h + i * p.dilation_h) - p.pad_h;
        if (y < 0 || y >= (i32)p.in_h) {
            continue;
        }
        for (u32 j = 0u; j < p.kernel_w; j++) {
            const i32 x = (i32)(column * p.stride_w + j * p.dilation_w) - p.pad_w;
            if (x < 0 || x >= (i32)p.in_w) {
                continue;
            }
            const u32 pixel = (n * p.in_h + (u32)y) * p.in_w + (u32)x;
            const Four read = lanes(arena[p.x + pixel * p.channels + c] ^ p.flip);
            const Four weights = lanes(constants[p.weights + (i * p.kernel_w + j) * p.channels + c]);
            for (u32 lane = 0u; lane < 4u; lane++) {
                const i32 weight = weights.at[lane] - zeros.at[lane];
                sums[lane] += (u32)((read.at[lane] - p.x_zero) * weight);
            }
        }
    }
    u32 result = 0u;
    for (u32 lane = 0u; lane < 4u; lane++) {
        const u32 multiplier = constants[p.multipliers + 4u * c + lane];
        result |= placed(requantised(sums[lane], multiplier, p.y_zero, p.y_least, p.y_most), lane);
    }
    arena[p.y + thread] = result;
}
