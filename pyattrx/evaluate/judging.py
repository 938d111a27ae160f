"""A score of models judged by published accuracies, beside what needs no network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.evaluate.accuracies import Accuracies
from pyattrx.evaluate.baselines import popularity_scores, static_scores
from pyattrx.evaluate.intervals import Difference, Estimate, paired_difference
from pyattrx.evaluate.measures import weighted_kendall
from pyattrx.evaluate.summary import summarize
from pyattrx.evaluate.tables import Table, align, as_table
from pyattrx.evaluate.usual import usual_relevant

__all__ = ["Judgement", "judge_scores"]

_FEWEST = 3  # models that are a ranking
_COUNTS = (1, 3)
_STATIC = "static ranker"


@dataclass(frozen=True, eq=False)
class Judgement:
    """What scores, and rankings without a network, are worth on published accuracies.

    Attributes
    ----------
    methods : mapping of str to mapping of str to Estimate
        For every score, then for ``static ranker``, ``popularity`` and ``random``, the measures of
        `summarize`.
    ahead : mapping of str to Difference
        By how much the weighted Kendall of a score is above that of the static ranker.
    truth : Table
        The accuracies that all were judged by, NaN where a score is missing.
    left_out : tuple of str
        Data sets of the accuracies, and of the scores if there are any, with fewer than three
        models to rank, or all equally good.
    unscored : int
        Accuracies that did not count as a score has nothing for them.
    relevant : int
        How many of the best models of a data set are good enough for P@1.
    """

    methods: Mapping[str, Mapping[str, Estimate]]
    ahead: Mapping[str, Difference]
    truth: Table
    left_out: tuple[str, ...]
    unscored: int
    relevant: int

    def to_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        return {
            "datasets": list(self.truth.targets),
            "models": list(self.truth.sources),
            "left_out": list(self.left_out),
            "unscored": self.unscored,
            "relevant": self.relevant,
            "methods": {
                name: {measure: one.to_dict() for measure, one in measures.items()}
                for name, measures in self.methods.items()
            },
            "less_static_ranker": {name: one.to_dict() for name, one in self.ahead.items()},
        }


def judge_scores(
    accuracies: Accuracies,
    scores: Mapping[str, Any] | None = None,
    *,
    relevant: int | None = None,
    samples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Judgement:
    """Judge scores of models by their accuracies, beside rankings that need no network.

    These know the accuracies on the other data sets of the table, and never those on the one that
    they rank for: `static_scores` and `popularity_scores`; a random order knows nothing. All are
    judged on the same data sets and models.

    Parameters
    ----------
    accuracies : Accuracies
    scores : mapping of str to Accuracies or table [T, S], optional
        With names: targets are data sets, sources are models. Larger is better. They need not have
        all of them, nor in the same order.
    relevant, samples, level, seed
        As for `summarize`; draws are over data sets.

    Returns
    -------
    Judgement

    Raises
    ------
    InvalidTypeError
        `accuracies` are none, `scores` is no mapping.
    InvalidValueError
        A score has the name of a baseline, an infinite accuracy, or no data set in common with
        three models; as `summarize`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> values = rng.random((6, 1, 5)).mean(2) * 0.2 + rng.random((1, 8)) * 0.5
    >>> found = Accuracies(values, [f"data{i}" for i in range(6)], [f"model{i}" for i in range(8)])
    >>> judged = judge_scores(found, {"noise": found.table().with_values(rng.random((6, 8)))})
    >>> {name: round(m["weighted_kendall"].value, 2) for name, m in judged.methods.items()}
    {'noise': 0.1, 'static ranker': 1.0, 'popularity': 1.0, 'random': 0.0}
    """
    if not isinstance(accuracies, Accuracies):
        raise InvalidTypeError("accuracies", accuracies, "Accuracies")
    if scores is not None and not isinstance(scores, Mapping):
        raise InvalidTypeError("scores", scores, "a mapping of names to tables")
    whole = accuracies.table()
    without = {
        _STATIC: static_scores(whole),
        "popularity": popularity_scores(whole),
        "random": whole.with_values(np.zeros(whole.values.shape)),
    }
    given: dict[str, Table] = {}
    truth = whole
    for name, table in (scores or {}).items():
        if name in without:
            raise InvalidValueError("scores", name, f"another name than {list(without)}")
        given[name] = as_table(table.table() if isinstance(table, Accuracies) else table, name)
        for what, own, theirs in (
            ("data set", given[name].targets, truth.targets),
            ("model", given[name].sources, truth.sources),
        ):
            if not set(own) & set(theirs):
                raise InvalidValueError(
                    "scores", list(own), f"a {what} of the accuracies: {theirs}"
                )
        truth = align(given[name], truth)[1]
    tables = {
        name: table.select(truth.targets, truth.sources)
        for name, table in {**given, **without}.items()
    }
    missing = np.any([tables[name].missing for name in given] or [truth.missing], axis=0)
    unscored = int((missing & ~truth.missing).sum())
    truth = truth.with_values(np.where(missing, np.nan, truth.values))
    ranked = [
        name
        for name, row, own in zip(truth.targets, truth.values, truth.own, strict=True)
        if len(found := row[~(np.isnan(row) | own)]) >= _FEWEST and np.ptp(found) > 0
    ]
    left_out = tuple(name for name in truth.targets if name not in ranked)
    if not ranked:
        expected = f"{_FEWEST} models with different accuracies, on a data set at least"
        raise InvalidValueError("scores" if scores else "accuracies", list(truth.targets), expected)
    truth = truth.select(ranked, truth.sources)
    runs = {name: [(table.select(ranked, truth.sources), truth)] for name, table in tables.items()}
    fewest = int((~(truth.missing | truth.own)).sum(1).min())
    settings: dict[str, Any] = {"samples": samples, "level": level, "seed": seed}
    counts = [count for count in _COUNTS if count <= fewest]
    wanted = usual_relevant(fewest) if relevant is None else relevant
    methods = summarize(runs, k=counts, relevant=wanted, **settings)
    ahead = {
        name: paired_difference(weighted_kendall, runs[name], runs[_STATIC], **settings)
        for name in given
    }
    return Judgement(methods, ahead, truth, left_out, unscored, wanted)
