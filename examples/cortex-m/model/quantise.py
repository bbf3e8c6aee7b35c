"""Quantises float.onnx, which train.py made, to int8, and says how good both are on the 10 000 test images.

Usage: quantise.py [--check] [DATA]    (the folder with the four .gz files; Debian's package dataset-fashion-mnist by default)

Writes model.onnx beside itself (QDQ: weights in int8 with a scale a channel, activations in uint8), calibrated on images of the
training set; with --check, fails where the file that is there has other bytes. Fails where int8 has less than 88 % right, or more
than one point less than float. Needs numpy, onnx and onnxruntime.

Both models take the pixels as they are in the data, uint8 [1, 1, 28, 28]: x / 255 is in the graph. They give ten logits in floats.
"""

import gzip
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

DATA = "/usr/share/datasets/fashion-mnist"
HERE = pathlib.Path(__file__).parent
CALIBRATION = 2048
# A stem and four depthwise-separable blocks, as MLPerf Tiny's DS-CNN has them: (channels, stride).
STEM, BLOCKS, CLASSES = 32, [(48, 1), (64, 2), (96, 1), (96, 1)], 10


def load(data, part):
    def read(kind, head):
        return np.frombuffer(gzip.open(f"{data}/{part}-{kind}-ubyte.gz").read(), np.uint8, offset=head)

    return read("images-idx3", 16).reshape(-1, 28, 28), read("labels-idx1", 8).astype(np.int32)


def layers():
    """(name, shape of the weights, stride, whether depthwise)"""
    yield "stem", (3, 3, 1, STEM), 2, False
    inputs = STEM
    for i, (outputs, stride) in enumerate(BLOCKS):
        yield f"block{i}.depthwise", (3, 3, 1, inputs), stride, True
        yield f"block{i}.pointwise", (1, 1, inputs, outputs), 1, False
        inputs = outputs


class Builder:
    """Nodes and constants of a graph."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def constant(self, name, array):
        self.constants.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name

    def node(self, kind, inputs, output, **attributes):
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def save(self, path, extra=()):
        image = helper.make_tensor_value_info("image", TensorProto.UINT8, [1, 1, 28, 28])
        logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, CLASSES])
        values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, None, None, None]) for name in extra]
        graph = helper.make_graph(self.nodes, "fashion", [image], [logits, *values], self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        onnx.save(model, path)


def convolution(stride, depthwise, w):
    side = w.shape[2]
    pads = [side // 2] * 4
    return {"kernel_shape": [side, side], "strides": [stride] * 2, "pads": pads, "group": w.shape[0] if depthwise else 1}


def read_float(path):
    """The weights that `save_float` wrote, as `folded` gave them."""
    constants = {c.name: numpy_helper.to_array(c) for c in onnx.load(path).graph.initializer}
    of = lambda name: (constants[f"{name}.w"], constants[f"{name}.b"])
    return {name: (*of(name), stride, depthwise) for name, _, stride, depthwise in layers()}, of("dense")


def save_float(path, parts, dense, extra=()):
    graph = Builder()
    pixels = graph.node("Cast", ["image"], "pixels", to=TensorProto.FLOAT)
    x = graph.node("Mul", [pixels, graph.constant("scale", np.float32(1 / 255))], "scaled")
    for name, (w, bias, stride, depthwise) in parts.items():
        inputs = [x, graph.constant(f"{name}.w", w), graph.constant(f"{name}.b", bias)]
        x = graph.node("Conv", inputs, f"{name}.sum", **convolution(stride, depthwise, w))
        x = graph.node("Relu", [x], name)
    x = graph.node("Flatten", [graph.node("GlobalAveragePool", [x], "mean")], "flat")
    w, bias = dense
    graph.node("Gemm", [x, graph.constant("dense.w", w), graph.constant("dense.b", bias)], "logits", transB=1)
    graph.save(path, extra)


def session(path):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    # The bytes of the model itself, not those that x86 without VNNI saturates to.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(str(path), options)


def ranges(parts, dense, images):
    """Least and greatest value of each activation that is quantised, over some images of the training set."""
    names = [*parts, "mean"]
    path = HERE / "calibration.onnx"
    save_float(path, parts, dense, names)
    run = session(path)
    path.unlink()
    values = [run.run(None, {"image": image[None, None]}) for image in images]
    columns = zip(["logits", *names], zip(*values))
    return {name: (min(v.min() for v in column), max(v.max() for v in column)) for name, column in columns}


def save_int8(path, parts, dense, found):
    graph = Builder()
    scales = {}

    def quantised(x, name, least, most):
        scale = np.float32((max(most, 0) - min(least, 0)) / 255)
        zero = np.uint8(np.clip(round(-min(least, 0) / scale), 0, 255))
        q = [graph.constant(f"{name}.scale", scale), graph.constant(f"{name}.zero", zero)]
        scales[name] = scale
        q8 = graph.node("QuantizeLinear", [x, *q], f"{name}.q")
        return graph.node("DequantizeLinear", [q8, *q], name if name == "logits" else f"{name}.dq")

    def weights(name, w, bias, x_scale):
        scale = (np.abs(w).reshape(len(w), -1).max(1) / 127).astype(np.float32)
        scale = np.where(scale == 0, np.float32(1), scale)
        q = np.clip(np.rint(w / scale.reshape(-1, *[1] * (w.ndim - 1))), -127, 127).astype(np.int8)
        b_scale = (np.float32(x_scale) * scale).astype(np.float32)
        b = np.rint(bias.astype(np.float64) / b_scale).astype(np.int32)
        return [
            graph.node("DequantizeLinear", [graph.constant(f"{name}.{part}", value), graph.constant(f"{name}.{part}.scale", s),
                       graph.constant(f"{name}.{part}.zero", np.zeros(len(w), value.dtype))], f"{name}.{part}.dq", axis=0)
            for part, value, s in [("w", q, scale), ("b", b, b_scale)]
        ]

    # A pixel is its own quantised value.
    pixel = [graph.constant("image.scale", np.float32(1 / 255)), graph.constant("image.zero", np.uint8(0))]
    x, scales["image"], before = graph.node("DequantizeLinear", ["image", *pixel], "image.dq"), np.float32(1 / 255), "image"
    for name, (w, bias, stride, depthwise) in parts.items():
        x = graph.node("Conv", [x, *weights(name, w, bias, scales[before])], f"{name}.sum", **convolution(stride, depthwise, w))
        x, before = quantised(graph.node("Relu", [x], f"{name}.relu"), name, *found[name]), name
    x = quantised(graph.node("GlobalAveragePool", [x], "mean.float"), "mean", *found["mean"])
    x = quantised(graph.node("Flatten", [x], "flat.float"), "flat", *found["mean"])
    x = graph.node("Gemm", [x, *weights("dense", *dense, scales["flat"])], "dense.sum", transB=1)
    quantised(x, "logits", *found["logits"])
    graph.save(path)


def accuracy(path, images, labels):
    run = session(path)
    answers = [run.run(None, {"image": image[None, None]})[0].argmax() for image in images]
    return float((np.array(answers) == labels).mean() * 100)


def main(*arguments):
    data = next((a for a in arguments if a != "--check"), DATA)
    images, _ = load(data, "train")
    parts, dense = read_float(HERE / "float.onnx")
    some = images[np.random.default_rng(8).permutation(len(images))[:CALIBRATION]]
    target = HERE / "model.onnx"
    before = target.read_bytes() if "--check" in arguments else None
    save_int8(target, parts, dense, ranges(parts, dense, some))
    if before not in (None, target.read_bytes()):
        target.write_bytes(before)
        print("model.onnx is not what this script makes of float.onnx: run quantise.py, and commit what it writes")
        return 1
    test = load(data, "t10k")
    float_right, int8_right = (accuracy(HERE / name, *test) for name in ("float.onnx", "model.onnx"))
    print(f"{len(test[1])} test images: {float_right:.2f} % right in floats, {int8_right:.2f} % in int8, {target.stat().st_size} bytes")
    return 0 if int8_right >= 88 and int8_right >= float_right - 1 else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
