"""PARC: do features tell images apart as labels do?"""

from __future__ import annotations

from typing import Any

import numpy as np

from pyattrx.errors import InvalidValueError
from pyattrx.scores._blocks import deal
from pyattrx.scores._features import Features, read_features
from pyattrx.scores._labels import Labels, read_labels
from pyattrx.scores._making import check_number, from_blocks
from pyattrx.scores._result import Score
from pyattrx.statistics import jackknife_residuals

__all__ = ["parc"]


def parc(features: Any, labels: Any, *, groups: Any = None, images: int = 500) -> Score:
    """Score features by the rank correlation of two distances between images: PARC.

    Spearman's correlation, over pairs of images, of 1 - Pearson correlation of their features with
    that of their labels, one-hot; ties have mean ranks. Numbers of one column have no correlation
    within an image: their distance is the absolute difference.

    Parameters
    ----------
    features : Tensor or ndarray [N, D], float16, float32 or float64
    labels : Tensor or array_like
        Classes [N] (integers, strings or booleans), or numbers [N] or [N, K] (of a floating-point
        type; booleans, or integers 0 and 1, where they are [N, K]).
    groups : array_like [N], optional
        Images that belong together, for the standard error.
    images : int
        At least 3. Of more images than this an even choice is compared, in the order of their
        classes (of their labels' sums): its cost is that of their square.

    Returns
    -------
    Score
        In [-1, 1]. ``facts["images"]``: how many were compared.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        Features or labels that are none, with a NaN or an infinity, or all the same; fewer than
        three images.

    Notes
    -----
    Bolya, Mittapalli, Hoffman, Scalable diverse model selection for accessible transfer learning,
    NeurIPS 2021, which compares 500 images; published codes reduce features by PCA first, to 32
    components, which we leave to the caller. For classes, labels have two distances only: the value
    stays well below 1, and lower for more classes. Pearson correlation is over the features of an
    image: scale does not matter, a rotation and the origin do.

    The standard error is that of a jackknife over at most 16 blocks (`blocks`) of the images that
    were compared; ranks are computed anew for each.

    Examples
    --------
    >>> import numpy as np
    >>> from pyattrx import scores
    >>> features = np.array([[1.0, 0, 0], [1, 0, 0.1], [0, 1, 0], [0, 1, 0.1]])
    >>> round(scores.parc(features, [0, 0, 1, 1]).value, 3)
    0.853
    """
    check_number("images", images, whole=True, least=3)
    read = read_labels(labels, groups, ("classification", "regression", "multilabel"))
    found = read_features(features, len(read))
    if len(read) < 3:
        raise InvalidValueError("labels", f"{len(read)} images", "at least three images")
    chosen = _chosen(read, int(images))
    blocks = deal(read, 16)
    _, units = np.unique(blocks[chosen], return_inverse=True)
    distances = _pearson(found.raw(chosen), found), _of_labels(read, chosen)
    value = _spearman(*distances)
    without = np.full(int(units.max()) + 1, np.nan)
    for block in range(len(without)):
        kept = np.flatnonzero(units != block)
        if len(kept) > 2:
            without[block] = _spearman(*(one[np.ix_(kept, kept)] for one in distances))
    residuals = jackknife_residuals(np.array(value), without, units)
    facts = {"images": len(chosen)}
    return from_blocks("parc", value, residuals, blocks, read, {"images": int(images)}, facts)


def _chosen(labels: Labels, most: int) -> np.ndarray:
    """Images that are compared, every class as often as it is there."""
    if len(labels) <= most:
        return np.arange(len(labels))
    keys = labels.codes if labels.numbers is None else labels.numbers.sum(1)
    order = np.argsort(keys, kind="stable")
    return np.sort(order[(np.arange(most) * len(labels)) // most])


def _pearson(x: np.ndarray, features: Features | None = None) -> np.ndarray:
    """1 - Pearson correlation of the rows, [n, n]; 1 where a row does not vary."""
    largest = np.abs(x).max(1, keepdims=True)
    x = x / np.where(largest == 0, 1.0, largest)
    x = x - x.mean(1, keepdims=True)
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    eps = features.eps if features is not None else np.finfo(np.float64).eps
    still = norm <= 16 * eps * np.sqrt(x.shape[1])
    x = np.where(still, 0.0, x / np.where(still, 1.0, norm))
    # Rounded, so that images that are the same to the last digits tie.
    return np.asarray(np.round(1 - x @ x.T, 12))


def _of_labels(labels: Labels, chosen: np.ndarray) -> np.ndarray:
    if labels.numbers is None:
        codes = labels.codes[chosen]
        return np.asarray((codes[:, None] != codes).astype(float))
    numbers = labels.numbers[chosen]
    if numbers.shape[1] > 1:
        return _pearson(numbers)
    return np.asarray(np.abs(numbers - numbers.T))


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Rank correlation over pairs; 0 where either is the same for all."""
    from scipy.stats import rankdata  # a third of a second, which all other scores do without

    pairs = np.triu_indices(len(a), 1)
    x, y = (rankdata(one[pairs]) for one in (a, b))
    x, y = x - x.mean(), y - y.mean()
    length = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / length) if length > 0 else 0.0
