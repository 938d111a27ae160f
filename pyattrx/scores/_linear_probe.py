"""A cross-validated linear probe: logistic regression on classes, ridge regression on numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.linalg

from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.scores._blocks import deal
from pyattrx.scores._credit import credit
from pyattrx.scores._features import Features, read_features
from pyattrx.scores._labels import Labels, read_labels
from pyattrx.scores._logistic import Design, fit
from pyattrx.scores._making import check_groups, check_number, from_terms, r_squared
from pyattrx.scores._result import Score

__all__ = ["linear_probe"]

_LOGISTIC = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
# Folds times classes that are fitted side by side.
_COLUMNS = 128
_ROUNDING = 1e-6  # of probabilities in float32: classes without a difference tie
_RIDGE = (1.0, 1e-1, 1e-2, 1e-3, 1e-4)


def linear_probe(
    features: Any,
    labels: Any,
    *,
    groups: Any = None,
    folds: int = 5,
    penalties: Sequence[float] | None = None,
) -> Score:
    """Score features by the cross-validated likelihood of a logistic regression on them.

    Folds are whole groups, every class dealt out evenly. For every penalty, the largest first, the
    probe is fitted without each fold and tested on it, until a smaller penalty does worse; the
    value is that of the best: the mean log probability of the images' classes. For numbers, ridge
    regression and R^2, pooled over columns.

    Parameters
    ----------
    features : Tensor or ndarray [N, D], float16, float32 or float64
    labels : Tensor or array_like
        Classes [N] (integers, strings or booleans), or numbers [N] or [N, K] (of a floating-point
        type; booleans, or integers 0 and 1, where they are [N, K]).
    groups : array_like [N], optional
        Images that are in one fold together.
    folds : int
        At least 2; as many as there are groups where there are fewer.
    penalties : sequence of float, positive, optional
        For classes ``p`` in ``mean of -log p(y) + p |W|^2 / 2``, for features of root mean squared
        length 1: 1e-1 to 1e-5, in tens, if left out. For numbers as in `ridge_loo`: 1 to 1e-4.

    Returns
    -------
    Score
        In (-inf, 0] for classes, in (-inf, 1] for numbers. ``facts["accuracy"]`` for classes, where
        those that tie divide it, and ``facts["penalty"]``, the best.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        Features or labels that are none, with a NaN or an infinity, or all the same; no class in
        two groups; folds or penalties that are none.

    Notes
    -----
    Alain and Bengio, Understanding intermediate layers using linear classifier probes, 2016. One
    image's worth of the uniform distribution is mixed into the n training images' probabilities,
    ``(n p + 1 / K) / (n + 1)``: so a class that is missing from a fold's training images costs
    ``log(K (n + 1))``, and nothing is infinite. The best of few penalties is slightly too good, for
    all candidates alike. The penalty follows the features' scale: neither scale, origin nor a
    rotation matters. Fits end where the loss is within about 1e-6 of its minimum. float32 features
    are fitted in float32.

    The standard error takes images' terms for independent between groups.

    Examples
    --------
    >>> import numpy as np
    >>> from pyattrx import scores
    >>> labels = np.arange(40) % 2
    >>> features = np.random.default_rng(0).standard_normal((40, 3)) + 3 * labels[:, None]
    >>> scores.linear_probe(features, labels).facts["accuracy"] > 0.9
    True
    """
    check_number("folds", folds, whole=True, least=2)
    read = read_labels(labels, groups, ("classification", "regression", "multilabel"))
    check_groups(read, 2)
    chosen = _penalties(penalties, _LOGISTIC if read.numbers is None else _RIDGE)
    found = read_features(features, len(read))
    dealt = deal(read, int(folds))
    options = {"folds": int(folds), "penalties": list(chosen)}
    if read.numbers is not None:
        value, terms, best = _ridge(found, read, dealt, chosen)
        return from_terms("linear_probe", value, terms, read, options, {"penalty": best})
    pairs = np.unique(np.stack([read.codes, read.groups]), axis=1)
    if np.bincount(pairs[0]).max() < 2:
        raise InvalidValueError(
            "labels", "no class in two groups", "a class to train and to test on"
        )
    terms, accuracy, best = _logistic(found, read, dealt, chosen)
    facts = {"accuracy": accuracy, "penalty": best}
    return from_terms("linear_probe", terms.mean(), terms, read, options, facts)


def _penalties(given: Any, default: tuple[float, ...]) -> tuple[float, ...]:
    if given is None:
        return default
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise InvalidTypeError("penalties", given, "a sequence of numbers, or None")
    if not given:
        raise InvalidValueError("penalties", given, "at least one number")
    for one in given:
        check_number("penalties", one)
    return tuple(sorted({float(one) for one in given}, reverse=True))


def _logistic(
    features: Features, labels: Labels, folds: np.ndarray, penalties: Sequence[float]
) -> tuple[np.ndarray, float, float]:
    """Log probabilities [N], accuracy and penalty of the best fit."""
    design = Design.of(features)
    one_hot = labels.columns(slice(None)).astype(design.x.dtype)
    count = int(folds.max()) + 1
    step = max(1, _COLUMNS // labels.width)
    together = [np.arange(first, min(first + step, count)) for first in range(0, count, step)]
    starts: list[np.ndarray | None] = [None] * len(together)
    best: tuple[np.ndarray, float, float] | None = None
    for penalty in penalties:
        solver = design.solver(penalty)
        terms, right = np.empty(len(labels)), np.empty(len(labels))
        for place, chosen in enumerate(together):
            training = folds[:, None] != chosen
            weights, fitted = fit(design, one_hot, training, penalty, solver, starts[place])
            starts[place] = weights
            for column in range(len(chosen)):
                tested = np.flatnonzero(~training[:, column])
                n = len(labels) - len(tested)
                mixed = (n * fitted[tested, column].astype(np.float64) + 1 / labels.width) / (n + 1)
                own = mixed[np.arange(len(mixed)), labels.codes[tested]]
                terms[tested] = np.log(own)
                right[tested] = credit(mixed, labels.codes[tested], _ROUNDING)
        if best is not None and terms.mean() <= best[0].mean():
            break
        best = terms, float(right.mean()), penalty
    assert best is not None
    return best


def _ridge(
    features: Features, labels: Labels, folds: np.ndarray, penalties: Sequence[float]
) -> tuple[float, np.ndarray, float]:
    """R^2, its terms [N] and the penalty of the best fit."""
    assert labels.numbers is not None
    y = labels.numbers - labels.means
    wide = features.width > len(features)
    # Coordinates of images in as many directions as there are images.
    spectrum = features.spectrum() if wide else None
    slices = list(features.slices())

    def rows(some: Any) -> np.ndarray:
        return spectrum.rows(some) if spectrum is not None else features.rows(some)

    total = np.diag(spectrum.squares) if spectrum is not None else features.gram()
    cross = np.zeros((len(total), y.shape[1]))
    for some in slices:
        cross += rows(some).T @ y[some]
    left = np.empty((len(penalties), len(y)))
    for fold in range(int(folds.max()) + 1):
        tested = np.flatnonzero(folds == fold)
        x = rows(tested)
        n = len(y) - len(tested)
        gram, products = total - x.T @ x, cross - x.T @ y[tested]
        means = -x.sum(0) / n, -y[tested].sum(0) / n  # those of all are zero
        gram -= n * np.outer(means[0], means[0])
        products -= n * np.outer(means[0], means[1])
        trace = float(np.trace(gram))
        diagonal = np.diag(gram).copy()
        # What rounding leaves of features that do not vary without this fold may be negative.
        rounding = 4 * len(gram) * np.finfo(np.float64).eps * max(float(np.trace(total)), 1e-300)
        for place, penalty in enumerate(penalties):
            strength = max(penalty * trace / min(features.width, n), rounding)
            np.fill_diagonal(gram, diagonal + strength)
            factor = scipy.linalg.cho_factor(gram, lower=True, check_finite=False)
            weights = scipy.linalg.cho_solve(factor, products, check_finite=False)
            predicted = means[1] + (x - means[0]) @ weights
            left[place, tested] = np.square(y[tested] - predicted).sum(1)
    place = int(left.sum(1).argmin())
    value, terms = r_squared(left[place], np.square(y).sum(1))
    return value, terms, penalties[place]
