"""Everything that a caller can get wrong: an exception of its kind, with words."""

import threading

import numpy as np
import pytest
from conftest import ROOT

import sanderling


@pytest.fixture(scope="module")
def session(magika):
    with sanderling.Session(magika) as session:
        yield session


GOOD = np.zeros((1, 2048), np.int32)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, "'bytes' is missing"),
        ({"bites": GOOD}, "'bites' does not exist"),
        ({"bytes": GOOD, "more": GOOD}, "'more' does not exist"),
        ({"bytes": GOOD.astype(np.float32)}, "float32"),
        ({"bytes": GOOD.astype(np.int64)}, "int64"),
        ({"bytes": GOOD.astype(">i4")}, "byte order"),
        ({"bytes": np.zeros((1, 2048), "datetime64[s]")}, "datetime64"),
        ({"bytes": np.array([[None]])}, "object"),
        ({"bytes": GOOD[:, :5]}, "2048"),
        ({"bytes": GOOD[0]}, "2048"),
        ({"bytes": np.int32(5)}, "not a NumPy array"),
        ({"bytes": [[1, 2]]}, "numpy.asarray"),
        ({"bytes": np.ma.masked_array(GOOD, mask=GOOD == 0)}, "MaskedArray.*numpy.asarray"),
        ({"bytes": GOOD.view(np.matrix)}, "matrix.*numpy.asarray"),
        ({"bytes": GOOD.view(np.recarray)}, "recarray.*numpy.asarray"),
        ({"bytes": np.zeros((1, 4096), np.int32)[:, ::2]}, "ascontiguousarray"),
        ({"bytes": np.zeros((2048, 2), np.int32).T}, "ascontiguousarray"),
        ({"bytes": np.full((1, 2048), 257, np.int32)}, "range"),
    ],
)
def test_inputs(session, inputs, words):
    with pytest.raises(sanderling.InputError, match=words) as raised:
        session.run(inputs)
    assert isinstance(raised.value, (sanderling.Error, ValueError))
    with pytest.raises(sanderling.InputError):
        session.layers(inputs)
    # It goes on.
    assert session.run({"bytes": GOOD})


@pytest.mark.parametrize("inputs", [None, 5, {5: GOOD}])
def test_what_is_no_mapping_of_names(session, inputs):
    with pytest.raises(TypeError):
        session.run(inputs)


def test_a_scalar_array_and_an_empty_one(session):
    with pytest.raises(sanderling.InputError, match=r"'bytes' is int32\[\]"):
        session.run({"bytes": np.array(5, np.int32)})
    # No files, no answers.
    outputs = session.run({"bytes": np.zeros((0, 2048), np.int32)})
    assert [array.shape for array in outputs.values()] == [(0, len(session.labels))]


def test_bundles(magika, tmp_path):
    for cut in range(0, len(magika), 1 + len(magika) // 40):
        with pytest.raises(sanderling.BundleError):
            sanderling.Session(magika[:cut])
    (tmp_path / "cut.sdl").write_bytes(magika[: len(magika) // 2])
    with pytest.raises(sanderling.BundleError, match="cut.sdl"):
        sanderling.Session(tmp_path / "cut.sdl")
    with pytest.raises(sanderling.FileError, match="no/such.sdl"):
        sanderling.Session("no/such.sdl")
    with pytest.raises(OSError):
        sanderling.Session(str(tmp_path))
    for wrong in [None, 5, ["x"]]:
        with pytest.raises(TypeError):
            sanderling.Session(wrong)
    with pytest.raises(OverflowError):
        sanderling.Session(magika, threads=-1)
    with pytest.raises(sanderling.Error):
        with sanderling.Session(magika, memory_limit=64) as session:
            session.run({"bytes": GOOD})


def test_a_bundle_without_a_pipeline(int8):
    _, bundle = int8
    with sanderling.Session(bundle) as session:
        assert session.labels == []
        with pytest.raises(sanderling.ArgumentError, match="run it on tensors"):
            session.answer(b"a file")


def test_closed_sessions(magika):
    session = sanderling.Session(magika)
    assert not session.closed
    session.close()
    session.close()
    assert session.closed and session.labels
    for call in [
        lambda: session.run({"bytes": GOOD}),
        lambda: session.answer(b"x"),
        lambda: session.layers({"bytes": GOOD}),
        session.self_test,
        session.digest,
    ]:
        with pytest.raises(sanderling.ClosedError, match="closed"):
            call()


def test_two_threads_on_one_session(session):
    ran, busy, other = [], [], []

    def hammer():
        for _ in range(50):
            try:
                ran.append(session.answer(b"def f(x):\n    return x\n" * 40).label)
            except sanderling.BusyError as error:
                assert "another thread" in str(error)
                busy.append(error)
            except Exception as error:
                other.append(error)

    threads = [threading.Thread(target=hammer) for _ in range(2)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not other and len(ran) + len(busy) == 100 and ran and len(set(ran)) == 1


def test_models_that_cannot_be_packed(tmp_path):
    with pytest.raises(sanderling.FileError, match="none.onnx"):
        sanderling.pack(tmp_path / "none.onnx")
    with pytest.raises(sanderling.BundleError, match="README.md"):
        sanderling.pack(ROOT / "README.md")
    (tmp_path / "bad.toml").write_text("name = 5")
    with pytest.raises(sanderling.BundleError, match="bad.toml"):
        sanderling.pack(tmp_path / "bad.toml")
    with pytest.raises(sanderling.ArgumentError, match="int5"):
        sanderling.pack(ROOT / "examples/magika/model.onnx", quantise="int5")


def test_exceptions_are_of_one_family():
    kinds = {kind for kind in vars(sanderling.errors).values() if isinstance(kind, type)}
    assert sanderling.TooLargeError in kinds and all(issubclass(kind, sanderling.Error) for kind in kinds)
    assert {name for name in sanderling.__all__ if name.endswith("Error")} == {kind.__name__ for kind in kinds}
