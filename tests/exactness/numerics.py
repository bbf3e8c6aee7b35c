"""docs/numerics.md in NumPy: makes the vectors of tests/exactness/vectors, and passes them.

    python3 numerics.py check     # every vector holds; exit status 1 otherwise
    python3 numerics.py make      # writes the vectors anew (they do not change within a version)

A vector is {"op", "attributes", "inputs": [{"dtype", "shape", "data"} or null], "output": {...}}; binary32 data is
given as bits. Nothing here shares code with the Rust implementation.
"""

import hashlib
import json
import struct
import sys
from pathlib import Path

import numpy as np

VECTORS = Path(__file__).parent / "vectors"
F32 = np.float32
I32 = np.int32
DTYPES = {"uint8": np.uint8, "int8": np.int8, "int32": np.int32, "float32": np.float32}


# --- section 2: the one requantisation --------------------------------------------------------------------------------


def wrap(i64):
    """Sums of 64 bits to 32, modulo 2**32."""
    return np.asarray(i64, np.int64).astype(np.uint64).astype(np.uint32).view(I32)


def check_multiplier(m):
    m = np.asarray(m, F32)
    if not np.all(np.isfinite(m) & (m >= np.finfo(F32).tiny)):
        raise ValueError(f"a multiplier is not normal, positive and finite: {m}")
    return m


def requantise(acc, m, zero, dtype):
    """acc: int32 array; m: binary32, broadcast to it."""
    info = np.iinfo(dtype)
    m, zero = check_multiplier(m), int(zero)
    with np.errstate(over="ignore"):
        v = np.rint(np.asarray(acc, I32).astype(F32) * m)
    v = np.clip(v, F32(info.min - zero), F32(info.max - zero))
    return (v.astype(np.int32) + zero).astype(dtype)


# --- section 3: operators ---------------------------------------------------------------------------------------------


def centred(x, zero):
    return x.astype(np.int64) - np.asarray(zero, np.int64)


def per_channel(v, rank, axis):
    """A scalar, or a vector along `axis` of a tensor of this rank."""
    v = np.asarray(v)
    if v.ndim == 0 or v.size == 1:
        return v.reshape(())
    shape = [1] * rank
    shape[axis] = v.size
    return v.reshape(shape)


def qlinear_conv(x, sx, zx, w, sw, zw, sy, zy, bias=None, *, group=1, strides=None, pads=None, dilations=None):
    spatial = x.ndim - 2
    strides = strides or [1] * spatial
    dilations = dilations or [1] * spatial
    pads = pads or [0] * (2 * spatial)
    xs = centred(x, zx)
    xs = np.pad(xs, [(0, 0), (0, 0)] + [(pads[i], pads[i + spatial]) for i in range(spatial)])
    ws = centred(w, per_channel(zw, w.ndim, 0))
    n, (m, cg), kernel = x.shape[0], w.shape[:2], w.shape[2:]
    out = [(xs.shape[2 + i] - ((kernel[i] - 1) * dilations[i] + 1)) // strides[i] + 1 for i in range(spatial)]
    acc = np.zeros((n, m, *out), np.int64)
    for o in range(m):
        g = o // (m // group)
        for k in np.ndindex(*kernel):
            window = tuple(
                slice(k[i] * dilations[i], k[i] * dilations[i] + (out[i] - 1) * strides[i] + 1, strides[i])
                for i in range(spatial)
            )
            part = xs[(slice(None), slice(g * cg, (g + 1) * cg), *window)]
            weights = ws[(o, slice(None), *k)].reshape(1, cg, *([1] * spatial))
            acc[:, o] += (part * weights).sum(axis=1)
    if bias is not None:
        acc += per_channel(bias, acc.ndim, 1).astype(np.int64)
    multiplier = per_channel((F32(sx) * np.asarray(sw, F32)) / F32(sy), acc.ndim, 1)
    return requantise(wrap(acc), multiplier, zy, zy.dtype)


def qlinear_matmul(a, sa, za, b, sb, zb, sy, zy):
    acc = np.matmul(centred(a, za), centred(b, per_channel(zb, b.ndim, -1)))
    multiplier = per_channel((F32(sa) * np.asarray(sb, F32)) / F32(sy), acc.ndim, -1)
    return requantise(wrap(acc), multiplier, zy, zy.dtype)


def qgemm(a, sa, za, b, sb, zb, c, sy, zy, *, transA=0, transB=0, alpha=1.0):
    a, b = (a.T if transA else a), (b.T if transB else b)
    acc = np.matmul(centred(a, za), centred(b, per_channel(zb, 2, 1)))
    if c is not None:
        acc = acc + c.astype(np.int64)
    scale = (F32(alpha) * F32(sa)) * np.asarray(sb, F32)
    return requantise(wrap(acc), per_channel(scale / F32(sy), 2, 1), zy, zy.dtype)


def qlinear_add(a, sa, za, b, sb, zb, sy, zy):
    ra, rb = F32(sa) / F32(sy), F32(sb) / F32(sy)
    m = max(ra, rb) * F32(2.0**-22)
    fa, fb = int(np.rint(ra / m)), int(np.rint(rb / m))
    return requantise(wrap(centred(a, za) * fa + centred(b, zb) * fb), m, zy, zy.dtype)


def qlinear_mul(a, sa, za, b, sb, zb, sy, zy):
    return requantise(wrap(centred(a, za) * centred(b, zb)), (F32(sa) * F32(sb)) / F32(sy), zy, zy.dtype)


def qlinear_global_average_pool(x, sx, zx, sy, zy, *, channels_last=0):
    axes = tuple(range(1, x.ndim - 1)) if channels_last else tuple(range(2, x.ndim))
    n = int(np.prod([x.shape[axis] for axis in axes]))
    acc = centred(x, zx).sum(axis=axes, keepdims=True)
    return requantise(wrap(acc), F32(sx) / (F32(sy) * F32(n)), zy, zy.dtype)


def lookup_table(x, table):
    return table[x.view(np.uint8)]


def quantize_linear(x, s, zero):
    info = np.iinfo(zero.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        v = np.rint(x / F32(s))
    v = np.where(np.isnan(v), F32(0), np.clip(v, F32(-1e6), F32(1e6)))
    return np.clip(v.astype(np.int64) + int(zero), info.min, info.max).astype(zero.dtype)


# --- section 5 --------------------------------------------------------------------------------------------------------

ONNX_CODES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6}


def digest(array):
    name = next(name for name, dtype in DTYPES.items() if array.dtype == dtype)
    head = struct.pack("<BI", ONNX_CODES[name], array.ndim) + struct.pack(f"<{array.ndim}Q", *array.shape)
    return hashlib.sha256(head + np.asarray(array, order="C").tobytes()).hexdigest()


OPERATORS = {
    "QLinearConv": qlinear_conv,
    "QLinearMatMul": qlinear_matmul,
    "QGemm": qgemm,
    "QLinearAdd": qlinear_add,
    "QLinearMul": qlinear_mul,
    "QLinearGlobalAveragePool": qlinear_global_average_pool,
    "LookupTable": lookup_table,
    "QuantizeLinear": quantize_linear,
}


# --- vectors as data --------------------------------------------------------------------------------------------------


def to_json(array):
    if array is None:
        return None
    array = np.asarray(array, order="C")
    name = next(name for name, dtype in DTYPES.items() if array.dtype == dtype)
    data = array.view(np.uint32) if name == "float32" else array
    return {"dtype": name, "shape": list(array.shape), "data": data.reshape(-1).tolist()}


def from_json(tensor):
    if tensor is None:
        return None
    dtype = DTYPES[tensor["dtype"]]
    stored = np.uint32 if dtype is np.float32 else dtype
    return np.array(tensor["data"], stored).view(dtype).reshape(tensor["shape"])


def vector(op, *inputs, **attributes):
    inputs = [None if value is None else np.asarray(value) for value in inputs]
    output = OPERATORS[op](*inputs, **attributes)
    return {"op": op, "attributes": attributes, "inputs": [to_json(i) for i in inputs], "output": to_json(output)}


def anything(rng, dtype, shape):
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, size=shape, dtype=dtype, endpoint=True)


def extremes(rng, dtype, shape):
    info = np.iinfo(dtype)
    return rng.choice(np.array([info.min, info.max], dtype), size=shape)


def a_scale(rng, low=-8, high=0):
    return F32(2.0 ** rng.uniform(low, high))


TYPES = [np.uint8, np.int8]


def conv_vectors(rng):
    def one(x_shape, w_shape, *, per_channel=True, bias="some", fill=anything, x=np.uint8, w=np.int8, y=np.uint8, **attributes):
        channels = w_shape[0]
        size = channels if per_channel else ()
        sx, sy = a_scale(rng), a_scale(rng, -4, 2)
        sw = (2.0 ** rng.uniform(-9, -4, size=size)).astype(F32)
        zw = anything(rng, w, size) if w is np.uint8 else np.zeros(size, w)
        values = {
            "some": rng.integers(-20000, 20000, channels, dtype=I32),
            "none": None,
            "wraps": rng.choice(np.array([2**31 - 1, -(2**31), 2147268352], I32), channels),
        }[bias]
        return vector(
            "QLinearConv", fill(rng, x, x_shape), sx, anything(rng, x, ()), fill(rng, w, w_shape), sw, zw, sy,
            anything(rng, y, ()), values, **attributes,
        )

    plain = [one((1, 3, 7, 5), (4, 3, 3, 3), x=x, w=w, y=y, pads=[1, 1, 1, 1]) for x in TYPES for w in TYPES for y in TYPES]
    return plain + [
        one((2, 8, 4, 4), (16, 8, 1, 1)),
        one((1, 8, 9, 9), (8, 1, 3, 3), group=8, pads=[1, 1, 1, 1], strides=[2, 2]),
        one((1, 8, 9, 9), (8, 1, 5, 5), group=8, pads=[2, 2, 2, 2]),
        one((1, 6, 6, 6), (4, 3, 3, 3), group=2, dilations=[2, 1], pads=[2, 0, 2, 1]),
        one((1, 3, 8, 8), (5, 3, 3, 3), strides=[2, 1], pads=[0, 1, 1, 0], per_channel=False, bias="none"),
        one((1, 4, 12), (6, 4, 5), pads=[2, 2]),
        one((1, 2, 4, 4, 4), (3, 2, 2, 2, 2)),
        one((1, 64, 3, 3), (4, 64, 3, 3), fill=extremes, pads=[1, 1, 1, 1]),
        one((1, 64, 3, 3), (4, 64, 3, 3), fill=extremes, x=np.int8, y=np.int8),
        one((1, 3, 4, 4), (4, 3, 3, 3), bias="wraps", fill=extremes),
        one((1, 24, 5, 3), (9, 24, 1, 1), w=np.uint8),
        one((1, 17, 3, 3), (19, 17, 1, 1), x=np.int8, y=np.int8),
    ]


def matrix_vectors(rng):
    def product(op, a_shape, b_shape, a=np.uint8, b=np.int8, y=np.uint8, *, columns=True, bias=None, **attributes):
        n = b_shape[-2] if attributes.get("transB") else b_shape[-1]
        size = n if columns else ()
        sb = (2.0 ** rng.uniform(-9, -4, size=size)).astype(F32)
        zb = anything(rng, b, size) if b is np.uint8 else np.zeros(size, b)
        middle = [] if op == "QLinearMatMul" else [bias]
        return vector(
            op, anything(rng, a, a_shape), a_scale(rng), anything(rng, a, ()), anything(rng, b, b_shape), sb, zb,
            *middle, a_scale(rng, -4, 2), anything(rng, y, ()), **attributes,
        )

    bias = lambda *shape: rng.integers(-30000, 30000, shape, dtype=I32)
    matmul = [product("QLinearMatMul", (5, 7), (7, 6), a, b, y) for a in TYPES for b in TYPES for y in TYPES]
    matmul += [
        product("QLinearMatMul", (2, 3, 5, 7), (7, 4), columns=False),
        product("QLinearMatMul", (2, 5, 130), (2, 130, 3), columns=False),
        product("QLinearMatMul", (1, 33), (33, 17)),
    ]
    gemm = [product("QGemm", (5, 7), (7, 6), a, b, y, bias=bias(6)) for a in TYPES for b in TYPES for y in TYPES]
    gemm += [
        product("QGemm", (1, 64), (10, 64), bias=bias(10), transB=1),
        product("QGemm", (64, 3), (64, 10), bias=bias(3, 1), transA=1),
        product("QGemm", (4, 9), (9, 5), columns=False),
        product("QGemm", (2, 640), (9, 640), bias=bias(1, 9), transB=1),
    ]
    return matmul, gemm


def pair_vectors(rng, op):
    def one(a_shape, b_shape, a=np.uint8, b=np.uint8, y=np.uint8, scales=None, zeros=None):
        sa, sb, sy = scales or (a_scale(rng), a_scale(rng), a_scale(rng, -4, 1))
        za, zb, zy = zeros or (anything(rng, a, ()), anything(rng, b, ()), anything(rng, y, ()))
        return vector(op, anything(rng, a, a_shape), F32(sa), a(za), anything(rng, b, b_shape), F32(sb), b(zb), F32(sy), y(zy))

    every = np.arange(256, dtype=np.uint8)
    ties = (0.5, 0.5, 1.0) if op == "QLinearAdd" else (0.5, 1.0, 1.0)
    return [one((1, 3, 4, 5), (1, 3, 4, 5), a, b, y) for a in TYPES for b in TYPES for y in TYPES] + [
        one((1, 6, 4, 4), (1, 6, 1, 1)),
        one((2, 3, 4), (4,)),
        one((), (3, 5)),
        one((1, 4, 1, 3), (2, 1, 3, 1)),
        vector(op, every.reshape(256, 1), F32(ties[0]), np.uint8(128), every[::5].reshape(1, -1), F32(ties[1]), np.uint8(100), F32(ties[2]), np.uint8(128)),
        one((200,), (200,), scales=(1e-3, 900.0, 500.0)),
        one((200,), (200,), scales=(3.0, 5.0, 1e-4), zeros=(0, 255, 7)),
        one((300,), (300,), scales=(0.02, 0.02, 0.03)),
    ]


def pool_vectors(rng):
    def one(shape, x=np.uint8, y=np.uint8, fill=anything, scales=None, **attributes):
        sx, sy = scales or (a_scale(rng), a_scale(rng))
        return vector("QLinearGlobalAveragePool", fill(rng, x, shape), F32(sx), anything(rng, x, ()), F32(sy), anything(rng, y, ()), **attributes)

    return [one((1, 5, 7, 7), x, y) for x in TYPES for y in TYPES] + [
        one((2, 3, 1, 1)), one((1, 4, 9)), one((1, 2, 3, 4, 5)), one((1, 2, 64, 64), fill=extremes),
        one((1, 40, 2, 1), scales=(0.1, 0.1)), one((1, 7, 7, 5), channels_last=1),
    ]


def table_vectors(rng):
    all_bytes = np.arange(256, dtype=np.uint8)
    return [vector("LookupTable", all_bytes.view(x).reshape(4, 64), anything(rng, y, 256)) for x in TYPES for y in TYPES] + [
        vector("LookupTable", anything(rng, np.int8, (1, 3, 5, 7)), all_bytes[::-1].copy()),
    ]


def border_vectors(rng):
    odd = [0.0, -0.0, 0.5, 1.5, 2.5, -0.5, -1.5, np.nan, np.inf, -np.inf, 1e30, -1e30, 1e-45, 254.5, 255.5, 127.5, -128.5]
    values = np.concatenate([np.array(odd, F32), rng.normal(0, 60, 200).astype(F32)])
    return [vector("QuantizeLinear", values, F32(s), anything(rng, y, ())) for s in (1.0, 0.1, 0.0173, 2.0) for y in TYPES]


def requantisation_vectors(rng):
    """The primitive alone: rows of acc, bits of m, zero point, dtype, result."""
    rows = []

    def add(acc, m, zero, dtype):
        out = requantise(I32(acc), F32(m), zero, dtype)
        rows.append([int(acc), int(F32(m).view(np.uint32)), int(zero), np.dtype(dtype).name, int(out)])

    edges = [0, 1, -1, 2, 3, 5, 127, 128, 255, 2**24 - 1, 2**24 + 1, 2**24 + 3, 2**25 + 2, 2**31 - 1, -(2**31), -(2**31) + 1, 2147268352]
    multipliers = [0.5, 0.25, 1.0, 1.5, 2.0**-126, F32(2.0) ** 127, 2.0**-24, 2.0**-23, 1 / 3, 0.1, 3.4e38, 1.1754944e-38, 0.99999994, 1.0000001]
    for acc in edges:
        for m in multipliers:
            for zero, dtype in ((0, np.uint8), (255, np.uint8), (128, np.uint8), (0, np.int8), (-128, np.int8), (127, np.int8)):
                add(acc, m, zero, dtype)
    for _ in range(4000):
        # Results near the range, where rounding shows.
        target, bits = rng.uniform(-300, 300), rng.integers(1, 31)
        acc = int(rng.integers(2 ** (bits - 1), 2**bits)) * int(rng.choice([-1, 1]))
        dtype = TYPES[int(rng.integers(2))]
        add(acc, max(abs(target) / abs(acc), 1e-37), anything(rng, dtype, ()), dtype)
    for _ in range(1000):
        # Exact halves: an odd accumulator times a power of two.
        acc, shift = int(rng.integers(-511, 512)) * 2 + 1, int(rng.integers(1, 9))
        add(acc << (shift - 1), 2.0**-shift, int(rng.integers(0, 256)), np.uint8)
    return rows


def digest_vectors(rng):
    tensors = [anything(rng, np.uint8, (2, 3)), anything(rng, np.int8, (2, 3)), anything(rng, np.int8, ()), anything(rng, np.uint8, (0, 4)), anything(rng, np.int32, (1, 3, 1))]
    return [{"tensor": to_json(tensor), "sha256": digest(tensor)} for tensor in tensors]


def make():
    rng = np.random.default_rng(20261122)
    matmul, gemm = matrix_vectors(rng)
    files = {
        "requantise": requantisation_vectors(rng),
        "qlinear_conv": conv_vectors(rng),
        "qlinear_matmul": matmul,
        "qgemm": gemm,
        "qlinear_add": pair_vectors(rng, "QLinearAdd"),
        "qlinear_mul": pair_vectors(rng, "QLinearMul"),
        "qlinear_global_average_pool": pool_vectors(rng),
        "lookup_table": table_vectors(rng),
        "quantize_linear": border_vectors(rng),
        "digest": digest_vectors(rng),
    }
    return {f"{name}.json": "[\n" + ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows) + "\n]\n" for name, rows in files.items()}


def check_addition(rng):
    """What section 3 says of QLinearAdd's error, on scales up to its bound; and that beyond it the bound does not hold."""
    for ratio in [*(2.0 ** rng.uniform(-6, 13, 400)), *[2.0**13] * 100]:
        sy = a_scale(rng)
        sa = F32(ratio * sy)
        if F32(sa / sy) > 2**13:
            continue
        sb = F32(sa * rng.uniform(0.001, 1.0))
        a, b, za, zb = (anything(rng, np.uint8, 4096) for _ in range(4))
        # Near zero, where nothing is clamped: b that takes away what a gives.
        near = centred(zb, 0) - np.rint(centred(a, za) * float(sa) / float(sb)).astype(np.int64)
        b = np.where((near >= 0) & (near <= 255), near, b).astype(np.uint8)
        exact = (centred(a, za) * float(sa) + centred(b, zb) * float(sb)) / float(sy)
        rounded = np.clip(np.rint(exact), -128, 127).astype(np.int64)
        found = qlinear_add(a, sa, za, b, sb, zb, sy, np.int8(0)).astype(np.int64)
        if np.abs(found - rounded).max() > 1:
            return False
    beyond = qlinear_add(np.uint8(220), F32(1), np.uint8(0), np.uint8(0), F32(2.1999990940093994), np.uint8(100), F32(2e-5), np.uint8(0))
    return abs(int(beyond) - 5) > 1


def check():
    wrong, count = [], 1
    if not check_addition(np.random.default_rng(7)):
        wrong.append("QLinearAdd: results are further from the exact sum than numerics.md says")
    for path in sorted(VECTORS.glob("*.json")):
        for at, case in enumerate(json.loads(path.read_text())):
            count += 1
            if isinstance(case, list):
                acc, bits, zero, dtype, expected = case
                got = int(requantise(I32(acc), np.uint32(bits).view(F32), zero, DTYPES[dtype]))
                same = got == expected
            elif "sha256" in case:
                same = digest(from_json(case["tensor"])) == case["sha256"]
            else:
                got = OPERATORS[case["op"]](*map(from_json, case["inputs"]), **case["attributes"])
                same = to_json(got) == case["output"]
            if not same:
                wrong.append(f"{path.name}: case {at} differs")
    for line in wrong:
        print(line)
    print(f"{count - len(wrong)} passed, {len(wrong)} failed")
    return 1 if wrong or count == 0 else 0


if __name__ == "__main__":
    if sys.argv[1:] == ["make"]:
        VECTORS.mkdir(exist_ok=True)
        for file, text in make().items():
            (VECTORS / file).write_text(text)
    elif sys.argv[1:] == ["check"]:
        sys.exit(check())
    else:
        sys.exit(__doc__)
