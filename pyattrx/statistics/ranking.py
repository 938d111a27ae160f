"""Sources in the order of their affinity to a target, with what the probes can tell apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyattrx._checks import integer, number
from pyattrx.statistics.clustered import Residuals, paired_p_values, reach

__all__ = ["Match", "check_level", "check_ranking", "interval", "jsonable", "rank"]

_ELEMENTS = 1 << 20  # of differences held at once


@dataclass(frozen=True)
class Match:
    """A source network for a target.

    Attributes
    ----------
    name : str
    affinity : float
        Larger is nearer; in [-1, 1] for attribution maps.
    stderr : float
        Standard error over the probes, cluster-robust; NaN where it cannot be known.
    low, high : float
        Ends of the confidence interval of `affinity`; NaN where it cannot be known.
    ties : tuple of str
        Other sources, near or far, that the probes cannot tell apart from this one: the paired
        test of the two affinities to the target, corrected for the number of comparisons, finds no
        difference.
    """

    name: str
    affinity: float
    stderr: float
    low: float
    high: float
    ties: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return JSON types, None for NaN."""
        numbers = {k: jsonable(getattr(self, k)) for k in ("affinity", "stderr", "low", "high")}
        return {"name": self.name, **numbers, "ties": list(self.ties)}


def check_ranking(k: Any, level: Any) -> None:
    """Refuse a number of sources or a confidence that make no sense."""
    integer("k", k, least=1)
    check_level(level)


def check_level(level: Any) -> float:
    """Return a confidence between 0 and 1."""
    return number("level", level, above=0, below=1)


def rank(
    names: Sequence[str],
    values: np.ndarray,
    stderr: np.ndarray,
    residuals: Residuals | None,
    df: float,
    *,
    k: int,
    level: float = 0.95,
    bounds: tuple[float, float] = (-1.0, 1.0),
) -> list[Match]:
    """Rank sources for one target, nearest first; equal ones by name.

    Parameters
    ----------
    names : sequence of str
    values, stderr : ndarray [K]
        Affinity of each source to the target, and its standard error.
    residuals : Residuals [G, K] or None
        Of the samples behind them. Without them the paired test is conservative: it bounds what it
        cannot compute.
    df : float
        Degrees of freedom of the standard errors.
    k : int
        How many at most.
    level : float
        Confidence of the intervals and of the paired test.
    bounds : (float, float)
        Least and largest affinity that there can be.

    Returns
    -------
    list of Match
    """
    order = sorted(range(len(names)), key=lambda j: (-values[j], names[j]))
    ranked = np.array(order, dtype=int)
    groups = 1 if residuals is None else max(len(residuals.sums), 1)
    at_once = max(1, _ELEMENTS // max(groups * len(order), 1))
    matches = []
    for start in range(0, min(k, len(order)), at_once):
        best = ranked[start : min(start + at_once, k)]
        difference = values[best, None] - values[ranked]
        if residuals is None:
            # The covariance is not known; this is the largest error that it allows.
            error = stderr[best, None] + stderr[ranked]
        else:
            error = residuals.stderr_of_differences(best, ranked)
        # One correction for all pairs: so A is tied with B exactly if B is with A.
        p = paired_p_values(difference, error, df, family=max(len(order) - 1, 1))
        for j, tied in zip(best.tolist(), p >= 1 - level, strict=True):
            ties = tuple(names[o] for o in ranked[tied].tolist() if o != j)
            low, high = interval(float(values[j]), float(stderr[j]), level, df, bounds)
            matches.append(Match(names[j], float(values[j]), float(stderr[j]), low, high, ties))
    return matches


def interval(
    value: float,
    stderr: float,
    level: float,
    df: float,
    bounds: tuple[float, float] = (-1.0, 1.0),
) -> tuple[float, float]:
    """Ends of the confidence interval of an affinity; NaN where they cannot be known."""
    half = reach(level, df) * stderr
    if np.isnan(half):
        return float("nan"), float("nan")
    return max(value - half, bounds[0]), min(value + half, bounds[1])


def jsonable(value: Any) -> Any:
    """Return numbers as JSON types, None for NaN and infinities."""
    if isinstance(value, np.ndarray):
        return [jsonable(v) for v in value]
    number = float(value)
    return number if np.isfinite(number) else None
