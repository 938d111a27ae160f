"""Nearest class mean, leave one out."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyattrx.scores._features import Features, read_features
from pyattrx.scores._labels import Labels, read_labels
from pyattrx.scores._making import check_groups, from_terms
from pyattrx.scores._result import Score

__all__ = ["nearest_mean"]

# Distances that differ by less, of the mean squared length, are the same but for rounding.
_ROUNDING = 1e-12


def nearest_mean(features: Any, labels: Any, *, groups: Any = None) -> Score:
    """Score features by how many images are nearest to the mean of their own class.

    Means leave out the image's own group. The distance to the own class's mean without one image is
    ``n / (n - 1)`` times that to the mean of all n; so nothing is computed twice.

    Parameters
    ----------
    features : Tensor or ndarray [N, D], float16, float32 or float64
    labels : Tensor or array_like [N], integers, strings or booleans
    groups : array_like [N], optional
        Images that are left out together.

    Returns
    -------
    Score
        Accuracy, in [0, 1]. Classes at the same distance divide an image. An image counts as wrong
        where no other group has its class.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        Features or labels that are none, with a NaN or an infinity, or all of one class; fewer than
        two groups.

    Notes
    -----
    Mensink, Verbeek, Perronnin, Csurka, Distance-based image classification, 2013. Distances are
    Euclidean: neither scale, origin nor a rotation of the features matters; the scale of one
    feature beside the others does.

    Examples
    --------
    >>> import numpy as np
    >>> from pyattrx import scores
    >>> features = np.array([[0.0], [1.0], [4.0], [5.0], [2.0]])
    >>> scores.nearest_mean(features, ["cat", "cat", "dog", "dog", "dog"]).value
    0.8
    """
    read = read_labels(labels, groups, ("classification",))
    check_groups(read, 2)
    found = read_features(features, len(read))
    sums = np.zeros((read.width, found.width))
    for some in found.slices():
        sums += read.columns(some).T @ found.rows(some)
    tolerance = _ROUNDING * found.squares / len(found)
    credit = np.empty(len(read))
    together = np.bincount(read.groups)[read.groups] > 1
    for some in found.slices():
        chosen = np.arange(len(read))[some]
        chosen = chosen[~together[chosen]]
        if len(chosen):
            credit[chosen] = _alone(found.rows(chosen), read.codes[chosen], read, sums, tolerance)
    for members in _members(read.groups, together):
        credit[members] = _without_group(found, read, members, sums, tolerance)
    return from_terms("nearest_mean", credit.mean(), credit, read)


def _alone(
    x: np.ndarray, codes: np.ndarray, labels: Labels, sums: np.ndarray, tolerance: float
) -> np.ndarray:
    distances = _distances(x, sums / labels.counts[:, None])
    own, n = np.arange(len(x)), labels.counts[codes]
    with np.errstate(divide="ignore", invalid="ignore"):
        left = distances[own, codes] * np.square(n / (n - 1))
    distances[own, codes] = np.where(n > 1, left, np.inf)
    return _credit(distances, codes, tolerance)


def _without_group(
    features: Features, labels: Labels, members: np.ndarray, sums: np.ndarray, tolerance: float
) -> np.ndarray:
    x, codes = features.rows(members), labels.codes[members]
    one_hot = labels.columns(members)
    counts = labels.counts - one_hot.sum(0)
    means = (sums - one_hot.T @ x) / np.maximum(counts, 1)[:, None]
    distances = _distances(x, means)
    distances[:, counts == 0] = np.inf
    return _credit(distances, codes, tolerance)


def _distances(x: np.ndarray, means: np.ndarray) -> np.ndarray:
    distances = np.square(x).sum(1)[:, None] - 2 * x @ means.T + np.square(means).sum(1)
    return np.asarray(np.maximum(distances, 0))


def _credit(distances: np.ndarray, codes: np.ndarray, tolerance: float) -> np.ndarray:
    near = distances <= distances.min(1, keepdims=True) + tolerance
    own = near[np.arange(len(codes)), codes] & np.isfinite(distances[np.arange(len(codes)), codes])
    return np.asarray(own / near.sum(1))


def _members(groups: np.ndarray, chosen: np.ndarray) -> list[np.ndarray]:
    """Images of each group that has several."""
    order = np.flatnonzero(chosen)
    order = order[np.argsort(groups[order], kind="stable")]
    if not len(order):
        return []
    return np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
