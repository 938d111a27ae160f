"""Truth of the first kind: the accuracy of a linear classifier on frozen features."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax

__all__ = ["probe_accuracy"]

_PENALTIES = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
_FOLDS = 5
_Array = NDArray[np.float64]


def probe_accuracy(
    x: NDArray[np.floating], y: NDArray[np.int64], groups: NDArray[np.int64],
    test_x: NDArray[np.floating], test_y: NDArray[np.int64],
) -> float:  # fmt: skip
    """Fit a logistic regression to some images, and test it on others.

    The weight of the penalty is that of the best cross-validated likelihood, over whole groups.
    Written for this benchmark, and in float64: `pyattrx.scores.linear_probe` is among what is
    judged by it.

    Parameters
    ----------
    x, test_x : ndarray [N, D], [M, D]
    y, test_y : ndarray [N], [M]
        Classes, numbered from 0; all of them in `y`.
    groups : ndarray [N]

    Returns
    -------
    float
        Share of `test_y` that is right.
    """
    classes = int(y.max()) + 1
    train, test = _turned(np.asarray(x, np.float64), np.asarray(test_x, np.float64))
    folds = _folds(y, groups)
    losses = []
    for penalty in _PENALTIES:
        left = 0.0
        for fold in range(_FOLDS):
            out = folds == fold
            if not out.any() or out.all():
                continue
            logs = log_softmax(_scores(_fit(train[~out], y[~out], classes, penalty), train[out]), 1)
            left -= float(logs[np.arange(int(out.sum())), y[out]].sum())
        losses.append(left)
    best = _fit(train, y, classes, _PENALTIES[int(np.argmin(losses))])
    return float((_scores(best, test).argmax(1) == test_y).mean())


def _turned(x: _Array, test: _Array) -> tuple[_Array, _Array]:
    """Centred, of root mean squared length 1, and in the space that the images span."""
    mean = x.mean(0)
    x, test = x - mean, test - mean
    length = np.sqrt(np.square(x).sum(1).mean()) or 1.0
    x, test = x / length, test / length
    if x.shape[1] <= len(x):
        return x, test
    _, _, directions = np.linalg.svd(x, full_matrices=False)
    return x @ directions.T, test @ directions.T


def _folds(y: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """A fold for every image: groups in turn, class after class."""
    folds = np.empty(len(y), np.int64)
    at = 0
    for label in np.unique(y):
        for group in np.unique(groups[y == label]):
            folds[(groups == group) & (y == label)] = at % _FOLDS
            at += 1
    return folds


def _scores(weights: _Array, x: _Array) -> _Array:
    return np.asarray(x @ weights[:-1] + weights[-1])


def _fit(x: _Array, y: NDArray[np.int64], classes: int, penalty: float) -> _Array:
    """Weights [D + 1, K]: the least mean loss plus penalty / 2 times their squares."""
    shape = (x.shape[1] + 1, classes)
    rows = np.arange(len(x))

    def loss(flat: _Array) -> tuple[float, _Array]:
        weights = flat.reshape(shape)
        logs = log_softmax(_scores(weights, x), 1)
        value = -logs[rows, y].mean() + penalty * np.square(weights[:-1]).sum() / 2
        error = np.exp(logs)
        error[rows, y] -= 1
        error /= len(x)
        gradient = np.vstack([x.T @ error + penalty * weights[:-1], error.sum(0)])
        return float(value), gradient.ravel()

    found = minimize(
        loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 300}
    )
    return np.asarray(found.x.reshape(shape))
