"""Bootstrap intervals of measures, and of differences between methods.

What a measure would give on other targets, other encoders and other probes is told by drawing
each of them anew, with replacement and independently of one another: a task is the same task for
every seed of the encoders, so a draw of targets holds for all seeds (Owen, "The pigeonhole
bootstrap", Annals of Applied Statistics 2007).

Percentiles of few targets are too close together. They are widened to the percentiles at which
the interval of a mean of normal values would be the t interval (Hesterberg, "What teachers should
know about the bootstrap", The American Statistician 2015). Seeds are few as well, but are not
widened for: with two or three of them, take the part of the interval that they add as a lower
bound.

Probes drawn anew add their noise to affinities that have it already, which makes nearly every
measure of them worse. Only the spread that they add is wanted, so of every target the mean over the
draws of probes is put back to its value, and ends of intervals to where the measure can be. Few
groups of probes are widened for as a variance is, by K over K - 1.

Each draw of probes costs a computation of the measure, so there are fewer of them than samples, and
they are shared out evenly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyattrx._checks import integer
from pyattrx._progress import progress
from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.evaluate.measures import bounds, for_all_draws
from pyattrx.evaluate.redrawing import ProbeParts
from pyattrx.evaluate.tables import as_table

__all__ = ["Difference", "Estimate", "bootstrap", "interval", "paired_difference"]

Measure = Callable[..., Any]
Run = tuple[Any, Any]

_Vector = NDArray[np.float64]
_DRAWN = 1 << 22  # scores of other probes in memory at once


@dataclass(frozen=True)
class Estimate:
    """A mean over targets (and seeds) with its interval.

    Attributes
    ----------
    value : float
    low, high : float
        Ends of the interval. A value that all targets share leaves it no width, however few they
        are. NaN where nothing varies that could be drawn anew: one target, one
        seed and no probes.
    level : float
        Confidence of the interval.
    """

    value: float
    low: float
    high: float
    level: float

    def to_dict(self) -> dict[str, float | None]:
        """Return JSON types, None for NaN."""
        return {key: None if math.isnan(v) else v for key, v in asdict(self).items()}


@dataclass(frozen=True)
class Difference(Estimate):
    """A mean difference with its interval and the p-value of there being none.

    Attributes
    ----------
    p_value : float
        Two-sided, of the same draws: below 1 - `level` where the interval excludes 0. It has a
        floor, which more samples lower: .005 for 18 targets and 2000 samples.
    """

    p_value: float


def interval(values: Any, *, samples: int = 2000, level: float = 0.95, seed: int = 0) -> Estimate:
    """Bootstrap the mean of a value of every target.

    Parameters
    ----------
    values : array_like, [T] or [E, T]
        A measure for every target, such as ``precision_at_k(..., per_target=True)``, in the second
        case for each of E seeds.
    samples : int
        Number of draws, at least 100.
    level : float
        Confidence, in (0, 1).
    seed : int
        The same seed gives the same draws.

    Returns
    -------
    Estimate

    Raises
    ------
    InvalidTypeError
        No real numbers.
    InvalidValueError
        Another shape, a NaN, too few samples, `level` out of range.

    Examples
    --------
    >>> estimate = interval([0.2, 0.8, 0.6, 1.0, 0.4, 0.6])
    >>> round(estimate.value, 3), estimate.low < 0.4, estimate.high > 0.8
    (0.6, True, True)
    """
    _check(samples, level)
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise InvalidTypeError("values", values, f"real numbers, not {array.dtype}")
    array = np.atleast_2d(array).astype(np.float64)
    if array.ndim != 2 or not array.size or np.isnan(array).any():
        raise InvalidValueError("values", values, "numbers [targets] or [seeds, targets], none NaN")
    draws = _Draws(array.shape[1], len(array), 0, samples, seed)
    replicates = np.einsum("be,et,bt->b", draws.seeds, array, draws.targets)
    return _estimate(float(array.mean()), replicates, draws, level)


def bootstrap(
    measure: Measure,
    runs: Sequence[Run],
    *,
    samples: int = 2000,
    probe_samples: int = 500,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Bootstrap a measure over targets, encoder seeds and probes.

    Parameters
    ----------
    measure : callable
        ``measure(affinity, truth, per_target=True)`` returns one value for every target: a measure
        of this package, or ``functools.partial(precision_at_k, k=1)``.
    runs : sequence of (affinity, truth)
        One pair for every seed of the encoders, all of the same targets. Of an affinity that knows
        its probes (an `Affinity`, a `Table` with `cosines` or with `without`) they are drawn anew,
        too, in groups or in blocks.
    samples, level, seed
        As for `interval`.
    probe_samples : int
        Number of different draws of probes, at least 100; no more than `samples` are used.

    Returns
    -------
    Estimate

    Raises
    ------
    InvalidTypeError, InvalidValueError
        Runs that do not fit together; otherwise as `interval` and the measure.

    Examples
    --------
    >>> from pyattrx.evaluate import spearman
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.random((8, 8))
    >>> estimate = bootstrap(spearman, [(truth + 0.2 * rng.random((8, 8)), truth)])
    >>> estimate.low < estimate.value < estimate.high
    True
    """
    _check(samples, level, probe_samples)
    prepared = _Runs(measure, runs, "runs")
    draws = _Draws(
        prepared.n_targets, len(prepared), prepared.n_groups, samples, seed, probe_samples
    )
    found = _estimate(prepared.value, prepared.replicates(draws), draws, level)
    return _within(found, *bounds(measure))


def paired_difference(
    measure: Measure,
    first: Sequence[Run],
    second: Sequence[Run],
    *,
    samples: int = 2000,
    probe_samples: int = 500,
    level: float = 0.95,
    seed: int = 0,
) -> Difference:
    """Bootstrap how much better the first method is than the second, on the same draws.

    Parameters
    ----------
    measure : callable
        As for `bootstrap`.
    first, second : sequence of (affinity, truth)
        Runs of two methods, as for `bootstrap`: the same targets and seeds in the same order, and
        the same probes where both are given with theirs. If the groups of one lie within the
        blocks of the other, blocks are drawn.
    samples, probe_samples, level, seed
        As for `bootstrap`.

    Returns
    -------
    Difference
        Of the first less the second.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        As `bootstrap`; the methods differ in the number of targets, seeds or groups of probes.

    Examples
    --------
    >>> from pyattrx.evaluate import spearman
    >>> rng = np.random.default_rng(0)
    >>> truth, noise = rng.random((2, 8, 8))
    >>> paired_difference(spearman, [(truth, truth)], [(noise, truth)]).p_value < 0.05
    True
    """
    _check(samples, level, probe_samples)
    one, two = _Runs(measure, first, "first"), _Runs(measure, second, "second")
    one.join(two)
    two.join(one)
    for what, a, b in (
        ("targets", one.n_targets, two.n_targets),
        ("seeds", len(one), len(two)),
        ("groups of probes", one.n_groups or two.n_groups, two.n_groups or one.n_groups),
    ):
        if a != b:
            raise InvalidValueError("second", f"{b} {what}", f"those of first, {a} {what}")
    if one.parts is not None and two.parts is not None and not one.parts.like(two.parts):
        raise InvalidValueError(
            "second", two.parts.parts, f"the groups of first, {one.parts.parts}"
        )
    groups = one.n_groups or two.n_groups
    draws = _Draws(one.n_targets, len(one), groups, samples, seed, probe_samples)
    replicates = one.replicates(draws) - two.replicates(draws)
    found = _estimate(one.value - two.value, replicates, draws, level)
    least, most = bounds(measure)
    estimate = _within(found, least - most, most - least)
    return Difference(**asdict(estimate), p_value=_p_value(replicates, draws))


def check_runs(runs: Any, argument: str = "runs") -> None:
    """Refuse what are no runs."""
    expected = "a sequence of pairs (affinity, truth), one for every seed"
    if not isinstance(runs, Sequence):
        raise InvalidTypeError(argument, runs, expected)
    if not runs or not all(isinstance(run, tuple) and len(run) == 2 for run in runs):
        raise InvalidValueError(argument, runs, expected)


class _Draws:
    """Weights of targets and seeds in every sample, which sum to 1; copies of groups of probes."""

    def __init__(
        self, targets: int, seeds: int, groups: int, samples: int, seed: int,
        probe_samples: int = 500,
    ) -> None:  # fmt: skip
        rng = np.random.default_rng(seed)
        self.targets = rng.multinomial(targets, np.full(targets, 1 / targets), samples) / targets
        self.seeds = rng.multinomial(seeds, np.full(seeds, 1 / seeds), samples) / seeds
        self.groups: NDArray[np.int64] | None = None
        if groups:
            shares = np.full(groups, 1 / groups)
            self.groups = rng.multinomial(groups, shares, min(samples, probe_samples))
        self.n_targets = targets
        self.vary = targets > 1 or seeds > 1 or groups > 1

    @property
    def which_groups(self) -> NDArray[np.int64]:
        """Which of the draws of probes a sample has."""
        assert self.groups is not None
        return np.arange(len(self.targets)) % len(self.groups)


class _Runs:
    """The runs of one method, checked, with the value of every target."""

    def __init__(self, measure: Measure, runs: Sequence[Run], argument: str) -> None:
        check_runs(runs, argument)
        if not callable(measure):
            raise InvalidTypeError(
                "measure", measure, "a function (affinity, truth, per_target=True)"
            )
        self._measure = measure
        self._truths = [truth for _, truth in runs]
        self._affinities = [affinity for affinity, _ in runs]
        self._values = [self._per_target(a, t) for a, t in runs]
        counts = [len(values) for values in self._values]
        if len(set(counts)) > 1:
            raise InvalidValueError(argument, counts, "the same number of targets in every run")
        self.n_targets = counts[0]
        self.value = float(np.mean(self._values))
        self._probed = [_probed(affinity) for affinity in self._affinities]
        known = [parts for parts in self._probed if parts is not None]
        if not all(parts.like(known[0]) for parts in known):
            found = [f"{len(parts.parts)} probes in {len(parts.sizes)}" for parts in known]
            raise InvalidValueError(argument, found, "the same groups of probes in every run")

    def __len__(self) -> int:
        return len(self._values)

    @property
    def parts(self) -> ProbeParts | None:
        """The groups, or blocks, of probes in every run; None where none are known."""
        return next((parts for parts in self._probed if parts is not None), None)

    @property
    def n_groups(self) -> int:
        """Number of them, or 0."""
        return 0 if self.parts is None else len(self.parts.sizes)

    def join(self, other: _Runs) -> None:
        """Put groups of probes together to the blocks of another method, if they fit into them."""
        if other.parts is None or other.n_groups > self.n_groups:
            return
        theirs = other.parts.parts
        joined = [None if parts is None else parts.coarser(theirs) for parts in self._probed]
        if all((a is None) == (b is None) for a, b in zip(joined, self._probed, strict=True)):
            self._probed = joined

    def replicates(self, draws: _Draws) -> _Vector:
        """Return the measure of every sample, the mean over its targets and seeds."""
        total = np.zeros(len(draws.targets))
        for run, parts in enumerate(self._probed):
            weights = draws.seeds[:, run]
            if parts is None or draws.groups is None:
                total += weights * (draws.targets @ self._values[run])
            else:
                of_samples = self._on_draws(run, parts, draws.groups)[draws.which_groups]
                total += weights * (draws.targets * of_samples).sum(1)
        return total

    def _on_draws(self, run: int, parts: ProbeParts, groups: NDArray[np.int64]) -> _Vector:
        """Return the measure [B, T] of every draw of probes."""
        affinity, truth = as_table(self._affinities[run], "affinity"), self._truths[run]
        out = np.empty((len(groups), self.n_targets))
        step = max(1, _DRAWN // affinity.values.size)
        known = np.isfinite(affinity.values)
        with progress("bootstrap over probes", len(groups)) as advance:
            for start in range(0, len(groups), step):
                some = slice(start, start + step)
                # No draw changes a score that is infinite or not there.
                drawn = np.where(known, parts.drawn(groups[some]), affinity.values)
                values = for_all_draws(self._measure, affinity, truth, drawn)
                if values is None:  # somebody's own measure
                    each = [self._per_target(affinity.with_values(d), truth) for d in drawn]
                    if any(len(of_draw) != self.n_targets for of_draw in each):
                        expected = f"a function that always returns {self.n_targets} numbers here"
                        raise InvalidValueError("measure", self._measure, expected)
                    values = np.stack(each)
                out[some] = values
                advance(len(drawn))
        # Of K groups drawn with replacement the spread is too small by K over K - 1.
        count = len(parts.sizes)
        wider = math.sqrt(count / (count - 1)) if count > 1 else 1.0
        return np.asarray(self._values[run] + wider * (out - out.mean(0)))

    def _per_target(self, affinity: Any, truth: Any) -> _Vector:
        values = np.asarray(self._measure(affinity, truth, per_target=True))
        if values.ndim != 1 or values.dtype.kind not in "biuf" or np.isnan(values).any():
            expected = f"a function that returns a number for every target, not {values}"
            raise InvalidValueError("measure", self._measure, expected)
        return values.astype(np.float64)


def _probed(affinity: Any) -> ProbeParts | None:
    """Return what an affinity knows of its probes."""
    if all(getattr(affinity, name, None) is None for name in ("cosines", "without")):
        return None
    return ProbeParts.of(as_table(affinity, "affinity"))


def _widening(n_targets: int) -> float:
    return math.sqrt(n_targets / (n_targets - 1))


def _estimate(value: float, replicates: _Vector, draws: _Draws, level: float) -> Estimate:
    if not draws.vary:
        return Estimate(value, math.nan, math.nan, level)
    tail = (1 - level) / 2
    if draws.n_targets > 1:
        from scipy.special import ndtr, stdtrit

        tail = float(ndtr(_widening(draws.n_targets) * stdtrit(draws.n_targets - 1, tail)))
    low, high = np.quantile(replicates, (tail, 1 - tail))
    return Estimate(value, float(low), float(high), level)


def _within(found: Estimate, least: float, most: float) -> Estimate:
    """Put the ends of an interval to where the value can be; NaN stays."""
    return replace(found, low=max(found.low, least), high=min(found.high, most))


def _p_value(replicates: _Vector, draws: _Draws) -> float:
    if not draws.vary:
        return math.nan
    samples, rounding = len(replicates), 1e-12
    below, above = (replicates <= rounding).sum(), (replicates >= -rounding).sum()
    p = float(min(1.0, 2 * (min(below, above) + 1) / (samples + 1)))
    if draws.n_targets == 1:
        return p
    from scipy.special import ndtri, stdtr

    return float(2 * stdtr(draws.n_targets - 1, ndtri(p / 2) / _widening(draws.n_targets)))


def _check(samples: int, level: float, probe_samples: int = 500) -> None:
    for argument, value in (("samples", samples), ("probe_samples", probe_samples)):
        integer(argument, value, least=100)
    if not 0 < level < 1:
        raise InvalidValueError("level", level, "a number between 0 and 1")
