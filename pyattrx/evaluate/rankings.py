"""The measures for one target: many rows of scores of its candidates, against one row of truth.

Measures and the bootstrap, which has hundreds of rows, are the same computation this way. All take
scores [B, C] without NaN and return one value for every row, [B].
"""

from __future__ import annotations

from collections.abc import Iterator
from math import comb

import numpy as np
from numpy.typing import NDArray

from pyattrx.evaluate.tables import mean_ranks

__all__ = ["hits", "kendall", "least", "spearman", "weighted_kendall"]

_Vector = NDArray[np.float64]
_PAIRS = 1 << 22  # pairs of candidates that are compared at once


def spearman(scores: _Vector, measured: _Vector) -> _Vector:
    """Rank correlation of many scores [B, S] with one truth [S]; 0 where all of a row are equal.

    Examples
    --------
    >>> import numpy as np
    >>> from pyattrx.evaluate import row_spearman
    >>> row_spearman(np.array([[1.0, 2, 3], [3, 2, 1]]), np.array([0.1, 0.2, 0.9])).tolist()
    [1.0, -1.0]
    """
    b = mean_ranks(measured)
    b = b - b.mean()
    out = np.zeros(len(scores))
    for some in _parts(scores):
        a = _ranks(scores[some])
        a = a - a.mean(1, keepdims=True)
        squares = np.square(a).sum(1)
        moving = squares > 0
        out[some][moving] = (a @ b)[moving] / np.sqrt(squares[moving] * (b @ b))
    return np.clip(out, -1, 1)


def kendall(scores: _Vector, measured: _Vector) -> _Vector:
    """Kendall's tau-b; 0 where all scores of a row are equal."""
    b = _order(measured)
    of_truth = np.count_nonzero(b)
    out = np.zeros(len(scores))
    for some in _parts(scores):
        a = _order(scores[some])
        ordered = np.count_nonzero(a, axis=(1, 2)).astype(np.float64) * of_truth
        moving = ordered > 0
        alike = (a * b).sum((1, 2), dtype=np.int64)
        out[some][moving] = alike[moving] / np.sqrt(ordered[moving])
    return np.clip(out, -1, 1)


def weighted_kendall(scores: _Vector, measured: _Vector) -> _Vector:
    """Kendall's tau-b of many scores with one truth, each pair weighted; see `spearman`.

    Examples
    --------
    >>> import numpy as np
    >>> from pyattrx.evaluate import row_weighted_kendall
    >>> row_weighted_kendall(np.array([[1.0, 2.0, 3.0]]), np.array([0.1, 0.2, 0.9])).tolist()
    [1.0]
    """
    # 1 / place, the best first. Equals have the mean of their places: no order among them counts.
    _, group, equals = np.unique(-measured, return_inverse=True, return_counts=True)
    shares = 1 / np.arange(1, len(measured) + 1)
    weights = (np.add.reduceat(shares, np.cumsum(equals) - equals) / equals)[group]
    pairs = weights[:, None] + weights
    b = _order(measured)
    of_truth = pairs[b != 0].sum()
    out = np.zeros(len(scores))
    for some in _parts(scores):
        a = _order(scores[some])
        ordered = np.einsum("bij,ij->b", a != 0, pairs) * of_truth
        moving = ordered > 0
        out[some][moving] = np.einsum("bij,ij->b", a, b * pairs)[moving] / np.sqrt(ordered[moving])
    return np.clip(out, -1, 1)


def hits(scores: _Vector, measured: _Vector, k: int, relevant: int, ties: str) -> _Vector:
    """How many of the relevant candidates are among the first `k`."""
    wanted = np.zeros(len(measured), dtype=bool)
    wanted[np.argsort(-measured, kind="stable")[:relevant]] = True
    if ties == "columns":
        taken = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return np.asarray(wanted[taken].sum(1), np.float64)
    above, equal = _first(scores, k)
    share = (k - above.sum(1)) / equal.sum(1)
    return np.asarray((above & wanted).sum(1) + share * (equal & wanted).sum(1))


def least(scores: _Vector, values: _Vector, k: int, ties: str) -> _Vector:
    """The least value of the first `k`."""
    if ties == "columns":
        taken = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return np.asarray(values[taken].min(1))
    above, equal = _first(scores, k)
    sure = np.where(above, values, np.inf).min(1)
    more = k - above.sum(1)  # of those that are equal, any
    out: _Vector = np.minimum(sure, np.where(equal, values, np.inf).min(1))
    for row in np.flatnonzero(more < equal.sum(1)):
        among = np.sort(values[equal[row]])
        ways = comb(len(among), int(more[row]))
        chances = [comb(n, int(more[row]) - 1) / ways for n in reversed(range(len(among)))]
        out[row] = np.minimum(among, sure[row]) @ chances
    return out


def _first(scores: _Vector, k: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return who is surely among the first `k`, and who shares the last of these places."""
    last = -np.partition(-scores, k - 1, axis=1)[:, k - 1, None]
    return scores > last, scores == last


def _ranks(scores: _Vector) -> _Vector:
    """Ranks from 1, smallest first; equal scores share their mean rank."""
    if scores.shape[1] > 64:
        return np.stack([mean_ranks(row) for row in scores])
    left, right = scores[:, :, None], scores[:, None, :]
    return np.asarray((left > right).sum(2) + ((left == right).sum(2) + 1) / 2)


def _order(scores: _Vector) -> NDArray[np.int8]:
    """Sign of the difference of every two scores, infinities included."""
    left, right = scores[..., :, None], scores[..., None, :]
    return (left > right).astype(np.int8) - (left < right).astype(np.int8)


def _parts(scores: _Vector) -> Iterator[slice]:
    step = max(1, _PAIRS // scores.shape[1] ** 2)
    for start in range(0, len(scores), step):
        yield slice(start, start + step)
