"""What a score says: its value, how sure it is, and whether two candidates differ."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.statistics import Residuals, paired_p_values, reach

__all__ = ["Comparison", "Score", "compare"]


@dataclass(frozen=True, eq=False)
class Score:
    """How well features fit labels.

    Attributes
    ----------
    name : str
        A key of `SCORES`.
    value : float
        Larger is better.
    stderr : float
        Standard error over images, whole groups at a time. NaN where there is one group only.
    residuals : Residuals
        Deviations of the score, added by unit: what `compare` pairs.
    units : ndarray [N], int64
        Unit of each image: its group, or the block that its group belongs to.
    sample : str
        Digest of labels, whole maps where they are maps, and of units. Two scores compare only
        where it is the same.
    options : dict
        What the score was asked for. Two scores compare only where it is the same.
    facts : dict
        What else was found on the way, as JSON types.
    """

    name: str
    value: float
    stderr: float
    residuals: Residuals = field(repr=False)
    units: np.ndarray = field(repr=False)
    sample: str = field(repr=False)
    options: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return a confidence interval by Student's t.

        Raises
        ------
        InvalidValueError
            A level outside (0, 1).
        """
        return _interval(self.value, self.stderr, self.residuals.df, level)


@dataclass(frozen=True)
class Comparison:
    """By how much one candidate is ahead of another.

    Attributes
    ----------
    difference : float
        The first score less the second.
    stderr : float
        Of the difference, paired: what images do to both scores alike cancels.
    df : float
        Degrees of freedom of the standard error.
    p_value : float
        Two-sided, of no difference.
    """

    difference: float
    stderr: float
    df: float
    p_value: float

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return a confidence interval of the difference; see `Score.interval`."""
        return _interval(self.difference, self.stderr, self.df, level)


def compare(a: Score, b: Score) -> Comparison:
    """Compare two candidates that were scored on the same images with the same labels.

    Parameters
    ----------
    a, b : Score
        Of one name, with the same options, labels and groups.

    Returns
    -------
    Comparison

    Raises
    ------
    InvalidTypeError
        Not scores.
    InvalidValueError
        Different scores, options, labels or groups.

    Examples
    --------
    >>> import numpy as np
    >>> from pyattrx import scores
    >>> labels = np.arange(40) % 2
    >>> noise = np.random.default_rng(0).standard_normal((40, 3))
    >>> good, bad = scores.knn(noise + 3 * labels[:, None], labels), scores.knn(noise, labels)
    >>> scores.compare(good, bad).p_value < 0.001
    True
    """
    for argument, value in (("a", a), ("b", b)):
        if not isinstance(value, Score):
            raise InvalidTypeError(argument, value, "a Score")
    if a.name != b.name:
        raise InvalidValueError("b", b.name, f"a score of the same name, {a.name!r}")
    if a.options != b.options:
        raise InvalidValueError("b", b.options, f"a score with the same options, {a.options}")
    if a.sample != b.sample or not np.array_equal(a.units, b.units):
        raise InvalidValueError(
            "b", b, "a score of the same images, with the same labels and groups in the same order"
        )
    stacked = Residuals(
        (a.residuals.sums - b.residuals.sums)[:, None],
        a.residuals.weights,
        a.residuals.count,
        a.residuals.df,
    )
    difference, stderr = a.value - b.value, float(stacked.stderr()[0])
    if np.isnan(stderr):
        return Comparison(difference, stderr, 0.0, 1.0)
    p = paired_p_values(np.array([difference]), np.array([stderr]), stacked.df)
    return Comparison(difference, stderr, stacked.df, float(p[0]))


def _interval(value: float, stderr: float, df: float, level: float) -> tuple[float, float]:
    if not isinstance(level, (int, float)) or not 0 < level < 1:
        raise InvalidValueError("level", level, "a number in (0, 1)")
    reached = reach(level, df) * stderr
    return value - reached, value + reached
