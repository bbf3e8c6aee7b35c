// CUDA's words for a host's C++ compiler, so that the kernels' own sources run on a CPU. For tests only. Compile with
// -ffp-contract=off.
#pragma once
#include <cmath>
#include <cstring>

struct Index {
    unsigned x, y, z;
};
extern thread_local Index threadIdx, blockIdx, blockDim;

#define __global__
#define __device__
#define __forceinline__ inline __attribute__((always_inline))

static inline float __int2float_rn(int value) {
    return (float)value;
}

static inline float __fmul_rn(float a, float b) {
    return a * b;
}

static inline float __uint_as_float(unsigned bits) {
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}

// To nearest, ties to even, as the host rounds by default; out of range it saturates, and NaN is 0, as PTX's cvt.
static inline int __float2int_rn(float value) {
    if (!(value < 2147483648.0f)) {
        return value != value ? 0 : 2147483647;
    }
    return value < -2147483648.0f ? -2147483647 - 1 : (int)std::rint(value);
}

static inline int __dp4a(int a, int b, int c) {
    unsigned sum = (unsigned)c;
    for (unsigned lane = 0; lane < 4; lane++) {
        const int x = (signed char)((unsigned)a >> (8 * lane)), y = (signed char)((unsigned)b >> (8 * lane));
        sum += (unsigned)(x * y);
    }
    return (int)sum;
}

// A kernel as the driver below launches it: compiled for a compute capability, bytes of its parameters.
struct HostKernel {
    const char* name;
    int capability;
    unsigned params;
    void (*run)(unsigned blocks, unsigned threads, void* arena, void* constants, const void* params);
};
