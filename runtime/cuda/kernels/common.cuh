// What every kernel shares: words and bytes, and the requantisation of docs/numerics.md, section 2. Nothing is included:
// NVRTC compiles this text alone, and so does a host's C++ compiler behind the tests' header.

typedef unsigned int u32;
typedef int i32;

// Four signed numbers.
struct Four {
    i32 at[4];
};

// A thread's number.
__device__ __forceinline__ u32 number() {
    return blockIdx.x * blockDim.x + threadIdx.x;
}

// One byte of a word.
__device__ __forceinline__ u32 byte_of(u32 word, u32 lane) {
    return (word >> (8u * lane)) & 255u;
}

// The four signed bytes of a word.
__device__ __forceinline__ Four lanes(u32 word) {
    Four four;
    for (u32 lane = 0u; lane < 4u; lane++) {
        four.at[lane] = (i32)(signed char)byte_of(word, lane);
    }
    return four;
}

// The low byte of a number, at its place in a word.
__device__ __forceinline__ u32 placed(i32 value, u32 lane) {
    return ((u32)value & 255u) << (8u * lane);
}

// sum + four signed bytes by four; it wraps.
__device__ __forceinline__ u32 dot4(u32 a, u32 b, u32 sum) {
#if __CUDA_ARCH__ >= 610
    return (u32)__dp4a((i32)a, (i32)b, (i32)sum);
#else
    const Four x = lanes(a), y = lanes(b);
    for (u32 lane = 0u; lane < 4u; lane++) {
        sum += (u32)(x.at[lane] * y.at[lane]);
    }
    return sum;
#endif
}

// clamp(rne(f32(sum) * m), least, most) + zero; the bits of m. Conversions from floats saturate, so that infinity clamps.
__device__ __forceinline__ i32 requantised(u32 sum, u32 multiplier, i32 zero, i32 least, i32 most) {
    const float product = __fmul_rn(__int2float_rn((i32)sum), __uint_as_float(multiplier));
    const i32 rounded = __float2int_rn(product);
    return (rounded < least ? least : rounded > most ? most : rounded) + zero;
}
