"""How well an affinity ranks the sources of every target, against a ground truth of transfers.

All functions take two tables of one shape: rows are targets, columns are sources, larger is
better. A table is an array, a nested list, a pandas frame or anything with an array `values`
(such as an `Affinity`). For every target the candidates are ranked, and a source is **no**
candidate

- where the ground truth is NaN (whatever the affinity says there), and
- where it is the target itself: the same name, if one of the tables names both its rows and its
  columns with strings (a frame, or an object with `names`); the diagonal, if no table has names
  and the tables are square.

Tables that both have names must have the same ones in the same order.
"""

from __future__ import annotations

from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from pyattrx.errors import InvalidType, InvalidValue

__all__ = ["precision_at_k", "random_precision", "recall_at_k", "spearman"]

_Vector = NDArray[np.float64]


@overload
def precision_at_k(
    affinity: Any,
    truth: Any,
    k: int = ...,
    relevant: int = ...,
    *,
    per_target: Literal[False] = ...,
) -> float: ...
@overload
def precision_at_k(
    affinity: Any, truth: Any, k: int = ..., relevant: int = ..., *, per_target: Literal[True]
) -> _Vector: ...
def precision_at_k(
    affinity: Any, truth: Any, k: int = 5, relevant: int = 5, *, per_target: bool = False
) -> float | _Vector:
    """Share of relevant sources among the `k` that the affinity ranks first (P@K).

    The measure of Song et al., "Deep Model Transferability from Attribution Maps"
    (NeurIPS 2019), who take the 5 best sources of the ground truth as relevant.

    Parameters
    ----------
    affinity : table, [T, S]
        Scores to be judged. What a table is and which sources are candidates is said at the top
        of this module.
    truth : table, [T, S]
        Measured transfer performance, NaN where there is none.
    k : int
        Number of sources taken from the top of the ranking, from 1 to the number of candidates
        of the target that has fewest.
    relevant : int
        How many of the best sources of the ground truth count as relevant; same range.
    per_target : bool
        Return one value for every target instead of their mean.

    Returns
    -------
    float or ndarray, [T], float64
        In [0, 1]. Sources with equal scores rank in the order of their columns, in both tables.

    Raises
    ------
    InvalidType
        If a table holds no real numbers, or `k` or `relevant` is not an integer.
    InvalidValue
        If the tables differ in shape or names, if a target has no candidate, if the affinity of a
        candidate is NaN, or if `k` or `relevant` is out of range.

    Examples
    --------
    >>> truth = [[0, 9, 5, 1], [9, 0, 5, 1], [1, 9, 0, 5], [5, 1, 9, 0]]
    >>> affinity = [[0, 8, 1, 7], [8, 0, 7, 1], [7, 8, 0, 1], [1, 7, 8, 0]]
    >>> precision_at_k(affinity, truth, k=2, relevant=2)
    0.625
    >>> precision_at_k(affinity, truth, k=2, relevant=2, per_target=True)
    array([0.5, 1. , 0.5, 0.5])
    """
    return _result(_hits(affinity, truth, k, relevant) / k, per_target)


@overload
def recall_at_k(
    affinity: Any,
    truth: Any,
    k: int = ...,
    relevant: int = ...,
    *,
    per_target: Literal[False] = ...,
) -> float: ...
@overload
def recall_at_k(
    affinity: Any, truth: Any, k: int = ..., relevant: int = ..., *, per_target: Literal[True]
) -> _Vector: ...
def recall_at_k(
    affinity: Any, truth: Any, k: int = 5, relevant: int = 5, *, per_target: bool = False
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
    return _result(_hits(affinity, truth, k, relevant) / relevant, per_target)


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
    scores, measured, candidates = _paired(affinity, truth)
    correlations = np.zeros(len(scores))
    from scipy.stats import rankdata  # scipy.stats takes seconds to import

    for target, columns in enumerate(candidates):
        if len(columns) < 2:
            expected = f"two or more candidate sources of every target (row {target})"
            raise InvalidValue("truth", measured[target], expected)
        if np.ptp(rankdata(measured[target, columns])) == 0:
            expected = f"different values, which rank the sources of a target (row {target})"
            raise InvalidValue("truth", measured[target], expected)
        a = rankdata(scores[target, columns])
        b = rankdata(measured[target, columns])
        a, b = a - a.mean(), b - b.mean()
        if a.any():
            correlations[target] = a @ b / np.sqrt((a @ a) * (b @ b))
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


def _hits(affinity: Any, truth: Any, k: int, relevant: int) -> _Vector:
    """Count, for every target, the relevant sources among the first `k`."""
    scores, measured, candidates = _paired(affinity, truth)
    fewest = min(len(columns) for columns in candidates)
    _check_count("k", k, fewest)
    _check_count("relevant", relevant, fewest)
    hits = np.zeros(len(scores))
    for target, columns in enumerate(candidates):
        taken = np.argsort(-scores[target, columns], kind="stable")[:k]
        wanted = np.argsort(-measured[target, columns], kind="stable")[:relevant]
        hits[target] = np.isin(taken, wanted).sum()
    return hits


def _paired(affinity: Any, truth: Any) -> tuple[_Vector, _Vector, list[NDArray[np.intp]]]:
    """Return both tables and the candidate columns of every target."""
    scores, score_names = _table("affinity", affinity)
    measured, truth_names = _table("truth", truth)
    if scores.shape != measured.shape:
        raise InvalidValue("truth", measured.shape, f"the shape of affinity, {scores.shape}")
    if score_names is not None and truth_names is not None and score_names != truth_names:
        expected = f"the targets and sources of affinity in the same order, {score_names}"
        raise InvalidValue("truth", truth_names, expected)
    names = score_names or truth_names
    allowed = ~np.isnan(measured)
    if names is not None:
        targets, sources = names
        allowed &= np.array([[target != source for source in sources] for target in targets])
    elif scores.shape[0] == scores.shape[1]:
        np.fill_diagonal(allowed, False)
    unknown = np.argwhere(allowed & np.isnan(scores))
    if len(unknown):
        row, column = (int(i) for i in unknown[0])
        expected = f"a number for every candidate source (row {row}, column {column})"
        raise InvalidValue("affinity", float("nan"), expected)
    candidates = [np.flatnonzero(row) for row in allowed]
    empty = next((i for i, columns in enumerate(candidates) if len(columns) == 0), None)
    if empty is not None:
        expected = f"at least one candidate source of every target (row {empty} has none)"
        raise InvalidValue("truth", measured[empty], expected)
    return scores, measured, candidates


def _table(argument: str, table: Any) -> tuple[_Vector, tuple[list[str], list[str]] | None]:
    values = getattr(table, "values", None)
    if values is None or callable(values):  # a dict and a torch tensor have a method `values`
        values = table
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidType(argument, table, f"a table of real numbers ({error})") from error
    if array.dtype.kind not in "biuf":
        raise InvalidType(argument, table, f"a table of real numbers, not {array.dtype}")
    if array.ndim != 2 or array.size == 0:
        raise InvalidValue(argument, array.shape, "a table [targets, sources], not empty")
    return array.astype(np.float64), _names(table, array.shape)


def _names(table: Any, shape: tuple[int, ...]) -> tuple[list[str], list[str]] | None:
    if hasattr(table, "index") and hasattr(table, "columns"):
        rows, columns = list(table.index), list(table.columns)
    else:
        rows = columns = list(getattr(table, "names", None) or ())
    both = (len(rows), len(columns)) == shape
    return (rows, columns) if both and all(isinstance(n, str) for n in rows + columns) else None


def _check_count(argument: str, value: Any, most: int) -> None:
    expected = f"an integer from 1 to {most}, the fewest candidate sources of a target"
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise InvalidType(argument, value, expected)
    if not 1 <= value <= most:
        raise InvalidValue(argument, value, expected)


def _result(per_target: _Vector, keep: bool) -> float | _Vector:
    return per_target if keep else float(per_target.mean())
