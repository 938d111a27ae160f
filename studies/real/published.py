"""Published ways of comparing networks, asked about a fitted target and about networks of a task.

The criterion, fixed before any result was seen. Methods are those of `pyattrx.methods.list` when
this was written, with the options that their names are short for; no other option is tried. A
target is fitted to 20 labelled images a class (first draw); for objects there are networks of the
task, too. A method becomes the way in where there are labels only if its weighted Kendall with
fitted targets is above that of the default with the same labels outside the noise (paired
bootstrap, 95 %, over `study.CHOOSING`). It replaces "recommended" for a target network only if it
is ahead of it outside the noise on objects (candidates and draws), and on MiniTaskonomy not behind
it (docs/methods.md).

Methods of features read what others here read, pooled and at 4 x 4 places, of `IMAGES` images.
Those that need passes of their own (maps, DEPARA, perturbations) read networks as they are, at
their outputs, as they were published, on the first `SHOWN` of the images: a pass through all
networks takes a second an image, and these methods need ten.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import pyattrx
from pyattrx import Combined, Encoder, FeatureMethod, methods
from pyattrx.methods import Summary

from ..transfer.describe import describe, read
from ..transfer.scores import score
from .entrants import Entrant
from .fitted import maps_of, vector_of
from .reading import GRID, Seen
from .study import SEEN
from .tables import Row, read_rows, write_rows
from .tasks import RealTask

__all__ = ["IMAGES", "LABELS", "OF_FEATURES", "OF_PASSES", "PLACES", "SHOWN", "measure_published"]

LABELS = 20  # labelled images a class that a target is fitted to
IMAGES, SHOWN = 160, 24
PLACES = {"pooled": 1, "4x4": GRID}
# By what they need of a network: features that are there, or passes.
OF_FEATURES = (
    "recommended", "rsa", "cka", "dds", "edges", "svcca", "ridge", "normalized_ridge",
)  # fmt: skip
_PARTS = ("saliency", "grad_x_input", "elrp", "edges", "perturbation_response")
OF_PASSES = ("saliency", "grad_x_input", "elrp", "depara", "perturbation_response")
_FITTED = "fitted"
_Say = Callable[[str], None]
_ByName = dict[str, float]


def measure_published(
    task: RealTask, seen: Sequence[Seen], there: Sequence[Entrant], work: Path, say: _Say
) -> list[Row]:
    """Rank sources by every method of the package, for targets of a task.

    Parameters
    ----------
    task : RealTask
    seen : sequence of Seen
        The sources.
    there : sequence of Entrant
        The same, to be run.
    work : Path
        Keeps what was computed.
    say : callable

    Returns
    -------
    list of Row
        Named ``fitted@METHOD, PLACE``, or ``METHOD, PLACE: TARGET`` for networks of the task, with
        a value a source; the place of methods that need passes is "passes". `Row.labels` is the
        labelled images a class.
    """
    file = work / "published" / f"{task.name}.csv"
    rows = read_rows(file)
    names = [one.name for one in seen]
    if {name for row in rows for name in row.values} != set(names):
        target = _fitted(task, work)
        rows = _by_passes(task, names, there, target, work, say)
        rows += _by_features(task, seen, target)
        write_rows(file, rows)
        say(f"published methods of {task.name}: {len(seen)} networks")
    return rows


def _order(task: RealTask, draw: int) -> NDArray[np.int64]:
    """Images of a draw, in an order that knows nothing of classes."""
    digests = task.task.probes.digests()
    images = task.split().draws[draw].tolist()
    return np.array(sorted(images, key=digests.__getitem__))[:IMAGES]


def _fitted(task: RealTask, work: Path) -> Encoder:
    """Fit a target to the first draw, or load it."""
    file = work / "published" / f"{task.name}-{LABELS}.safetensors"
    if not file.is_file():
        own, labels = task.split().draws[0], task.labels
        images = np.concatenate([own[labels[own] == c][:LABELS] for c in np.unique(labels)])
        pixels = torch.cat([task.task.probes.images(int(i), int(i) + 1) for i in images])
        file.parent.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it has learnt little is what is asked
            made = pyattrx.fit_target(pixels, labels[images], task="classification", name=_FITTED)
        made.save(file)
    return pyattrx.load(str(file))


def _by_features(task: RealTask, seen: Sequence[Seen], target: Encoder) -> list[Row]:
    """What methods say of features that are there; the fitted target is asked for one draw."""
    rows = []
    names = [one.name for one in seen]
    asked = [name for name in SEEN.get(task.name, ()) if name in names]
    for draw in range(len(task.split().draws) if asked else 1):
        order = _order(task, draw)
        groups = task.task.groups[order]
        for place, grid in PLACES.items():
            known = {one.name: vector_of(one.maps[order], grid) for one in seen}
            if place == "pooled":
                known = {one.name: one.pooled[order] for one in seen}
            targets = {name: known[name] for name in asked}
            if draw == 0:
                pixels = torch.cat([task.task.probes.images(int(i), int(i) + 1) for i in order])
                targets[_FITTED] = vector_of(maps_of(target, pixels), grid)
            for name in OF_FEATURES:
                found = _compared(name, targets, known, groups)
                rows += _rows(task, draw, f"{name}, {place}", names, found)
    return rows


def _compared(
    name: str,
    targets: dict[str, NDArray[np.float32]],
    sources: dict[str, NDArray[np.float32]],
    groups: NDArray[np.int64],
) -> dict[str, _ByName]:
    """Scores by target and source."""
    method = methods.get(name)
    assert isinstance(method, FeatureMethod)
    left = [_summary(method, x) for x in targets.values()]
    right = [_summary(method, x) for x in sources.values()]
    halves = np.unique(groups, return_inverse=True)[1] % 2
    values, _ = method.compare(left, right, groups, halves)
    return {
        target: dict(zip(sources, row.tolist(), strict=True))
        for target, row in zip(targets, values, strict=True)
    }


def _summary(method: FeatureMethod, values: NDArray[np.float32]) -> Summary:
    """What a method keeps of vectors [N, D], as if a network had put them out."""
    x = torch.from_numpy(np.array(values, np.float32))
    if isinstance(method, methods.NormalizedRidge):
        unit = x / x.norm(dim=1, keepdim=True).clamp_min(1e-30)
        return method.summarize({"output": x[:, None], "features": unit[:, None]})
    return method.summarize({"output": x, "features": x})


def _by_passes(
    task: RealTask,
    names: Sequence[str],
    there: Sequence[Entrant],
    target: Encoder,
    work: Path,
    say: _Say,
) -> list[Row]:
    """What methods say that need passes of their own."""
    probes = task.task.probes.take(_order(task, 0)[:SHOWN])
    folder = work / "published" / task.name
    by_name = {one.name: one.load for one in there}
    loads: dict[str, Callable[[], Encoder]] = {name: by_name[name] for name in names}
    loads[_FITTED] = lambda: target
    for name, load in loads.items():
        begun = time.process_time()
        if describe(load(), probes, folder / name, _PARTS):
            say(f"{task.name}: maps of {name} in {time.process_time() - begun:.0f} s of the CPU")
    asked = [_FITTED, *(name for name in SEEN.get(task.name, ()) if name in names)]
    values = {}
    for part in _PARTS:
        kept = [read(folder / name, part) for name in loads]
        values[part] = score(part, kept, np.asarray(probes.groups)).values
    # As `Combined.depara` has it: the mean of nodes and edges.
    assert [weight for _, weight in Combined.depara().terms] == [1.0, 1.0]
    values["depara"] = (values["grad_x_input"] + values["edges"]) / 2
    every = list(loads)
    rows = []
    for name in OF_PASSES:
        found = {
            one: {s: float(values[name][every.index(one), every.index(s)]) for s in names}
            for one in asked
        }
        rows += _rows(task, 0, f"{name}, passes", names, found)
    return rows


def _rows(
    task: RealTask, draw: int, way: str, names: Sequence[str], found: dict[str, _ByName]
) -> list[Row]:
    return [
        Row(
            task.name,
            LABELS,
            draw,
            f"{_FITTED}@{way}" if target == _FITTED else f"{way}: {target}",
            {name: values[name] for name in names},
        )
        for target, values in found.items()
    ]
