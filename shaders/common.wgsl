// What every kernel shares: the two buffers, bytes in words, and the requantisation of docs/numerics.md, section 2, by
// 32-bit integers (core::ops::common::requantise::in_integers is its model).

@group(0) @binding(0) var<storage, read_write> arena: array<u32>;
@group(0) @binding(1) var<storage, read> constants: array<u32>;

const GROUP: u32 = 64u;

// A thread's number. Groups stand in rows, as a row of groups has a limit.
fn number(group: vec3<u32>, groups: vec3<u32>, local: u32) -> u32 {
    return (group.y * groups.x + group.x) * GROUP + local;
}

// The four signed bytes of a word.
fn lanes(word: u32) -> vec4<i32> {
    return bitcast<vec4<i32>>(vec4<u32>(word << 24u, word << 16u, word << 8u, word)) >> vec4<u32>(24u);
}

// The low bytes of four numbers.
fn bytes(values: vec4<i32>) -> u32 {
    let low = bitcast<vec4<u32>>(values) & vec4<u32>(255u);
    return low.x | (low.y << 8u) | (low.z << 16u) | (low.w << 24u);
}

// One byte of a word.
fn byte(word: u32, lane: u32) -> u32 {
    return (word >> (8u * lane)) & 255u;
}

// x / 2^shift to nearest, halves to even; shift is from 1 to 31.
fn shift_rne(x: u32, shift: u32) -> u32 {
    let quotient = x >> shift;
    let rest = x & ((1u << shift) - 1u);
    let half = 1u << (shift - 1u);
    let up = rest > half || (rest == half && (quotient & 1u) == 1u);
    return quotient + select(0u, 1u, up);
}

// rne(f32(magnitude) * m), at most 2^23; `bits` are those of m, a normal binary32 number.
fn scaled(magnitude: u32, bits: u32) -> i32 {
    if magnitude == 0u {
        return 0;
    }
    // f32(magnitude) = a * 2^(top - 23), with a of 24 bits.
    var top = i32(firstLeadingBit(magnitude));
    var a: u32;
    if top > 23 {
        a = shift_rne(magnitude, u32(top - 23));
    } else {
        a = magnitude << u32(23 - top);
    }
    if a == 0x1000000u {
        a = 0x800000u;
        top = top + 1;
    }
    // The product with m's significand, 48 bits in two words, from 16-bit halves.
    let b = (bits & 0x7fffffu) | 0x800000u;
    let middle = (a & 0xffffu) * (b >> 16u) + (a >> 16u) * (b & 0xffffu);
    let lowest = (a & 0xffffu) * (b & 0xffffu);
    let low = lowest + (middle << 16u);
    let high = (a >> 16u) * (b >> 16u) + (middle >> 16u) + select(0u, 1u, low < lowest);
    // To 24 bits: what falls off beyond the first bit only matters as "some".
    let wide = high >= 0x8000u;
    let kept = select(9u, 8u, wide);
    let sticky = select(0u, 1u, (low << (kept + 1u)) != 0u);
    let half = (low >> (31u - kept)) & 1u;
    let leading = (high << kept) | (low >> (32u - kept));
    var product = shift_rne((leading << 2u) | (half << 1u) | sticky, 2u);
    var exponent = top - 23 + i32(bits >> 23u) - 127 + select(0, 1, wide);
    if product == 0x1000000u {
        product = 0x800000u;
        exponent = exponent + 1;
    }
    if exponent >= 0 {
        return 0x800000;
    }
    if exponent < -24 {
        return 0;
    }
    return i32(shift_rne(product, u32(-exponent)));
}

fn requantised(sum: i32, multiplier: u32, zero: i32, least: i32, most: i32) -> i32 {
    // The magnitude of the least i32 is 2^31, as u32.
    let negative = sum < 0;
    let bits = bitcast<u32>(sum);
    let magnitude = scaled(select(bits, ~bits + 1u, negative), multiplier);
    return clamp(select(magnitude, -magnitude, negative), least, most) + zero;
}
