"""The classes of all tasks in one, with two labelled images each: few images, and many classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .measuring import kept_rows, scores_of, truths_of
from .reading import Seen
from .tables import Row
from .tasks import DRAWS, RealTask

__all__ = ["LABELS", "MIXED", "TRUTH", "measure_mixed"]

MIXED = "mixed"
LABELS = 2  # images a class that scores see
TRUTH = 20  # and that truth is learnt from
_Indices = NDArray[np.int64]


def measure_mixed(
    tasks: Sequence[RealTask],
    seen: Mapping[str, Sequence[Seen]],
    work: Path,
    say: Callable[[str], None],
) -> tuple[list[Row], list[Row]]:
    """Score networks on the classes of all tasks together, and find out what they reach.

    Parameters
    ----------
    tasks : sequence of RealTask
    seen : mapping of str to sequence of Seen
        Who was read, by task; whoever was not for one of them is left out.
    work : Path
        Keeps what was computed.
    say : callable

    Returns
    -------
    truths, scores : list of Row
    """
    everywhere = set.intersection(*({one.name for one in found} for found in seen.values()))
    by_name = {task: {one.name: one for one in found} for task, found in seen.items()}
    order = [one.name for one in seen[tasks[0].name] if one.name in everywhere]
    joined = [_joined([by_name[task.name][name] for task in tasks]) for name in order]
    labels = _one_after_another([task.labels for task in tasks])
    groups = _one_after_another([task.task.groups for task in tasks])
    starts = np.cumsum([0, *(len(task.labels) for task in tasks)])
    splits = [task.split() for task in tasks]
    test = np.concatenate([s.test + at for s, at in zip(splits, starts, strict=False)])
    truths: list[Row] = []
    found: list[Row] = []
    for draw in range(DRAWS):
        own = np.concatenate([s.draws[draw] + at for s, at in zip(splits, starts, strict=False)])
        few, more = (_first(own, labels, count) for count in (LABELS, TRUTH))
        truth = partial(truths_of, labels, groups, more, test, kinds=("probe@pooled",))
        score = partial(scores_of, labels, groups, few)
        for rows, kind, count, compute in (
            (truths, "truths", TRUTH, truth),
            (found, "scores", LABELS, score),
        ):
            file = work / kind / f"{MIXED}-{count}-{draw}.csv"
            rows.extend(kept_rows(file, joined, compute, (MIXED, count, draw), say))
    return truths, found


def _first(images: _Indices, labels: _Indices, count: int) -> _Indices:
    return np.concatenate([images[labels[images] == c][:count] for c in np.unique(labels)])


def _one_after_another(parts: Sequence[_Indices]) -> _Indices:
    """Numbers from 0, those of every part after those of the one before."""
    starts = np.cumsum([0, *(int(part.max()) + 1 for part in parts)])
    return np.concatenate([part + at for part, at in zip(parts, starts, strict=False)])


def _joined(parts: Sequence[Seen]) -> Seen:
    """What one network sees in all images."""
    features = parts[0].features
    maps = [one.features.maps for one in parts]
    whole = [one for one in maps if one is not None]
    joined = replace(
        features,
        pooled=np.concatenate([one.features.pooled for one in parts]),
        maps=np.concatenate(whole) if len(whole) == len(parts) else None,
    )
    return Seen(parts[0].name, joined)
