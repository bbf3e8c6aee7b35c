"""Reports the layers of a bundle by a module of the npm package in wasmtime, as `cargo xtask everywhere` reads them.

Usage: wasmtime_layers.py PACKAGE BUNDLE INPUT INSTRUCTIONS [--deterministic]
    INPUT: little-endian binary32; INSTRUCTIONS: scalar, simd128 or relaxed

The module is the one that pages load, with wasm-bindgen's glue for JavaScript around it. There is no JavaScript here: each import is
found in the glue by its body, and Python does the same with Python's values.
"""

import math
import pathlib
import re
import statistics
import struct
import sys
import time

import wasmtime

RUNS = 5
FILES = {"scalar": "_scalar", "simd128": "", "relaxed": "_relaxed"}
UNDEFINED = type("Undefined", (), {"__repr__": lambda self: "undefined"})()
# i32x4.relaxed_dot_i8x16_i7x16_add_s of 127 with 255, which is open: 255 may be read as -1.
PROBE = """(module (func (export "probe") (result i32)
    (i32x4.extract_lane 0 (i32x4.relaxed_dot_i8x16_i7x16_add_s
        (v128.const i32x4 127 0 0 0) (v128.const i32x4 255 0 0 0) (v128.const i32x4 0 0 0 0)))))"""


class Refused(Exception):
    """An error that the module threw."""


def engine(deterministic):
    config = wasmtime.Config()
    config.wasm_relaxed_simd = True
    config.wasm_relaxed_simd_deterministic = deterministic
    return wasmtime.Engine(config)


def probe(engine):
    store = wasmtime.Store(engine)
    instance = wasmtime.Instance(store, wasmtime.Module(engine, PROBE), [])
    return instance.exports(store)["probe"](store)


class Glue:
    """A module and what its imports do."""

    def __init__(self, engine, package, instructions):
        self.store = wasmtime.Store(engine)
        name = "sanderling_wasm_vision"
        module = wasmtime.Module.from_file(engine, str(package / f"{name}{FILES[instructions]}_bg.wasm"))
        bodies = self.bodies((package / f"{name}.js").read_text())
        imports = []
        for wanted in module.imports:
            does = self.does(wanted.name, bodies[wanted.name])
            imports.append(wasmtime.Func(self.store, wanted.type, does))
        instance = wasmtime.Instance(self.store, module, imports)
        self.exports = instance.exports(self.store)
        self.memory = self.exports["memory"]
        self.call("__wbindgen_start")

    @staticmethod
    def bodies(text):
        """The last statement of each import but its return."""
        found = re.findall(r"^        (\w+): function\([^)]*\) \{(.*?)^        \}", text, re.M | re.S)
        lines = {name: [line.strip() for line in body.splitlines() if line.strip()] for name, body in found}
        kept = lambda line: not line.startswith(("return", "//", "}"))
        return {name: [line for line in body if kept(line)] for name, body in lines.items()}

    def does(self, name, body):
        def refuse(at, length):
            raise Refused(self.text(at, length))

        def collect(items, item):
            items.append(item)
            return len(items)

        def assign(target, key, value):
            target[key] = value
            return 1

        known = {
            "throw new Error(getStringFromWasm0(arg0, arg1));": refuse,
            "const ret = Array.from(arg0);": list,
            "const ret = arg0.length;": len,
            "const ret = new Array();": list,
            "const ret = new Object();": dict,
            "const ret = new Error(getStringFromWasm0(arg0, arg1));": lambda at, n: {"message": self.text(at, n)},
            "const ret = new Uint32Array(getArrayU32FromWasm0(arg0, arg1));": lambda at, n: list(
                struct.unpack(f"<{n}I", self.read(at, 4 * n))),
            "const ret = new Uint8Array(getArrayU8FromWasm0(arg0, arg1));": lambda at, n: bytes(self.read(at, n)),
            "Uint8Array.prototype.set.call(getArrayU8FromWasm0(arg0, arg1), arg2);": lambda at, n, data: self.write(at, data),
            "const ret = arg0.push(arg1);": collect,
            "const ret = Reflect.set(arg0, arg1, arg2);": assign,
            "const ret = arg0.subarray(arg1 >>> 0, arg2 >>> 0);": lambda data, start, end: data[start & 0xFFFFFFFF:end & 0xFFFFFFFF],
            "const ret = arg0;": lambda value: value,
            "const ret = getStringFromWasm0(arg0, arg1);": self.text,
            "const table = wasm.__wbindgen_externrefs;": self.constants,
        }
        for line in body:
            if line in known:
                return known[line]
        raise SystemExit(f"wasm-bindgen's import {name} does what this script does not know: {' '.join(body)}")

    def constants(self):
        table = self.exports["__wbindgen_externrefs"]
        first = table.grow(self.store, 4, UNDEFINED)
        table.set(self.store, 0, UNDEFINED)
        for index, value in enumerate([UNDEFINED, None, True, False]):
            table.set(self.store, first + index, value)

    def call(self, name, *args):
        return self.exports[name](self.store, *args)

    def read(self, at, length):
        at &= 0xFFFFFFFF
        return self.memory.read(self.store, at, at + length)

    def write(self, at, data):
        self.memory.write(self.store, data, at & 0xFFFFFFFF)

    def text(self, at, length):
        return self.read(at, length).decode()

    def give(self, data, align=1):
        """A copy inside: where, and how many elements."""
        at = self.call("__wbindgen_malloc", len(data), align)
        self.write(at, data)
        return at, len(data) // align

    def taken(self, index):
        value = self.exports["__wbindgen_externrefs"].get(self.store, index)
        self.call("__externref_table_dealloc", index)
        return value

    def result(self, returned):
        """The value of a call that may have failed: value, error, whether."""
        value, error, failed = returned
        if failed:
            raise Refused(self.taken(error)["message"])
        return value


class Model:
    """A bundle, loaded."""

    def __init__(self, glue, bundle):
        self.glue = glue
        self.model = glue.result(glue.call("load", memoryview(bundle), float(1 << 30)))
        self.input = glue.call("model_describe", self.model)["inputs"][0]

    def ask(self, call, data):
        glue = self.glue
        shape = [int(dim) if isinstance(dim, float) else 1 for dim in self.input["shape"]]
        tensors = glue.call("tensors_new")
        given = [self.input["name"].encode(), self.input["type"].encode(), struct.pack(f"<{len(shape)}I", *shape), data]
        pieces = [part for each, align in zip(given, [1, 1, 4, 1]) for part in glue.give(each, align)]
        error, failed = glue.call("tensors_add", tensors, *pieces)
        if failed:
            raise Refused(glue.taken(error)["message"])
        return glue.taken(glue.result(glue.call(call, self.model, tensors)))


def main():
    arguments = [each for each in sys.argv[1:] if each != "--deterministic"]
    if len(arguments) != 4 or arguments[3] not in FILES:
        raise SystemExit(__doc__)
    package, bundle, given = map(pathlib.Path, arguments[:3])
    deterministic = "--deterministic" in sys.argv
    chosen = engine(deterministic)
    if deterministic and probe(chosen) != -127:
        raise SystemExit("wasmtime is not deterministic: the open case came out as no deterministic engine computes it")
    model = Model(Glue(chosen, package, arguments[3]), bundle.read_bytes())
    data = given.read_bytes()
    layers = model.ask("model_layers", data)
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        outputs = model.ask("model_run", data)
        times.append(1e3 * (time.perf_counter() - start))
    scores = struct.unpack(f"<{math.prod(map(int, outputs[0]['shape']))}f", outputs[0]["bytes"])
    print("answer", scores.index(max(scores)))
    print("ms", f"{statistics.median(times):.3f}")
    print("open case", probe(chosen))
    for layer in layers:
        if layer["digest"] is not None:
            print("layer", layer["digest"], layer["value"])


main()
