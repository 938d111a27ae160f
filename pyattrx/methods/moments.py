"""Ridge regression from one half of the samples to the other, from sums over samples alone.

Sums are additive, so that those without a block of samples are a difference, and samples need not
be in memory at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg

__all__ = [
    "Fitted", "Moments", "cross_fitted", "cross_fitted_r2", "fitted", "narrowed", "nothing_varies",
    "squared_errors",
]  # fmt: skip

# The share of a target's squares that is taken for what rounding left of zero.
_ROUNDING = 1e-13


class Moments:
    """Sums over samples of features u [C] and targets z [Z]: all that a regression needs.

    Parameters
    ----------
    features, targets : int
        C and Z.

    Attributes
    ----------
    count : int
        Samples.
    u : ndarray [C], float64
    z : ndarray [Z], float64
    cross : ndarray [C, Z], float64
        Of products of a feature and a target.
    squares : ndarray [Z], float64
        Of squared targets.
    gram : ndarray [C, C], float64
        Of products of two features, in the lower triangle; the upper one is undefined.

    Examples
    --------
    >>> import numpy as np
    >>> from pyattrx.methods.moments import Moments
    >>> sums = Moments(1, 1)
    >>> sums.add(np.array([[1.0], [2.0]]), np.array([[3.0], [4.0]]))
    >>> sums.count, float(sums.gram[0, 0]), float(sums.cross[0, 0])
    (2, 5.0, 11.0)
    """

    def __init__(self, features: int, targets: int) -> None:
        self.count = 0
        self.u, self.z = np.zeros(features), np.zeros(targets)
        self.cross, self.squares = np.zeros((features, targets)), np.zeros(targets)
        self.gram = np.zeros((features, features))

    def add(self, u: np.ndarray, z: np.ndarray) -> None:
        """Add samples, [n, C] and [n, Z] float64."""
        self.count += len(u)
        self.u += u.sum(0)
        self.z += z.sum(0)
        self.cross += u.T @ z
        self.squares += np.square(z).sum(0)
        # In place: the routine makes no copy of a matrix in Fortran's order.
        self.gram = scipy.linalg.blas.dsyrk(
            1.0, u.T, beta=1.0, c=self.gram.T, overwrite_c=True, lower=False
        ).T

    def without(self, part: Moments) -> Moments:
        """Sums over the samples that are not in a part; they take the part's memory."""
        part.count = self.count - part.count
        for name in ("u", "z", "cross", "squares", "gram"):
            mine, other = getattr(self, name), getattr(part, name)
            np.subtract(mine, other, out=other)
        return part


def cross_fitted_r2(
    moments: Callable[[np.ndarray], Moments],
    halves: np.ndarray,
    blocks: np.ndarray,
    penalty: float,
    *,
    width: int,
    starts: np.ndarray | None = None,
    intercept: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """R^2 on each half of a ridge regression that was fitted to the other: the mean of both ways.

    Parameters
    ----------
    moments : callable
        From numbers of probes [n], int64, to the sums over their samples.
    halves : ndarray [N]
        Half of each probe, 0 or 1.
    blocks : ndarray [N], int64
        Block of each probe: dense numbers from 0.
    penalty : float, positive
        Of the squared weights, in units of the mean diagonal of the smaller Gram matrix, of samples
        or of features.
    width : int
        Features, before they were turned into fewer.
    starts : ndarray [T], int64, optional
        Columns at which targets begin, the first of them 0; R^2 is pooled over those of one target.
        All columns are one target if left out.
    intercept : bool
        Whether means are fitted, and are no part of what is to be explained.

    Returns
    -------
    values : ndarray [T]
        0 where a target does not vary.
    without : ndarray [K, T]
        Without each block; NaN where a half has no samples left.

    Examples
    --------
    >>> import numpy as np
    >>> from pyattrx.methods.moments import Moments, cross_fitted_r2
    >>> u = np.random.default_rng(0).standard_normal((40, 3))
    >>> def moments(chosen):
    ...     sums = Moments(3, 1)
    ...     sums.add(u[chosen], u[chosen, :1] + 5)
    ...     return sums
    >>> places = np.arange(40)
    >>> values, without = cross_fitted_r2(moments, places % 2, places // 2 % 4, 1e-6, width=3)
    >>> bool(values[0] > 0.999), without.shape
    (True, (4, 1))
    """
    starts = np.zeros(1, np.int64) if starts is None else starts
    return cross_fitted(
        moments, halves, blocks, lambda a, b: _r2(a, b, width, penalty, starts, intercept)
    )


def cross_fitted(
    moments: Callable[[np.ndarray], Moments],
    halves: np.ndarray,
    blocks: np.ndarray,
    score: Callable[[Moments, Moments], np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Score a fit to each half by the other: the mean of both ways, and without each block.

    Parameters
    ----------
    moments, halves, blocks
        As for `cross_fitted_r2`.
    score : callable
        From the sums that are fitted to and those of the test to numbers [T].

    Returns
    -------
    values : ndarray [T]
    without : ndarray [K, T]
    """

    def both_ways(first: Moments, second: Moments) -> np.ndarray:
        return np.asarray((score(first, second) + score(second, first)) / 2)

    members = [np.flatnonzero(halves == half) for half in (0, 1)]
    whole = [moments(some) for some in members]
    values = both_ways(*whole)
    without = np.full((int(blocks.max()) + 1, len(values)), np.nan)
    for block in range(len(without)):
        left = [
            sums.without(moments(some[blocks[some] == block]))
            for sums, some in zip(whole, members, strict=True)
        ]
        if left[0].count and left[1].count:
            without[block] = both_ways(*left)
    return values, without


def narrowed(rows: np.ndarray) -> np.ndarray:
    """Turn samples of many features: the same inner products in no more than n dimensions.

    Parameters
    ----------
    rows : ndarray [n, D], float64, D of at least n
        Overwritten.

    Returns
    -------
    ndarray [n, n]

    Examples
    --------
    >>> import numpy as np
    >>> from pyattrx.methods.moments import narrowed
    >>> narrowed(np.array([[3.0, 4.0]])).shape
    (1, 1)
    """
    triangle = scipy.linalg.qr(rows.T, mode="r", overwrite_a=True, check_finite=False)[0]
    return np.ascontiguousarray(triangle[: len(rows)].T)


@dataclass(frozen=True)
class Fitted:
    """A ridge regression of targets [Z] on features [C].

    Attributes
    ----------
    weights : ndarray [C, Z]
    mean_u, mean_z : ndarray [C], [Z]
        What they are of; zeros without an intercept.
    penalty : float
        Of the squared weights; 0 where features do not vary, and weights are zero.
    inverse : callable
        Returns the inverse of the penalized Gram matrix, [C, C].
    """

    weights: np.ndarray
    mean_u: np.ndarray
    mean_z: np.ndarray
    penalty: float
    inverse: Callable[[], np.ndarray]


def fitted(fit: Moments, width: int, penalty: float, intercept: bool) -> Fitted:
    """Fit a ridge regression to sums over samples.

    Parameters
    ----------
    fit : Moments
    width : int
        Features, before they were turned into fewer.
    penalty : float
        In units of the mean diagonal of the smaller Gram matrix.
    intercept : bool

    Returns
    -------
    Fitted
    """
    gram, cross = fit.gram.copy(), fit.cross
    mean_u, mean_z = np.zeros(len(gram)), np.zeros(cross.shape[1])
    trace = float(np.trace(gram))
    if intercept:
        mean_u, mean_z = fit.u / fit.count, fit.z / fit.count
        gram = scipy.linalg.blas.dsyr(
            -float(fit.count), mean_u, a=gram.T, overwrite_a=True, lower=False
        ).T
        cross = cross - fit.count * np.outer(mean_u, mean_z)
    left = float(np.trace(gram))
    # What rounding leaves of features that do not vary in this half, or of directions that they do
    # not vary in, may be negative.
    rounding = 4 * len(gram) * np.finfo(np.float64).eps * trace
    if left <= rounding:
        return Fitted(np.zeros_like(cross), mean_u, mean_z, 0.0, lambda: np.zeros_like(gram))
    strength = max(penalty * left / min(width, fit.count), rounding)
    gram[np.diag_indices(len(gram))] += strength
    # The lower triangle in C's order is the upper one in Fortran's.
    factor = scipy.linalg.cho_factor(gram.T, lower=False, overwrite_a=True, check_finite=False)
    weights = scipy.linalg.cho_solve(factor, cross, check_finite=False)

    def inverse() -> np.ndarray:
        found: np.ndarray = scipy.linalg.cho_solve(factor, np.eye(len(gram)), check_finite=False)
        return found

    return Fitted(weights, mean_u, mean_z, strength, inverse)


def squared_errors(of: Fitted, test: Moments, intercept: bool) -> tuple[np.ndarray, np.ndarray]:
    """Squared errors of a regression on other samples, and their squares about their mean, [Z]."""
    weights = of.weights
    constant = of.mean_z - of.mean_u @ weights
    product = scipy.linalg.blas.dsymm(1.0, test.gram.T, weights, lower=False)
    predicted = 2 * constant * (test.u @ weights)
    predicted += np.einsum("cz,cz->z", weights, product)
    predicted += test.count * constant**2
    explained = np.einsum("cz,cz->z", weights, test.cross) + constant * test.z
    total = test.squares - (test.z**2 / test.count if intercept else 0)
    return test.squares - 2 * explained + predicted, total


def nothing_varies(total: np.ndarray, fit: Moments, test: Moments, starts: np.ndarray) -> Any:
    """Whether targets' squares, [T], are what rounding left of zero."""
    return total <= _ROUNDING * np.add.reduceat(fit.squares + test.squares, starts)


def _r2(
    fit: Moments, test: Moments, width: int, penalty: float, starts: np.ndarray, intercept: bool
) -> np.ndarray:
    """R^2 on one half of the fit to the other, [T]."""
    error, total = squared_errors(fitted(fit, width, penalty, intercept), test, intercept)
    error, total = np.add.reduceat(error, starts), np.add.reduceat(total, starts)
    nothing = nothing_varies(total, fit, test, starts)
    r2 = 1 - np.maximum(error, 0) / np.where(nothing, 1.0, total)
    return np.where(nothing, 0.0, r2)
