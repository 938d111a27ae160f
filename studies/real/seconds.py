"""What scores cost: CPU seconds of one thread for a candidate, the median over candidates.

Scores are measured on features that are there, of the images of one draw of one task. Passes are
measured an image: a plain one, which all scores need once, and those of published methods. Of what
treats all candidates together a candidate has its share.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.measure import machine
from pyattrx import methods, scores
from pyattrx.encoders import PreparedEncoder
from pyattrx.errors import PyattrxError
from pyattrx.methods import resolve_attribution, resolve_scalar
from pyattrx.recommending import consensus

from ..recommend.scores import score_names
from .agreements import IMAGES
from .entrants import Entrant
from .facts import Facts, read_facts, write_facts
from .measuring import parts
from .reading import Seen
from .study import LABELS
from .targets import read_at
from .tasks import RealTask

__all__ = ["COLUMNS", "PASSES", "measure_seconds", "seconds_file"]

_Say = Callable[[str], None]
COLUMNS = ("name", "what", *(str(n) for n in LABELS), "candidates", "measured_on")
PASSES = ("forward", "saliency", "grad_x_input", "elrp", "perturbation_response")
_FEW = 4  # images of a pass
_NAMES = (*(n for n in score_names() if "locations" not in n and "consensus" not in n),
          "label_ridge@4x4")  # fmt: skip


def measure_seconds(
    task: RealTask, seen: Sequence[Seen], there: Sequence[Entrant], work: Path, say: _Say
) -> dict[str, Facts]:
    """Measure what is not there yet.

    Parameters
    ----------
    task : RealTask
    seen : sequence of Seen
        The candidates.
    there : sequence of Entrant
        The same, to be run.
    work : Path
        Keeps what was measured.
    say : callable

    Returns
    -------
    dict of str to dict of str to str
        By name, with `COLUMNS`: seconds by labelled images a class, the same where no label is
        used.
    """
    file = seconds_file(work)
    if file.is_file():
        return read_facts(file)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        by_labels = [_of_scores(task, seen, images) for _, draw, images in parts(task) if draw == 0]
        found = {name: [one[name] for one in by_labels] for name in by_labels[0]}
        of_all = _of_consensus(task, seen) | _of_passes(task, seen, there)
        found |= {name: [value] * len(LABELS) for name, value in of_all.items()}
    finally:
        torch.set_num_threads(threads)
    made = {name: _row(name, values, len(seen)) for name, values in found.items()}
    write_facts(file, made, COLUMNS)
    say(f"seconds of {len(made)} scores and passes, on {task.name}")
    return made


def seconds_file(work: Path) -> Path:
    """Where a work folder has what was measured."""
    return work / "seconds.csv"


def _row(name: str, values: Sequence[float | None], count: int) -> Facts:
    by_labels = zip((str(n) for n in LABELS), values, strict=True)
    return {
        "name": name,
        "what": "CPU seconds an image" if name in PASSES else "CPU seconds",
        **{n: "" if value is None else f"{value:.3g}" for n, value in by_labels},
        "candidates": str(count),
        "measured_on": f"{machine()['cpu']}, 1 thread",
    }


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if values else None


def _of_scores(
    task: RealTask, seen: Sequence[Seen], images: NDArray[np.int64]
) -> dict[str, float | None]:
    y, groups = task.labels[images], task.task.groups[images]
    spent: dict[str, list[float]] = {name: [] for name in _NAMES}
    for one in seen:
        for name in _NAMES:
            score, _, place = name.partition("@")
            x = read_at(place, one)[images]
            if score == "label_ridge":  # reads maps
                x = {"2x2": one.coarse, "4x4": one.maps}.get(place, one.pooled)[images]
            took = _seconds(partial(scores.score, score, x, y, groups=groups))
            spent[name] += [] if took is None else [took]
    return {name: _median(values) for name, values in spent.items()}


def _of_consensus(task: RealTask, seen: Sequence[Seen]) -> dict[str, float | None]:
    images = task.split().draws[0][: max(IMAGES)]
    found = {}
    for place in ("pooled", "2x2"):
        features = [read_at(place, one)[images] for one in seen]
        took = _seconds(partial(consensus, features, task.task.groups[images], most=max(IMAGES)))
        found[f"consensus@{place}"] = None if took is None else took / len(seen)
    return found


def _of_passes(
    task: RealTask, seen: Sequence[Seen], there: Sequence[Entrant]
) -> dict[str, float | None]:
    images = task.task.probes.images(0, _FEW)
    spent: dict[str, list[float]] = {name: [] for name in PASSES}
    names = {one.name for one in seen}
    for one in (one for one in there if one.name in names):
        with one.load().prepare("cpu", images[:2]) as prepared:
            for name, run in _passes(prepared, images).items():
                if name == "forward":
                    run()  # what a first pass costs beyond others
                took = _seconds(run)
                spent[name] += [] if took is None else [took / _FEW]
    return {name: _median(values) for name, values in spent.items()}


def _passes(prepared: PreparedEncoder, images: torch.Tensor) -> Mapping[str, Callable[[], object]]:
    x, scalar = prepared.preprocess(images), resolve_scalar("mean")

    def forward() -> object:
        with torch.no_grad():
            return prepared.forward(x)

    def response() -> object:
        with torch.no_grad():
            method = methods.PerturbationResponse()
            return method.observe(prepared, images, np.arange(len(images)))

    maps = {
        name: partial(resolve_attribution(name).gradient, prepared.forward, x, scalar)
        for name in ("saliency", "grad_x_input", "elrp")
    }
    return {"forward": forward, **maps, "perturbation_response": response}


def _seconds(run: Callable[[], object]) -> float | None:
    """CPU seconds; None where it cannot be computed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        begun = time.process_time()
        try:
            run()
        except PyattrxError:
            return None
        return time.process_time() - begun
