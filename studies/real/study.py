"""Scores against what was reached on real images, and which of them are to be the default.

The criterion, fixed before any result was seen. Networks: the published ones ("strangers"); where a
network was trained on the images of a task it is no candidate there. Truth: test accuracy of a
linear probe on pooled features, learnt from all images of a class (`FULL`). Forms: a label score by
itself, or the mean of four, in standard deviations over the candidates; each with the consensus of
the candidates added at a weight of 0, .25, .5 or ``min(.5, 1.1 / sqrt(n))``, n labelled images a
class. One default for few labels, by the results with 5 a class, and one for more, by the mean of
20 and of all. Of the forms that the best one does not beat outside the noise (paired bootstrap over
tasks, draws and candidates, 95 %, of the mean weighted Kendall over `CHOOSING`) the simplest: one
score before a mean of several, no consensus before a constant weight before a varying one, pooled
features before a grid, and the default that there is before another that is as simple.
`REPORTING` has no say.

A default that is new must not lose to the old one on MiniTaskonomy outside the noise.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyattrx.evaluate import mean_ranks, row_spearman, row_weighted_kendall
from pyattrx.recommending import by_every_target

from ..recommend.study import WEIGHTS
from .agreements import FORMS, Between
from .tables import Row
from .tasks import COUNTS, DRAWS, FULL

__all__ = [
    "CHOOSING",
    "LABELS",
    "MEASURES",
    "REPORTING",
    "SEEN",
    "Form",
    "Study",
    "choose",
    "forms",
]

_Vector = NDArray[np.float64]
_Measured = list[list[_Vector]]
CHOOSING = ("scenes", "textures")
REPORTING = ("groceries", "objects")
LABELS = (*COUNTS, FULL)
# Who was trained on the images of a task.
_CIFAR = ("cifar-resnet20", "cifar-resnet56")
SEEN = {"objects": _CIFAR, "mixed": _CIFAR}
_SAMPLES = 500
# Means over what is there of these, in standard deviations.
_SEVERAL = ("knn", "linear_probe", "logme", "nearest_mean")
_SINGLE = (
    "linear_probe", "knn", "logme", "label_ridge", "nleep", "nearest_mean", "gbc", "h_score",
    "transrate", "sfda", "parc", "ridge_loo",
)  # fmt: skip
_PLACES = ("pooled", "2x2", "4x4", "both")


def _first(scores: _Vector, truth: _Vector) -> _Vector:
    return np.asarray(truth[scores.argmax(1)] >= truth.max(), np.float64)


def _points(k: int) -> Callable[[_Vector, _Vector], _Vector]:
    """Accuracy points that the best of the first k is behind the best of all."""

    def regret(scores: _Vector, truth: _Vector) -> _Vector:
        tried = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return np.asarray(100 * (truth.max() - truth[tried].max(1)))

    return regret


# Of many rankings [F, S] and one truth [S], as shares of 1 and of right images.
MEASURES: dict[str, Callable[[_Vector, _Vector], _Vector]] = {
    "spearman": row_spearman,
    "weighted_kendall": row_weighted_kendall,
    "P@1": _first,
    "regret@1": _points(1),
    "regret@3": _points(3),
}


@dataclass(frozen=True)
class Form:
    """A way to rank by labels.

    Attributes
    ----------
    score : str
        A score, or "mean of 4".
    place : str
        Where features are read.
    weight : str
        A key of `WEIGHTS`: what the consensus counts.
    """

    score: str
    place: str
    weight: str = ""

    @property
    def name(self) -> str:
        """What tables call it."""
        return f"{self.score}@{self.place}{self.weight}"

    @property
    def complexity(self) -> tuple[int, int, int, int]:
        """Simple ones first."""
        weight = 0 if not self.weight else 2 if "w " in self.weight else 1
        now = (self.score, self.place) != ("linear_probe", "both")
        return self.score not in _SINGLE, weight, _PLACES.index(self.place) if now else 0, now


def forms(names: Sequence[str]) -> list[Form]:
    """List what can be made of some scores, ``score@place``."""
    singles = [
        (score, place) for place in _PLACES for score in _SINGLE if f"{score}@{place}" in names
    ]
    whole = [
        ("mean of 4", place)
        for place in _PLACES
        if all(f"{score}@{place}" in names for score in _SEVERAL)
    ]
    return [Form(score, place, weight) for weight in WEIGHTS for score, place in singles + whole]


class Study:
    """Truths and scores of one set of candidates.

    Parameters
    ----------
    truths, scores : sequence of Row
    networks : sequence of str
        The candidates.
    title : str
        Of their set; the consensus is that of the set.
    costs : mapping of str to mapping of str to float, optional
        What ranks by itself, such as the number of parameters: by name, and network.
    between : sequence of Row
        What networks know of each other; see `measure_between`.
    resembles : mapping of str to mapping of str to float, optional
        How much a network's name is like that of a task, by task and network.
    full : int
        Labelled images a class that truth is learnt from.
    """

    def __init__(
        self,
        truths: Sequence[Row],
        scores: Sequence[Row],
        networks: Sequence[str],
        title: str = "strangers",
        costs: Mapping[str, Mapping[str, float]] | None = None,
        between: Sequence[Row] = (),
        resembles: Mapping[str, Mapping[str, float]] | None = None,
        full: int = FULL,
    ) -> None:
        self.networks, self.title, self.costs = tuple(networks), title, costs or {}
        self.between, self.resembles, self.full = Between(between), resembles or {}, full
        self._out: Mapping[str, Sequence[str]] = SEEN
        self._truths = {row.key: row for row in truths}
        self._scores = {row.key: row for row in scores}
        self.tasks = tuple(dict.fromkeys(row.task for row in truths))
        self.names = tuple(dict.fromkeys(row.name for row in scores if row.labels))

    def with_seen(self) -> Study:
        """The same, with networks that were trained on a task's images among its candidates."""
        made = copy.copy(self)
        made._out = {}
        return made

    def candidates(self, task: str) -> NDArray[np.bool_]:
        """Who takes part in a task."""
        out = self._out.get(task, ())
        return np.array([name not in out for name in self.networks])

    def truth(self, task: str, kind: str = "probe@pooled") -> _Vector:
        """What networks reach, [S]: the mean over draws; NaN where nobody measured it."""
        rows = [self._truths.get((task, self.full, draw, kind)) for draw in range(DRAWS)]
        there = [row.of(self.networks) for row in rows if row is not None]
        return np.asarray(np.mean(there or [np.full(len(self.networks), np.nan)], axis=0))

    def agreement_of_truths(self, first: str, second: str) -> float | None:
        """Spearman's correlation of two kinds of truth, the mean over tasks; None without both."""
        found = []
        for task in self.tasks:
            a, b = (self.truth(task, kind) for kind in (first, second))
            both = np.isfinite(a) & np.isfinite(b) & self.candidates(task)
            if both.sum() > 2:
                found.append(row_spearman(a[None, both], b[both])[0])
        return float(np.mean(found)) if found else None

    def retest(self, kind: str, labels: int) -> float | None:
        """Spearman's correlation of two draws' truths, the mean over pairs and tasks."""
        found = []
        for task in self.tasks:
            rows = [self._truths.get((task, labels, draw, kind)) for draw in range(DRAWS)]
            draws = [
                row.of(self.networks)[self.candidates(task)] for row in rows if row is not None
            ]
            found += [
                row_spearman(a[None], b)[0]
                for i, a in enumerate(draws)
                for b in draws[:i]
                if np.isfinite(a + b).all()
            ]
        return float(np.mean(found)) if found else None

    def score(self, task: str, labels: int, draw: int, name: str) -> _Vector:
        """One score, [S]; NaN where there is none."""
        row = self._scores.get((task, labels, 0 if labels == FULL else draw, name))
        return np.full(len(self.networks), np.nan) if row is None else row.of(self.networks)

    def agreement(
        self,
        task: str,
        draw: int,
        place: str = "pooled",
        images: int = 160,
        form: str | None = None,
    ) -> _Vector:
        """The consensus of the candidates, [S]; NaN for who is none, or where there is none.

        That of `pyattrx.recommend` if no form is asked for.
        """
        takes = self.candidates(task)
        names = [name for name, one in zip(self.networks, takes, strict=True) if one]
        found = np.full(len(self.networks), np.nan)
        table = self.between.table(names, task, draw, place, images)
        if table is not None:
            found[takes] = by_every_target(table) if form is None else FORMS[form](table)
        return found

    def rank(self, form: Form, task: str, labels: int, draw: int) -> _Vector:
        """Rank by labels, [S]."""
        takes = self.candidates(task)
        if form.score in _SINGLE:
            own = self.score(task, labels, draw, f"{form.score}@{form.place}")
        else:
            every = [self.score(task, labels, draw, f"{s}@{form.place}") for s in _SEVERAL]
            own = np.mean([_standard(values, takes) for values in every], axis=0)
        weight = WEIGHTS[form.weight](labels)
        if weight == 0:
            return own
        return _standard(own, takes) + weight * _standard(self.agreement(task, draw), takes)

    def baselines(self, task: str, draw: int, kind: str) -> dict[str, _Vector]:
        """What ranks without labels of the task."""
        others = [one for one in self.tasks if one != task]
        places = [mean_ranks(self.truth(one, kind)) for one in others]
        generator = np.random.default_rng([len(task), draw, *task.encode()])
        return {
            "consensus@pooled": self.agreement(task, draw),
            "consensus@2x2": self.agreement(task, draw, "2x2"),
            "popularity": np.mean(places or [np.full(len(self.networks), np.nan)], axis=0),
            "nearest by name": self._of_all(self.resembles.get(task, {})),
            **{name: self._of_all(values) for name, values in self.costs.items()},
            "random": generator.random(len(self.networks)),
        }

    def _of_all(self, values: Mapping[str, float]) -> _Vector:
        return np.array([values.get(name, np.nan) for name in self.networks])

    def rankings(
        self, every: Sequence[Form], task: str, labels: int, draw: int, kind: str
    ) -> dict[str, _Vector]:
        """All rankings by name."""
        found = {form.name: self.rank(form, task, labels, draw) for form in every}
        fitted = [name for name in self.names if name.startswith("fitted@")]
        found |= {name: self.score(task, labels, 0, name) for name in fitted}  # of one draw
        return {**found, **self.baselines(task, draw, kind)}

    def judged(
        self,
        every: Sequence[Form],
        labels: int,
        tasks: Sequence[str],
        kind: str = "probe@pooled",
        samples: int = _SAMPLES,
    ) -> dict[str, dict[str, _Vector]]:
        """Hold all rankings against the truth.

        See `judge`.
        """
        return self.judge(
            lambda task, draw: self.rankings(every, task, labels, draw, kind), tasks, kind, samples
        )

    def judge(
        self,
        rankings: Callable[[str, int], Mapping[str, _Vector]],
        tasks: Sequence[str],
        kind: str = "probe@pooled",
        samples: int = _SAMPLES,
    ) -> dict[str, dict[str, _Vector]]:
        """Hold rankings against the truth.

        Parameters
        ----------
        rankings : callable
            Makes those of a task and a draw, [S] each, by name.
        tasks : sequence of str
        kind : str
            Of truth.
        samples : int

        Returns
        -------
        dict of str to dict of str to ndarray [1 + samples]
            By ranking and measure: the mean over tasks and draws, then bootstrap samples of it over
            tasks, draws and candidates, the same for all rankings. Rankings that lack a candidate
            are left out.
        """
        tables, kept = self._tables(rankings, tasks, kind)
        if not kept or not _measured(list(tables.values()), np.arange(len(self.networks))):
            return {}
        generator = np.random.default_rng(0)
        out = np.empty((1 + samples, len(MEASURES), len(kept)))
        for sample in range(1 + samples):
            values: _Measured = []
            while not values:  # drawn again where nobody who was measured is better than another
                chosen = [(t, d) for t in range(len(tasks)) for d in range(DRAWS)]
                people = np.arange(len(self.networks))
                if sample:
                    drawn = generator.integers(0, len(tasks), len(tasks))
                    chosen = [(t, d) for t in drawn for d in generator.integers(0, DRAWS, DRAWS)]
                    people = generator.integers(0, len(people), len(people))
                values = _measured([tables[at] for at in chosen], people)
            out[sample] = np.mean(values, axis=0)
        return {
            name: {m: out[:, j, i] for j, m in enumerate(MEASURES)} for i, name in enumerate(kept)
        }

    def _tables(
        self,
        rankings: Callable[[str, int], Mapping[str, _Vector]],
        tasks: Sequence[str],
        kind: str,
    ) -> tuple[dict[tuple[int, int], tuple[_Vector, _Vector]], list[str]]:
        """Truth [S], NaN for who takes no part, and rankings [F, S], by task and draw."""
        found: dict[tuple[int, int], tuple[_Vector, Mapping[str, _Vector]]] = {}
        kept: list[str] | None = None
        for t, task in enumerate(tasks):
            truth = np.where(self.candidates(task), self.truth(task, kind), np.nan)
            for d in range(DRAWS):
                rows = rankings(task, d)
                whole = [n for n, row in rows.items() if np.isfinite(row[np.isfinite(truth)]).all()]
                kept = whole if kept is None else [n for n in kept if n in whole]
                found[t, d] = truth, rows
        if not kept:
            return {}, []
        tables = {
            at: (truth, np.stack([rows[name] for name in kept]))
            for at, (truth, rows) in found.items()
        }
        return tables, kept


def _measured(tables: Sequence[tuple[_Vector, _Vector]], people: NDArray[np.int64]) -> _Measured:
    """Measures of rankings, [F] each, where some people are better than others."""
    values = []
    for truth, rows in tables:
        own = people[np.isfinite(truth[people])]
        if len(own) and np.ptp(truth[own]) > 0:
            values.append([measure(rows[:, own], truth[own]) for measure in MEASURES.values()])
    return values


def choose(judged: Sequence[dict[str, dict[str, _Vector]]], every: Sequence[Form]) -> Form:
    """Choose by the criterion above.

    Parameters
    ----------
    judged : sequence
        Of one or more numbers of labels, whose mean counts.
    every : sequence of Form
    """
    there = [form for form in every if all(form.name in found for found in judged)]
    values = {
        form: np.mean([found[form.name]["weighted_kendall"] for found in judged], axis=0)
        for form in there
    }
    best = max(there, key=lambda form: float(values[form][0]))
    for form in sorted(there, key=lambda form: (form.complexity, -float(values[form][0]))):
        if np.quantile((values[best] - values[form])[1:], 0.025) <= 0:
            return form
    return best


def _standard(values: _Vector, takes: NDArray[np.bool_]) -> _Vector:
    """In standard deviations over those that take part."""
    own = values[takes]
    spread = np.std(own)
    return np.asarray((values - own.mean()) / (spread if spread > 0 else 1.0))
