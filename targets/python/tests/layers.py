"""Reports a run for `cargo xtask everywhere`: layers.py BUNDLE INPUT, the input a file of little-endian binary32."""

import statistics
import sys
import time

import numpy as np

import sanderling

with sanderling.Session(sys.argv[1]) as session:
    port = session.inputs[0]
    shape = [size if isinstance(size, int) else 1 for size in port.shape]
    inputs = {port.name: np.fromfile(sys.argv[2], "<f4").reshape(shape)}
    layers = session.layers(inputs)
    times = []
    for _ in range(6):
        start = time.perf_counter()
        outputs = session.run(inputs)
        times.append(1e3 * (time.perf_counter() - start))
    print("answer", int(next(iter(outputs.values())).argmax()))
    # The first one prepares the shape.
    print("ms", statistics.median(times[1:]))
    for layer in layers:
        if layer.digest is not None:
            print("layer", layer.digest, layer.value)
