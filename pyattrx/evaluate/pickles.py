"""Pickles read as data: containers, text, numbers and NumPy arrays, and nothing that runs."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pyattrx.errors import PyattrxError, UntrustedError

__all__ = ["read_pickle"]


def read_pickle(path: str | Path) -> Any:
    """Read a pickle without executing it; Python 2's, with its text as Latin-1, as well.

    Parameters
    ----------
    path : path

    Returns
    -------
    object
        Of dict, list, tuple, set, str, bytes, numbers, None, and NumPy arrays and scalars of
        numbers or text.

    Raises
    ------
    UntrustedError
        The file wants to import something else; the message names it.
    PyattrxError
        It is damaged, or no pickle.
    OSError
        It cannot be opened.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "table.pkl"
    >>> _ = path.write_bytes(pickle.dumps({"depth": np.array([0.5, 0.25])}))
    >>> read_pickle(path)
    {'depth': array([0.5 , 0.25])}
    """
    with open(path, "rb") as file:
        try:
            return _Plain(file, encoding="latin-1").load()
        except _Refused as error:
            raise UntrustedError(
                f"{path}: this pickle wants to import {error}, and importing can execute anything; "
                "only containers, text, numbers and NumPy arrays are read"
            ) from None
        except Exception as error:  # damaged pickles fail in many ways
            raise PyattrxError(
                f"{path}: not a pickle, or damaged ({type(error).__name__}: {error})"
            ) from error


class _Refused(Exception):
    """Something is to be imported that is not among the known ones."""


class _Plain(pickle.Unpickler):
    """Knows a few names, each with a function of this module; imports nothing."""

    def find_class(self, module: str, name: str) -> Any:
        if module in ("builtins", "__builtin__") and name in _CONTAINERS:
            return _CONTAINERS[name]
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("_codecs", "encode"):  # bytes, as Python 3 writes them for Python 2
            return _encode
        package, _, inner = module.partition(".")
        if package == "numpy":
            known = _NUMPY.get(f"{inner.removeprefix('_')}.{name}".lstrip("."))
            if known is not None:
                return known
        raise _Refused(f"{module}.{name}")


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise _Refused(f"_codecs.encode for {encoding!r}")
    return text.encode("latin-1")


def _dtype(*arguments: Any) -> np.dtype[Any]:
    made: np.dtype[Any] = np.dtype(*arguments)
    if made.kind not in "biufSU":
        raise _Refused(f"numpy.dtype({arguments[0]!r})")
    return made


class _NoArray:
    """Stands for numpy.ndarray where a pickle names the class that it wants an array of."""


def _empty(kind: Any, shape: Any, typecode: Any) -> np.ndarray:
    """Make the array whose content the pickle sets next."""
    if kind is not _NoArray:
        raise _Refused(f"an array of class {kind!r}")
    return np.ndarray.__new__(np.ndarray, (0,), "b")


def _scalar(dtype: np.dtype[Any], data: bytes | str) -> Any:
    return np.frombuffer(data.encode("latin-1") if isinstance(data, str) else data, dtype, 1)[0]


def _from_buffer(data: Any, dtype: np.dtype[Any], shape: Any, order: Any) -> np.ndarray:
    return np.frombuffer(data, dtype).reshape(shape, order=order)


_CONTAINERS: dict[str, type] = {
    kind.__name__: kind
    for kind in (dict, list, tuple, set, frozenset, str, bytes, bytearray, int, float, bool)
}
_NUMPY: dict[str, Callable[..., Any] | type] = {
    "ndarray": _NoArray,
    "dtype": _dtype,
    "core.multiarray._reconstruct": _empty,
    "core.multiarray.scalar": _scalar,
    "core.numeric._frombuffer": _from_buffer,
}
