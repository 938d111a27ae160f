"""Log of the maximum evidence of Bayesian linear regression on labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyattrx.scores._features import read_features
from pyattrx.scores._labels import read_labels
from pyattrx.scores._making import from_terms
from pyattrx.scores._result import Score

__all__ = ["logme"]

# The ratio of both precisions is sought between these, in units of the largest square.
_LEAST, _MOST = 1e-10, 1e6
_GRID = 65
_GOLDEN_STEPS = 40


def logme(features: Any, labels: Any, *, groups: Any = None) -> Score:
    """Score features by the evidence of the labels: LogME.

    Weights ``w ~ N(0, 1/alpha)`` and labels ``y ~ N(Xw, 1/beta)`` have the evidence
    ``p(y | X, alpha, beta)``; the value is its log, at its maximum over both precisions, over N.
    Classes are one-hot, each column has precisions of its own, and the value is the columns' mean.

    Parameters
    ----------
    features : Tensor or ndarray [N, D], float16, float32 or float64
    labels : Tensor or array_like
        Classes [N] (integers, strings or booleans), or numbers [N] or [N, K] (of a floating-point
        type; booleans, or integers 0 and 1, where they are [N, K]).
    groups : array_like [N], optional
        Images that belong together, for the standard error.

    Returns
    -------
    Score
        Of any sign. It compares candidates on the same labels only.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        Features or labels that are none, with a NaN or an infinity, or all the same.

    Notes
    -----
    You, Liu, Wang, Long, LogME: practical assessment of pre-trained models for transfer learning,
    ICML 2021. For a given ratio ``alpha / beta`` the best beta is known
    in closed form, so that the maximum is sought over one number, on a grid first: it does not
    depend on where a fixed-point iteration begins. The ratio stays between 1e-10 and 1e6 of the
    largest squared singular value, without which labels that are an exact linear function of the
    features would have infinite evidence. As in the paper, features are not centered and there is
    no intercept: the origin matters; neither scale nor a rotation does.

    The standard error is that of an infinitesimal jackknife (Jaeckel 1972): at the maximum the
    evidence's derivative by an image's weight is a closed form. It is too small where features are
    as many as images.

    Examples
    --------
    >>> import numpy as np
    >>> from pyattrx import scores
    >>> labels = np.arange(40) % 2
    >>> noise = np.random.default_rng(0).standard_normal((40, 3))
    >>> good, bad = noise + 3 * labels[:, None], noise
    >>> scores.logme(good, labels).value > scores.logme(bad, labels).value
    True
    """
    read = read_labels(labels, groups, ("classification", "regression", "multilabel"))
    found = read_features(features, len(read))
    spectrum = found.spectrum(center=False)
    squares = spectrum.squares
    count = len(read)
    cross = spectrum.cross(read.columns)
    length = np.zeros(read.width)
    for some in spectrum.slices():
        length += np.square(read.columns(some)).sum(0)
    explained = np.square(cross) / squares[:, None]  # (u_j' y)^2
    outside = np.maximum(length - explained.sum(0), 0)
    scale = squares[0] if len(squares) else 1.0
    ratio = _maximise(squares, explained, outside, count, scale)
    noise = _noise(squares, explained, outside, ratio)
    evidence = _profile(squares, noise, ratio, count)
    beta = count / noise
    # Derivatives by the images' weights; alpha and beta are at the maximum and do not count.
    weights = cross / (squares[:, None] + ratio)
    shrunk = 1 / (squares[:, None] + ratio)
    terms = np.empty(count)
    for some in spectrum.slices():
        x = spectrum.rows(some)
        left = np.square(read.columns(some) - x @ weights)
        each = np.log(beta) - beta * left - np.square(x) @ shrunk
        terms[some] = each.mean(1) / 2
    value = float(evidence.mean()) / count - read.exponent * np.log(2)
    return from_terms("logme", value, terms, read)


def _noise(
    squares: np.ndarray, explained: np.ndarray, outside: np.ndarray, ratio: np.ndarray
) -> np.ndarray:
    """Squared error plus penalty, at the best weights, [K]."""
    ratio = np.asarray(ratio)
    left = np.einsum("rk,rk->k", explained, ratio / (squares[:, None] + ratio))
    return np.asarray(np.maximum(outside + left, np.finfo(np.float64).tiny))


def _profile(squares: np.ndarray, noise: np.ndarray, ratio: np.ndarray, count: int) -> np.ndarray:
    """Log evidence at the best beta, [K]."""
    volume = np.log1p(squares[:, None] / ratio).sum(0)
    fit = count * (np.log(count / noise) - 1 - np.log(2 * np.pi))
    return np.asarray((fit - volume) / 2)


def _maximise(
    squares: np.ndarray, explained: np.ndarray, outside: np.ndarray, count: int, scale: float
) -> np.ndarray:
    """Best ratio alpha / beta of each column, [K]: a grid, then golden sections."""

    def value(logs: np.ndarray) -> np.ndarray:
        ratio = np.exp(logs)
        return _profile(squares, _noise(squares, explained, outside, ratio), ratio, count)

    grid = np.log(scale) + np.linspace(np.log(_LEAST), np.log(_MOST), _GRID)
    columns = explained.shape[1]
    values = np.stack([value(np.full(columns, point)) for point in grid])
    best = values.argmax(0)
    low, high = grid[np.maximum(best - 1, 0)], grid[np.minimum(best + 1, _GRID - 1)]
    golden = (np.sqrt(5) - 1) / 2
    a, b = high - golden * (high - low), low + golden * (high - low)
    at_a, at_b = value(a), value(b)
    for _ in range(_GOLDEN_STEPS):
        lower = at_a >= at_b
        low, high = np.where(lower, low, a), np.where(lower, b, high)
        fresh = np.where(lower, high - golden * (high - low), low + golden * (high - low))
        at_fresh = value(fresh)
        a, b, at_a, at_b = (
            np.where(lower, fresh, b),
            np.where(lower, a, fresh),
            np.where(lower, at_fresh, at_b),
            np.where(lower, at_a, at_fresh),
        )
    return np.asarray(np.exp(np.where(at_a >= at_b, a, b)))
