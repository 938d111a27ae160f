"""H-score, with a shrunk covariance."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.scores._features import read_features
from pyattrx.scores._labels import read_labels
from pyattrx.scores._making import from_terms
from pyattrx.scores._result import Score

__all__ = ["h_score"]


def h_score(
    features: Any, labels: Any, *, groups: Any = None, shrinkage: float | str = "ledoit_wolf"
) -> Score:
    """Score features by the share of their variance that lies between classes: H-score.

    ``tr(cov(f)^-1 cov(E[f | y]))``, with ``cov(f)`` shrunk towards a multiple of the identity:
    ``(1 - s) cov(f) + s (tr(cov(f)) / D) I``.

    Parameters
    ----------
    features : Tensor or ndarray [N, D], float16, float32 or float64
    labels : Tensor or array_like [N], integers, strings or booleans
    groups : array_like [N], optional
        Images that belong together, for the standard error.
    shrinkage : float in [0, 1] or "ledoit_wolf"
        0 is the published H-score, with a pseudo-inverse where the covariance is singular.

    Returns
    -------
    Score
        Between 0 and (for a shrinkage of 0) the smaller of D and the number of classes less one.
        ``facts["shrinkage"]``: what it was.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        Features or labels that are none, with a NaN or an infinity, or all of one class; a
        shrinkage that is none of these.

    Notes
    -----
    Bao, Li, Huang, Zhang, Zheng, Zamir, Guibas, An information-theoretic approach to
    transferability, ICIP 2019; shrinkage as in Ibrahim, Ponomareva, Mazumder, Newer
    is not always better, 2022, by Ledoit and Wolf, 2004; unlike the former, the covariance between
    classes is not shrunk. Neither scale, origin nor a rotation matters; with a shrinkage of 0, no
    invertible linear map does. Where D is near N, an H-score without shrinkage is that of noise.

    The standard error is that of an infinitesimal jackknife at the shrinkage that was found.

    Examples
    --------
    >>> import numpy as np
    >>> from pyattrx import scores
    >>> features = np.array([[0.0], [2.0], [4.0], [6.0]])
    >>> scores.h_score(features, [0, 0, 1, 1], shrinkage=0).value  # variances: 4 of 5
    0.8
    """
    _check(shrinkage)
    read = read_labels(labels, groups, ("classification",))
    found = read_features(features, len(read))
    spectrum = found.spectrum()
    count, width = len(read), found.width
    variances = spectrum.squares / count
    mean = variances.sum() / width
    options = {"shrinkage": shrinkage if isinstance(shrinkage, str) else float(shrinkage)}
    if not len(variances):
        return from_terms("h_score", 0.0, np.zeros(count), read, options, {"shrinkage": 0.0})
    share, means = read.means, spectrum.cross(read.columns).T / read.counts[:, None]
    lengths = np.empty(count)
    for some in found.slices():
        lengths[some] = np.square(found.rows(some)).sum(1)
    s = shrinkage if not isinstance(shrinkage, str) else _ledoit_wolf(variances, lengths, width)
    s = float(s)
    inverse = 1 / ((1 - s) * variances + s * mean)
    pulled = means * inverse  # cov^-1 (m_c - m), [K, R]
    own = np.einsum("kr,kr->k", pulled, means)
    value = float(share @ own)
    # Derivatives by the images' weights.
    within = float(share @ (np.square(pulled) @ variances))
    across = float(share @ np.square(pulled).sum(1))
    terms = np.empty(count)
    projected = spectrum.product(pulled.T)
    for some in spectrum.slices():
        products = projected(some)
        codes = read.codes[some]
        between = 2 * products[np.arange(len(codes)), codes] - own[codes] - value
        spread = (1 - s) * (np.square(products) @ share - within)
        spread += s * across * (lengths[some] / width - mean)
        terms[some] = between - spread
    return from_terms("h_score", value, terms, read, options, {"shrinkage": s})


def _ledoit_wolf(variances: np.ndarray, lengths: np.ndarray, width: int) -> float:
    """Shrinkage of least expected error: Ledoit and Wolf 2004."""
    total = float(np.square(variances).sum())
    mean = variances.sum() / width
    distance = total - width * mean**2  # |S - m I|^2
    error = (float(np.square(lengths).mean()) - total) / len(lengths)  # of S, squared
    if distance <= 0 or error >= distance:
        return 1.0
    return float(max(error, 0.0) / distance)


def _check(shrinkage: Any) -> None:
    expected = "a number in [0, 1] or 'ledoit_wolf'"
    if isinstance(shrinkage, str):
        if shrinkage != "ledoit_wolf":
            raise InvalidValueError("shrinkage", shrinkage, expected)
    elif isinstance(shrinkage, bool) or not isinstance(shrinkage, (int, float, np.number)):
        raise InvalidTypeError("shrinkage", shrinkage, expected)
    elif not 0 <= shrinkage <= 1:
        raise InvalidValueError("shrinkage", shrinkage, expected)
