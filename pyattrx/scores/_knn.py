"""Nearest neighbours, leave one out."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyattrx.scores._credit import credit
from pyattrx.scores._features import Features, read_features
from pyattrx.scores._labels import read_labels
from pyattrx.scores._making import check_groups, check_number, from_terms, r_squared
from pyattrx.scores._result import Score

__all__ = ["knn"]

# Rows and columns of similarities at once.
_TILE = 1024


def knn(features: Any, labels: Any, *, groups: Any = None, k: int = 5) -> Score:
    """Score features by the labels of each image's nearest neighbours.

    The k neighbours of greatest cosine, among the images of other groups, vote. The share of class
    c is ``(votes_c + N_c / N) / (k + 1)``: one vote is dealt out as the classes are. The value is
    the mean log share of the images' own classes, which tells candidates apart where their
    accuracies are the same. For numbers the neighbours' mean predicts, and the value is R^2, pooled
    over columns.

    Parameters
    ----------
    features : Tensor or ndarray [N, D], float16, float32 or float64
    labels : Tensor or array_like
        Classes [N] (integers, strings or booleans), or numbers [N] or [N, K] (of a floating-point
        type; booleans, or integers 0 and 1, where they are [N, K]).
    groups : array_like [N], optional
        Images of one group are no neighbours of one another.
    k : int
        Neighbours; all there are where there are fewer.

    Returns
    -------
    Score
        In (-inf, 0] for classes, in (-inf, 1] for numbers. ``facts["accuracy"]``: the share of
        images whose own class has the largest share; classes that tie divide it.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        Features or labels that are none, with a NaN or an infinity, or all of one class; fewer than
        two groups; k below 1.

    Notes
    -----
    Cover and Hart, Nearest neighbor pattern classification, 1967. It depends neither on the scale
    of the features nor on a rotation, but on their origin. Features are not centered. An image
    whose features are all zero is predicted by the mean of all. Of neighbours with the same cosine
    any may be taken. The standard error takes the images' terms for independent between groups,
    though they share neighbours.

    Examples
    --------
    >>> import numpy as np
    >>> from pyattrx import scores
    >>> features = np.array([[1.0, 0.1], [1.0, 0.2], [0.1, 1.0], [0.2, 1.0]])
    >>> score = scores.knn(features, ["cat", "cat", "dog", "dog"], k=1)
    >>> round(score.value, 4), score.facts["accuracy"]  # log(1.5 / 2)
    (-0.2877, 1.0)
    """
    check_number("k", k, whole=True, least=1)
    read = read_labels(labels, groups, ("classification", "regression", "multilabel"))
    check_groups(read, 2)
    found = read_features(features, len(read))
    near, known = _neighbours(found, read.groups, int(k))
    often = known.sum(1)
    if read.numbers is not None:
        predicted = np.zeros_like(read.numbers)
        for place in range(near.shape[1]):
            predicted += np.where(known[:, place, None], read.numbers[near[:, place]], 0.0)
        predicted /= np.maximum(often, 1)[:, None]
        predicted[often == 0] = read.means
        left = np.square(read.numbers - predicted).sum(1)
        value, terms = r_squared(left, np.square(read.numbers - read.means).sum(1))
        return from_terms("knn", value, terms, read, {"k": int(k)})
    votes = np.zeros((len(read), read.width), np.float32)
    for place in range(near.shape[1]):
        np.add.at(votes, (np.arange(len(read)), read.codes[near[:, place]]), known[:, place])
    votes += read.means.astype(np.float32)
    own = votes[np.arange(len(read)), read.codes]
    terms = np.log(own.astype(np.float64) / (often + 1))
    # Votes are whole numbers: shares that differ by less are the same but for rounding.
    facts = {"accuracy": float(credit(votes, read.codes, 1e-5).mean())}
    return from_terms("knn", terms.mean(), terms, read, {"k": int(k)}, facts)


def _neighbours(features: Features, groups: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Nearest images of other groups, [N, k], and whether there is one."""
    unit, nothing = _unit(features)
    count = len(unit)
    alone = len(np.unique(groups)) == count
    near = np.zeros((count, k), np.int64)
    best = np.full((count, k), -np.inf, unit.dtype)
    tiles = [slice(first, min(first + _TILE, count)) for first in range(0, count, _TILE)]
    for index, some in enumerate(tiles):
        for others in tiles[: index + 1]:
            cosines = unit[some] @ unit[others].T
            cosines[:, nothing[others]] = -np.inf
            cosines[nothing[some]] = -np.inf
            if not alone:
                cosines[groups[some, None] == groups[None, others]] = -np.inf
            if some == others:
                np.fill_diagonal(cosines, -np.inf)
            else:
                _merge(near, best, others, some, np.ascontiguousarray(cosines.T))
            _merge(near, best, some, others, cosines)
    return near, np.isfinite(best)


def _merge(
    near: np.ndarray, best: np.ndarray, rows: slice, columns: slice, cosines: np.ndarray
) -> None:
    """Take the nearest of some columns into what is known of some rows."""
    k = near.shape[1]
    places = np.broadcast_to(np.arange(columns.start, columns.stop), cosines.shape)
    if cosines.shape[1] > k:
        top = np.argpartition(cosines, -k, axis=1)[:, -k:]
        cosines = np.take_along_axis(cosines, top, 1)
        places = top + columns.start
    both = np.concatenate([best[rows], cosines], axis=1)
    places = np.concatenate([near[rows], places], axis=1)
    top = np.argpartition(both, -k, axis=1)[:, -k:]
    best[rows] = np.take_along_axis(both, top, 1)
    near[rows] = np.take_along_axis(places, top, 1)


def _unit(features: Features) -> tuple[np.ndarray, np.ndarray]:
    """Features of unit length, [N, D], and which are zero, [N]."""
    unit = np.empty(features.array.shape, features.working)
    nothing = np.zeros(len(features), bool)
    for some in features.slices():
        x = features.raw(some)
        # Scaled first: small images beside large ones do not underflow.
        largest = np.abs(x).max(1, keepdims=True)
        nothing[some] = largest[:, 0] == 0
        x /= np.where(largest == 0, 1.0, largest)
        x /= np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1.0)
        unit[some] = x
    if features.constant.all():
        nothing[:] = True
    return unit, nothing
