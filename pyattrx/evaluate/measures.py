"""Measures of how well an affinity ranks the sources of every target, against a ground truth."""

from __future__ import annotations

from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from pyattrx.errors import InvalidType, InvalidValue
from pyattrx.evaluate.tables import mean_ranks, paired

__all__ = ["kendall", "precision_at_k", "random_precision", "recall_at_k", "spearman"]

Ties = Literal["columns", "mean"]

_Vector = NDArray[np.float64]


@overload
def precision_at_k(
    affinity: Any,
    truth: Any,
    k: int = ...,
    relevant: int = ...,
    *,
    per_target: Literal[False] = ...,
    ties: Ties = ...,
) -> float: ...
@overload
def precision_at_k(
    affinity: Any,
    truth: Any,
    k: int = ...,
    relevant: int = ...,
    *,
    per_target: Literal[True],
    ties: Ties = ...,
) -> _Vector: ...
def precision_at_k(
    affinity: Any,
    truth: Any,
    k: int = 5,
    relevant: int = 5,
    *,
    per_target: bool = False,
    ties: Ties = "columns",
) -> float | _Vector:
    """Share of relevant sources among the `k` that the affinity ranks first (P@K).

    The measure of Song et al., "Deep Model Transferability from Attribution Maps"
    (NeurIPS 2019), who take the 5 best sources of the ground truth as relevant.

    Parameters
    ----------
    affinity : table, [T, S]
        Scores to be judged. What a table is and which sources are candidates is said in
        `pyattrx.evaluate`.
    truth : table, [T, S]
        Measured transfer performance, NaN where there is none.
    k : int
        Number of sources taken from the top of the ranking, from 1 to the number of candidates
        of the target that has fewest.
    relevant : int
        How many of the best sources of the ground truth count as relevant; same range.
    per_target : bool
        Return one value for every target instead of their mean.
    ties : {"columns", "mean"}
        Sources with equal affinities rank in the order of their columns, or the result is the mean
        over all orders of them. In the ground truth it is always the order of the columns.

    Returns
    -------
    float or ndarray, [T], float64
        In [0, 1].

    Raises
    ------
    InvalidType
        If a table holds no real numbers, or `k` or `relevant` is not an integer.
    InvalidValue
        If the tables differ in shape or names, if a target has no candidate, if the affinity of a
        candidate is NaN, if `k` or `relevant` is out of range, or if `ties` is unknown.

    Examples
    --------
    >>> truth = [[0, 9, 5, 1], [9, 0, 5, 1], [1, 9, 0, 5], [5, 1, 9, 0]]
    >>> affinity = [[0, 8, 1, 7], [8, 0, 7, 1], [7, 8, 0, 1], [1, 7, 8, 0]]
    >>> precision_at_k(affinity, truth, k=2, relevant=2)
    0.625
    >>> precision_at_k(affinity, truth, k=2, relevant=2, per_target=True)
    array([0.5, 1. , 0.5, 0.5])
    """
    return _result(_hits(affinity, truth, k, relevant, ties) / k, per_target)


@overload
def recall_at_k(
    affinity: Any,
    truth: Any,
    k: int = ...,
    relevant: int = ...,
    *,
    per_target: Literal[False] = ...,
    ties: Ties = ...,
) -> float: ...
@overload
def recall_at_k(
    affinity: Any,
    truth: Any,
    k: int = ...,
    relevant: int = ...,
    *,
    per_target: Literal[True],
    ties: Ties = ...,
) -> _Vector: ...
def recall_at_k(
    affinity: Any,
    truth: Any,
    k: int = 5,
    relevant: int = 5,
    *,
    per_target: bool = False,
    ties: Ties = "columns",
) -> float | _Vector:
    """Share of the relevant sources that are among the `k` that the affinity ranks first (R@K).

    Parameters, candidates, ties, source and errors are those of `precision_at_k`.

    Parameters
    ----------
    affinity, truth : table, [T, S]
        Scores to be judged and measured transfer performance.
    k, relevant : int
        Number of sources taken, number of sources that count as relevant.
    per_target : bool
        Return one value for every target instead of their mean.
    ties : {"columns", "mean"}
        How sources with equal affinities rank.

    Returns
    -------
    float or ndarray, [T], float64
        In [0, 1].

    Raises
    ------
    InvalidType, InvalidValue
        As `precision_at_k`.

    Examples
    --------
    >>> truth = [[0, 9, 5, 1], [9, 0, 5, 1], [1, 9, 0, 5], [5, 1, 9, 0]]
    >>> affinity = [[0, 8, 1, 7], [8, 0, 7, 1], [7, 8, 0, 1], [1, 7, 8, 0]]
    >>> recall_at_k(affinity, truth, k=1, relevant=2)
    0.5
    """
    return _result(_hits(affinity, truth, k, relevant, ties) / relevant, per_target)


@overload
def spearman(affinity: Any, truth: Any, *, per_target: Literal[False] = ...) -> float: ...
@overload
def spearman(affinity: Any, truth: Any, *, per_target: Literal[True]) -> _Vector: ...
def spearman(affinity: Any, truth: Any, *, per_target: bool = False) -> float | _Vector:
    """Rank correlation of the affinity and the ground truth over the candidates of every target.

    Parameters
    ----------
    affinity, truth : table, [T, S]
        As for `precision_at_k`.
    per_target : bool
        Return one value for every target instead of their mean.

    Returns
    -------
    float or ndarray, [T], float64
        In [-1, 1]. Equal scores share their mean rank. A target whose affinities are all equal
        counts 0, the mean over all ways of breaking the tie.

    Raises
    ------
    InvalidType
        If a table holds no real numbers.
    InvalidValue
        If the tables differ in shape or names, if a target has fewer than two candidates, if the
        affinity of a candidate is NaN, or if the ground truth of a target is one and the same for
        all candidates, which ranks nothing.

    Examples
    --------
    >>> truth = [[0, 9, 5, 1], [9, 0, 5, 1], [1, 9, 0, 5], [5, 1, 9, 0]]
    >>> affinity = [[0, 8, 1, 7], [8, 0, 7, 1], [7, 8, 0, 1], [1, 7, 8, 0]]
    >>> spearman(affinity, truth)
    0.625
    """
    scores, measured, candidates = _ranked(affinity, truth)
    correlations = np.zeros(len(scores))
    for target, columns in enumerate(candidates):
        a, b = mean_ranks(scores[target, columns]), mean_ranks(measured[target, columns])
        a, b = a - a.mean(), b - b.mean()
        if a.any():
            correlations[target] = a @ b / np.sqrt((a @ a) * (b @ b))
    return _result(np.clip(correlations, -1, 1), per_target)


@overload
def kendall(affinity: Any, truth: Any, *, per_target: Literal[False] = ...) -> float: ...
@overload
def kendall(affinity: Any, truth: Any, *, per_target: Literal[True]) -> _Vector: ...
def kendall(affinity: Any, truth: Any, *, per_target: bool = False) -> float | _Vector:
    """Agreement of the order of every two candidates of a target (Kendall's tau-b).

    The pairs ordered alike less those ordered otherwise, over the geometric mean of the numbers of
    pairs that the affinity and the ground truth order at all (Kendall, "The treatment of ties in
    ranking problems", Biometrika 1945).

    Parameters
    ----------
    affinity, truth : table, [T, S]
        As for `precision_at_k`.
    per_target : bool
        Return one value for every target instead of their mean.

    Returns
    -------
    float or ndarray, [T], float64
        In [-1, 1]. A target whose affinities are all equal counts 0.

    Raises
    ------
    InvalidType, InvalidValue
        As `spearman`.

    Examples
    --------
    >>> truth = [[0, 9, 5, 1], [9, 0, 5, 1], [1, 9, 0, 5], [5, 1, 9, 0]]
    >>> affinity = [[0, 8, 1, 7], [8, 0, 7, 1], [7, 8, 0, 1], [1, 7, 8, 0]]
    >>> round(kendall(affinity, truth), 3)
    0.5
    """
    scores, measured, candidates = _ranked(affinity, truth)
    correlations = np.zeros(len(scores))
    for target, columns in enumerate(candidates):
        a = _order(scores[target, columns])
        b = _order(measured[target, columns])
        ordered = np.count_nonzero(a) * np.count_nonzero(b)
        if ordered:
            correlations[target] = (a * b).sum(dtype=np.int64) / np.sqrt(ordered)
    return _result(np.clip(correlations, -1, 1), per_target)


def random_precision(n_sources: int, relevant: int = 5) -> float:
    """Precision to be expected, at any K, of a ranking by chance.

    Parameters
    ----------
    n_sources : int
        Number of candidate sources, the target itself not counted.
    relevant : int
        How many of them are relevant, from 1 to `n_sources`.

    Returns
    -------
    float
        `relevant` / `n_sources`, in (0, 1].

    Raises
    ------
    InvalidType
        If an argument is not an integer.
    InvalidValue
        If an argument is out of range.

    Examples
    --------
    >>> round(random_precision(19), 3)
    0.263
    """
    expected = "an integer of at least 1"
    if isinstance(n_sources, bool) or not isinstance(n_sources, (int, np.integer)):
        raise InvalidType("n_sources", n_sources, expected)
    if n_sources < 1:
        raise InvalidValue("n_sources", n_sources, expected)
    _check_count("relevant", relevant, int(n_sources))
    return relevant / int(n_sources)


def _hits(affinity: Any, truth: Any, k: int, relevant: int, ties: Ties) -> _Vector:
    """Count, for every target, the relevant sources among the first `k`."""
    if ties not in ("columns", "mean"):
        raise InvalidValue("ties", ties, "'columns' or 'mean'")
    scores, measured, candidates = paired(affinity, truth)
    fewest = min(len(columns) for columns in candidates)
    _check_count("k", k, fewest)
    _check_count("relevant", relevant, fewest)
    hits = np.zeros(len(scores))
    for target, columns in enumerate(candidates):
        row = scores[target, columns]
        taken = np.argsort(-row, kind="stable")[:k]
        wanted = np.zeros(len(columns), dtype=bool)
        wanted[np.argsort(-measured[target, columns], kind="stable")[:relevant]] = True
        if ties == "columns":
            hits[target] = wanted[taken].sum()
        else:
            last = row[taken[-1]]  # those above it are taken; of those equal to it, a share
            above, equal = row > last, row == last
            share = (k - above.sum()) / equal.sum()
            hits[target] = wanted[above].sum() + share * wanted[equal].sum()
    return hits


def _ranked(affinity: Any, truth: Any) -> tuple[_Vector, _Vector, list[NDArray[np.intp]]]:
    """Return both tables and the candidates, checked for what rank correlations need."""
    scores, measured, candidates = paired(affinity, truth)
    for target, columns in enumerate(candidates):
        if len(columns) < 2:
            expected = f"two or more candidate sources of every target (row {target})"
            raise InvalidValue("truth", measured[target], expected)
        if (measured[target, columns] == measured[target, columns[0]]).all():
            expected = f"different values, which rank the sources of a target (row {target})"
            raise InvalidValue("truth", measured[target], expected)
    return scores, measured, candidates


def _order(row: _Vector) -> NDArray[np.int8]:
    """Sign of the difference of every two values, infinities included."""
    return (row[:, None] > row).astype(np.int8) - (row[:, None] < row).astype(np.int8)


def _check_count(argument: str, value: Any, most: int) -> None:
    expected = f"an integer from 1 to {most}, the fewest candidate sources of a target"
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise InvalidType(argument, value, expected)
    if not 1 <= value <= most:
        raise InvalidValue(argument, value, expected)


def _result(per_target: _Vector, keep: bool) -> float | _Vector:
    return per_target if keep else float(per_target.mean())
