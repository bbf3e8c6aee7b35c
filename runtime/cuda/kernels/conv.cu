// Convolution: four output channels of four neighbours in a row a thread.
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
    u32 in_c;
    u32 out_h;
    u32 out_w;
    u32 out_c;
    u32 group_in;
    u32 group_out;
    u32 kernel_h;
    u32 kernel_w;
    u32 stride_h;
    u32 stride_w;
    i32 pad_h;
    i32 pad_w;
    u32 dilation_h;
    u32 dilation_w;
    u32 flip;
    u32 pad_word;
    i32 y_zero;
    i32 y_least;
    i32 y_most;
};

__device__ __forceinline__ u32 finished(
    const u32* constants, const Params& p, const u32 sums[4], u32 total, u32 o
) {
    u32 result = 0u;
    for (u32 lane = 0u; lane < 4u; lane++) {
        u32 sum = sums[lane];
        if (p.zeros != 0xffffffffu) {
            sum -= constants[p.zeros + 4u * o + lane] * total;
        }
        const u32 multiplier = constants[p.multipliers + 4u * o + lane];
        result |= placed(requantised(sum, multiplier, p.y_zero, p.y_least, p.y_most), lane);
    }
    return result;
}

extern "C" __global__ void conv(u32* arena, const u32* __restrict__ constants, const Params p) {
    const u32 thread = number();
    const u32 quads = (p.out_w + 3u) / 4u;
    if (thread >= p.batch * p.out_h * quads * p.out_c) {
        return;
    }
    const u32 o = thread % p.out_c;
    const u32 column = (thread / p.out_c % quads) * 4u;
    const u32 row = thread / p.out_c / quads % p.out_h;
    const u32 n = thread / p.out_c / quads / p.out_h;
    const u32 first = p.x + (o / p.group_out) * p.group_in;

    // By pixel and output channel; and the sum of each pixel's inputs, for weights with zero points.
    u32 sums[4][4];
    u32 totals[4] = {0u, 0u, 0u, 0u};
    for (u32 pixel = 0u; pixel < 4u; pixel++) {
        for (u32 lane = 0u; lane < 4u; lane++) {
            sums[pixel][lane] = constants[p.starts + 4u * o + lane];
        }
    }
    const u32* w = constants + p.weights + 4u * o * p.kernel_h * p.kernel_w * p.group_in;
    for (u32 i = 0u; i < p.kernel_h; i++) {
        const i32 y = (i32)(row * p.stride_h + i * p.dilation_h) - p.pad_h;
        const bool on_row = y >= 0 && y < (i32)p.in_h;
        for (u32 j = 0u; j < p.kernel_w; j++) {
            // A pixel outside reads one that is there, and takes the padding instead.
            bool inside[4];
            u32 at[4];
            for (u32 pixel = 0u; pixel < 4u; pixel++) {
                const i32 x = (i32)((column + pixel) * p.stride_w + j * p.dilation_w) - p.pad_w;
                inside[pixel] = on_row && x >= 0 && x < (i32)p.in_w;
                const u32 place = (n * p.in_h + (u32)y) * p.in_w + (u32)x;
                at[pixel] = first + (inside[pixel] ? place * p.in_c : 0u);
            }
            for (u32 c = 0u; c < p.group_in; c++) {
                for (u32 pixel = 0u; pixel < 4u; pixel++) {
                    const u32 x = inside[pixel] ? arena[at[pixel] + c] ^ p.flip : p.pad_word;
                    for (u32 lane = 0u; lane < 4u; lane++) {
                        sums[pixel][lane] = dot4(x, w[lane], sums[pixel][lane]);
                    }
                    if (p.zeros != 0xffffffffu) {
                        totals[pixel] = dot4(x, 0x01010101u, totals[pixel]);
                    }
                }
                w += 4;
            }
        }
    }
    const u32 to = p.y + ((n * p.out_h + row) * p.out_w + column) * p.out_c + o;
    for (u32 pixel = 0u; pixel < 4u; pixel++) {
        if (column + pixel < p.out_w) {
            arena[to + pixel * p.out_c] = finished(constants, p, sums[pixel], totals[pixel], o);
        }
    }
}
