"""Checks of arguments that the pictures share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyattrx.errors import InvalidTypeError, InvalidValueError

_SUFFIXES = (".png", ".svg")


def checked_path(path: Any) -> Path | None:
    """Return `path` as a Path, refused unless its suffix is .png or .svg."""
    if path is None:
        return None
    if not isinstance(path, (str, os.PathLike)):
        raise InvalidTypeError("path", path, "a path")
    checked = Path(path)
    if checked.suffix.lower() not in _SUFFIXES:
        raise InvalidValueError("path", os.fspath(path), "a file name that ends in .png or .svg")
    return checked


def checked_labels(argument: str, labels: Any, count: int, what: str) -> list[str]:
    """Return `count` printable labels, or say that there should be one for every `what`."""
    if isinstance(labels, str) or not isinstance(labels, (Sequence, np.ndarray)):
        raise InvalidTypeError(argument, labels, "a sequence of strings")
    for label in labels:
        if not isinstance(label, str):
            raise InvalidTypeError(argument, label, "strings only")
    if len(labels) != count:
        raise InvalidValueError(argument, list(labels), f"{count} strings, one for every {what}")
    return [printable(label) for label in labels]


def checked_title(title: Any) -> str | None:
    """Return `title` in printable characters."""
    if title is None:
        return None
    if not isinstance(title, str):
        raise InvalidTypeError("title", title, "a string")
    return printable(title) or None


def printable(text: str) -> str:
    """Put blanks for line breaks and for characters that XML does not allow."""
    return "".join(c if c.isprintable() else " " for c in text).strip()


def checked_numbers(argument: str, values: Any, expected: str) -> NDArray[Any]:
    """Return an array of real numbers, in the dtype it has."""
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidTypeError(argument, values, f"{expected} ({error})") from error
    if array.dtype.kind not in "biuf":
        raise InvalidTypeError(argument, values, f"{expected}, not {array.dtype}")
    return array
