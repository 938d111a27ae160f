"""Labels of images, of the kinds that scores take, and the images' groups."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from pyattrx.errors import InvalidTypeError, InvalidValueError

__all__ = ["KINDS", "Labels", "as_they_come", "dense_groups", "digest_of", "read_labels"]

# What each kind of labels looks like, for messages.
KINDS = {
    "classification": "classes [N] as integers, strings or booleans",
    "regression": "numbers [N] or [N, K] of a floating-point type",
    "multilabel": "booleans, or integers 0 and 1, [N, K]",
}


@dataclass(frozen=True)
class Labels:
    """Checked labels in dense groups.

    Attributes
    ----------
    kind : str
        A key of `KINDS`; of maps, "dense_classification" or "dense_regression".
    codes : ndarray [N], int64
        Classes, numbered as they come, so that their names are of no consequence; zeros where
        labels are not classes.
    numbers : ndarray [N, K], float64, or None
        Labels that are not classes; of maps, locations of each class, or mean numbers.
    groups : ndarray [N], int64
        Dense, numbered as they come.
    exponent : int
        Of the power of two that numbers were divided by: no square under- or overflows.
    maps : str
        Digest of label maps, which differ where codes and numbers may not.
    """

    kind: str
    codes: np.ndarray
    numbers: np.ndarray | None
    groups: np.ndarray
    exponent: int = 0
    maps: str = ""

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def discrete(self) -> bool:
        """Whether labels are classes."""
        return self.numbers is None

    @cached_property
    def counts(self) -> np.ndarray:
        """Images of each class, [K]."""
        return np.bincount(self.codes)

    @property
    def width(self) -> int:
        """Classes, or numbers an image."""
        return len(self.counts) if self.numbers is None else self.numbers.shape[1]

    def columns(self, some: Any) -> np.ndarray:
        """Labels of some images as numbers, [n, K] float64; classes one-hot."""
        if self.numbers is not None:
            return np.asarray(self.numbers[some])
        codes = self.codes[some]
        one_hot = np.zeros((len(codes), self.width))
        one_hot[np.arange(len(codes)), codes] = 1
        return one_hot

    @cached_property
    def means(self) -> np.ndarray:
        """Mean of each column, [K]."""
        if self.numbers is not None:
            return np.asarray(self.numbers.mean(0))
        return self.counts / len(self)

    def digest(self, units: np.ndarray) -> str:
        """Digest of the labels and of the units that deviations are added by."""
        kept = self.codes if self.numbers is None else self.numbers
        return digest_of(self.kind + self.maps, kept, units)


def digest_of(kind: str, *arrays: np.ndarray) -> str:
    """Digest of arrays, with their shapes and types, of some kind."""
    hashed = hashlib.sha256(kind.encode())
    for array in arrays:
        hashed.update(str((array.shape, array.dtype.str)).encode())
        hashed.update(np.ascontiguousarray(array).data)
    return hashed.hexdigest()


def read_labels(labels: Any, groups: Any, kinds: tuple[str, ...]) -> Labels:
    """Check labels, and the groups of the images that they belong to.

    Parameters
    ----------
    labels : Tensor or array_like
        See `KINDS`; the type and the number of dimensions tell which kind they are.
    groups : array_like [N], optional
        Integers or strings. Images of one group belong together; each is its own if left out.
    kinds : tuple of str
        Kinds that are of use.

    Returns
    -------
    Labels

    Raises
    ------
    InvalidTypeError, InvalidValueError
        Labels of no such kind, with a NaN or an infinity, all the same, or a wrong number of
        groups.
    """
    array = _array("labels", labels)
    expected = "; or ".join(f"{KINDS[kind]} ({kind})" for kind in kinds)
    kind = _kind(array)
    if kind not in kinds:
        shown = f"{array.dtype} {list(array.shape)}" + (f", {kind}" if kind else "")
        raise InvalidValueError("labels", shown, expected)
    if not len(array):
        raise InvalidValueError("labels", "no labels", "at least two images")
    numbers, exponent = None, 0
    codes = np.zeros(len(array), np.int64)
    if kind == "classification":
        codes = as_they_come(array)
        if codes.max() == 0:
            raise InvalidValueError("labels", f"all {array[0]!r}", "at least two classes")
    else:
        numbers, exponent = _numbers(array)
    dense = np.arange(len(array)) if groups is None else dense_groups(groups, len(array))
    return Labels(kind, codes, numbers, dense, exponent)


def dense_groups(groups: Any, count: int) -> np.ndarray:
    """Number groups from 0 as they come.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        Neither integers nor strings, or not one for every image.
    """
    array = _array("groups", groups)
    if array.dtype.kind not in "biuU":
        raise InvalidTypeError("groups", str(array.dtype), "integers or strings")
    if array.shape != (count,):
        raise InvalidValueError("groups", list(array.shape), f"[{count}], one for every image")
    return as_they_come(array)


def _array(argument: str, value: Any) -> np.ndarray:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        return np.asarray((value.float() if value.dtype == torch.bfloat16 else value).numpy())
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise InvalidTypeError(argument, value, f"an array ({error})") from error
    if array.dtype.kind == "O" and all(isinstance(one, str) for one in array.flat):
        array = array.astype(str)
    if array.dtype.kind not in "biufU":
        raise InvalidTypeError(argument, str(array.dtype), "numbers, strings or booleans")
    return array


def _kind(array: np.ndarray) -> str | None:
    sort = array.dtype.kind
    if array.ndim == 1:
        return "regression" if sort == "f" else "classification"
    if array.ndim != 2 or array.shape[1] == 0:
        return None
    if sort == "f":
        return "regression"
    if sort == "b" or (sort in "iu" and bool(np.isin(array, (0, 1)).all())):
        return "multilabel"
    return None


def _numbers(array: np.ndarray) -> tuple[np.ndarray, int]:
    numbers = array.astype(np.float64).reshape(len(array), -1)
    finite = np.isfinite(numbers)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise InvalidValueError(
            "labels", f"{numbers[row, column]} of image {row}", "finite numbers"
        )
    constant = np.flatnonzero(np.all(numbers == numbers[0], axis=0))
    if len(constant):
        first = constant[0]
        what = f"{numbers[0, first]:g} for every image in column {first}"
        raise InvalidValueError(
            "labels", what, "labels that differ between images, in every column"
        )
    exponent = int(np.frexp(np.abs(numbers).max())[1])
    return np.ldexp(numbers, -exponent), exponent


def as_they_come(array: np.ndarray) -> np.ndarray:
    """Number different values from 0, in the order in which they come; flat, int64."""
    _, first, place = np.unique(array, return_index=True, return_inverse=True)
    ranks = np.empty(len(first), np.int64)
    ranks[np.argsort(first)] = np.arange(len(first))
    return np.asarray(ranks[place.reshape(-1)])
