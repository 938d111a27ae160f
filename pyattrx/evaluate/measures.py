"""Measures of how well an affinity ranks the sources of every target, against a ground truth."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from pyattrx.evaluate.prepared import (
    PreparedMeasure,
    Ties,
    prepare_kendall,
    prepare_precision,
    prepare_recall,
    prepare_regret,
    prepare_spearman,
    prepare_weighted_kendall,
)

__all__ = [
    "bounds",
    "for_all_draws",
    "kendall",
    "precision_at_k",
    "recall_at_k",
    "regret_at_k",
    "spearman",
    "weighted_kendall",
]

_Vector = NDArray[np.float64]


@overload
def precision_at_k(
    affinity: Any,
    truth: Any,
    k: int | None = ...,
    relevant: int | None = ...,
    *,
    per_target: Literal[False] = ...,
    ties: Ties = ...,
) -> float: ...
@overload
def precision_at_k(
    affinity: Any,
    truth: Any,
    k: int | None = ...,
    relevant: int | None = ...,
    *,
    per_target: Literal[True],
    ties: Ties = ...,
) -> _Vector: ...
def precision_at_k(
    affinity: Any,
    truth: Any,
    k: int | None = None,
    relevant: int | None = None,
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
    k : int, optional
        Number of sources taken from the top of the ranking, from 1 to the number of candidates
        of the target that has fewest; if left out, as many as `relevant` is if left out.
    relevant : int, optional
        How many of the best sources of the ground truth count as relevant; same range. If left
        out 5, or half of the candidates of the target that has fewest, where these are 5 or fewer.
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
    InvalidTypeError
        If a table holds no real numbers, or `k` or `relevant` is not an integer.
    InvalidValueError
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
    return prepare_precision(affinity, truth, k, relevant, ties).result(per_target)


@overload
def recall_at_k(
    affinity: Any,
    truth: Any,
    k: int | None = ...,
    relevant: int | None = ...,
    *,
    per_target: Literal[False] = ...,
    ties: Ties = ...,
) -> float: ...
@overload
def recall_at_k(
    affinity: Any,
    truth: Any,
    k: int | None = ...,
    relevant: int | None = ...,
    *,
    per_target: Literal[True],
    ties: Ties = ...,
) -> _Vector: ...
def recall_at_k(
    affinity: Any,
    truth: Any,
    k: int | None = None,
    relevant: int | None = None,
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
    k, relevant : int, optional
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
    InvalidTypeError, InvalidValueError
        As `precision_at_k`.

    Examples
    --------
    >>> truth = [[0, 9, 5, 1], [9, 0, 5, 1], [1, 9, 0, 5], [5, 1, 9, 0]]
    >>> affinity = [[0, 8, 1, 7], [8, 0, 7, 1], [7, 8, 0, 1], [1, 7, 8, 0]]
    >>> recall_at_k(affinity, truth, k=1, relevant=2)
    0.5
    """
    return prepare_recall(affinity, truth, k, relevant, ties).result(per_target)


@overload
def regret_at_k(
    affinity: Any,
    truth: Any,
    k: int = ...,
    *,
    per_target: Literal[False] = ...,
    ties: Ties = ...,
) -> float: ...
@overload
def regret_at_k(
    affinity: Any,
    truth: Any,
    k: int = ...,
    *,
    per_target: Literal[True],
    ties: Ties = ...,
) -> _Vector: ...
def regret_at_k(
    affinity: Any,
    truth: Any,
    k: int = 1,
    *,
    per_target: bool = False,
    ties: Ties = "columns",
) -> float | _Vector:
    """What is lost by trying only the `k` sources that the affinity ranks first.

    How far the best of them falls short of the best source there is, over how far all candidates
    fall short of it on average: 0 if the best source is among them, 1 for what a source picked by
    chance costs. Other than P@K it tells a near miss from a bad choice (after Renggli et al.,
    "Which Model to Transfer? Finding the Needle in the Growing Haystack", CVPR 2022, who divide by
    the best performance instead; this needs no zero on the scale of the performance).

    Parameters
    ----------
    affinity, truth : table, [T, S]
        As for `precision_at_k`; the truth on a scale whose differences mean something, such as
        losses (negative, as larger is better) or accuracies. A candidate at minus infinity, such as
        a transfer that diverged, counts as the worst of the others.
    k : int
        Number of sources tried, from 1 to the number of candidates of the target that has fewest.
    per_target : bool
        Return one value for every target instead of their mean.
    ties : {"columns", "mean"}
        As for `precision_at_k`.

    Returns
    -------
    float or ndarray, [T], float64
        At least 0.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        As `precision_at_k`; all candidates of a target are equally good, or one infinitely so.

    Examples
    --------
    >>> truth = [[0, 9, 5, 1], [9, 0, 5, 1], [1, 9, 0, 5], [5, 1, 9, 0]]
    >>> affinity = [[0, 8, 1, 7], [8, 0, 7, 1], [7, 8, 0, 1], [1, 7, 8, 0]]
    >>> regret_at_k(affinity, truth, k=1)
    0.0
    >>> misled = [[0, 7, 8, 1], [8, 0, 7, 1], [7, 8, 0, 9], [1, 7, 8, 0]]
    >>> regret_at_k(misled, truth, k=1, per_target=True)
    array([1., 0., 1., 0.])
    >>> regret_at_k(misled, truth, k=2)
    0.0
    """
    return prepare_regret(affinity, truth, k, ties).result(per_target)


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
    InvalidTypeError
        If a table holds no real numbers.
    InvalidValueError
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
    return prepare_spearman(affinity, truth).result(per_target)


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
    InvalidTypeError, InvalidValueError
        As `spearman`.

    Examples
    --------
    >>> truth = [[0, 9, 5, 1], [9, 0, 5, 1], [1, 9, 0, 5], [5, 1, 9, 0]]
    >>> affinity = [[0, 8, 1, 7], [8, 0, 7, 1], [7, 8, 0, 1], [1, 7, 8, 0]]
    >>> round(kendall(affinity, truth), 3)
    0.5
    """
    return prepare_kendall(affinity, truth).result(per_target)


@overload
def weighted_kendall(affinity: Any, truth: Any, *, per_target: Literal[False] = ...) -> float: ...
@overload
def weighted_kendall(affinity: Any, truth: Any, *, per_target: Literal[True]) -> _Vector: ...
def weighted_kendall(affinity: Any, truth: Any, *, per_target: bool = False) -> float | _Vector:
    """Agreement of the order of every two candidates, in which the best ones count most.

    As `kendall`, with a weight for every pair: the sum of those of its two sources, ``1 / place``
    in the ground truth (Vigna, "A weighted correlation index for rankings with ties", WWW 2015;
    ``scipy.stats.weightedtau`` with `rank` by the truth). Equals in the truth share the mean weight
    of their places.

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
    InvalidTypeError, InvalidValueError
        As `spearman`.

    Examples
    --------
    >>> truth = [[9, 5, 1]]
    >>> round(weighted_kendall([[5, 9, 1]], truth), 3)  # the best two exchanged
    0.182
    >>> round(weighted_kendall([[9, 1, 5]], truth), 3)  # the others
    0.545
    """
    return prepare_weighted_kendall(affinity, truth).result(per_target)


def for_all_draws(measure: Any, affinity: Any, truth: Any, draws: _Vector) -> _Vector | None:
    """Compute a measure of many affinities at once.

    Parameters
    ----------
    measure : callable
        A measure of this module, or a `functools.partial` of one.
    affinity, truth : table, [T, S]
        Whose candidates are meant.
    draws : ndarray [B, T, S]
        Scores in place of those of the affinity.

    Returns
    -------
    ndarray [B, T] or None
        None if the measure is another function.
    """
    known, options = _known(measure)
    if known is None or "per_target" in options:
        return None
    prepared: PreparedMeasure = known.prepare(affinity, truth, **options)
    return prepared.of(draws)


def bounds(measure: Any) -> tuple[float, float]:
    """Return the least and the largest value that a measure can have, infinite if not known."""
    known, _ = _known(measure)
    return (-math.inf, math.inf) if known is None else known.bounds


def _known(measure: Any) -> tuple[_Measure | None, dict[str, Any]]:
    options: dict[str, Any] = {}
    if isinstance(measure, partial) and not measure.args:
        measure, options = measure.func, measure.keywords
    return next((m for m in _MEASURES if m.function is measure), None), options


@dataclass(frozen=True)
class _Measure:
    """A measure of this module, how it is prepared, and where its values are."""

    function: Callable[..., Any]
    prepare: Callable[..., PreparedMeasure]
    bounds: tuple[float, float]


_MEASURES = (
    _Measure(spearman, prepare_spearman, (-1.0, 1.0)),
    _Measure(kendall, prepare_kendall, (-1.0, 1.0)),
    _Measure(weighted_kendall, prepare_weighted_kendall, (-1.0, 1.0)),
    _Measure(precision_at_k, prepare_precision, (0.0, 1.0)),
    _Measure(recall_at_k, prepare_recall, (0.0, 1.0)),
    _Measure(regret_at_k, prepare_regret, (0.0, math.inf)),
)
