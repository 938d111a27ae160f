"""SFDA: self-challenging Fisher discriminant analysis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg

from pyattrx.scores._features import read_features
from pyattrx.scores._labels import Labels, read_labels
from pyattrx.scores._making import check_number, from_terms
from pyattrx.scores._result import Score

__all__ = ["sfda"]

_LEAST = 1e-10

Rows = Callable[[slice], np.ndarray]


def sfda(features: Any, labels: Any, *, groups: Any = None, strength: float = 5.0) -> Score:
    """Score features by a discriminant analysis of images that are made hard to tell: SFDA.

    The within-class covariance is shrunk, ``(1 - l) S + l (tr(S) / D) I`` with ``l = exp(-strength
    * largest eigenvalue of S)``, at least 1e-10. Linear discriminants give each image's probability
    p of its class; the image is mixed with the mean of the other classes, ``p x + (1 - p) m``, and
    the analysis is done again. The value is the mean log probability of the images' classes then.

    Parameters
    ----------
    features : Tensor or ndarray [N, D], float16, float32 or float64
    labels : Tensor or array_like [N], integers, strings or booleans
    groups : array_like [N], optional
        Images that belong together, for the standard error.
    strength : float, positive
        How fast shrinkage falls with the features' scale.

    Returns
    -------
    Score
        In (-inf, 0]. ``facts``: the accuracy, on the mixed images, and the shrinkage.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        Features or labels that are none, with a NaN or an infinity, or all of one class; a strength
        that is not positive.

    Notes
    -----
    Shao, Zhao, Ge, Zhang, Yang, Wang, Shan, Luo, Not all models are equal: predicting model
    transferability in a self-challenging Fisher space, ECCV 2022; strength and shrinkage as in its
    code. That code averages probabilities, which are 1 for every candidate where images are few.
    Their logs, the paper's, still differ, but like all that is fitted and tested on the same images
    they say little where D is near N. It also takes the softmax of probabilities again before
    images are mixed, which the paper does not; nor do we. The features' scale matters, by the
    shrinkage; origin and rotation do not.

    The standard error takes the analysis for given and images for independent between groups: it is
    somewhat too small.

    Examples
    --------
    >>> import numpy as np
    >>> from pyattrx import scores
    >>> labels = np.arange(60) % 2
    >>> features = np.random.default_rng(0).standard_normal((60, 3)) + 4 * labels[:, None]
    >>> scores.sfda(features, labels).facts["accuracy"]
    1.0
    """
    check_number("strength", strength)
    read = read_labels(labels, groups, ("classification",))
    found = read_features(features, len(read))
    rows: Rows = found.rows
    if found.width > len(found):
        spectrum = found.spectrum()
        if len(spectrum.squares):
            rows = spectrum.rows
    slices = list(found.slices())
    means, within = _moments(rows, slices, read)
    size = len(within)
    largest = scipy.linalg.eigh(within, eigvals_only=True, subset_by_index=[size - 1, size - 1])[0]
    # Features were scaled by a power of two as they were read.
    power = min(max(2 * found.exponent, -1000), 1000)
    shrinkage = max(float(np.exp(-strength * np.ldexp(max(largest, 0.0), power))), _LEAST)
    first = _discriminants(means, within, shrinkage, found.width, read)
    # The images of the other classes; those of all have a mean of zero.
    counts = read.counts[:, None]
    others = -means * counts / (len(read) - counts)

    def mixed(some: slice) -> np.ndarray:
        x, codes = rows(some), read.codes[some]
        p = np.exp(first(x)[np.arange(len(x)), codes])[:, None]
        return np.asarray(p * x + (1 - p) * others[codes])

    means, within = _moments(mixed, slices, read)
    center = read.means @ means
    second = _discriminants(means - center, within, shrinkage, found.width, read)
    terms, right = np.empty(len(read)), np.empty(len(read))
    for some in slices:
        logs = second(mixed(some) - center)
        terms[some] = logs[np.arange(len(logs)), read.codes[some]]
        right[some] = terms[some] >= logs.max(1)
    facts = {"accuracy": float(right.mean()), "shrinkage": shrinkage}
    return from_terms("sfda", terms.mean(), terms, read, {"strength": float(strength)}, facts)


def _moments(rows: Rows, slices: list[slice], labels: Labels) -> tuple[np.ndarray, np.ndarray]:
    """Means of the classes, [K, R], and covariance within them, [R, R]."""
    width = rows(slice(0, 1)).shape[1]
    sums, gram = np.zeros((labels.width, width)), np.zeros((width, width))
    for some in slices:
        x = rows(some)
        sums += labels.columns(some).T @ x
        gram += x.T @ x
    means = sums / labels.counts[:, None]
    gram -= means.T @ sums
    return means, gram / len(labels)


def _discriminants(
    means: np.ndarray, within: np.ndarray, shrinkage: float, width: int, labels: Labels
) -> Callable[[np.ndarray], np.ndarray]:
    """Return what gives log probabilities [n, K] of images [n, R].

    Projected on all of Fisher's directions, of unit variance each, inner products are those by the
    inverse of the covariance within classes.
    """
    matrix = (1 - shrinkage) * within
    ridge = shrinkage * float(np.trace(within)) / width
    rounding = 4 * len(matrix) * np.finfo(np.float64).eps * float(np.trace(within))
    matrix[np.diag_indices(len(matrix))] += max(ridge, rounding, np.finfo(np.float64).tiny)
    factor = scipy.linalg.cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)
    weights = scipy.linalg.cho_solve(factor, means.T, check_finite=False)
    constant = np.log(labels.means) - np.einsum("kr,rk->k", means, weights) / 2

    def log_probabilities(x: np.ndarray) -> np.ndarray:
        logits = x @ weights + constant
        logits -= logits.max(1, keepdims=True)
        return np.asarray(logits - np.log(np.exp(logits).sum(1, keepdims=True)))

    return log_probabilities
