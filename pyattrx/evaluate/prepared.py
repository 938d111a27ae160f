"""Measures whose tables are checked and laid out, to be computed once or for many draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pyattrx._checks import integer
from pyattrx.errors import InvalidValueError
from pyattrx.evaluate import rankings
from pyattrx.evaluate.tables import paired
from pyattrx.evaluate.usual import usual_relevant

__all__ = [
    "PreparedMeasure", "Ties", "check_count", "prepare_kendall", "prepare_precision",
    "prepare_recall", "prepare_regret", "prepare_spearman", "prepare_weighted_kendall",
]  # fmt: skip

Ties = Literal["columns", "mean"]

_Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PreparedMeasure:
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


def prepare_spearman(affinity: Any, truth: Any) -> PreparedMeasure:
    """See `pyattrx.evaluate`."""
    return PreparedMeasure(rankings.spearman, *_ranked(affinity, truth))


def prepare_kendall(affinity: Any, truth: Any) -> PreparedMeasure:
    """See `pyattrx.evaluate`."""
    return PreparedMeasure(rankings.kendall, *_ranked(affinity, truth))


def prepare_weighted_kendall(affinity: Any, truth: Any) -> PreparedMeasure:
    """See `pyattrx.evaluate`."""
    return PreparedMeasure(rankings.weighted_kendall, *_ranked(affinity, truth))


def prepare_precision(
    affinity: Any,
    truth: Any,
    k: int | None = None,
    relevant: int | None = None,
    ties: Ties = "columns",
) -> PreparedMeasure:
    """See `pyattrx.evaluate`."""
    return _of_hits(affinity, truth, k, relevant, ties, recall=False)


def prepare_recall(
    affinity: Any,
    truth: Any,
    k: int | None = None,
    relevant: int | None = None,
    ties: Ties = "columns",
) -> PreparedMeasure:
    """See `pyattrx.evaluate`."""
    return _of_hits(affinity, truth, k, relevant, ties, recall=True)


def _of_hits(
    affinity: Any, truth: Any, k: int | None, relevant: int | None, ties: Ties, *, recall: bool
) -> PreparedMeasure:
    _check_ties(ties)
    scores, measured, candidates = paired(affinity, truth)
    fewest = min(len(columns) for columns in candidates)
    taken = usual_relevant(fewest) if k is None else k
    wanted = usual_relevant(fewest) if relevant is None else relevant
    check_count("k", taken, fewest)
    check_count("relevant", wanted, fewest)

    def rows(some: _Vector, true: _Vector) -> _Vector:
        return rankings.hits(some, true, taken, wanted, ties) / (wanted if recall else taken)

    return PreparedMeasure(rows, scores, measured, candidates)


def prepare_regret(
    affinity: Any, truth: Any, k: int = 1, ties: Ties = "columns"
) -> PreparedMeasure:
    """See `pyattrx.evaluate`."""
    _check_ties(ties)
    scores, measured, candidates = _ranked(affinity, truth)
    check_count("k", k, min(len(columns) for columns in candidates))
    short = np.full(measured.shape, np.nan)
    for target, columns in enumerate(candidates):
        values = measured[target, columns]
        finite = values[np.isfinite(values)]
        if values.max() == np.inf or not len(finite) or finite.min() == finite.max():
            expected = f"finite values that differ among the candidates (row {target})"
            raise InvalidValueError("truth", measured[target], expected)
        values = np.maximum(values, finite.min())
        # Near one, exactly: no difference over- or underflows.
        values = np.ldexp(values, -1 - int(np.frexp(np.abs(values).max())[1]))
        values = values.max() - values
        short[target, columns] = values / values.mean()

    def rows(some: _Vector, of_target: _Vector) -> _Vector:
        return rankings.least(some, of_target, k, ties)

    return PreparedMeasure(rows, scores, short, candidates)


def _ranked(affinity: Any, truth: Any) -> tuple[_Vector, _Vector, list[NDArray[np.intp]]]:
    """Return both tables and the candidates, checked for what rank correlations need."""
    scores, measured, candidates = paired(affinity, truth)
    for target, columns in enumerate(candidates):
        if len(columns) < 2:
            expected = f"two or more candidate sources of every target (row {target})"
            raise InvalidValueError("truth", measured[target], expected)
        if (measured[target, columns] == measured[target, columns[0]]).all():
            expected = f"different values, which rank the sources of a target (row {target})"
            raise InvalidValueError("truth", measured[target], expected)
    return scores, measured, candidates


def _check_ties(ties: str) -> None:
    if ties not in ("columns", "mean"):
        raise InvalidValueError("ties", ties, "'columns' or 'mean'")


def check_count(argument: str, value: Any, most: int) -> None:
    """Refuse what is no number of candidates."""
    integer(argument, value, 1, most, ", the fewest candidate sources of a target")
