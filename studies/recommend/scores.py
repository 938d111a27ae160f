"""Every score of every source for every target of MiniTaskonomy, by the number of labels.

The images are those that the measured transfers learnt from: `DRAWS` disjoint parts of 320.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pyattrx import Encoder, Probes, scores
from pyattrx._files import atomic_write
from pyattrx.demo.minitaskonomy import FOLDER
from pyattrx.demo.networks.mini_taskonomy import as_encoder, load_encoder
from pyattrx.errors import PyattrxError
from pyattrx.features import Features, extract
from pyattrx.recommending import consensus

from ..minitaskonomy.data import Data, to_tensor
from ..minitaskonomy.presets import FULL
from ..minitaskonomy.tasks import TARGETS, TASKS, Task
from ..minitaskonomy.train import encoder_file

__all__ = [
    "COUNTS",
    "DRAWS",
    "Scores",
    "compute",
    "features_of",
    "images_of",
    "kind_of",
    "load_source",
    "parts_of",
    "read",
    "score_images",
    "score_names",
    "small",
]

Say = Callable[[str], None]

# Labelled images a class, or in sum where labels are no classes; None: all of a part.
COUNTS: tuple[int | None, ...] = (5, 20, None)
DRAWS = FULL.decoders
_SEED = 2019
_PER_IMAGE = 4  # locations of an image, for scores that know images only
_OF_IMAGES = ("linear_probe", "knn", "logme", "label_ridge")
_OF_CLASSES = ("nearest_mean", "nleep", "gbc", "h_score", "transrate", "sfda", "parc", "ridge_loo")


@dataclass(frozen=True, eq=False)
class Scores:
    """What was computed from one set of encoders.

    Attributes
    ----------
    targets, sources, names : tuple of str
        `names` are scores, ``score@place``.
    values : ndarray [T, counts, draws, scores, S], float32
        NaN where a score cannot be computed; the target's own encoder is among the sources.
    seconds : ndarray [scores]
        Mean time of a candidate, features not included.
    """

    targets: tuple[str, ...]
    sources: tuple[str, ...]
    names: tuple[str, ...]
    values: NDArray[np.float32]
    seconds: NDArray[np.float64]

    def of(self, name: str, count: int, draw: int) -> NDArray[np.float64]:
        """One score, [T, S]."""
        return self.values[:, count, draw, self.names.index(name)].astype(np.float64)


def read(file: Path) -> Scores:
    """Read what `compute` wrote."""
    with np.load(file, allow_pickle=False) as found:
        names = [tuple(found[key].tolist()) for key in ("targets", "sources", "names")]
        return Scores(names[0], names[1], names[2], found["values"], found["seconds"])


def kind_of(task: Task) -> str:
    """What the labels of a target are."""
    if task.loss == "cross_entropy":
        return "dense_classification" if task.dense else "classification"
    return "dense_regression" if task.dense else "regression"


def compute(folder: Path, seed: int, out: Path, say: Say, targets: Sequence[str] = TARGETS) -> Path:
    """Score all sources for all targets.

    Parameters
    ----------
    folder : Path
        Of `minitaskonomy`: the scenes, and the encoders of seeds other than 0, which ship with the
        package.
    seed : int
        Of the encoders.
    out : Path
        The file to write.
    say : callable
        Is told what is done.
    """
    data = Data(folder)
    sources = tuple(TASKS)
    encoders = [load_source(folder, seed, name) for name in sources]
    names = score_names()
    shape = (len(targets), len(COUNTS), DRAWS, len(names), len(sources))
    values = np.full(shape, np.nan, np.float32)
    spent = np.zeros((len(names), 2))
    kept: dict[str, list[Features]] = {}
    for t, target in enumerate(targets):
        task = TASKS[target]
        which = target if task.corrupt is not None else "clean"
        if which not in kept:
            kept[which] = features_of(encoders, images_of(data, task))
        labels = data.labels(task, "transfer")
        for draw in range(DRAWS):
            part = _part(draw)
            seen = parts_of(kept[which], draw)
            _agreements(seen, sources.index(target), names, values[t, :, draw], spent)
            for c, count in enumerate(COUNTS):
                chosen = _choose(labels[part].numpy(), task, count)
                for s, (pooled, maps) in enumerate(seen):
                    found = _score(pooled[chosen], maps[chosen], labels[part][chosen], task, spent)
                    for name, value in found.items():
                        values[t, c, draw, names.index(name), s] = value
        say(f"{target}: scored")
    seconds = spent[:, 0] / np.maximum(spent[:, 1], 1)
    with atomic_write(out) as file:
        np.savez_compressed(
            file, targets=np.array(targets), sources=np.array(sources), names=np.array(names),
            values=values, seconds=seconds,
        )  # fmt: skip
    return out


def score_names() -> tuple[str, ...]:
    """Scores, and where they are read: ``score@place``."""
    found = [f"{name}@pooled" for name in (*_OF_IMAGES, *_OF_CLASSES)]
    found += [f"{name}@2x2" for name in (*_OF_IMAGES, *_OF_CLASSES)]
    found += [f"{name}@locations" for name in _OF_IMAGES]
    found += [f"{name}@both" for name in _OF_IMAGES[:3]]  # the vector, and 2 x 2 beside it
    return (*found, "consensus@pooled", "consensus@2x2")


def load_source(folder: Path, seed: int, name: str) -> Encoder:
    """Load the encoder of a task; those of seed 0 ship with the package."""
    shipped = FOLDER / f"{name}.safetensors"
    file = shipped if seed == 0 else encoder_file(folder, "residual", seed, name)
    return as_encoder(load_encoder(file, "residual"), name)


def images_of(data: Data, task: Task) -> torch.Tensor:
    """Return what networks see of a task, for all draws."""
    images = to_tensor(np.asarray(data.images("transfer")[: DRAWS * FULL.subset]))
    if task.corrupt is None:
        return images
    generator = torch.Generator().manual_seed(_SEED)
    return task.corrupt(images, generator).clamp(0, 1)


def features_of(encoders: Sequence[Encoder], images: torch.Tensor) -> list[Features]:
    """Read encoders, at 8 x 8 locations."""
    probes = Probes.from_tensor(images)
    return [extract(encoder, probes, grid=8) for encoder in encoders]


def _part(draw: int) -> slice:
    return slice(draw * FULL.subset, (draw + 1) * FULL.subset)


def parts_of(features: Sequence[Features], draw: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Vectors [N, D] and maps [N, C, 8, 8] of every network, of the images of one draw."""
    return [(one.pooled[_part(draw)], _maps(one)[_part(draw)]) for one in features]


def _maps(features: Features) -> np.ndarray:
    assert features.maps is not None
    return features.maps


def _choose(labels: np.ndarray, task: Task, count: int | None) -> np.ndarray:
    """The first images of every class, or of all."""
    if count is None:
        return np.arange(len(labels))
    if kind_of(task) != "classification":
        return np.arange(count)
    return np.sort(np.concatenate([np.flatnonzero(labels == c)[:count] for c in np.unique(labels)]))


def _agreements(
    seen: list[tuple[np.ndarray, np.ndarray]],
    own: int,
    names: Sequence[str],
    values: np.ndarray,
    spent: np.ndarray,
) -> None:
    """The consensus of all but the target's own encoder; the same for any number of labels."""
    others = [i for i in range(len(seen)) if i != own]
    for name, features in (
        ("consensus@pooled", [seen[i][0] for i in others]),
        ("consensus@2x2", [small(seen[i][1]) for i in others]),
    ):
        begun = time.perf_counter()
        found = consensus(features, np.arange(len(features[0])), most=160)
        at = names.index(name)
        values[:, at, others] = found.values.astype(np.float32)
        spent[at] += time.perf_counter() - begun, len(others)


def small(maps: np.ndarray) -> np.ndarray:
    """Maps of 8 x 8 as 2 x 2."""
    n, c, h, w = maps.shape
    return np.asarray(maps.reshape(n, c, 2, h // 2, 2, w // 2).mean((3, 5)))


def _score(
    pooled: np.ndarray, maps: np.ndarray, labels: torch.Tensor, task: Task, spent: np.ndarray
) -> dict[str, float]:
    found: dict[str, float] = {}
    kind = kind_of(task)
    if kind.startswith("dense"):
        y = labels.numpy() if kind == "dense_classification" else labels.float().numpy()
        _add(found, "label_ridge", "locations", maps, y, None, spent)
        samples, drawn, groups = scores.dense_samples(maps, y, per_image=_PER_IMAGE)
        for name in _OF_IMAGES[:3]:
            _add(found, name, "locations", samples, drawn, groups, spent)
        return found
    y = labels.numpy() if kind == "classification" else labels.double().numpy()
    return score_images(pooled, small(maps), y, kind, spent)


def score_images(
    pooled: np.ndarray,
    maps: np.ndarray,
    labels: np.ndarray,
    kind: str,
    spent: np.ndarray | None = None,
    groups: np.ndarray | None = None,
) -> dict[str, float]:
    """Score one source by labels of images, at all places.

    Parameters
    ----------
    pooled : ndarray [N, D]
    maps : ndarray [N, C, 2, 2]
    labels : ndarray
    kind : {"classification", "regression"}
    spent : ndarray [names, 2], optional
        Seconds and calls of each of `score_names` are added.
    groups : ndarray [N], optional

    Returns
    -------
    dict of str to float
        Values by ``score@place``; without what cannot be computed.
    """
    found: dict[str, float] = {}
    flat = maps.reshape(len(maps), -1)
    for place, x, of_maps in (("pooled", pooled, pooled), ("2x2", flat, maps)):
        for name in (*_OF_IMAGES, *_OF_CLASSES):
            if kind in scores.SCORES[name].kinds:
                seen = of_maps if name == "label_ridge" else x
                _add(found, name, place, seen, labels, groups, spent)
    for name in _OF_IMAGES[:3]:
        _add(found, name, "both", np.concatenate([pooled, flat], axis=1), labels, groups, spent)
    return found


def _add(
    found: dict[str, float],
    name: str,
    place: str,
    x: np.ndarray,
    y: np.ndarray,
    groups: np.ndarray | None,
    spent: np.ndarray | None,
) -> None:
    begun = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            score = scores.score(name, x, y, groups=groups)
    except PyattrxError:
        return
    key = f"{name}@{place}"
    found[key] = score.value
    if spent is not None:
        spent[score_names().index(key)] += time.perf_counter() - begun, 1
