"""Real models: the same digests, answers and bundles as the native binary, arrays without a copy, no lock while computing."""

import gc
import hashlib
import threading
import time
import tracemalloc

import numpy as np
from conftest import ROOT

import sanderling


def image(session, seed):
    port = session.inputs[0]
    shape = [n if isinstance(n, int) else 1 for n in port.shape]
    return {port.name: np.random.default_rng(seed).normal(size=shape).astype(port.dtype)}


def test_integer_layers_are_those_of_the_native_session(int8, native, tmp_path):
    model, bundle = int8
    (tmp_path / "model.sdl").write_bytes(bundle)
    with sanderling.Session(bundle) as session:
        inputs = image(session, 7)
        (name, array), = inputs.items()
        np.save(tmp_path / "x.npy", array)
        expected = native("hash", tmp_path / "model.sdl", "--input", f"{name}={tmp_path / 'x.npy'}")
        layers = session.layers(inputs)
        assert [(layer.value, layer.operator, layer.type, layer.digest) for layer in layers] == [
            (row["value"], row["operator"], row["type"], row["digest"]) for row in expected["layers"]
        ]
        assert sum(layer.digest is not None for layer in layers) > 30
        (tmp_path / "here.json").write_text(session.hash(inputs))
        compared = native("hash", tmp_path / "model.sdl", "--input", f"{name}={tmp_path / 'x.npy'}", "--against", tmp_path / "here.json")
        assert compared["compared"]["different"] == []
        # Threads change nothing.
        with sanderling.Session(tmp_path / "model.sdl", threads=2) as two:
            assert [layer.digest for layer in two.layers(inputs)] == [layer.digest for layer in layers]


def test_outputs_own_their_bytes(int8):
    _, bundle = int8
    session = sanderling.Session(bundle)
    first = session.run(image(session, 1))
    kept = {name: array.copy() for name, array in first.items()}
    other = session.run(image(session, 2))
    assert any(not np.array_equal(other[name], kept[name]) for name in kept)
    session.close()
    del session
    gc.collect()
    for name, array in first.items():
        assert array.dtype == np.float32 and array.flags.writeable
        np.testing.assert_array_equal(array, kept[name])


def test_bundles_are_those_of_the_native_binary(int8, magika, native, tmp_path):
    model, bundle = int8
    native("pack", model, "--no-recipe", "--out", tmp_path / "a.sdl")
    assert (tmp_path / "a.sdl").read_bytes() == bundle
    native("pack", "examples/magika/sanderling.toml", "--out", tmp_path / "b.sdl")
    assert (tmp_path / "b.sdl").read_bytes() == magika
    native("pack", model, "--no-recipe", "--name", "n", "--version", "7", "--quantise", "int8", "--out", tmp_path / "c.sdl")
    assert (tmp_path / "c.sdl").read_bytes() == sanderling.pack(model, name="n", version="7", quantise="int8")


def test_a_pipeline_answers_files(magika, native, tmp_path):
    (tmp_path / "m.sdl").write_bytes(magika)
    with sanderling.Session(magika) as session:
        assert (session.name, session.version) == ("magika", "3.3.0")
        assert session.digest() == hashlib.sha256(magika).hexdigest()
        assert len(session.labels) == 214 and all(failure is None for _, failure in session.self_test())
        port, = session.inputs
        assert (port.name, port.dtype, port.range) == ("bytes", "int32", (0.0, 256.0)) and port.shape[1] == 2048
        for name in ["targets/python/pyproject.toml", "targets/python/tests/conftest.py", "README.md"]:
            answer = session.answer((ROOT / name).read_bytes(), top=3)
            expected = native("run", tmp_path / "m.sdl", name)
            assert answer.label in str(expected)
            assert answer.top[0][2] == answer.confidence and len(answer.top) == 3
            # Any bytes that do not change will do.
            assert session.answer(bytearray((ROOT / name).read_bytes())).label == answer.label


def test_inputs_are_not_copied_by_python(int8):
    _, bundle = int8
    with sanderling.Session(bundle) as session:
        inputs = image(session, 3)
        session.run(inputs)
        size = next(iter(inputs.values())).nbytes
        tracemalloc.start()
        session.run(inputs)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        # What the run itself makes is an array of a thousand classes.
        assert size > 500_000 and peak < 100_000
        # A part of a larger array that lies in one piece, and one that nobody may write to.
        (name, array), = inputs.items()
        many = np.concatenate([array, array])
        part = many[1:]
        part.flags.writeable = False
        for out, expected in zip(session.run({name: part}).values(), session.run(inputs).values(), strict=True):
            np.testing.assert_array_equal(out, expected)


def test_other_threads_run_meanwhile(int8):
    _, bundle = int8
    with sanderling.Session(bundle) as session:
        inputs = image(session, 4)
        session.run(inputs)
        done, turns = threading.Event(), 0

        def compute():
            for _ in range(5):
                session.run(inputs)
            done.set()

        worker = threading.Thread(target=compute)
        start = time.perf_counter()
        worker.start()
        while not done.is_set():
            turns += 1
            time.sleep(0.0005)
        worker.join()
        # With the lock held this thread would get a turn between runs only.
        assert turns > 20, f"{turns} turns in {time.perf_counter() - start:.2f} s"
