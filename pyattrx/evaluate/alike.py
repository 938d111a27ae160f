"""Whether two kinds of truth rank the same models alike, such as head only and fine-tuned."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyattrx.errors import InvalidValueError
from pyattrx.evaluate import rankings
from pyattrx.evaluate.accuracies import Accuracies
from pyattrx.evaluate.intervals import Estimate, interval
from pyattrx.evaluate.tables import align, as_table

__all__ = ["RankAgreement", "rank_agreement"]

_FEWEST = 4  # models, of which a correlation has an interval


@dataclass(frozen=True)
class RankAgreement:
    """Rank correlations of two tables.

    Attributes
    ----------
    mean : Estimate
        Over data sets, with the interval of other data sets.
    per_dataset : mapping of str to Estimate
        Of each, with the interval of other models.
    models : mapping of str to int
        Models that both tables have there.
    left_out : tuple of str
        Data sets of both with fewer than four such models, or without an order of them.
    """

    mean: Estimate
    per_dataset: Mapping[str, Estimate]
    models: Mapping[str, int]
    left_out: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        return {
            "mean": self.mean.to_dict(),
            "per_dataset": {name: one.to_dict() for name, one in self.per_dataset.items()},
            "models": dict(self.models),
            "left_out": list(self.left_out),
        }


def rank_agreement(
    first: Any, second: Any, *, samples: int = 2000, level: float = 0.95, seed: int = 0
) -> RankAgreement:
    """Correlate two rankings of the same models on every data set that both tables have.

    The interval of a data set is of Fisher's transformation, with the variance
    ``(1 + r^2 / 2) / (n - 3)`` of Bonett and Wright, "Sample size requirements for estimating
    Pearson, Kendall and Spearman correlations" (Psychometrika 2000). A perfect correlation of n
    models has that of one exchanged pair.

    Parameters
    ----------
    first, second : Accuracies or table, [T, S]
        With names; targets are data sets, sources are models.
    samples, level, seed
        As for `interval`, over data sets.

    Returns
    -------
    RankAgreement

    Raises
    ------
    InvalidTypeError, InvalidValueError
        The tables have no data set in common with four models or more in different places; as
        `interval`.

    Examples
    --------
    >>> from pyattrx.evaluate import Table
    >>> names = ["a", "b", "c", "d", "e"]
    >>> head, tuned = [0.5, 0.6, 0.7, 0.8, 0.9], [0.7, 0.6, 0.8, 0.9, 0.95]
    >>> found = rank_agreement(Table([head], ["pets"], names), Table([tuned], ["pets"], names))
    >>> round(found.per_dataset["pets"].value, 3)
    0.9
    """
    tables = [
        as_table(table.table() if isinstance(table, Accuracies) else table, argument)
        for argument, table in (("first", first), ("second", second))
    ]
    one, two = align(*tables)
    values: dict[str, Estimate] = {}
    models: dict[str, int] = {}
    left_out = []
    for row, dataset in enumerate(one.targets):
        both = ~(one.missing | two.missing | one.own)[row]
        a, b = one.values[row, both], two.values[row, both]
        if len(a) < _FEWEST or np.ptp(a) == 0 or np.ptp(b) == 0:
            left_out.append(dataset)
            continue
        values[dataset] = _estimate(float(rankings.spearman(a[None], b)[0]), len(a), level)
        models[dataset] = len(a)
    if not values:
        expected = f"{_FEWEST} models with different accuracies, on a data set of both, at least"
        raise InvalidValueError("second", list(two.targets), expected)
    each = [found.value for found in values.values()]
    mean = interval(each, samples=samples, level=level, seed=seed)
    return RankAgreement(mean, values, models, tuple(left_out))


def _estimate(value: float, n: int, level: float) -> Estimate:
    from scipy.special import ndtri

    if not 0 < level < 1:
        raise InvalidValueError("level", level, "a number between 0 and 1")
    most = 1 - 12 / (n * (n * n - 1))  # of one exchanged pair
    centre = math.atanh(min(max(value, -most), most))
    half = float(ndtri((1 + level) / 2)) * math.sqrt((1 + value * value / 2) / (n - 3))
    low, high = math.tanh(centre - half), math.tanh(centre + half)
    return Estimate(value, min(low, value), max(high, value), level)
