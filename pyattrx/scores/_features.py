"""Features as the scores read them: in float64, some rows at a time, centered where asked.

The array stays as it is, whatever its type: copies are of a few rows. Values are scaled as a whole
by a power of two, exactly, so that no square under- or overflows. Features that differ between
images by no more than rounding are taken for constant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
import scipy.linalg
import torch

from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.methods import ROUNDINGS

__all__ = ["Features", "Spectrum", "read_array", "read_features"]

# Elements that are taken to float64 at once.
_CHUNK_ELEMENTS = 1 << 20


def read_array(argument: str, value: Any) -> tuple[np.ndarray, float]:
    """Check an array of numbers of a floating-point type.

    Parameters
    ----------
    argument : str
        For messages.
    value : Tensor or ndarray

    Returns
    -------
    array : ndarray
        Of any floating-point type that NumPy has; bfloat16 becomes float32.
    eps : float
        Of the type that the values come from.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        No such array, or one with a NaN or an infinity.
    """
    if isinstance(value, torch.Tensor):
        if not value.is_floating_point():
            raise InvalidTypeError(argument, str(value.dtype), "a tensor of a floating-point type")
        eps = float(torch.finfo(value.dtype).eps)
        value = value.detach().cpu()
        array = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    elif isinstance(value, np.ndarray):
        if value.dtype not in (np.float16, np.float32, np.float64):
            raise InvalidTypeError(
                argument, str(value.dtype), "an array of float16, float32 or float64"
            )
        array, eps = value, float(np.finfo(value.dtype).eps)
    else:
        raise InvalidTypeError(argument, value, "a Tensor or an ndarray")
    flat = array.reshape(len(array), -1) if array.ndim else array
    for rows in _slices(flat):
        if not np.isfinite(flat[rows]).all():
            row = rows.start + int(np.argwhere(~np.isfinite(flat[rows]))[0][0])
            raise InvalidValueError(
                argument, f"a NaN or an infinity for image {row}", "finite values"
            )
    return array, eps


def read_features(features: Any, count: int) -> Features:
    """Check features [N, D] of N images.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        No array of a floating-point type of that shape, or one with a NaN or an infinity.
    """
    shape = tuple(getattr(features, "shape", ()))
    if isinstance(features, (torch.Tensor, np.ndarray)) and (
        len(shape) != 2 or shape[0] != count or shape[1] == 0
    ):
        raise InvalidValueError(
            "features", list(shape), f"[{count}, D], D of at least 1: a row for every label"
        )
    return Features(*read_array("features", features))


class Features:
    """Checked features.

    Parameters
    ----------
    array : ndarray [N, D]
    eps : float
        Of the type that the values come from.
    """

    def __init__(self, array: np.ndarray, eps: float) -> None:
        self.array = array
        self.eps = eps

    def __len__(self) -> int:
        return len(self.array)

    @property
    def width(self) -> int:
        """D."""
        return int(self.array.shape[1])

    @property
    def working(self) -> type[np.floating[Any]]:
        """Type for products that float32 is good enough for: float64 for float64 features."""
        return np.float64 if self.array.dtype == np.float64 else np.float32

    def slices(self) -> Iterator[slice]:
        """Rows that are taken to float64 at once."""
        return _slices(self.array)

    def raw(self, rows: Any) -> np.ndarray:
        """Some rows, scaled, [n, D] float64."""
        # Scaled after widening: a power of two that float32 need not hold.
        wide = self.array[rows].astype(np.float64)
        return np.asarray(np.ldexp(wide, -self.exponent, out=wide))

    def rows(self, rows: Any) -> np.ndarray:
        """Some rows, scaled and less the mean of all; zeros where a feature is constant."""
        wide = self.raw(rows)
        wide -= self._first
        wide -= self._offset
        wide[:, self.constant] = 0
        return wide

    @cached_property
    def exponent(self) -> int:
        """Of the power of two that features are divided by."""
        return int(np.frexp(max(np.abs(lo).max() for lo in self._extent))[1])

    @cached_property
    def constant(self) -> np.ndarray:
        """Which features are the same for all images, [D]."""
        low, high = self._extent
        spread = high / 2 - low / 2  # halves: the difference may overflow
        return np.asarray(spread <= ROUNDINGS * self.eps * np.maximum(high, -low) / 2)

    @cached_property
    def squares(self) -> float:
        """Sum of all squares of the centered features."""
        return float(sum(np.square(self.rows(some)).sum() for some in self.slices()))

    @cached_property
    def _extent(self) -> tuple[np.ndarray, np.ndarray]:
        return self.array.min(0).astype(np.float64), self.array.max(0).astype(np.float64)

    @cached_property
    def _first(self) -> np.ndarray:
        return np.asarray(self.raw(slice(0, 1))[0])

    @cached_property
    def _offset(self) -> np.ndarray:
        # About the first row, so that what is the same for all stays zero.
        total = np.zeros(self.width)
        for some in self.slices():
            total += (self.raw(some) - self._first).sum(0)
        return total / len(self)

    def gram(self, *, center: bool = True, rows: np.ndarray | None = None) -> np.ndarray:
        """Sums of products of two features, [D, D] float64; over some rows only, if given."""
        read = self.rows if center else self.raw
        total = np.zeros((self.width, self.width))
        for some in self.slices():
            x = read(some if rows is None else rows[some])
            if not len(x):
                break
            # In place: the routine makes no copy of a matrix in Fortran's order.
            total = scipy.linalg.blas.dsyrk(
                1.0, x.T, beta=1.0, c=total.T, overwrite_c=True, lower=False
            ).T
        return _mirrored(total)

    def kernel(self, *, center: bool = True) -> np.ndarray:
        """Inner products of any two images, [N, N] float64."""
        read = self.rows if center else self.raw
        total = np.zeros((len(self), len(self)))
        pieces = [(some, read(some)) for some in self.slices()]
        for index, (some, x) in enumerate(pieces):
            for others, y in pieces[: index + 1]:
                total[some, others] = x @ y.T
                total[others, some] = total[some, others].T
        return total

    def spectrum(self, *, center: bool = True) -> Spectrum:
        """Principal directions, without those that only rounding is left of."""
        return Spectrum(self, center=center)


class Spectrum:
    """Features in their principal directions, at most min(N, D).

    Parameters
    ----------
    features : Features
    center : bool

    Attributes
    ----------
    squares : ndarray [R]
        Sum of squares in each direction, over all images; the largest first.
    """

    def __init__(self, features: Features, *, center: bool = True) -> None:
        self._read = features.rows if center else features.raw
        self._slices = features.slices
        self._count = len(features)
        wide = features.width > len(features)
        matrix = features.kernel(center=center) if wide else features.gram(center=center)
        squares, vectors = scipy.linalg.eigh(
            matrix, driver="evd", overwrite_a=True, check_finite=False
        )
        least = max(matrix.shape) * np.finfo(np.float64).eps * max(squares[-1], 0.0)
        first = int(np.searchsorted(squares, least, side="right"))
        self.squares = squares[first:][::-1].copy()
        self._vectors = vectors[:, first:][:, ::-1]
        self._coordinates = self._vectors * np.sqrt(self.squares) if wide else None

    def cross(self, columns: Callable[[slice], np.ndarray]) -> np.ndarray:
        """Sums of products with columns of all images, [R, K]; cheaper than by `rows`."""
        total: np.ndarray | None = None
        for some in self.slices():
            # As many columns as features, not as directions, are turned once at the end.
            x = self._read(some) if self._coordinates is None else self._coordinates[some]
            part = x.T @ columns(some)
            total = part if total is None else total + part
        assert total is not None
        return np.asarray(self._vectors.T @ total if self._coordinates is None else total)

    def product(self, weights: np.ndarray) -> Callable[[slice], np.ndarray]:
        """Return what gives ``rows(some) @ weights``, [n, K]; cheaper than by `rows`."""
        if self._coordinates is not None:
            coordinates = self._coordinates
            return lambda some: np.asarray(coordinates[some] @ weights)
        turned = self._vectors @ weights
        return lambda some: np.asarray(self._read(some) @ turned)

    def leading(self, kept: int, kind: type[np.floating[Any]]) -> np.ndarray:
        """Coordinates of all images in the first directions, [N, kept] of a type."""
        if self._coordinates is not None:
            return np.asarray(self._coordinates[:, :kept], kind)
        vectors = self._vectors[:, :kept].astype(kind)
        found = np.empty((self._count, kept), kind)
        for some in self.slices():
            np.matmul(self._read(some).astype(kind, copy=False), vectors, out=found[some])
        return found

    def rows(self, some: slice) -> np.ndarray:
        """Coordinates of some images, [n, R] float64."""
        if self._coordinates is not None:
            return np.asarray(self._coordinates[some])
        return np.asarray(self._read(some) @ self._vectors)

    def slices(self) -> Iterator[slice]:
        """Rows that are taken at once."""
        return self._slices()


def _mirrored(upper: np.ndarray) -> np.ndarray:
    """The symmetric matrix whose lower triangle, in C's order, was computed."""
    for row in range(len(upper)):
        upper[row, row + 1 :] = upper[row + 1 :, row]
    return upper


def _slices(array: np.ndarray) -> Iterator[slice]:
    count = len(array) if array.ndim else 0
    step = max(1, _CHUNK_ELEMENTS // max(1, array.size // max(1, count)))
    for first in range(0, count, step):
        yield slice(first, first + step)
