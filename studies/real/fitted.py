"""A small network is fitted to the labelled images, and sources are ranked by what it sees.

The way in that needs a network of the task: `pyattrx.fit_target`, then a label-free method. Images
without a label serve as probes, too. What its output keeps is varied, to find out what is lost.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import pyattrx
from pyattrx import Encoder, methods

from .measuring import parts
from .reading import GRID, Seen
from .tables import Row, read_rows, write_rows
from .tasks import FULL, RealTask

__all__ = ["NAMES", "maps_of", "measure_fitted", "ridge_r2", "vector_of"]

_IMAGES = 160
# Long enough for all that 600 images can teach.
_LONG = 2400
_BATCH = 64
NAMES = (
    "fitted@locations", "fitted@4x4", "fitted@2x2", "fitted@pooled", "fitted@96 wide",
    "fitted@longer",
)  # fmt: skip


def measure_fitted(
    task: RealTask, seen: Sequence[Seen], work: Path, say: Callable[[str], None]
) -> list[Row]:
    """Rank sources by fitted targets, with the labels that scores have; of one draw each.

    Parameters
    ----------
    task : RealTask
    seen : sequence of Seen
        The sources.
    work : Path
        Keeps what was computed.
    say : callable

    Returns
    -------
    list of Row
        R^2, as of ``methods.NormalizedRidge()``: of the target's output at 4 x 4 locations
        (as `recommended` reads it), of all of them as one vector, of 2 x 2, of their mean, of the
        mean of the layer before ("96 wide"), and, of all labels, of the mean after four times as
        many steps.
    """
    found: list[Row] = []
    names = {one.name for one in seen}
    for count, draw, images in parts(task):
        if draw > 0:
            continue  # a target takes minutes
        file = work / "fitted" / f"{task.name}-{count}-{draw}.csv"
        rows = read_rows(file)
        if {name for row in rows for name in row.values} != names:
            pool = task.split().draws[draw] if count != FULL else images
            rows = _ranked(task, seen, images, _some(task, pool), (task.name, count, draw))
            write_rows(file, rows)
            say(f"fitted to {task.name}-{count}-{draw}: {len(seen)} networks")
        found += rows
    return found


def _some(task: RealTask, images: NDArray[np.int64]) -> NDArray[np.int64]:
    digests = task.task.probes.digests()
    return np.array(sorted(images.tolist(), key=digests.__getitem__))[:_IMAGES]


def _ranked(
    task: RealTask,
    seen: Sequence[Seen],
    images: NDArray[np.int64],
    probes: NDArray[np.int64],
    key: tuple[str, int, int],
) -> list[Row]:
    pixels = torch.cat([task.task.probes.images(int(i), int(i) + 1) for i in images])
    labels = task.labels[images]
    shown = torch.cat([task.task.probes.images(int(i), int(i) + 1) for i in probes])
    targets = []
    for steps in (600, _LONG) if key[1] == FULL else (600,):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it has learnt little is what is asked
            targets.append(pyattrx.fit_target(pixels, labels, task="classification", steps=steps))
    output, *longer = (maps_of(target, shown) for target in targets)
    before = maps_of(targets[0], shown, "blocks")
    made = [
        ridge_r2(output, [one.maps[probes] for one in seen]),
        ridge_r2(vector_of(output, GRID), [vector_of(one.maps[probes], GRID) for one in seen]),
        ridge_r2(
            vector_of(output, 2), [one.coarse[probes].reshape(len(probes), -1) for one in seen]
        ),
        *(
            ridge_r2(vector_of(target, 1), [one.pooled[probes] for one in seen])
            for target in (output, before, *longer)
        ),
    ]
    return [
        Row(*key, name, dict(zip([one.name for one in seen], values.tolist(), strict=True)))
        for name, values in zip(NAMES, made, strict=False)
    ]


def maps_of(target: Encoder, images: Tensor, layer: str | None = None) -> NDArray[np.float32]:
    """What a target says, [N, C, GRID, GRID].

    Parameters
    ----------
    target : Encoder
    images : Tensor [N, 3, H, W]
    layer : str, optional
        Where to read it, if not at its output.
    """
    encoder: Encoder = target if layer is None else target.read_at(output=layer)
    with encoder.prepare("cpu", images[:2]) as prepared:
        seen = [
            prepared.outputs(prepared.preprocess(some))[0].float() for some in images.split(_BATCH)
        ]
    return np.asarray(torch.nn.functional.adaptive_avg_pool2d(torch.cat(seen), GRID).numpy())


def vector_of(maps: NDArray[np.float32], grid: int) -> NDArray[np.float32]:
    """Maps [N, C, H, W] at fewer places, as one vector, [N, D]."""
    n, c, h, w = maps.shape
    if h < grid or w < grid:
        return maps.reshape(n, -1)
    parts = maps.reshape(n, c, grid, h // grid, grid, w // grid)
    return np.asarray(parts.mean((3, 5)).reshape(n, -1))


def ridge_r2(
    target: NDArray[np.float32],
    sources: Sequence[NDArray[np.float32]],
) -> NDArray[np.float64]:
    """R^2 of a target's output by each source's features, [S], as `NormalizedRidge` has it.

    Parameters
    ----------
    target : ndarray [N, D] or [N, C, H, W]
    sources : sequence of ndarray
    """
    descriptor = methods.NormalizedRidge(penalty=0.1)
    groups = np.arange(len(target))
    asked = descriptor.summarize({"output": _shaped(target), "features": _shaped(target)})
    values = []
    for source in sources:
        unit = source / np.maximum(np.linalg.norm(source, axis=1, keepdims=True), 1e-30)
        known = descriptor.summarize({"output": _shaped(unit), "features": _shaped(unit)})
        values.append(float(descriptor.compare([asked], [known], groups, groups % 2)[0][0, 0]))
    return np.array(values)


def _shaped(values: NDArray[np.float32]) -> Tensor:
    """As descriptors keep features, one draw an image: [N, 1, ...]."""
    return torch.from_numpy(np.array(values, np.float32))[:, None]
