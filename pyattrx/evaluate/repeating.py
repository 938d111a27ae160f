"""How well accuracies repeat themselves, where there are seeds."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyattrx._checks import integer
from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.evaluate import rankings
from pyattrx.evaluate.accuracies import Accuracies, means
from pyattrx.evaluate.intervals import Estimate, interval

__all__ = ["Reliability", "reliability"]

_Vector = NDArray[np.float64]
_FEWEST = 3  # models in a correlation


@dataclass(frozen=True)
class Reliability:
    """How well a ranking of models repeats itself with other seeds.

    Attributes
    ----------
    halves : Estimate
        Spearman's correlation of the means of two halves of the seeds; mean over data sets, with
        its interval.
    whole : Estimate
        What that is for the mean of all seeds, by Spearman and Brown's formula, ``2 r / (1 + r)``
        of the mean and of the ends of its interval (of every data set it would be too low on
        average, as it is concave). A correlation below 0, for which it is not made, is kept. No
        score can be expected to agree better with the truth than its root.
    datasets : tuple of str
        Those with several seeds of three models at least.
    per_dataset : tuple of float
        The correlation of halves of each.
    seed_sd, model_sd : tuple of float
        Standard deviation of each between the seeds of a model, and between models' means.
    """

    halves: Estimate
    whole: Estimate
    datasets: tuple[str, ...]
    per_dataset: tuple[float, ...]
    seed_sd: tuple[float, ...]
    model_sd: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        ends = {"halves": self.halves.to_dict(), "whole": self.whole.to_dict()}
        return {**asdict(self), **ends}


def reliability(
    accuracies: Accuracies,
    *,
    splits: int = 100,
    samples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Reliability:
    """Correlate the rankings of models by two halves of their seeds.

    Parameters
    ----------
    accuracies : Accuracies
        Of several seeds. A model with one on a data set does not take part there.
    splits : int
        Ways to split the seeds of every model, at random, whose correlations are averaged.
    samples, level, seed
        As for `interval`, over data sets.

    Returns
    -------
    Reliability

    Raises
    ------
    InvalidTypeError
        `accuracies` or `splits` is something else.
    InvalidValueError
        No data set has several seeds of three models or more; `splits` is below 1; as `interval`.

    Examples
    --------
    >>> values = [[[0.5, 0.52], [0.7, 0.69], [0.6, 0.61], [0.9, 0.88]]]
    >>> found = reliability(Accuracies(values, ["pets"], ["a", "b", "c", "d"]))
    >>> found.halves.value, found.seed_sd[0] < found.model_sd[0]
    (1.0, True)
    """
    if not isinstance(accuracies, Accuracies):
        raise InvalidTypeError("accuracies", accuracies, "Accuracies")
    integer("splits", splits, least=1)
    several = accuracies.seeds >= 2
    rows = np.flatnonzero(several.sum(1) >= _FEWEST)
    if not len(rows):
        expected = f"several seeds of {_FEWEST} models on a data set, at least"
        raise InvalidValueError("accuracies", accuracies, expected)
    rng = np.random.default_rng(seed)
    tables = [accuracies.values[row, several[row]] for row in rows]
    values = [_of_halves(table, splits, rng) for table in tables]
    halves = interval(values, samples=samples, level=level, seed=seed)
    value, low, high = map(_of_all, (halves.value, halves.low, halves.high))
    spread = [_deviations(table) for table in tables]
    return Reliability(
        halves,
        Estimate(value, low, high, level),
        tuple(accuracies.datasets[row] for row in rows),
        tuple(values),
        tuple(seeds for seeds, _ in spread),
        tuple(models for _, models in spread),
    )


def _of_halves(values: _Vector, splits: int, rng: np.random.Generator) -> float:
    """Return the mean correlation of the halves of values [S, R], NaN where there is none."""
    there = ~np.isnan(values)
    counts = there.sum(1)
    order = np.where(there, rng.random((splits, *values.shape)), np.inf)
    first = (order.argsort(2).argsort(2) < (counts // 2)[:, None]) & there
    one, two = means(values, first), means(values, there & ~first)
    return float(np.mean([_spearman(a, b) for a, b in zip(one, two, strict=True)]))


def _of_all(halves: float) -> float:
    """Return what the correlation of halves is for the whole (Spearman and Brown)."""
    return 2 * halves / (1 + halves) if halves > 0 else halves  # NaN stays


def _spearman(a: _Vector, b: _Vector) -> float:
    """Rank correlation; 0 where one has no order."""
    return 0.0 if np.ptp(b) == 0 else float(rankings.spearman(a[None], b)[0])


def _deviations(values: _Vector) -> tuple[float, float]:
    """Standard deviations between the seeds of a model, and between models' means."""
    means = np.nanmean(values, 1)
    squares = np.nansum(np.square(values - means[:, None]))
    degrees = (~np.isnan(values)).sum() - len(values)
    return float(np.sqrt(squares / degrees)), float(means.std(ddof=1))
