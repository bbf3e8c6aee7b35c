"""Exceptions, by who can mend what went wrong. All are `Error`; their text says what is wrong, where, and what to do."""


class Error(Exception):
    """Anything that sanderling raises."""


class ArgumentError(Error, ValueError):
    """An argument of the call."""


class BundleError(Error, ValueError):
    """The bundle or the model file: damaged, of another version, in need of what this package has not."""


class InputError(Error, ValueError):
    """An input of the model: its name, type, shape or values."""


class RunError(Error, RuntimeError):
    """The run itself, for lack of memory as a rule."""


class BusyError(Error, RuntimeError):
    """Another thread is using the session: a session is for one thread at a time."""


class ClosedError(Error, RuntimeError):
    """The session was closed."""


class FileError(Error, OSError):
    """A file that cannot be read."""


class InternalError(Error, RuntimeError):
    """A fault of the library: please report it with its text."""


class TooLargeError(Error, MemoryError):
    """More memory than the limit allows."""
