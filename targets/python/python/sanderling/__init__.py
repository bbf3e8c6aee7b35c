"""Run quantised models: the same bytes on every device."""

from ._native import Answer, Layer, Port, Session, __version__, pack
from .errors import (
    ArgumentError,
    BundleError,
    BusyError,
    ClosedError,
    Error,
    FileError,
    InputError,
    InternalError,
    RunError,
    TooLargeError,
)

__all__ = [
    "Answer",
    "ArgumentError",
    "BundleError",
    "BusyError",
    "ClosedError",
    "Error",
    "FileError",
    "InputError",
    "InternalError",
    "Layer",
    "Port",
    "RunError",
    "Session",
    "TooLargeError",
    "__version__",
    "pack",
]
