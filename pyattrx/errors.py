"""Every error that pyattrx raises on purpose derives from `PyattrxError`.

A wrong argument is also a `ValueError` or a `TypeError`, so that code which knows nothing of
pyattrx catches it. The message names the argument, the value it had and what was expected.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from pyattrx._near import did_you_mean

__all__ = [
    "AssumptionError",
    "CacheWarning",
    "EncoderError",
    "EntryGoneError",
    "FitWarning",
    "IndexDamagedError",
    "InvalidTypeError",
    "InvalidValueError",
    "MissingDependencyError",
    "NonFiniteError",
    "ProbeError",
    "PyattrxError",
    "ScratchError",
    "SkippedWarning",
    "TaskError",
    "TaskWarning",
    "UntrainedWarning",
    "UntrustedError",
    "WorkerError",
    "ZooDamagedError",
    "ZooError",
    "ZooLockedError",
    "ZooMismatchError",
    "ZooWarning",
]

_SHOWN = 120  # characters of a value
_ELEMENTS = 8  # of an array


class PyattrxError(Exception):
    """Base of all errors raised by pyattrx; all of them can be pickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self.args, vars(self))


def _again(kind: type[PyattrxError], args: tuple[Any, ...], facts: dict[str, Any]) -> PyattrxError:
    error = kind.__new__(kind, *args)
    error.args = args
    vars(error).update(facts)
    return error


class InvalidValueError(PyattrxError, ValueError):
    """An argument has a value that cannot be used.

    Parameters
    ----------
    argument : str
        Name of the argument as the caller wrote it.
    value : object
        What it was.
    expected : str
        What would have been accepted. Of names in single quotes the one that is spelt like the
        value is suggested.
    """

    def __init__(self, argument: str, value: Any, expected: str) -> None:
        near = did_you_mean(value, re.findall(r"'([^']+)'", expected))
        super().__init__(f"{argument}={_show(value)}: expected {expected}{near}")
        self.argument = argument


class InvalidTypeError(PyattrxError, TypeError):
    """An argument has a type that cannot be used; parameters as for `InvalidValueError`."""

    def __init__(self, argument: str, value: Any, expected: str) -> None:
        kind = type(value).__name__
        super().__init__(f"{argument}={_show(value)} (a {kind}): expected {expected}")
        self.argument = argument


class ProbeError(PyattrxError):
    """A probe image cannot be read or used."""


class ScratchError(PyattrxError):
    """What does not fit in memory cannot be written to disk, or is no longer there."""


class TaskError(PyattrxError):
    """Images and labels cannot be read as a task."""


class EncoderError(PyattrxError):
    """A network cannot be loaded, prepared, run or attributed."""


class AssumptionError(EncoderError):
    """A network is not what every method takes it for; its numbers would be wrong.

    Parameters
    ----------
    assumption : str
        What does not hold: one of the names in `pyattrx.encoders.assumptions.ASSUMPTIONS`.
    message : str
    """

    def __init__(self, assumption: str, message: str) -> None:
        super().__init__(message)
        self.assumption = assumption


class NonFiniteError(PyattrxError, ArithmeticError):
    """An attribution map holds a NaN or an infinity."""


class MissingDependencyError(PyattrxError, ImportError):
    """An optional package is needed and not installed.

    Parameters
    ----------
    package : str
        The package that failed to import.
    needed_for : str
        What it was needed for.
    install : str
        What to install, as arguments of ``pip install``.
    """

    def __init__(self, package: str, needed_for: str, install: str) -> None:
        super().__init__(
            f"{needed_for} needs the package {package!r}, which could not be imported; "
            f"install it with: pip install {install}"
        )


class UntrustedError(PyattrxError):
    """A file would execute code when loaded, and nobody said that it may."""


class WorkerError(PyattrxError):
    """A worker process ended before it had answered, or cannot begin."""


class ZooError(PyattrxError):
    """A zoo cannot be made, opened or written."""


class ZooDamagedError(ZooError):
    """Something in a zoo is not what was written; the message names it."""


class EntryGoneError(ZooError):
    """A network was removed from a zoo by somebody else meanwhile."""


class ZooLockedError(ZooError):
    """Another process is writing to the zoo."""


class ZooMismatchError(ZooError, ValueError):
    """What is to be added or queried does not fit the zoo; the message says what differs."""


class IndexDamagedError(PyattrxError):
    """A saved index is not what was written. Indexes are caches: it can be built again."""


class CacheWarning(UserWarning):
    """Features cannot be kept on disk, or what was kept is damaged; they are computed instead."""


class FitWarning(UserWarning):
    """A fitted encoder is not clearly better than a prediction without the image."""


class SkippedWarning(UserWarning):
    """A network failed and was left out of a comparison; the message names it."""


class TaskWarning(UserWarning):
    """A task is usable, and something about its images or labels needs a look."""


class UntrainedWarning(UserWarning):
    """The weights of a network look as they were initialised: nobody has trained it."""


class ZooWarning(UserWarning):
    """Something in a zoo was left out of an answer; the message names it."""


def _show(value: Any) -> str:
    text = " ".join(_said(value).split())  # a module's is of many lines
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _said(value: Any) -> str:
    if type(value) is list:
        return f"[{_listed(value)}]"
    if type(value) is tuple and len(value) > 1:
        return f"({_listed(value)})"
    return _one(value)


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(map(_one, values[:_SHOWN]))  # each is a character or more


def _one(value: Any) -> str:
    """Of arrays and tensors their shape and type: a few of many numbers tell nothing."""
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if isinstance(shape, tuple) and dtype is not None and math.prod(shape) > _ELEMENTS:
        return f"{type(value).__name__} {list(shape)} {str(dtype).removeprefix('torch.')}"
    return repr(value)
