"""Measures of how well an affinity ranks the sources of every target, against a ground truth."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from pyattrx.errors import InvalidType, InvalidValue
from pyattrx.evaluate import rankings
from pyattrx.evaluate.tables import paired
from pyattrx.evaluate.usual import usual_relevant

__all__ = [
    "bounds",
    "for_all_draws",
    "kendall",
    "precision_at_k",
    "random_precision",
    "recall_at_k",
    "regret_at_k",
    "spearman",
    "weighted_kendall",
]

Ties = Literal["columns", "mean"]

_Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A measure with its tables, checked.

    Parameters
    ----------
    rows : callable
        From scores [B, C] of the candidates of a target, and its row of the truth, to [B].
    scores, measured : ndarray [T, S]
    candidates : list of ndarray
        Columns, for every target.
    """

    rows: Callable[[_Vector, _Vector], _Vector]
    scores: _Vector
    measured: _Vector
    candidates: list[NDArray[np.intp]]

    def of(self, draws: _Vector) -> _Vector:
        """Return the measure [B, T] of many tables of scores [B, T, S]."""
        out = np.empty(draws.shape[:2])
        for target, columns in enumerate(self.candidates):
            out[:, target] = self.rows(draws[:, target, columns], self.measured[target, columns])
        return out

    def result(self, per_target: bool) -> float | _Vector:
        """Return what a measure returns."""
        values = self.of(self.scores[None])[0]
        return values if per_target else float(values.mean())


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
    return _precision(affinity, truth, k, relevant, ties).result(per_target)


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
    InvalidType, InvalidValue
        As `precision_at_k`.

    Examples
    --------
    >>> truth = [[0, 9, 5, 1], [9, 0, 5, 1], [1, 9, 0, 5], [5, 1, 9, 0]]
    >>> affinity = [[0, 8, 1, 7], [8, 0, 7, 1], [7, 8, 0, 1], [1, 7, 8, 0]]
    >>> recall_at_k(affinity, truth, k=1, relevant=2)
    0.5
    """
    return _recall(affinity, truth, k, relevant, ties).result(per_target)


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
    InvalidType, InvalidValue
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
    return _regret(affinity, truth, k, ties).result(per_target)


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
    return _spearman(affinity, truth).result(per_target)


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
    return _kendall(affinity, truth).result(per_target)


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
    InvalidType, InvalidValue
        As `spearman`.

    Examples
    --------
    >>> truth = [[9, 5, 1]]
    >>> round(weighted_kendall([[5, 9, 1]], truth), 3)  # the best two exchanged
    0.182
    >>> round(weighted_kendall([[9, 1, 5]], truth), 3)  # the others
    0.545
    """
    return _weighted_kendall(affinity, truth).result(per_target)


def random_precision(n_sources: int, relevant: int | None = None) -> float:
    """Precision to be expected, at any K, of a ranking by chance.

    Parameters
    ----------
    n_sources : int
        Number of candidate sources, the target itself not counted.
    relevant : int, optional
        How many of them are relevant, from 1 to `n_sources`; if left out as for `precision_at_k`.

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
    if relevant is None:
        relevant = usual_relevant(int(n_sources))
    _check_count("relevant", relevant, int(n_sources))
    return relevant / int(n_sources)


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
    prepared: _Prepared = known.prepare(affinity, truth, **options)
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


def _spearman(affinity: Any, truth: Any) -> _Prepared:
    return _Prepared(rankings.spearman, *_ranked(affinity, truth))


def _kendall(affinity: Any, truth: Any) -> _Prepared:
    return _Prepared(rankings.kendall, *_ranked(affinity, truth))


def _weighted_kendall(affinity: Any, truth: Any) -> _Prepared:
    return _Prepared(rankings.weighted_kendall, *_ranked(affinity, truth))


def _precision(
    affinity: Any,
    truth: Any,
    k: int | None = None,
    relevant: int | None = None,
    ties: Ties = "columns",
) -> _Prepared:
    return _of_hits(affinity, truth, k, relevant, ties, recall=False)


def _recall(
    affinity: Any,
    truth: Any,
    k: int | None = None,
    relevant: int | None = None,
    ties: Ties = "columns",
) -> _Prepared:
    return _of_hits(affinity, truth, k, relevant, ties, recall=True)


def _of_hits(
    affinity: Any, truth: Any, k: int | None, relevant: int | None, ties: Ties, *, recall: bool
) -> _Prepared:
    _check_ties(ties)
    scores, measured, candidates = paired(affinity, truth)
    fewest = min(len(columns) for columns in candidates)
    taken = usual_relevant(fewest) if k is None else k
    wanted = usual_relevant(fewest) if relevant is None else relevant
    _check_count("k", taken, fewest)
    _check_count("relevant", wanted, fewest)

    def rows(some: _Vector, true: _Vector) -> _Vector:
        return rankings.hits(some, true, taken, wanted, ties) / (wanted if recall else taken)

    return _Prepared(rows, scores, measured, candidates)


def _regret(affinity: Any, truth: Any, k: int = 1, ties: Ties = "columns") -> _Prepared:
    _check_ties(ties)
    scores, measured, candidates = _ranked(affinity, truth)
    _check_count("k", k, min(len(columns) for columns in candidates))
    short = np.full(measured.shape, np.nan)
    for target, columns in enumerate(candidates):
        values = measured[target, columns]
        finite = values[np.isfinite(values)]
        if values.max() == np.inf or not len(finite) or finite.min() == finite.max():
            expected = f"finite values that differ among the candidates (row {target})"
            raise InvalidValue("truth", measured[target], expected)
        values = np.maximum(values, finite.min())
        # Near one, exactly: no difference over- or underflows.
        values = np.ldexp(values, -1 - int(np.frexp(np.abs(values).max())[1]))
        values = values.max() - values
        short[target, columns] = values / values.mean()

    def rows(some: _Vector, of_target: _Vector) -> _Vector:
        return rankings.least(some, of_target, k, ties)

    return _Prepared(rows, scores, short, candidates)


@dataclass(frozen=True)
class _Measure:
    """A measure of this module, how it is prepared, and where its values are."""

    function: Callable[..., Any]
    prepare: Callable[..., _Prepared]
    bounds: tuple[float, float]


_MEASURES = (
    _Measure(spearman, _spearman, (-1.0, 1.0)),
    _Measure(kendall, _kendall, (-1.0, 1.0)),
    _Measure(weighted_kendall, _weighted_kendall, (-1.0, 1.0)),
    _Measure(precision_at_k, _precision, (0.0, 1.0)),
    _Measure(recall_at_k, _recall, (0.0, 1.0)),
    _Measure(regret_at_k, _regret, (0.0, math.inf)),
)


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


def _check_ties(ties: str) -> None:
    if ties not in ("columns", "mean"):
        raise InvalidValue("ties", ties, "'columns' or 'mean'")


def _check_count(argument: str, value: Any, most: int) -> None:
    expected = f"an integer from 1 to {most}, the fewest candidate sources of a target"
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise InvalidType(argument, value, expected)
    if not 1 <= value <= most:
        raise InvalidValue(argument, value, expected)
