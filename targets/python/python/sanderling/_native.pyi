from collections.abc import Mapping
from os import PathLike
from types import TracebackType
from typing import Any, Literal, final

import numpy as np
from numpy.typing import NDArray

__version__: str

@final
class Port:
    """An input or output, as the model declares it."""

    @property
    def name(self) -> str: ...
    @property
    def dtype(self) -> str | None:
        """NumPy's name of the element type; None where the model does not say."""
    @property
    def shape(self) -> tuple[int | str | None, ...]:
        """Sizes; the name of a dimension that a run decides, or None."""
    @property
    def range(self) -> tuple[float, float] | None:
        """Smallest and largest legal element."""

@final
class Answer:
    """What a classifier answers."""

    @property
    def label(self) -> str: ...
    @property
    def confidence(self) -> float: ...
    @property
    def top(self) -> list[tuple[str, int, float]]:
        """Label, index and score of the best labels, best first."""
    @property
    def rule(self) -> bool:
        """Whether a rule answered, without the model."""
    @property
    def below_threshold(self) -> bool: ...
    @property
    def flagged(self) -> bool: ...

@final
class Layer:
    """A value that a run computed."""

    @property
    def node(self) -> str: ...
    @property
    def operator(self) -> str: ...
    @property
    def value(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def digest(self) -> str | None:
        """SHA-256 over type, shape and elements; None for floats and what depends on them."""

@final
class Session:
    """A loaded model.

    For one thread at a time: a call while another thread's is under way raises `BusyError`. Other threads run Python
    while a session computes; they must not write to its inputs meanwhile.
    """

    def __new__(
        cls, bundle: str | PathLike[str] | bytes | bytearray, *, threads: int = 1, memory_limit: int = 0
    ) -> Session:
        """Loads a bundle from a file or from its bytes. `memory_limit` is in bytes, 0 for 4 GiB."""
    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def labels(self) -> list[str]: ...
    @property
    def inputs(self) -> list[Port]: ...
    @property
    def outputs(self) -> list[Port]: ...
    @property
    def closed(self) -> bool: ...
    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Runs the model. Inputs are read where they lie (C-contiguous); outputs are arrays of their own."""
    def answer(self, file: bytes | bytearray, *, top: int | None = None) -> Answer:
        """Answers a file's bytes by the bundle's own pre- and post-processing."""
    def layers(self, inputs: Mapping[str, NDArray[Any]]) -> list[Layer]:
        """Runs the model and gives every layer, with the digests of those that compute integers."""
    def hash(self, inputs: Mapping[str, NDArray[Any]]) -> str:
        """The layers as the JSON that `sanderling hash --against` reads."""
    def self_test(self) -> list[tuple[str, str | None]]:
        """Runs the golden vectors: names, and what failed."""
    def digest(self) -> str:
        """SHA-256 of the bundle, in hexadecimal."""
    def close(self) -> None:
        """Lets go of the model's memory; waits for a call that is under way."""
    def __enter__(self) -> Session: ...
    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

def pack(
    model: str | PathLike[str],
    recipe: str | PathLike[str] | None = None,
    *,
    name: str | None = None,
    version: str | None = None,
    quantise: Literal["int8"] | None = None,
) -> bytes:
    """Packs an ONNX model to a bundle: the bytes that `sanderling pack` writes.

    `recipe` is a sanderling.toml; `model` may be one itself, which names its model. `quantise` stores weights in int8.
    """
