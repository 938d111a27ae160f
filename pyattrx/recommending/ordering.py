"""Candidates in order: one number each, its error, and which of them the images tell apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pyattrx.affinities.statistics import Residuals, paired_p_values, reach
from pyattrx.scores import Score

__all__ = ["Evidence", "Order", "order", "usual_weight"]

# Measured: see docs/recommend.md.
_WEIGHT = 1.1
_MOST_WEIGHT = 0.5


def usual_weight(labels_a_class: float) -> float:
    """How much the consensus counts beside a label score, both in standard deviations.

    Parameters
    ----------
    labels_a_class : float
        Labelled images a class, or of all where labels are numbers.

    Examples
    --------
    >>> from pyattrx.recommending.ordering import usual_weight
    >>> [round(usual_weight(n), 2) for n in (2, 5, 20, 320)]
    [0.5, 0.49, 0.25, 0.06]
    """
    return float(min(_MOST_WEIGHT, _WEIGHT / np.sqrt(max(labels_a_class, 1.0))))


@dataclass(frozen=True, eq=False)
class Evidence:
    """One score of all candidates.

    Attributes
    ----------
    values : ndarray [M]
    residuals : Residuals [G, M]
        What the errors of all differences are told from.
    """

    values: np.ndarray
    residuals: Residuals

    @classmethod
    def of(cls, scores: Sequence[Score]) -> Evidence:
        """Take one score of every candidate, all of the same images and labels."""
        first = scores[0].residuals
        sums = np.stack([one.residuals.sums for one in scores], axis=1)
        values = np.array([one.value for one in scores])
        return cls(values, Residuals(sums, first.weights, first.count, first.df))

    def stderr(self) -> np.ndarray:
        """Standard errors, [M]."""
        return self.residuals.stderr()

    def stderr_of_differences(self) -> np.ndarray:
        """Standard errors of all differences, [M, M]."""
        every = np.arange(len(self.values))
        return self.residuals.stderr_of_differences(every, every)


@dataclass(frozen=True, eq=False)
class Order:
    """Candidates as they are ranked.

    Attributes
    ----------
    values, stderr, low, high : ndarray [M]
        In units of the first evidence.
    p_values : ndarray [M, M]
        Of no difference, for every pair, corrected for the number of other candidates.
    weights : list of float
        By which each evidence was multiplied.
    """

    values: np.ndarray
    stderr: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p_values: np.ndarray
    weights: list[float]


def order(parts: Sequence[Evidence], weights: Sequence[float], level: float = 0.95) -> Order:
    """Add up what is known of candidates.

    Parameters
    ----------
    parts : sequence of Evidence
        The first one gives the units.
    weights : sequence of float
        In standard deviations over the candidates; that of the first is 1.
    level : float

    Returns
    -------
    Order

    Notes
    -----
    The values are ``s + sum_i w_i sd(s) / sd(k_i) (k_i - mean(k_i))``. The standard deviations are
    taken as they are, and the errors of the parts as independent.

    Examples
    --------
    >>> import numpy as np
    >>> from pyattrx.affinities.statistics import Residuals
    >>> from pyattrx.recommending.ordering import Evidence, order
    >>> terms = np.random.default_rng(0).normal([1.0, 2.0, 3.0], 0.1, (50, 3))
    >>> evidence = Evidence(terms.mean(0), Residuals.of(terms, np.arange(50)))
    >>> found = order([evidence], [1.0])
    >>> found.values.round().tolist(), bool(found.p_values[0, 2] < 0.001)
    ([1.0, 2.0, 3.0], True)
    """
    first = parts[0]
    spread = float(first.values.std())
    values, variance = first.values.astype(float), np.square(first.stderr())
    differences = np.square(first.stderr_of_differences())
    df, used = first.residuals.df, [1.0]
    for part, weight in zip(parts[1:], weights[1:], strict=True):
        other = float(part.values.std())
        factor = weight * spread / other if other > 0 else 0.0
        values = values + factor * (part.values - part.values.mean())
        if factor > 0:
            variance = variance + np.square(factor * part.stderr())
            differences = differences + np.square(factor * part.stderr_of_differences())
            df = min(df, part.residuals.df)
        used.append(factor)
    stderr = np.sqrt(variance)
    reached = reach(level, df) * stderr
    count = len(values)
    p = paired_p_values(
        values[:, None] - values[None, :], np.sqrt(differences), df, family=max(count - 1, 1)
    )
    np.fill_diagonal(p, 1.0)
    return Order(values, stderr, values - reached, values + reached, p, used)
