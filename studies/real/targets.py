"""Sources ranked for a network that does the task already: what is read of both, and the penalty.

The criterion. Of the ways to ask that are here the default of ``recommend(target=)`` becomes the
one with the highest mean weighted Kendall on MiniTaskonomy (18 targets) among those that are not
behind it on real images, where there are two target networks of one task, by more than .05. Places
had been seen for a penalty of .1 when this was written; penalties, locations and outputs had not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import pyattrx
from pyattrx.recommending import predict

from .agreements import IMAGES
from .entrants import Entrant
from .reading import Seen
from .study import SEEN
from .tables import Row, read_rows, write_rows
from .tasks import RealTask

__all__ = ["PENALTIES", "PLACES", "measure_targets", "read_at"]

PLACES = ("pooled", "2x2", "both", "4x4", "locations")
PENALTIES = (0.01, 0.1, 1.0)


def measure_targets(
    task: RealTask,
    seen: Sequence[Seen],
    there: Sequence[Entrant],
    work: Path,
    say: Callable[[str], None],
) -> list[Row]:
    """Ask every source about the networks of a task; no label is used.

    Parameters
    ----------
    task : RealTask
    seen : sequence of Seen
        Targets and sources.
    there : sequence of Entrant
        The same, to be run where outputs are compared.
    work : Path
        Keeps what was computed.
    say : callable

    Returns
    -------
    list of Row
        R^2; named ``PLACE, PENALTY: TARGET``, with a value a source, and ``outputs, 0.1: TARGET``
        for networks as they are. `Row.labels` is how many images were used.
    """
    asked = [one.name for one in seen if one.name in SEEN.get(task.name, ())]
    names = {one.name for one in seen}
    found: list[Row] = []
    digests = task.task.probes.digests()
    for draw, images in enumerate(task.split().draws if asked else ()):
        order = np.array(sorted(images.tolist(), key=digests.__getitem__))[: max(IMAGES)]
        file = work / "targets" / f"{task.name}-{draw}.csv"
        rows = read_rows(file)
        if {name for row in rows for name in row.values} != names:
            values = _known(seen, asked, task.task.groups[order], order)
            values |= _by_outputs(there, asked, task.task.probes.take(order))
            rows = [Row(task.name, len(order), draw, *item) for item in values.items()]
            write_rows(file, rows)
            say(f"targets of {task.name}-{draw}: {len(seen)} networks")
        found += rows
    return found


def _known(
    seen: Sequence[Seen], asked: Sequence[str], groups: NDArray[np.int64], order: NDArray[np.int64]
) -> dict[str, dict[str, float]]:
    """R^2 by place, penalty and target, and by source."""
    made: dict[str, dict[str, float]] = {}
    for place in PLACES:
        features = [read_at(place, one)[order] for one in seen]
        for target in asked:
            known = features[[one.name for one in seen].index(target)]
            for penalty in PENALTIES:
                # As `recommend(target=)` does it.
                found = predict([known], features, groups, most=len(order), penalty=penalty)
                values = dict(
                    zip([one.name for one in seen], found.values[0].tolist(), strict=True)
                )
                made[f"{place}, {penalty}: {target}"] = values
    return made


def _by_outputs(
    there: Sequence[Entrant], asked: Sequence[str], probes: pyattrx.Probes
) -> dict[str, dict[str, float]]:
    method = pyattrx.methods.NormalizedRidge(penalty=0.1)
    found = pyattrx.affinity([one.load for one in there], probes, method)
    return {
        f"outputs, 0.1: {target}": dict(
            zip(found.names, found.values[found.names.index(target)].tolist(), strict=True)
        )
        for target in asked
    }


def read_at(place: str, one: Seen) -> NDArray[np.float32]:
    """Features of a network: vectors [N, D], or maps [N, C, H, W] for "locations"."""
    flat = {"2x2": one.coarse, "4x4": one.maps, "both": one.coarse}.get(place)
    if flat is None:
        return one.maps if place == "locations" else one.pooled
    vector = flat.reshape(len(flat), -1)
    return np.concatenate([one.pooled, vector], axis=1) if place == "both" else vector
