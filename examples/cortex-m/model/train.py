"""Trains the classifier of this folder on Fashion-MNIST and writes it in floats: float.onnx, which quantise.py turns to int8.

Usage: train.py [DATA]     (the folder with the four .gz files; Debian's package dataset-fashion-mnist by default)

Needs numpy, onnx, onnxruntime and jax 0.10 (`pip install jax`). JAX and not another framework because its wheels for the CPU are
the smallest that differentiate (80 MB; torch's are 540 MB); nothing but this script needs it. A quarter of an hour on two cores. The
seeds are fixed, but the last places of float sums are the machine's own: another machine gives another model, as good as this one.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
from quantise import BLOCKS, CLASSES, DATA, HERE, STEM, accuracy, layers, load, save_float

EPOCHS, BATCH, RATE, DECAY = 16, 128, 4e-3, 1e-4


# Channels last while training; weights are [rows, columns, inputs of a group, outputs].
def initial(rng):
    def he(*shape):
        return jnp.asarray(rng.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape), jnp.float32)

    parameters, running = {}, {}
    for name, shape, _, _ in layers():
        parameters[name] = {"w": he(*shape), "gain": jnp.ones(shape[-1]), "bias": jnp.zeros(shape[-1])}
        running[name] = {"mean": jnp.zeros(shape[-1]), "var": jnp.ones(shape[-1])}
    parameters["dense"] = {"w": he(BLOCKS[-1][0], CLASSES), "bias": jnp.zeros(CLASSES)}
    return parameters, running


def convolve(x, w, stride, depthwise):
    if w.shape[:2] == (1, 1):
        return x @ w[0, 0]
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows = (x.shape[1] - 3) // stride + 1
    taps = [
        x[:, i : i + stride * (rows - 1) + 1 : stride, j : j + stride * (rows - 1) + 1 : stride] for i in range(3) for j in range(3)
    ]
    flat = w.reshape(9, -1)
    # Sums of nine products: much faster on a CPU, forward and back, than its own depthwise convolution.
    return sum(tap * flat[k] for k, tap in enumerate(taps)) if depthwise else jnp.concatenate(taps, -1) @ flat


def forward(parameters, running, images, training):
    """Logits, and the running means and variances after it."""
    x, after = images[..., None] / 255, {}
    for name, _, stride, depthwise in layers():
        p = parameters[name]
        x = convolve(x, p["w"], stride, depthwise)
        mean, var = running[name]["mean"], running[name]["var"]
        if training:
            mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
            keep = lambda old, new: 0.95 * old + 0.05 * jax.lax.stop_gradient(new)
            after[name] = {"mean": keep(running[name]["mean"], mean), "var": keep(running[name]["var"], var)}
        x = jax.nn.relu((x - mean) * (jax.lax.rsqrt(var + 1e-5) * p["gain"]) + p["bias"])
    dense = parameters["dense"]
    return x.mean((1, 2)) @ dense["w"] + dense["bias"], after


def loss(parameters, running, images, labels):
    logits, after = forward(parameters, running, images, True)
    wanted = 0.95 * jax.nn.one_hot(labels, CLASSES) + 0.05 / CLASSES
    return -(wanted * jax.nn.log_softmax(logits)).sum(-1).mean(), after


@jax.jit
def step(parameters, running, moments, images, labels, rate, count):
    """One step of AdamW (Loshchilov and Hutter, ICLR 2019)."""
    (value, running), grads = jax.value_and_grad(loss, has_aux=True)(parameters, running, images, labels)
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, moments[0], grads)
    second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, moments[1], grads)

    def update(p, m, v):
        direction = (m / (1 - 0.9**count)) / (jnp.sqrt(v / (1 - 0.999**count)) + 1e-8)
        return p - rate * (direction + DECAY * p)

    return jax.tree.map(update, parameters, first, second), running, (first, second), value


def augment(images, rng):
    """Mirrored, and moved by up to two pixels."""
    images = np.where(rng.integers(2, size=len(images))[:, None, None] == 1, images[:, :, ::-1], images)
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2)))
    rows, columns = rng.integers(5, size=(2, len(images), 1, 1)) + np.arange(28)[None, None]
    return padded[np.arange(len(images))[:, None, None], rows.transpose(0, 2, 1), columns]


def train(images, labels, rng):
    parameters, running = initial(rng)
    moments = (jax.tree.map(jnp.zeros_like, parameters),) * 2
    steps = len(images) // BATCH
    for epoch in range(EPOCHS):
        order, total = rng.permutation(len(images)), 0.0
        for i in range(steps):
            part, count = order[i * BATCH : (i + 1) * BATCH], epoch * steps + i + 1
            # Rises over the first tenth of an epoch, then falls to nothing along a cosine.
            rate = RATE * min(1, count / (steps / 10)) * (1 + np.cos(np.pi * count / (EPOCHS * steps))) / 2
            batch = augment(images[part], rng).astype(np.float32)
            parameters, running, moments, value = step(parameters, running, moments, batch, labels[part], rate, float(count))
            total += float(value) if i % 50 == 0 else 0
        print(f"epoch {epoch + 1} of {EPOCHS}: loss {total / (steps // 50 + 1):.4f}", flush=True)
    return parameters, running


def folded(parameters, running):
    """Weights in ONNX's order and biases, batch normalisation in them."""
    parts = {}
    for name, _, stride, depthwise in layers():
        p, r = parameters[name], running[name]
        gain = np.asarray(p["gain"] / jnp.sqrt(r["var"] + 1e-5), np.float64)
        w = np.asarray(p["w"], np.float64) * gain
        bias = np.asarray(p["bias"], np.float64) - np.asarray(r["mean"], np.float64) * gain
        parts[name] = w.transpose(3, 2, 0, 1).astype(np.float32), bias.astype(np.float32), stride, depthwise
    dense = parameters["dense"]
    return parts, (np.asarray(dense["w"]).T.copy(), np.asarray(dense["bias"]))


def main(data=DATA):
    images, labels = load(data, "train")
    target = HERE / "float.onnx"
    save_float(target, *folded(*train(images, labels, np.random.default_rng(7))))
    print(f"{accuracy(target, *load(data, 't10k')):.2f} % of the test images right; now run quantise.py")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
