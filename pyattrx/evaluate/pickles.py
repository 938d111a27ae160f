"""Pickles read as data: containers, text, numbers and NumPy arrays, and nothing that runs."""

from __future__ import annotations

import pickle
from collections import OrderedDict
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
        Of dict, list, tuple, set, str, bytes (also for bytearray), numbers, None, and NumPy arrays
        and scalars of numbers or text.

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
            return _with_arrays(_Plain(file, encoding="latin-1").load())
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
    """Knows a few names, each with a stand-in of this module; imports nothing."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "__builtin__":  # Python 2's
            module = "builtins"
        known = _KNOWN.get((module.replace("numpy._core", "numpy.core"), name))
        if known is None:
            raise _Refused(f"{module}.{name}")
        return known


class _Dtype:
    """Stands for numpy.dtype, of numbers and text only."""

    __slots__ = ("code",)

    def __init__(self, code: str) -> None:
        self.code = str(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, order, part, names, fields, *_ = state
        if not (part is names is fields is None):
            raise _Refused(f"numpy.dtype({self.code!r}) of several parts")
        self.code = str(order).strip("|") + self.code

    def made(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = np.dtype(self.code)
        if dtype.kind not in "biufSU":
            raise _Refused(f"numpy.dtype({self.code!r})")
        return dtype


class _Array:
    """Stands for numpy.ndarray; its content is set after it is made."""

    __slots__ = ("content",)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        *_, shape, dtype, is_fortran, data = state
        self.content = _array(data, dtype, shape, "F" if is_fortran else "C")


class _Function:
    """What a pickle may call. Without attributes, so that it can change nothing of it."""

    __slots__ = ()


class _MakeDtype(_Function):
    __slots__ = ()

    def __call__(self, code: str, *_: Any) -> _Dtype:
        return _Dtype(code)


class _MakeArray(_Function):
    __slots__ = ()

    def __call__(self, kind: Any, *_: Any) -> _Array:
        if kind is not _Array:
            raise _Refused(f"an array of class {kind!r}")
        return _Array()


class _MakeScalar(_Function):
    __slots__ = ()

    def __call__(self, dtype: _Dtype, data: bytes | str) -> Any:
        return _array(data, dtype, (), "C")[()]


class _MakeArrayOfBuffer(_Function):
    __slots__ = ()

    def __call__(self, data: bytes, dtype: _Dtype, shape: Any, order: str) -> np.ndarray:
        return _array(data, dtype, shape, order)


class _Encode(_Function):
    """Bytes, as Python 3 writes them for Python 2."""

    __slots__ = ()

    def __call__(self, text: str, encoding: str) -> bytes:
        if encoding != "latin1":
            raise _Refused(f"_codecs.encode for {encoding!r}")
        return text.encode("latin-1")


class _MakeBytes(_Function):
    __slots__ = ()

    def __call__(self, data: bytes | str = b"", *_: Any) -> bytes:
        return data.encode("latin-1") if isinstance(data, str) else b"".join((data,))


def _array(data: Any, dtype: _Dtype, shape: Any, order: Any) -> np.ndarray:
    if isinstance(data, list):  # of objects
        raise _Refused(f"numpy.dtype({dtype.code!r})")
    raw = data.encode("latin-1") if isinstance(data, str) else data
    return np.frombuffer(raw, dtype.made()).reshape(shape, order=order)


def _with_arrays(content: Any) -> Any:
    """Put the arrays in the places of their stand-ins."""
    if isinstance(content, _Array):
        return content.content
    if isinstance(content, dict):
        return {_with_arrays(key): _with_arrays(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return type(content)(_with_arrays(value) for value in content)
    return content


_KNOWN: dict[tuple[str, str], Any] = {
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
    ("builtins", "bytes"): _MakeBytes(),
    ("builtins", "bytearray"): _MakeBytes(),
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _Encode(),
    ("numpy", "dtype"): _MakeDtype(),
    ("numpy", "ndarray"): _Array,
    ("numpy.core.multiarray", "_reconstruct"): _MakeArray(),
    ("numpy.core.multiarray", "scalar"): _MakeScalar(),
    ("numpy.core.numeric", "_frombuffer"): _MakeArrayOfBuffer(),
}
