"""All measures of several methods at once, with intervals."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from pyattrx.errors import InvalidType, InvalidValue
from pyattrx.evaluate.intervals import Estimate, Measure, Run, bootstrap
from pyattrx.evaluate.measures import kendall, precision_at_k, regret_at_k, spearman

__all__ = ["precision_curve", "recall_of", "summarise"]


def summarise(
    methods: Mapping[str, Sequence[Run]],
    *,
    k: Sequence[int] = (1, 3, 5),
    relevant: int = 5,
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
    k : sequence of int
        Numbers of sources to take.
    relevant, samples, probe_samples, level, seed
        As for `precision_at_k` and `bootstrap`.

    Returns
    -------
    dict of str to dict of str to Estimate
        For every method ``spearman``, ``kendall``, and ``P@1``, ``R@1``, ``regret@1`` and so on.

    Raises
    ------
    InvalidType, InvalidValue
        As `bootstrap` and the measures.

    Examples
    --------
    >>> import numpy as np
    >>> truth = np.random.default_rng(0).random((8, 8))
    >>> found = summarise({"itself": [(truth, truth)]}, k=[1], relevant=2)
    >>> {measure: round(estimate.value, 3) for measure, estimate in found["itself"].items()}
    {'spearman': 1.0, 'kendall': 1.0, 'P@1': 1.0, 'R@1': 0.5, 'regret@1': 0.0}
    """
    if not isinstance(methods, Mapping):
        raise InvalidType("methods", methods, "a mapping of names to runs")
    if not isinstance(k, Iterable):
        raise InvalidType("k", k, "a sequence of numbers of sources")
    if len(k) == 0 or len(set(k)) < len(k):
        raise InvalidValue("k", k, "different numbers of sources, at least one")
    draw = functools.partial(
        bootstrap, samples=samples, probe_samples=probe_samples, level=level, seed=seed
    )
    found: dict[str, dict[str, Estimate]] = {}
    for name, runs in methods.items():
        found[name] = {"spearman": draw(spearman, runs), "kendall": draw(kendall, runs)}
        for count in k:
            precision = draw(_precision(count, relevant), runs)
            found[name] |= {
                f"P@{count}": precision,
                f"R@{count}": recall_of(precision, count, relevant),
                f"regret@{count}": draw(functools.partial(regret_at_k, k=count, ties="mean"), runs),
            }
    return found


def precision_curve(
    runs: Sequence[Run],
    *,
    k: Sequence[int],
    relevant: int = 5,
    samples: int = 2000,
    probe_samples: int = 500,
    level: float = 0.95,
    seed: int = 0,
) -> list[Estimate]:
    """Precision with its interval for every number of sources, as in `summarise`.

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
    return [draw(_precision(count, relevant), runs) for count in k]


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


def _precision(k: int, relevant: int) -> Measure:
    return functools.partial(precision_at_k, k=k, relevant=relevant, ties="mean")
