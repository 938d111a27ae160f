"""Gaussian Bhattacharyya coefficient: how far the classes overlap."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyattrx.errors import InvalidValueError
from pyattrx.scores._blocks import deal
from pyattrx.scores._features import read_features
from pyattrx.scores._labels import read_labels
from pyattrx.scores._making import check_number, from_blocks
from pyattrx.scores._result import Score
from pyattrx.statistics import jackknife_residuals

__all__ = ["gbc"]

# Least variance of a class in a direction, of the mean over directions of the variance of all.
_FLOOR = 1e-4
_ELEMENTS = 1 << 20


def gbc(
    features: Any,
    labels: Any,
    *,
    groups: Any = None,
    components: int = 64,
    covariance: str = "diagonal",
) -> Score:
    """Score features by how little classes, taken for Gaussians, overlap.

    Minus the mean over pairs of classes of the Bhattacharyya coefficient ``exp(-B)``, ``B = (m_1 -
    m_2)' S^-1 (m_1 - m_2) / 8 + log(|S| / sqrt(|S_1| |S_2|)) / 2``, ``S = (S_1 + S_2) / 2``.

    Parameters
    ----------
    features : Tensor or ndarray [N, D], float16, float32 or float64
    labels : Tensor or array_like [N], integers, strings or booleans
    groups : array_like [N], optional
        Images that belong together, for the standard error.
    components : int
        Principal components that are kept; all where there are fewer.
    covariance : {"diagonal", "spherical"}
        Of each class.

    Returns
    -------
    Score
        In [-1, 0].

    Raises
    ------
    InvalidTypeError, InvalidValueError
        Features or labels that are none, with a NaN or an infinity, or all of one class; options
        that are none.

    Notes
    -----
    Pandy, Agostinelli, Uijlings, Ferrari, Mensink, Transferability estimation using Bhattacharyya
    class separability, CVPR 2022. The paper sums over pairs; the mean orders
    candidates alike. Variances are at least 1e-4 of the components' mean variance, so that a class
    of one image, or a feature that is constant in a class, is no certainty. Neither scale, origin
    nor a rotation matters. With many well separated classes the value is 0 but for the few that
    overlap.

    The standard error is that of a jackknife over at most 16 blocks (`blocks`), the components
    held as they are.

    Examples
    --------
    >>> import numpy as np
    >>> from pyattrx import scores
    >>> features = np.array([[0.0], [2.0], [4.0], [6.0]])
    >>> round(scores.gbc(features, [0, 0, 1, 1]).value, 6)  # -exp(-16 / 8)
    -0.135335
    """
    check_number("components", components, whole=True, least=1)
    if covariance not in ("diagonal", "spherical"):
        raise InvalidValueError("covariance", covariance, "'diagonal' or 'spherical'")
    read = read_labels(labels, groups, ("classification",))
    found = read_features(features, len(read))
    spectrum = found.spectrum()
    kept = min(int(components), len(spectrum.squares))
    options = {"components": int(components), "covariance": covariance}
    blocks = deal(read, 16)
    count = int(blocks.max()) + 1
    if kept:
        # One unit of length for all, of which squares do not underflow.
        unit = np.sqrt(spectrum.squares[:kept].mean() / len(read))
        x = spectrum.leading(kept, np.float64) / unit
    else:
        x = np.zeros((len(read), 1))
    # Sums over each block and class of ones, of components and of their squares.
    moments = np.zeros((count, read.width, 1 + 2 * x.shape[1]))
    for block in range(count):
        chosen = np.flatnonzero(blocks == block)
        augmented = np.hstack([np.ones((len(chosen), 1)), x[chosen], np.square(x[chosen])])
        moments[block] = read.columns(chosen).T @ augmented
    total = moments.sum(0)
    value = -_overlap(total, covariance == "spherical")
    without = np.array([-_overlap(total - one, covariance == "spherical") for one in moments])
    residuals = jackknife_residuals(np.array(value), without, blocks)
    return from_blocks("gbc", value, residuals, blocks, read, options, {"components": kept})


def _overlap(moments: np.ndarray, spherical: bool) -> float:
    """Mean coefficient of the pairs of classes; NaN where there are none."""
    moments = moments[moments[:, 0] > 0.5]
    classes, width = len(moments), (moments.shape[1] - 1) // 2
    if classes < 2:
        return float("nan")
    means = moments[:, 1 : 1 + width] / moments[:, :1]
    variances = moments[:, 1 + width :] / moments[:, :1] - np.square(means)
    if spherical:
        variances = np.broadcast_to(variances.mean(1, keepdims=True), variances.shape)
    variances = np.maximum(variances, _FLOOR)
    logs = np.log(variances).sum(1)
    step = max(1, _ELEMENTS // (classes * width))
    total = 0.0
    for first in range(0, classes, step):
        some = slice(first, first + step)
        middle = (variances[some, None] + variances) / 2
        distance = (np.square(means[some, None] - means) / middle).sum(2) / 8
        distance += (np.log(middle).sum(2) - (logs[some, None] + logs) / 2) / 2
        total += float(np.exp(-distance).sum())
    # Each class with itself has a coefficient of 1.
    return (total - classes) / (classes * (classes - 1))
