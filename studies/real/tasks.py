"""Labelled images of strangers, what belongs together, and which of them are for what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import pyattrx
from pyattrx.errors import InvalidValueError

__all__ = ["COUNTS", "DRAWS", "FULL", "RealTask", "Split", "find_tasks", "near_copies", "split"]

COUNTS = (5, 20)  # labelled images a class, of each of `DRAWS` disjoint draws
FULL = 60  # the same of all that is left beside the test images: one draw
DRAWS = 3
_SIZE = 224
_SEED = 14
_TEST = 0.3  # share of a class's images
# Thumbnails of this many pixels a side, from which the local mean is taken; two whose correlation
# is above the limit show the same thing from nearly the same place.
_THUMBNAIL, _ALIKE = 24, 0.9


@dataclass(frozen=True, eq=False)
class RealTask:
    """Images with classes.

    Attributes
    ----------
    name : str
        Of its folder.
    task : pyattrx.Task
        All images; near copies are a group.
    """

    name: str
    task: pyattrx.Task

    @property
    def labels(self) -> NDArray[np.int64]:
        """Class of every image, [N]."""
        assert self.task.labels is not None
        return np.asarray(self.task.labels, np.int64)

    def split(self) -> Split:
        """Deal the images out."""
        return split(self.labels, self.task.groups)


@dataclass(frozen=True, eq=False)
class Split:
    """Numbers of images, by what they are for.

    Attributes
    ----------
    draws : tuple of ndarray
        `DRAWS` parts for learning that have no group in common, each class's in a random order: the
        first n of a class are its n labelled images.
    full : ndarray
        All of them, at most `FULL` a class.
    test : ndarray
        No image is a near copy of one to learn from.
    """

    draws: tuple[NDArray[np.int64], ...]
    full: NDArray[np.int64]
    test: NDArray[np.int64]


def find_tasks(folder: Path, names: Sequence[str] | None = None) -> list[RealTask]:
    """Read the tasks of a folder, or some: ``FOLDER/TASK/CLASS/*``.

    Raises
    ------
    InvalidValueError
        There is none, or none of a name.
    """
    found = [one for one in sorted(folder.iterdir()) if one.is_dir()] if folder.is_dir() else []
    if not found:
        raise InvalidValueError("data", str(folder), "a folder TASK/CLASS/images")
    there = [one.name for one in found]
    for name in names or ():
        if name not in there:
            raise InvalidValueError("tasks", name, f"one of {', '.join(there)}")
    return [_read(one) for one in found if not names or one.name in names]


def _read(folder: Path) -> RealTask:
    files = sorted(one for one in folder.rglob("*") if one.is_file())
    groups = dict(zip(files, near_copies(files).tolist(), strict=True))
    task = pyattrx.Task.from_folder(
        folder, size=_SIZE, groups=lambda path: int(groups[folder / path]), name=folder.name
    )
    return RealTask(folder.name, task)


def near_copies(files: Sequence[Path]) -> NDArray[np.int64]:
    """Put photographs of one series, and crops of one photograph, in one group.

    Returns
    -------
    ndarray [N], int64
        The number of the first image of its group.
    """
    rows = np.stack([_thumbnail(file) for file in files])
    first = np.arange(len(files))
    for index, row in enumerate(rows):
        for other in np.flatnonzero(rows[:index] @ row > _ALIKE):
            # Whoever is alike to one of a group belongs to it.
            first[first == first[index]] = first[other]
    return first


def _thumbnail(file: Path) -> NDArray[np.float64]:
    """A picture of unit length, without what varies slowly."""
    with Image.open(file) as image:
        small = image.convert("RGB").resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX)
    x = np.asarray(small, np.float64)
    x -= x.mean((0, 1))
    flat = x.ravel()
    return np.asarray(flat / max(float(np.linalg.norm(flat)), 1e-12))


def split(labels: NDArray[np.int64], groups: NDArray[np.int64]) -> Split:
    """Deal images out, whole groups, every class evenly.

    Parameters
    ----------
    labels, groups : ndarray [N]

    Returns
    -------
    Split
    """
    generator = np.random.default_rng(_SEED)
    parts: list[list[int]] = [[] for _ in range(DRAWS + 1)]
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        wanted = [_TEST * len(own), *[(1 - _TEST) * len(own) / DRAWS] * DRAWS]
        given = [0] * len(wanted)
        for group in generator.permutation(np.unique(groups[own])):
            members = own[groups[own] == group]
            # To whom most is missing yet, of what it is to have.
            at = int(np.argmax([1 - g / w for g, w in zip(given, wanted, strict=True)]))
            parts[at] += generator.permutation(members).tolist()
            given[at] += len(members)
    test, *draws = (np.array(part, np.int64) for part in parts)
    return Split(tuple(draws), _together(draws, labels), np.sort(test))


def _together(draws: Sequence[NDArray[np.int64]], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """At most `FULL` images of a class, from all draws."""
    every = np.concatenate(draws)
    return np.concatenate([every[labels[every] == c][:FULL] for c in np.unique(labels)])
