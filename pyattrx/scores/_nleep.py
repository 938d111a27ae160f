"""N-LEEP: LEEP of a mixture of Gaussians in the place of a classifier."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pyattrx._checks import number
from pyattrx.scores._features import read_features
from pyattrx.scores._labels import read_labels
from pyattrx.scores._leep import likelihood
from pyattrx.scores._making import check_number
from pyattrx.scores._result import Score

__all__ = ["nleep"]

# Least variance in a direction, of the mean over directions of the variance of all.
_FLOOR = 1e-3
_MOST_STEPS = 50
_TOLERANCE = 1e-3  # nats an image
_CHUNK = 512


def nleep(
    features: Any,
    labels: Any,
    *,
    groups: Any = None,
    components: int | None = None,
    variance: float = 0.8,
    seed: int = 0,
) -> Score:
    """Score features by the LEEP of the parts of a Gaussian mixture: N-LEEP.

    The mixture is fitted without labels, to the leading principal components; its posteriors take
    the place of the probabilities of `leep`.

    Parameters
    ----------
    features : Tensor or ndarray [N, D], float16, float32 or float64
    labels : Tensor or array_like [N], integers, strings or booleans
    groups : array_like [N], optional
        Images that belong together, for the standard error.
    components : int, optional
        Parts of the mixture; five times the classes, or a fifth of the images where that is less,
        if left out.
    variance : float
        Share of the variance that the principal components cover, in (0, 1].
    seed : int
        Of the first centres, at least 0.

    Returns
    -------
    Score
        In (-inf, 0]. ``facts``: the numbers of parts and of principal components.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        Features or labels that are none, with a NaN or an infinity, or all of one class; options
        that are none.

    Notes
    -----
    Li, Jia, Sang, Zhu, Green, Wang, Gong, Ranking neural checkpoints, CVPR 2021. Published codes
    average probabilities; here, as in `leep`, their logs. Expectation maximisation ends after 50
    steps, or where one gains less than 1e-3 nats an image. Parts have diagonal covariances in
    principal directions, where published codes have full ones: cheaper, and possible with few
    images. Variances are at least 1e-3 of the mean variance. Neither scale, origin nor a rotation
    matters. The mixture has many optima: another seed, or order of the images, gives another value.
    Features of float16 and float32 are turned and fitted in float32, with sums in float64; that
    changes the value less than rounding the features themselves does.

    The standard error is that of a jackknife over at most 16 blocks (`blocks`), with the mixture
    held as it is; what its optima add is not part of it.

    Examples
    --------
    >>> import numpy as np
    >>> from pyattrx import scores
    >>> labels = np.arange(60) % 2
    >>> features = np.random.default_rng(0).standard_normal((60, 3)) + 4 * labels[:, None]
    >>> scores.nleep(features, labels).value > -0.1
    True
    """
    read = read_labels(labels, groups, ("classification",))
    if components is not None:
        check_number("components", components, whole=True, least=1)
    check_number("seed", seed, whole=True)
    number("variance", variance, above=0, most=1)
    found = read_features(features, len(read))
    spectrum = found.spectrum()
    parts = components or max(1, min(5 * read.width, len(read) // 5))
    parts = min(int(parts), len(read))
    squares = spectrum.squares
    kept = 0
    theta = np.ones((len(read), 1))
    if len(squares):
        covered = np.cumsum(squares) / squares.sum()
        kept = min(int(np.searchsorted(covered, variance - 1e-12)) + 1, len(squares))
        unit = np.sqrt(squares[:kept].mean() / len(read))
        x = spectrum.leading(kept, found.working)
        x /= found.working(unit)
        del spectrum  # the mixture needs its room
        theta = _posteriors(x, parts, np.random.default_rng(int(seed)))
    options = {"components": components, "variance": float(variance), "seed": int(seed)}
    facts = {"components": theta.shape[1], "principal": kept}
    return likelihood("nleep", theta, read, options, facts)


def _posteriors(x: np.ndarray, parts: int, generator: np.random.Generator) -> np.ndarray:
    """Posteriors [N, S] of a mixture of S parts, by expectation maximisation.

    A log density is linear in ``[x, x**2]``, and so are the moments in the posteriors: each step
    adds to both what has changed since the last one. The first step is in float64, and so are all
    sums; later changes are products in the type of `x`. They shrink, and their rounding with them.
    """
    width = x.shape[1]
    both = np.empty((len(x), 2 * width), x.dtype)
    both[:, :width] = x
    np.square(x, out=both[:, width:])
    posteriors = np.zeros((len(x), parts))
    nearest = _nearest(x, _first_centres(x, parts, generator))
    posteriors[np.arange(len(x)), nearest] = 1
    moments = np.zeros((parts, 2 * width))
    for rows, pair in _pairs(x, None):
        moments += posteriors[rows].T @ pair
    logs = np.zeros((len(x), parts))  # of the densities, without their constants
    factors = np.zeros((parts, 2 * width))
    last = -np.inf
    for step in range(_MOST_STEPS):
        weights = posteriors.sum(0)
        # A part that nobody belongs to any more has no weight, and stays so.
        means, seconds = np.hsplit(moments / np.maximum(weights, 1e-10)[:, None], 2)
        variances = np.maximum(seconds - means**2, _FLOOR)
        with np.errstate(divide="ignore"):
            constant = np.log(weights / len(x)) - np.log(2 * np.pi * variances).sum(1) / 2
        constant -= (np.square(means) / variances).sum(1) / 2
        before, factors = factors, np.hstack([means / variances, -0.5 / variances])
        kind = x.dtype if step else np.float64
        change = (factors - before).astype(kind).T
        likelihoods = 0.0
        for rows, pair in _pairs(x, both if step else None):
            logs[rows] += pair @ change
            fresh = logs[rows] + constant
            largest = fresh.max(1, keepdims=True)
            fresh -= largest
            np.exp(fresh, out=fresh)
            sums = fresh.sum(1, keepdims=True)
            likelihoods += float((largest + np.log(sums)).sum())
            fresh /= sums
            moments += (fresh - posteriors[rows]).astype(kind).T @ pair
            posteriors[rows] = fresh
        if likelihoods - last <= _TOLERANCE * len(x):
            break
        last = likelihoods
    return posteriors


def _pairs(x: np.ndarray, both: np.ndarray | None) -> Iterator[tuple[slice, np.ndarray]]:
    """Some rows at a time: which, and ``[x, x**2]`` of them; in float64 where none are given."""
    for first in range(0, len(x), _CHUNK):
        rows = slice(first, first + _CHUNK)
        if both is not None:
            yield rows, both[rows]
            continue
        wide = x[rows].astype(np.float64)
        yield rows, np.hstack([wide, np.square(wide)])


def _first_centres(x: np.ndarray, parts: int, generator: np.random.Generator) -> np.ndarray:
    """Images far from one another: k-means++ (Arthur and Vassilvitskii 2007)."""
    centres = np.empty((parts, x.shape[1]))
    lengths = np.square(x).sum(1)
    distance = np.full(len(x), np.inf)
    chosen = int(generator.integers(len(x)))
    for part in range(parts):
        centres[part] = x[chosen]
        fresh = lengths - 2 * (x @ x[chosen]) + lengths[chosen]
        distance = np.minimum(distance, np.maximum(fresh, 0))
        sums = np.cumsum(distance)
        chosen = int(np.searchsorted(sums, generator.random() * sums[-1], side="right"))
        chosen = min(chosen, len(x) - 1)
    return centres


def _nearest(x: np.ndarray, centres: np.ndarray) -> np.ndarray:
    lengths = np.square(centres).sum(1)
    pieces = [
        (lengths - 2 * x[first : first + _CHUNK] @ centres.T).argmin(1)
        for first in range(0, len(x), _CHUNK)
    ]
    return np.concatenate(pieces)
