"""TransRate: mutual information of features and labels, by coding rates."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg

from pyattrx._checks import flag
from pyattrx.scores._features import Features, read_features
from pyattrx.scores._labels import read_labels
from pyattrx.scores._making import check_number, from_terms
from pyattrx.scores._result import Score

__all__ = ["transrate"]


def transrate(
    features: Any,
    labels: Any,
    *,
    groups: Any = None,
    epsilon: float = 1e-4,
    normalize: bool = True,
) -> Score:
    """Score features by how much fewer bits code them once the labels are known: TransRate.

    ``R(Z) - sum_c N_c / N R(Z_c)``, ``R(Z) = log det(I + Z'Z / (N epsilon)) / 2``, of features less
    the mean of all.

    Parameters
    ----------
    features : Tensor or ndarray [N, D], float16, float32 or float64
    labels : Tensor or array_like [N], integers, strings or booleans
    groups : array_like [N], optional
        Images that belong together, for the standard error.
    epsilon : float, positive
        Squared distortion.
    normalize : bool
        Divide features by their root mean squared length first. Without it the value depends on the
        features' scale, as that of the published formula does.

    Returns
    -------
    Score
        At least 0, in nats.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        Features or labels that are none, with a NaN or an infinity, or all of one class; an epsilon
        that is not positive.

    Notes
    -----
    Huang, Huang, Rong, Yang, Wei, Frustratingly easy transferability estimation, ICML 2022, the log
    determinants as there. Published code divides the classes' rates by their number, which is the
    same for classes of one size. It grows with D whether or not the features mean anything; origin
    and rotation do not matter.

    The standard error is that of an infinitesimal jackknife. It is too small where features are as
    many as images.

    Examples
    --------
    >>> import numpy as np
    >>> from pyattrx import scores
    >>> features = np.array([[-1.0], [-1.0], [1.0], [1.0]])
    >>> round(scores.transrate(features, [0, 1, 0, 1]).value, 6)
    0.0
    """
    check_number("epsilon", epsilon)
    flag("normalize", normalize)
    read = read_labels(labels, groups, ("classification",))
    found = read_features(features, len(read))
    options = {"epsilon": float(epsilon), "normalize": normalize}
    count = len(read)
    power = found.squares / count
    if power == 0:
        return from_terms("transrate", 0.0, np.zeros(count), read, options)
    # Features are scaled by a power of two as they are read; without normalisation it is undone.
    factor = 1 / (epsilon * power) if normalize else _unscaled(found.exponent) / epsilon
    rate, total, lengths = _of_all(found, factor)
    value, terms, slope = rate, total - total.mean(), total.mean()
    shift = np.zeros(found.width)
    for code in range(read.width):
        members = np.flatnonzero(read.codes == code)
        share = len(members) / count
        part, leverage, pull = _of_class(found, members, factor)
        value -= share * part
        # Derivatives by the images' weights: of the class's share, of its moments, of the mean.
        terms += 2 * share * part
        terms[members] -= 2 * part + leverage - leverage.mean()
        slope -= share * leverage.mean()
        shift += 2 * share * pull
    for some in found.slices():
        terms[some] += found.rows(some) @ shift
    if normalize:
        terms -= slope * (lengths / power - 1)
    return from_terms("transrate", value, terms / 2, read, options)


def _unscaled(exponent: int) -> float:
    # Beyond float64's range the coding rate has no number either.
    return float(np.ldexp(1.0, int(np.clip(2 * exponent, -1000, 1000))))


def _of_all(features: Features, factor: float) -> tuple[float, np.ndarray, np.ndarray]:
    """Coding rate, and each image's leverage and squared length, [N]."""
    spectrum = features.spectrum()
    squares = factor * spectrum.squares / len(features)
    leverage, lengths = np.empty(len(features)), np.empty(len(features))
    for some in spectrum.slices():
        x = np.square(spectrum.rows(some))
        leverage[some] = x @ (factor / (1 + squares))
        lengths[some] = x.sum(1)
    return float(np.log1p(squares).sum()) / 2, leverage, lengths


def _of_class(
    features: Features, members: np.ndarray, factor: float
) -> tuple[float, np.ndarray, np.ndarray]:
    """Coding rate of some images, their leverages, and ``factor A^-1 mean``, [D]."""
    n = len(members)
    if n <= features.width:
        x = features.rows(members)
        matrix = factor / n * (x @ x.T)
        matrix[np.diag_indices(n)] += 1
        factored = scipy.linalg.cholesky(matrix, lower=True, overwrite_a=True, check_finite=False)
        # a z_i' A^-1 z_i = n (1 - (B^-1)_ii), B the matrix above.
        solved = scipy.linalg.cho_solve((factored, True), np.eye(n), check_finite=False)
        pull = factor / n * (x.T @ solved.sum(1))
        return _half_log(factored), n * (1 - np.diag(solved)), pull
    mean = np.zeros(features.width)
    matrix = factor / n * features.gram(rows=members)
    matrix[np.diag_indices(len(matrix))] += 1
    factored = scipy.linalg.cholesky(matrix, lower=True, overwrite_a=True, check_finite=False)
    leverage = np.empty(n)
    for some in features.slices():
        if some.start >= n:
            break
        x = features.rows(members[some])
        mean += x.sum(0) / n
        solved = scipy.linalg.solve_triangular(factored, x.T, lower=True, check_finite=False)
        leverage[some] = factor * np.square(solved).sum(0)
    pull = factor * scipy.linalg.cho_solve((factored, True), mean, check_finite=False)
    return _half_log(factored), leverage, pull


def _half_log(factored: np.ndarray) -> float:
    return float(np.log(np.diag(factored)).sum())
