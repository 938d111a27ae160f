"""What a race saves where it was measured, and what it costs: every target with all its images."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import pyattrx
from pyattrx._files import atomic_write
from pyattrx.features import Features
from pyattrx.recommending import Heats, main_score, race

from ..minitaskonomy.data import Data
from ..minitaskonomy.presets import FULL
from ..minitaskonomy.tasks import TARGETS, TASKS
from ..transfer.truth import read_truth
from .scores import DRAWS, features_of, images_of, kind_of, load_source, small

__all__ = ["Runs", "measure_races", "read_races", "summary"]

Say = Callable[[str], None]
_ERROR = 0.01  # the default of `recommend`


def measure_races(
    folder: Path, seed: int, truths: Path, out: Path, say: Say, targets: Sequence[str] = TARGETS
) -> Path:
    """Run a race for every target, `DRAWS` times, and hold it against the full run.

    Parameters
    ----------
    folder : Path
        Of `minitaskonomy`, as for `scores.compute`.
    seed : int
        Of the encoders.
    truths : Path
        Where measured transfers are.
    out : Path
        The JSON file to write.
    say : callable
        Is told what is done.
    targets : sequence of str
        Tasks.
    """
    data = Data(folder)
    encoders = [load_source(folder, seed, name) for name in TASKS]
    truth = read_truth(truths, f"residual-seed{seed}").select(targets, tuple(TASKS)).table.values
    kept: dict[str, list[Features]] = {}
    found = {}
    for row, target in enumerate(targets):
        which = target if TASKS[target].corrupt is not None else "clean"
        if which not in kept:
            kept[which] = features_of(encoders, images_of(data, TASKS[target]))
        losses = dict(zip(TASKS, truth[row].tolist(), strict=True))
        del losses[target]
        others = [one for one in kept[which] if one.name != target]
        found[target] = _races(data, target, others, losses)
        say(f"{target}: raced")
    document = {"seed": seed, "error": _ERROR, "images": FULL.subset, "targets": found}
    with atomic_write(out) as file:
        file.write((json.dumps(document, indent=1) + "\n").encode())
    return out


def _races(
    data: Data, target: str, others: Sequence[Features], transfers: dict[str, float]
) -> dict[str, Any]:
    """Race the sources of one target; `transfers` of each are larger where it is better."""
    images, labels = images_of(data, TASKS[target]), data.labels(TASKS[target], "transfer")
    read = others if TASKS[target].dense else [_coarse(one) for one in others]
    rows: dict[str, list[Any]] = {key: [] for key in ("passes", "lost", "regret", "regret of all")}
    values = np.array(list(transfers.values()))
    for draw in range(DRAWS):
        part = np.arange(draw * FULL.subset, (draw + 1) * FULL.subset)
        task = pyattrx.Task.from_arrays(images[part], labels[part])
        runs = Runs(task, [_some(one, part) for one in read])
        first = runs.first_of_all()
        raced, dropped, passes = runs.first_of_race()
        rows["passes"].append(round(passes, 4))
        rows["lost"].append(first in dropped)
        for key, name in (("regret", raced), ("regret of all", first)):
            regret = (values.max() - transfers[name]) / (values.max() - values.mean())
            rows[key].append(round(float(regret), 4))
    return {"kind": kind_of(TASKS[target]), **rows}


class Runs:
    """Both ways to rank candidates whose features are known.

    Parameters
    ----------
    task : pyattrx.Task
    features : sequence of Features
        Of all candidates, for all images.
    """

    def __init__(self, task: pyattrx.Task, features: Sequence[Features]) -> None:
        self._task, self._features = task, features
        self._at = {name: index for index, name in enumerate(task.probes.names)}
        main = main_score(task.kind)
        assert main is not None
        self._heats = Heats(self.read, [main], 0.0)

    def read(self, part: pyattrx.Task, names: Sequence[str] | None) -> list[Features]:
        """Return the features of these candidates, or of all, on a part of the images."""
        which = np.array([self._at[name] for name in part.probes.names])
        wanted = [one for one in self._features if names is None or one.name in names]
        return [_some(one, which) for one in wanted]

    def _first(self, part: pyattrx.Task, read: Sequence[Features]) -> str:
        names, order = self._heats.rank(part, read)
        return names[0 if order is None else int(order.values.argmax())]

    def first_of_all(self) -> str:
        """Whom a full run names first."""
        return self._first(self._task, self._features)

    def first_of_race(self) -> tuple[str, list[str], float]:
        """Whom a race names first, whom it dropped, and its share of the passes."""
        found = race(self._task, self._heats.read, self._heats.rank, error=_ERROR)
        share = found.passes / (len(self._features) * len(self._task))
        return self._first(found.task, found.read), [one.name for one in found.dropped], share


def _coarse(features: Features) -> Features:
    """As `recommend` reads them where there is one label an image."""
    assert features.maps is not None
    return replace(features, maps=small(features.maps))


def _some(features: Features, which: np.ndarray) -> Features:
    assert features.maps is not None
    return replace(features, pooled=features.pooled[which], maps=features.maps[which])


def read_races(file: Path) -> dict[str, Any]:
    """Read what `measure_races` wrote."""
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def summary(every: Sequence[dict[str, Any]], dense: bool) -> dict[str, Any]:
    """Sum up the races of targets with label maps, or of those with a label an image.

    Parameters
    ----------
    every : sequence of dict
        Documents, one a seed.
    dense : bool

    Returns
    -------
    dict
        ``races``; mean, least and most of the share of ``passes``; how often the first of a full
        run was ``lost``; mean ``regret`` of the race's first one, and ``regret of all``.
    """
    rows = [
        row
        for document in every
        for row in document["targets"].values()
        if row["kind"].startswith("dense") == dense
    ]
    together = {
        key: [value for row in rows for value in row[key]]
        for key in ("passes", "lost", "regret", "regret of all")
    }
    return {
        "races": len(together["passes"]),
        "passes": round(float(np.mean(together["passes"])), 4),
        "least": min(together["passes"]),
        "most": max(together["passes"]),
        "lost": sum(together["lost"]),
        "regret": round(float(np.mean(together["regret"])), 4),
        "regret of all": round(float(np.mean(together["regret of all"])), 4),
    }
