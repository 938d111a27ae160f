"""Candidates in order: one number each, its error, and which of them the images tell apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pyattrx.scores import Score
from pyattrx.statistics import Residuals, paired_p_values, reach

__all__ = ["Evidence", "Order", "factor_of", "order"]


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
    values, stderr : ndarray [M]
        In units of the first evidence.
    differences : ndarray [M, M]
        Standard errors of the differences of values.
    df : float
        Degrees of freedom of both.
    """

    values: np.ndarray
    stderr: np.ndarray
    differences: np.ndarray
    df: float

    def take(self, chosen: np.ndarray) -> Order:
        """Those of some candidates, in another order."""
        differences = self.differences[np.ix_(chosen, chosen)]
        return Order(self.values[chosen], self.stderr[chosen], differences, self.df)

    def reach(self, level: float) -> np.ndarray:
        """Half of the widths of the confidence intervals, [M]."""
        return reach(level, self.df) * self.stderr

    def p_values(self) -> np.ndarray:
        """Return those of no difference for every pair, [M, M], corrected for all rivals of one."""
        count = len(self.values)
        difference = self.values[:, None] - self.values[None, :]
        p = paired_p_values(difference, self.differences, self.df, family=max(count - 1, 1))
        np.fill_diagonal(p, 1.0)
        return p

    def clearly_behind(self, margin: float) -> np.ndarray:
        """Return one-sided p-values of being behind the first by no more than a margin, [M].

        Parameters
        ----------
        margin : float
            In standard deviations of the values.
        """
        best = int(self.values.argmax())
        ahead = self.values[best] - self.values - margin * float(self.values.std())
        p = paired_p_values(ahead, self.differences[best], self.df, family=1) / 2
        behind: np.ndarray = np.where(ahead > 0, p, 1.0)
        behind[best] = 1.0
        return behind


def factor_of(first: Evidence, other: Evidence, weight: float) -> float:
    """Turn a weight in standard deviations over the candidates into units of both."""
    spread = float(other.values.std())
    return weight * float(first.values.std()) / spread if spread > 0 else 0.0


def order(parts: Sequence[Evidence], factors: Sequence[float]) -> Order:
    """Add up what is known of candidates: ``sum_i f_i (k_i - mean(k_i))``, at the first one's mean.

    Parameters
    ----------
    parts : sequence of Evidence
    factors : sequence of float
        That of the first is 1; see `factor_of`.

    Returns
    -------
    Order

    Notes
    -----
    The factors are taken as known, and the errors of the parts as independent.

    Examples
    --------
    >>> import numpy as np
    >>> from pyattrx.statistics.clustered import Residuals
    >>> from pyattrx.recommending.ordering import Evidence, order
    >>> terms = np.random.default_rng(0).normal([1.0, 2.0, 3.0], 0.1, (50, 3))
    >>> evidence = Evidence(terms.mean(0), Residuals.of(terms, np.arange(50)))
    >>> found = order([evidence], [1.0])
    >>> found.values.round().tolist(), bool(found.p_values()[0, 2] < 0.001)
    ([1.0, 2.0, 3.0], True)
    """
    first = parts[0]
    values, variance = first.values.astype(float), np.square(first.stderr())
    differences, df = np.square(first.stderr_of_differences()), first.residuals.df
    for part, factor in zip(parts[1:], factors[1:], strict=True):
        if factor > 0:
            values = values + factor * (part.values - part.values.mean())
            variance = variance + np.square(factor * part.stderr())
            differences = differences + np.square(factor * part.stderr_of_differences())
            df = min(df, part.residuals.df)
    return Order(values, np.sqrt(variance), np.sqrt(differences), df)
