"""Labels as they are given: one entry for every image, or none."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from pyattrx.errors import InvalidTypeError, InvalidValueError

__all__ = ["Entries", "read_entries"]

_EXPECTED = "labels: integers, numbers, strings, or arrays of one shape; None for an image without"


class Entries:
    """Labels of N images, some of which may be missing.

    Attributes
    ----------
    labelled : ndarray [N], bool
    array : ndarray [n, ...] or None
        Of the labelled images; bool, integer, floating or str.
    names : list of tuple of str or None
        Instead of `array`, where every label is a list of names.
    """

    def __init__(
        self,
        labelled: NDArray[np.bool_],
        array: NDArray[Any] | None = None,
        names: list[tuple[str, ...]] | None = None,
    ) -> None:
        self.labelled, self.array, self.names = labelled, array, names

    def place(self, at: int) -> int:
        """Return the number of the image that the `at`-th of the labels belongs to."""
        return int(np.flatnonzero(self.labelled)[at])


def read_entries(labels: Any, count: int, argument: str) -> Entries:
    """Read the labels of `count` images, each of them the label or None."""
    if isinstance(labels, (str, bytes)) or not isinstance(labels, (Tensor, Iterable)):
        raise InvalidTypeError(argument, labels, f"{count} {_EXPECTED}")
    if isinstance(labels, (dict, AbstractSet)):
        raise InvalidTypeError(argument, labels, "a list or an array, in the order of the images")
    if isinstance(labels, Tensor):
        labels = _numpy(labels)
    elif isinstance(labels, np.ma.MaskedArray):
        if labels.ndim != 1:
            raise InvalidValueError(
                f"{argument}.shape", labels.shape, "a masked array with one axis"
            )
        labels = labels.tolist()  # masked labels become None
    elif not isinstance(labels, np.ndarray):
        labels = list(labels)
    if isinstance(labels, np.ndarray) and labels.dtype == object and labels.ndim:
        labels = list(labels)
    if isinstance(labels, np.ndarray) and not labels.ndim:
        raise InvalidValueError(argument, labels, f"{count} labels, one for every image")
    if len(labels) != count:
        found = f"{len(labels)} labels"
        raise InvalidValueError(argument, found, f"{count} labels, one for every image")
    if isinstance(labels, np.ndarray):
        array = _known_type(labels, argument, labels)
        return Entries(np.ones(count, bool), array)
    return _from_list(labels, argument)


def _numpy(labels: Tensor) -> NDArray[Any]:
    labels = labels.detach().cpu()
    if labels.dtype in (torch.bfloat16, torch.float16):
        labels = labels.float()
    return labels.numpy()


def _from_list(labels: list[Any], argument: str) -> Entries:
    labelled = np.array([label is not None for label in labels], bool)
    if not labelled.any():
        return Entries(labelled)
    indices = np.flatnonzero(labelled).tolist()
    present = [_entry(labels[index], f"{argument}[{index}]") for index in indices]
    if all(isinstance(label, tuple) for label in present):
        return Entries(labelled, names=present)
    kinds = {"a string" if isinstance(label, str) else _shape(label) for label in present}
    if len(kinds) > 1:
        first = _shape(present[0]) if not isinstance(present[0], str) else "a string"
        for index, label in zip(indices, present, strict=True):
            found = "a string" if isinstance(label, str) else _shape(label)
            if found != first:
                raise InvalidValueError(
                    f"{argument}[{index}]", labels[index], f"{first}, as the labels before are"
                )
    return Entries(labelled, _known_type(np.asarray(present), argument, labels))


def _shape(label: Any) -> str:
    if isinstance(label, tuple):
        return "a list of names"
    shape = np.shape(label)
    return f"an array of shape {shape}" if shape else "a number"


def _entry(label: Any, argument: str) -> Any:
    """One label as a string, a number, an array, or a tuple of names."""
    if isinstance(label, str):
        if not label:
            raise InvalidValueError(argument, label, "the name of a class, or None without a label")
        return str(label)
    if isinstance(label, Tensor):
        label = _numpy(label)
    if isinstance(label, Image.Image):
        label = np.asarray(label)
    if isinstance(label, (numbers.Number, np.generic)):
        return label
    if isinstance(label, (Sequence, AbstractSet)) and not isinstance(label, bytes):
        parts = list(label)
        if all(isinstance(part, str) for part in parts):
            return tuple(parts)
        label = parts
    try:
        array = np.asarray(label)
    except (TypeError, ValueError) as error:
        raise InvalidTypeError(argument, label, _EXPECTED) from error
    if array.dtype.kind not in "biuf":
        raise InvalidTypeError(argument, label, _EXPECTED)
    return array if array.ndim else array.item()


def _known_type(array: NDArray[Any], argument: str, labels: Any) -> NDArray[Any]:
    if array.dtype.kind not in "biufU":
        raise InvalidTypeError(argument, labels, f"{_EXPECTED}; not {array.dtype}")
    if 0 in array.shape:
        raise InvalidValueError(f"{argument}.shape", array.shape, "labels that are not empty")
    return array
