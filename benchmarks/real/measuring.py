"""Scores and truths of all networks for one task, resumable: a file a step in the work folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pyattrx import scores
from pyattrx.recommending import consensus

from ..recommend.scores import score_images
from .decoders import decoder_accuracy
from .entrants import Entrant
from .finetuning import fine_tuned_accuracy
from .probes import probe_accuracy
from .reading import Seen
from .tables import Row, read_rows, write_rows
from .tasks import COUNTS, FULL, RealTask

__all__ = ["CONSENSUS_IMAGES", "FINE_TUNED", "fine_tune", "measure", "parts"]

Say = Callable[[str], None]
_Named = TypeVar("_Named", Seen, Entrant)
# Networks of different sizes and purposes: to train all of them would take days.
FINE_TUNED = (
    "cifar-resnet20", "cifar-resnet56", "mobilenet-v2", "efficientnet-lite0", "mobilefacenet",
    "ultraface-slim", "xfeat", "open-nsfw",
)  # fmt: skip
CONSENSUS_IMAGES = 160


def parts(task: RealTask) -> Iterator[tuple[int, int, NDArray[np.int64]]]:
    """Labelled images a class, the number of the draw, and the images."""
    split, labels = task.split(), task.labels
    for count in COUNTS:
        for draw, images in enumerate(split.draws):
            own = [images[labels[images] == c][:count] for c in np.unique(labels)]
            yield count, draw, np.concatenate(own)
    yield FULL, 0, split.full


def measure(
    task: RealTask, seen: Sequence[Seen], sets: dict[str, list[str]], work: Path, say: Say
) -> tuple[list[Row], list[Row]]:
    """Compute what is not there yet.

    Parameters
    ----------
    task : RealTask
    seen : sequence of Seen
    sets : dict of str to list of str
        Names of networks that are candidates together: a consensus is that of one set.
    work : Path
        Keeps what was computed.
    say : callable

    Returns
    -------
    truths, scores : list of Row
    """
    test = task.split().test
    truths: list[Row] = []
    found: list[Row] = []
    for count, draw, images in parts(task):
        stem = f"{task.name}-{count}-{draw}"
        truths += _kept(
            work / "truths" / f"{stem}.csv",
            seen,
            partial(_truths, task, images, test),
            (task.name, count, draw),
            say,
        )
        found += _kept(
            work / "scores" / f"{stem}.csv",
            seen,
            partial(_scores, task, images),
            (task.name, count, draw),
            say,
        )
    for draw, images in enumerate(task.split().draws):
        found += _agreements(task, seen, sets, images, draw)
    return truths, found


def fine_tune(task: RealTask, entrants: Sequence[Entrant], work: Path, say: Say) -> list[Row]:
    """Train those of `FINE_TUNED` that are there on all images to learn from.

    Returns
    -------
    list of Row
        One, of the truth ``fine-tuned``.
    """
    split = task.split()
    return _kept(
        work / "tuned" / f"{task.name}.csv",
        [one for one in entrants if one.name in FINE_TUNED],
        lambda one: {"fine-tuned": fine_tuned_accuracy(one.load(), task, split.full, split.test)},
        (task.name, FULL, 0),
        say,
    )


def _kept(
    file: Path,
    seen: Sequence[_Named],
    compute: Callable[[_Named], dict[str, float]],
    key: tuple[str, int, int],
    say: Say,
) -> list[Row]:
    """Rows of a file, made complete."""
    columns: dict[str, dict[str, float]] = {}
    for row in read_rows(file):
        for network, value in row.values.items():
            columns.setdefault(network, {})[row.name] = value
    missing = [one for one in seen if one.name not in columns]
    for one in missing:
        columns[one.name] = compute(one)
        write_rows(file, _rows(key, columns))
    if missing:
        say(f"{file.parent.name} of {file.stem}: {len(missing)} networks")
    wanted = {one.name: columns[one.name] for one in seen}
    return _rows(key, wanted)


def _rows(key: tuple[str, int, int], columns: dict[str, dict[str, float]]) -> list[Row]:
    names = list(dict.fromkeys(name for column in columns.values() for name in column))
    return [
        Row(*key, name, {n: column[name] for n, column in columns.items() if name in column})
        for name in names
    ]


def _truths(
    task: RealTask, images: NDArray[np.int64], test: NDArray[np.int64], one: Seen
) -> dict[str, float]:
    y, groups = task.labels, task.task.groups
    found = {}
    for place, x in (("pooled", one.pooled), ("2x2", one.coarse.reshape(len(y), -1))):
        found[f"probe@{place}"] = probe_accuracy(
            x[images], y[images], groups[images], x[test], y[test]
        )
    maps = one.maps
    found["decoder@4x4"] = decoder_accuracy(
        maps[images], y[images], groups[images], maps[test], y[test]
    )
    return found


def _scores(task: RealTask, images: NDArray[np.int64], one: Seen) -> dict[str, float]:
    y, groups = task.labels[images], task.task.groups[images]
    found = score_images(one.pooled[images], one.coarse[images], y, "classification", None, groups)
    found["label_ridge@4x4"] = scores.label_ridge(one.maps[images], y, groups=groups).value
    return found


def _agreements(
    task: RealTask,
    seen: Sequence[Seen],
    sets: dict[str, list[str]],
    images: NDArray[np.int64],
    draw: int,
) -> list[Row]:
    """What candidates know of each other, by sets of them; no label is used."""
    rows = []
    groups = task.task.groups[images]
    for title, names in sets.items():
        chosen = [one for one in seen if one.name in names]
        for place, x in (
            ("pooled", [one.pooled[images] for one in chosen]),
            ("2x2", [one.coarse[images] for one in chosen]),
        ):
            found = consensus(x, groups, most=CONSENSUS_IMAGES)
            values = {one.name: float(v) for one, v in zip(chosen, found.values, strict=True)}
            rows.append(Row(task.name, 0, draw, f"consensus@{place}, {title}", values))
    return rows
