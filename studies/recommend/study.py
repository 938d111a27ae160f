"""Scores against measured transfers, and the choice of the default.

The criterion was fixed before any result was seen. Forms: a label score by itself, or with the
consensus added, both in standard deviations over the candidates, at a weight of 0.25, 0.5 or
``min(0.5, 1.1 / sqrt(n))``, n labelled images a class, or in sum. On encoder seed 0 the mean
weighted Kendall over 5, 20 and 320 labels, half of it over the four targets with a label an image
and half over the fourteen with maps. Of the forms that are not beaten by the best outside the noise
(paired bootstrap over targets, 95 %) the simplest: the score by itself before a constant weight,
before one that varies; pooled features before a grid. Other seeds have no say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from pyattrx.evaluate import weighted_kendall

from ..minitaskonomy.tasks import TASKS
from ..transfer.truth import read_truth
from .scores import COUNTS, Scores, kind_of

__all__ = [
    "BASELINES",
    "FORMS",
    "MEASURES",
    "WEIGHTS",
    "Form",
    "Measure",
    "Result",
    "apart",
    "baseline",
    "choose",
    "difference",
    "image_targets",
    "judge",
    "measured",
]

_Vector = NDArray[np.float64]


def _varying(n: float) -> float:
    return float(min(0.5, 1.1 / np.sqrt(n)))


WEIGHTS: dict[str, Callable[[float], float]] = {
    "": lambda n: 0.0,
    " + .25 consensus": lambda n: 0.25,
    " + .5 consensus": lambda n: 0.5,
    " + w consensus": _varying,
}


@dataclass(frozen=True)
class Form:
    """A way to rank.

    Parameters
    ----------
    score : str
        A name in `Scores.names`, without its place.
    place : str
    weight : str
        A key of `WEIGHTS`.
    agreement : str
        Which consensus.
    """

    score: str
    place: str
    weight: str = ""
    agreement: str = "consensus@pooled"

    @property
    def name(self) -> str:
        """What tables call it."""
        return f"{self.score}@{self.place}{self.weight}"

    def rank(self, found: Scores, target: int, count: int, draw: int, n: float) -> _Vector:
        """Score the sources of a target, [S]."""
        names, values = found.names, found.values[target, count, draw].astype(np.float64)
        first: _Vector = values[names.index(f"{self.score}@{self.place}")]
        weight = WEIGHTS[self.weight](n)
        if weight == 0:
            return first
        second: _Vector = values[names.index(self.agreement)]
        return _standard(first) + weight * _standard(second)


FORMS = tuple(
    Form(score, place, weight)
    for place in ("pooled", "2x2", "both", "locations")
    for score in ("linear_probe", "knn", "logme", "label_ridge")
    for weight in WEIGHTS
)


# What other seeds are compared by, on targets with a label an image and on those with maps.
_FIRST_OF_IMAGES = ("linear_probe@both", "logme@both", "knn@both", "linear_probe@pooled")
_FIRST_OF_MAPS = tuple(f"{s}@locations" for s in ("label_ridge", "linear_probe", "knn", "logme"))

# What ranks without the labels of the task: the consensus, the mean rank in the other targets'
# transfers, and chance.
BASELINES = ("consensus@pooled", "consensus@2x2", "popularity", "random")


def _standard(values: _Vector) -> _Vector:
    if np.isnan(values).all():
        return values
    spread = np.nanstd(values)
    return (values - np.nanmean(values)) / (spread if spread > 0 else 1.0)


def _spearman(scores: _Vector, truth: _Vector) -> float:
    # Not defined where all scores are the same.
    return float(spearmanr(scores, truth).statistic) if np.ptp(scores) > 0 else np.nan


def _weighted(scores: _Vector, truth: _Vector) -> float:
    return weighted_kendall(scores[None], truth[None]) if np.ptp(scores) > 0 else np.nan


def _first(scores: _Vector, truth: _Vector) -> float:
    """Whether the first source is among the five best."""
    return float((truth > truth[scores.argmax()]).sum() < 5)


def _regret(k: int) -> Callable[[_Vector, _Vector], float]:
    def regret(scores: _Vector, truth: _Vector) -> float:
        tried = np.argsort(-scores, kind="stable")[:k]
        return float((truth.max() - truth[tried].max()) / (truth.max() - truth.mean()))

    return regret


Measure = Callable[[_Vector, _Vector], float]

MEASURES: dict[str, Measure] = {
    "spearman": _spearman,
    "weighted_kendall": _weighted,
    "P@1": _first,
    "regret@1": _regret(1),
    "regret@3": _regret(3),
}


def measured(root: Path, seed: int, found: Scores) -> _Vector:
    """Measured transfers [T, S], larger is better."""
    truth = read_truth(root, f"residual-seed{seed}")
    return np.asarray(truth.select(found.targets, found.sources).table.values, np.float64)


def judge(
    rank: Callable[[int, int, int, float], _Vector],
    found: Scores,
    truth: _Vector,
    measures: Mapping[str, Measure] = MEASURES,
    labels: Callable[[str, int], float] | None = None,
) -> NDArray[np.float64]:
    """Hold a ranking against the transfers.

    Parameters
    ----------
    rank : callable
        Of the numbers of a target, a count and a draw, and of the labelled images a class.
    found : Scores
    truth : ndarray [T, S]
    measures : mapping of str to callable
    labels : callable, optional
        From a target and the number of a count to the labelled images a class; those of
        MiniTaskonomy if left out.

    Returns
    -------
    ndarray [measures, T, counts]
        Means over draws; NaN where the ranking lacks a source.
    """
    counts, draws = found.values.shape[1:3]
    labels = labels or (lambda target, count: _labels(target, COUNTS[count]))
    out = np.full((len(measures), len(found.targets), counts), np.nan)
    for t, target in enumerate(found.targets):
        others = np.array([s != target for s in found.sources])
        for c in range(counts):
            values = []
            for draw in range(draws):
                ranked = rank(t, c, draw, labels(target, c))[others]
                if not np.isfinite(ranked).all():
                    break
                values.append([measure(ranked, truth[t, others]) for measure in measures.values()])
            else:
                out[:, t, c] = np.mean(values, axis=0)
    return out


def _labels(target: str, count: int | None) -> float:
    """Labelled images a class, or of all where there are no classes."""
    if count is not None:
        return float(count)
    classes = TASKS[target].channels if kind_of(TASKS[target]) == "classification" else 1
    return 320 / classes


Result = NDArray[np.float64]  # [measures, T, counts]


def baseline(name: str, found: Scores, truth: _Vector) -> Callable[[int, int, int, float], _Vector]:
    """Return a ranking that knows no label of the task."""

    def popularity(target: int, count: int, draw: int, n: float) -> _Vector:
        others = np.delete(np.arange(len(truth)), target)
        ranks = truth[others].argsort(1).argsort(1).astype(float)
        # A source says nothing of how it transfers to its own task.
        for row, other in enumerate(others):
            ranks[row, found.sources.index(found.targets[other])] = np.nan
        means: _Vector = np.nanmean(ranks, axis=0)
        return means

    def random(target: int, count: int, draw: int, n: float) -> _Vector:
        return np.random.default_rng([target, count, draw]).random(len(found.sources))

    if name == "popularity":
        return popularity
    if name == "random":
        return random
    at = found.names.index(name)
    return lambda t, c, d, n: found.values[t, c, d, at].astype(np.float64)


def image_targets(found: Scores) -> NDArray[np.bool_]:
    """Which targets have one label an image."""
    return np.array([not TASKS[target].dense for target in found.targets])


def difference(
    first: Result, second: Result, chosen: NDArray[np.bool_], samples: int = 2000
) -> tuple[float, float, float]:
    """By how much one ranking is ahead in weighted Kendall, with a bootstrap over targets.

    Returns
    -------
    difference, low, high : float
    """
    at = list(MEASURES).index("weighted_kendall")
    gaps = (first[at] - second[at])[chosen].mean(1)
    drawn = np.random.default_rng(0).integers(0, len(gaps), (samples, len(gaps)))
    low, high = np.quantile(gaps[drawn].mean(1), [0.025, 0.975])
    return float(gaps.mean()), float(low), float(high)


def apart(
    every: Mapping[int, Mapping[str, Result]], of_images: NDArray[np.bool_]
) -> dict[str, float | None]:
    """How far the figures of other seeds are from those of the first.

    Parameters
    ----------
    every : mapping of int to mapping of str to Result
        Of every seed, by rankings.
    of_images : ndarray [T], bool
        Targets with one label an image.

    Returns
    -------
    dict
        "within .05", a share, and "largest"; None where there is one seed.
    """
    first, *others = every.values()
    at = [list(MEASURES).index(measure) for measure in ("weighted_kendall", "regret@1")]
    gaps = []
    for names, which in ((_FIRST_OF_IMAGES, of_images), (_FIRST_OF_MAPS, ~of_images)):
        for name in (name for name in names if name in first):
            means = [one[name][at][:, which].mean(1) for one in (first, *others)]
            gaps += [np.abs(other - means[0]).ravel() for other in means[1:]]
    if not gaps:
        return {"within .05": None, "largest": None}
    flat = np.concatenate(gaps)
    flat = flat[np.isfinite(flat)]
    return {"within .05": float(np.mean(flat <= 0.05)), "largest": float(flat.max())}


def choose(results: dict[Form, Result], chosen: NDArray[np.bool_]) -> Form:
    """Choose the simplest form that the best one does not beat outside the noise.

    Parameters
    ----------
    results : dict of Form to Result
    chosen : ndarray [T], bool
        The targets of one kind of label, which have a default of their own.
    """
    at = list(MEASURES).index("weighted_kendall")
    there = {f: r for f, r in results.items() if np.isfinite(r[at][chosen]).all()}
    best = max(there, key=lambda form: float(there[form][at][chosen].mean()))
    simplest = sorted(there, key=_complexity)
    for form in simplest:
        if difference(there[best], there[form], chosen)[1] <= 0:
            return form
    return best


def _complexity(form: Form) -> tuple[int, int, int]:
    weight = 0 if not form.weight else 2 if "w " in form.weight else 1
    return weight, ("pooled", "2x2", "both", "locations").index(form.place), FORMS.index(form)
