"""The consensus as a method of its own: its form, candidates, images, and who spoils it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .agreements import FORMS, IMAGES, PLACES, copied
from .study import MEASURES, Study
from .tasks import DRAWS

__all__ = ["SIZES", "Judged", "by_copies", "by_forms", "by_images", "by_size", "choose_form"]

_Vector = NDArray[np.float64]
# By what is varied, and measure: a mean, then bootstrap samples of it.
Judged = dict[str, dict[str, _Vector]]
SIZES = (4, 8, 15)  # candidates; 15 are there in every task
_COPIES = 9
_SUBSETS = 50


def by_forms(study: Study, tasks: Sequence[str], samples: int) -> Judged:
    """Judge every form at every place, ``FORM@PLACE``."""
    return study.judge(
        lambda task, draw: {
            f"{form}@{place}": study.agreement(task, draw, place, form=form)
            for place in PLACES
            for form in FORMS
        },
        tasks,
        samples=samples,
    )


def by_images(study: Study, tasks: Sequence[str], samples: int) -> Judged:
    """Judge the consensus of pooled features by how many images it has seen."""
    return study.judge(
        lambda task, draw: {
            f"{images} images": study.agreement(task, draw, images=images) for images in IMAGES
        },
        tasks,
        samples=samples,
    )


def by_copies(study: Study, tasks: Sequence[str], samples: int) -> Judged:
    """Judge every form with nine copies of one candidate among the others.

    The mean over who is copied; copies themselves are not ranked.
    """

    def rankings(task: str, draw: int) -> dict[str, _Vector]:
        takes = study.candidates(task)
        names = [name for name, one in zip(study.networks, takes, strict=True) if one]
        table = study.between.table(names, task, draw)
        if table is None:
            return {}
        made: dict[str, _Vector] = {}
        for copy, name in enumerate(names):
            longer = copied(table, copy, _COPIES)
            for form, of in FORMS.items():
                found = made[f"{form}|{name}"] = np.full(len(takes), np.nan)
                found[takes] = of(longer)[: len(names)]
        return made

    judged = study.judge(rankings, tasks, samples=samples)
    if not judged:
        return {}
    return {
        form: {
            m: np.mean([v[m] for k, v in judged.items() if k.startswith(f"{form}|")], axis=0)
            for m in MEASURES
        }
        for form in FORMS
    }


def by_size(study: Study, tasks: Sequence[str], samples: int) -> Judged:
    """Judge two forms for a few of the candidates, the mean over who they are.

    Regret is against the best of these. The interval is that over tasks and draws.
    """
    cells = {
        f"{size} candidates, {form}": (size, form)
        for size in SIZES
        for form in ("mean", "targets standardized")
    }
    values = np.full((len(cells), len(tasks), DRAWS, len(MEASURES)), np.nan)
    for t, task in enumerate(tasks):
        takes = study.candidates(task)
        names = [name for name, one in zip(study.networks, takes, strict=True) if one]
        truth = study.truth(task)[takes]
        for draw in range(DRAWS):
            table = study.between.table(names, task, draw)
            for i, (size, form) in enumerate(cells.values()):
                if table is not None and size <= len(names):
                    values[i, t, draw] = _of_some(table, truth, size, form)
    generator = np.random.default_rng(0)
    picks = [(np.arange(len(tasks)), np.tile(np.arange(DRAWS), (len(tasks), 1)))]
    for _ in range(samples):
        drawn = generator.integers(0, len(tasks), len(tasks))
        picks.append((drawn, generator.integers(0, DRAWS, (len(tasks), DRAWS))))
    means = np.stack([values[:, t[:, None], d].mean((1, 2)) for t, d in picks], axis=-1)
    return {
        name: {m: means[i, j] for j, m in enumerate(MEASURES)}
        for i, name in enumerate(cells)
        if np.isfinite(means[i]).all()
    }


def _of_some(table: NDArray[np.float64], truth: _Vector, size: int, form: str) -> _Vector:
    """All measures, the means over candidates who are chosen at random."""
    generator = np.random.default_rng(size)
    found = []
    for _ in range(_SUBSETS):
        some = generator.choice(len(table), size, replace=False)
        ranked = FORMS[form](table[np.ix_(some, some)])
        if np.ptp(truth[some]) > 0:
            found.append([m(ranked[None], truth[some])[0] for m in MEASURES.values()])
    return np.asarray(np.mean(found, axis=0))


def choose_form(forms: Judged, copies: Judged) -> str:
    """Choose by the criterion of `studies.real.agreements`: ``FORM@PLACE``."""

    def gain(judged: Judged, one: str, other: str) -> tuple[float, float, float]:
        """How much better one is: the mean, and its 95 % interval."""
        apart = judged[one]["weighted_kendall"] - judged[other]["weighted_kendall"]
        low, high = np.quantile(apart[1:], [0.025, 0.975])
        return float(apart[0]), float(low), float(high)

    now = "mean@pooled"
    better = {name: gain(forms, name, now) for name in forms if name != now}
    clear = {name: mean for name, (mean, low, _) in better.items() if low > 0}
    if clear:
        return max(clear, key=clear.__getitem__)
    stand = {
        form: mean
        for form in copies
        if form != "mean"
        for mean, low, _ in [gain(copies, form, "mean")]
        if low > 0 and gain(forms, f"{form}@pooled", now)[2] >= 0
    }
    return f"{max(stand, key=stand.__getitem__)}@pooled" if stand else now
