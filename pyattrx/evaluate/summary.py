"""All measures of several methods at once, with intervals."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.evaluate.intervals import Estimate, Measure, Run, bootstrap, check_runs
from pyattrx.evaluate.measures import (
    kendall,
    precision_at_k,
    regret_at_k,
    spearman,
    weighted_kendall,
)
from pyattrx.evaluate.tables import paired
from pyattrx.evaluate.usual import usual_counts, usual_relevant

__all__ = ["precision_curve", "recall_of", "summarize"]


def summarize(
    methods: Mapping[str, Sequence[Run]],
    *,
    k: Sequence[int] | None = None,
    relevant: int | None = None,
    samples: int = 2000,
    probe_samples: int = 500,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, dict[str, Estimate]]:
    """Judge methods by every measure, on the same draws.

    Sources with equal scores count the mean over all orders of them.

    Parameters
    ----------
    methods : mapping of str to sequences of (affinity, truth)
        Runs of every method, as for `bootstrap`.
    k : sequence of int, optional
        Numbers of sources to take; if left out 1, 3 and 5, of those that every target has.
    relevant, samples, probe_samples, level, seed
        As for `precision_at_k` and `bootstrap`.

    Returns
    -------
    dict of str to dict of str to Estimate
        For every method ``spearman``, ``kendall``, ``weighted_kendall``, and ``P@1``, ``R@1``,
        ``regret@1`` and so on.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        As `bootstrap` and the measures.

    Examples
    --------
    >>> import numpy as np
    >>> truth = np.random.default_rng(0).random((8, 8))
    >>> found = summarize({"itself": [(truth, truth)]}, k=[1], relevant=2)
    >>> for measure, estimate in found["itself"].items():
    ...     print(measure, round(estimate.value, 3))
    spearman 1.0
    kendall 1.0
    weighted_kendall 1.0
    P@1 1.0
    R@1 0.5
    regret@1 0.0
    """
    if not isinstance(methods, Mapping):
        raise InvalidTypeError("methods", methods, "a mapping of names to runs")
    if k is not None:
        if not isinstance(k, Iterable):
            raise InvalidTypeError("k", k, "a sequence of numbers of sources")
        if len(k) == 0 or len(set(k)) < len(k):
            raise InvalidValueError("k", k, "different numbers of sources, at least one")
    fewest = min(map(_fewest, methods.values()), default=1)
    counts = usual_counts(fewest) if k is None else k
    wanted = usual_relevant(fewest) if relevant is None else relevant
    draw = functools.partial(
        bootstrap, samples=samples, probe_samples=probe_samples, level=level, seed=seed
    )
    found: dict[str, dict[str, Estimate]] = {}
    for name, runs in methods.items():
        found[name] = {
            measure.__name__: draw(measure, runs)
            for measure in (spearman, kendall, weighted_kendall)
        }
        for count in counts:
            precision = draw(_precision(count, wanted), runs)
            found[name] |= {
                f"P@{count}": precision,
                f"R@{count}": recall_of(precision, count, wanted),
                f"regret@{count}": draw(functools.partial(regret_at_k, k=count, ties="mean"), runs),
            }
    return found


def precision_curve(
    runs: Sequence[Run],
    *,
    k: Sequence[int],
    relevant: int | None = None,
    samples: int = 2000,
    probe_samples: int = 500,
    level: float = 0.95,
    seed: int = 0,
) -> list[Estimate]:
    """Precision with its interval for every number of sources, as in `summarize`.

    Examples
    --------
    >>> import numpy as np
    >>> truth = np.random.default_rng(0).random((8, 8))
    >>> curve = precision_curve([(truth, truth)], k=[1, 2, 4], relevant=2)
    >>> [estimate.value for estimate in curve]
    [1.0, 1.0, 0.5]
    """
    draw = functools.partial(
        bootstrap, samples=samples, probe_samples=probe_samples, level=level, seed=seed
    )
    wanted = usual_relevant(_fewest(runs)) if relevant is None else relevant
    return [draw(_precision(count, wanted), runs) for count in k]


def recall_of(precision: Estimate, k: int, relevant: int) -> Estimate:
    """Recall at `k` of a precision: the same hits, over `relevant` in place of `k`.

    Examples
    --------
    >>> recall_of(Estimate(1.0, 0.8, 1.0, 0.95), k=1, relevant=5).value
    0.2
    """
    share = k / relevant
    value, low, high = (part * share for part in (precision.value, precision.low, precision.high))
    return replace(precision, value=value, low=low, high=high)


def _fewest(runs: Sequence[Run]) -> int:
    """Candidate sources of the target that has fewest, in any run."""
    check_runs(runs)
    return min(len(columns) for run in runs for columns in paired(*run)[2])


def _precision(k: int, relevant: int) -> Measure:
    return functools.partial(precision_at_k, k=k, relevant=relevant, ties="mean")
