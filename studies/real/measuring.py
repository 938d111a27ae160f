"""Scores and truths of all networks for one task, resumable: a file a step in the work folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pyattrx import scores

from ..recommend.scores import score_images
from .decoders import decoder_accuracy
from .entrants import Entrant
from .finetuning import fine_tuned_accuracy
from .probes import probe_accuracy
from .reading import Seen
from .tables import Row, read_rows, write_rows
from .tasks import COUNTS, FULL, RealTask

__all__ = [
    "FINE_TUNED",
    "TRUTHS",
    "fine_tune",
    "kept_rows",
    "measure",
    "parts",
    "scores_of",
    "truths_of",
]

Say = Callable[[str], None]
TRUTHS = ("probe@pooled", "probe@2x2", "decoder@4x4")
_Named = TypeVar("_Named", Seen, Entrant)
# Networks of different sizes and purposes: to train all of them would take days.
FINE_TUNED = (
    "cifar-resnet20", "cifar-resnet56", "mobilenet-v2", "efficientnet-lite0", "mobilefacenet",
    "ultraface-slim", "xfeat", "open-nsfw",
)  # fmt: skip


def parts(task: RealTask) -> Iterator[tuple[int, int, NDArray[np.int64]]]:
    """Labelled images a class, the number of the draw, and the images."""
    split, labels = task.split(), task.labels
    for count in COUNTS:
        for draw, images in enumerate(split.draws):
            own = [images[labels[images] == c][:count] for c in np.unique(labels)]
            yield count, draw, np.concatenate(own)
    yield FULL, 0, split.full


def measure(
    task: RealTask, seen: Sequence[Seen], work: Path, say: Say
) -> tuple[list[Row], list[Row]]:
    """Compute what is not there yet.

    Parameters
    ----------
    task : RealTask
    seen : sequence of Seen
    work : Path
        Keeps what was computed.
    say : callable

    Returns
    -------
    truths, scores : list of Row
    """
    test, labels, groups = task.split().test, task.labels, task.task.groups
    truths: list[Row] = []
    found: list[Row] = []
    for count, draw, images in parts(task):
        stem = f"{task.name}-{count}-{draw}"
        truths += kept_rows(
            work / "truths" / f"{stem}.csv",
            seen,
            partial(truths_of, labels, groups, images, test),
            (task.name, count, draw),
            say,
        )
        found += kept_rows(
            work / "scores" / f"{stem}.csv",
            seen,
            partial(scores_of, labels, groups, images),
            (task.name, count, draw),
            say,
        )
    return truths, found


def fine_tune(task: RealTask, entrants: Sequence[Entrant], work: Path, say: Say) -> list[Row]:
    """Train those of `FINE_TUNED` that are there on all images to learn from.

    Returns
    -------
    list of Row
        One, of the truth ``fine-tuned``.
    """
    split = task.split()
    return kept_rows(
        work / "tuned" / f"{task.name}.csv",
        [one for one in entrants if one.name in FINE_TUNED],
        lambda one: {"fine-tuned": fine_tuned_accuracy(one.load(), task, split.full, split.test)},
        (task.name, FULL, 0),
        say,
    )


def kept_rows(
    file: Path,
    seen: Sequence[_Named],
    compute: Callable[[_Named], dict[str, float]],
    key: tuple[str, int, int],
    say: Say,
) -> list[Row]:
    """Rows of a file, made complete: a column a network, written as soon as it is there.

    Parameters
    ----------
    file : Path
    seen : sequence
        Who is asked for.
    compute : callable
        Makes the column of one.
    key : tuple
        Task, labels and draw.
    say : callable
    """
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


def truths_of(
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    images: NDArray[np.int64],
    test: NDArray[np.int64],
    one: Seen,
    kinds: Sequence[str] = TRUTHS,
) -> dict[str, float]:
    """What is reached on test images by learning from others, by kind.

    Parameters
    ----------
    labels, groups : ndarray [N]
    images, test : ndarray
        Numbers of images.
    one : Seen
    kinds : sequence of str
        Of `TRUTHS`.
    """

    def reached(how: Callable[..., float], x: NDArray[np.float32]) -> float:
        return how(x[images], labels[images], groups[images], x[test], labels[test])

    made: dict[str, Callable[[], float]] = {
        "probe@pooled": lambda: reached(probe_accuracy, one.pooled),
        "probe@2x2": lambda: reached(probe_accuracy, one.coarse.reshape(len(labels), -1)),
        "decoder@4x4": lambda: reached(decoder_accuracy, one.maps),
    }
    return {kind: made[kind]() for kind in kinds}


def scores_of(
    labels: NDArray[np.int64], groups: NDArray[np.int64], images: NDArray[np.int64], one: Seen
) -> dict[str, float]:
    """All scores by some labelled images."""
    y, own = labels[images], groups[images]
    found = score_images(one.pooled[images], one.coarse[images], y, "classification", None, own)
    found["label_ridge@4x4"] = scores.label_ridge(one.maps[images], y, groups=own).value
    return found
