"""Ridge regression on labels, leave one out, in closed form."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyattrx.scores._credit import credit
from pyattrx.scores._features import Spectrum, read_features
from pyattrx.scores._labels import Labels, read_labels
from pyattrx.scores._making import check_groups, check_number, from_terms, r_squared
from pyattrx.scores._result import Score

__all__ = ["ridge_loo"]


def ridge_loo(features: Any, labels: Any, *, groups: Any = None, penalty: float = 0.01) -> Score:
    """Score features by the leave-one-out R^2 of ridge regression on the labels.

    With the hat matrix ``H = 11'/N + X (X'X + lambda I)^-1 X'`` of centered features, the residuals
    of a fit without group g are exactly ``(I - H_gg)^-1 r_g``: nothing is fitted twice. Classes are
    one-hot. The value is R^2, pooled over columns.

    Parameters
    ----------
    features : Tensor or ndarray [N, D], float16, float32 or float64
    labels : Tensor or array_like
        Classes [N] (integers, strings or booleans), or numbers [N] or [N, K] (of a floating-point
        type; booleans, or integers 0 and 1, where they are [N, K]).
    groups : array_like [N], optional
        Images that are left out together.
    penalty : float, positive
        Of the squared weights, in units of the mean diagonal of the smaller Gram matrix, that of
        centered features or of images.

    Returns
    -------
    Score
        In (-inf, 1]. ``facts["accuracy"]`` for classes: the share of images whose own class is
        predicted largest; classes that tie divide it.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        Features or labels that are none, with a NaN or an infinity, or all the same; fewer than two
        groups; a penalty that is not positive.

    Notes
    -----
    Allen, The relationship between variable selection and data augmentation, 1974. The penalty
    follows the features' scale, so that neither scale, origin nor a rotation matters.

    Examples
    --------
    >>> import numpy as np
    >>> from pyattrx import scores
    >>> features = np.linspace(-1, 1, 8)[:, None]
    >>> round(scores.ridge_loo(features, 3 * features[:, 0] + 1, penalty=1e-6).value, 6)
    1.0
    """
    check_number("penalty", penalty)
    read = read_labels(labels, groups, ("classification", "regression", "multilabel"))
    check_groups(read, 2)
    found = read_features(features, len(read))
    spectrum = found.spectrum()
    strength = float(penalty) * spectrum.squares.sum() / min(len(found), found.width)
    cross = spectrum.cross(lambda some: read.columns(some) - read.means)
    shrunk = 1 / (spectrum.squares + strength)
    fitted = spectrum.product(shrunk[:, None] * cross)
    residuals = np.empty((len(read), read.width))
    for some in spectrum.slices():
        residuals[some] = read.columns(some) - read.means - fitted(some)
    _leave_out(residuals, spectrum, shrunk, read)
    left, total = np.empty(len(read)), np.empty(len(read))
    for some in spectrum.slices():
        left[some] = np.square(residuals[some]).sum(1)
        total[some] = np.square(read.columns(some) - read.means).sum(1)
    value, terms = r_squared(left, total)
    facts = {}
    if read.numbers is None:
        predicted = -residuals
        predicted[np.arange(len(read)), read.codes] += 1
        facts["accuracy"] = float(credit(predicted, read.codes, 1e-9).mean())
    return from_terms("ridge_loo", value, terms, read, {"penalty": float(penalty)}, facts)


def _leave_out(
    residuals: np.ndarray, spectrum: Spectrum, shrunk: np.ndarray, labels: Labels
) -> None:
    """Turn residuals [N, K] into those without the image's own group."""
    groups = labels.groups
    sizes = np.bincount(groups)
    order = np.argsort(groups, kind="stable")
    starts = np.concatenate([[0], np.cumsum(sizes)])
    several = sizes > 1
    # The coordinates of images in larger groups, which may lie anywhere.
    where = np.flatnonzero(several[groups])
    place = np.full(len(groups), -1)
    place[where] = np.arange(len(where))
    kept = np.empty((len(where), len(shrunk)))
    for some in spectrum.slices():
        x = spectrum.rows(some)
        chosen = np.arange(len(groups))[some]
        alone = ~several[groups[chosen]]
        leverage = np.square(x) @ shrunk + 1 / len(groups)
        residuals[chosen[alone]] /= (1 - leverage[alone])[:, None]
        kept[place[chosen[~alone]]] = x[~alone]
    for group in np.flatnonzero(several):
        members = order[starts[group] : starts[group + 1]]
        x = kept[place[members]]
        hat = (x * shrunk) @ x.T + 1 / len(groups)
        residuals[members] = np.linalg.solve(np.eye(len(members)) - hat, residuals[members])
