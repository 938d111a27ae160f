"""Layers of a source, scored by the labels of a task."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch

from pyattrx.encoders import Encoder
from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.features import FeatureCache
from pyattrx.methods import ComparisonMethod
from pyattrx.probes import Probes
from pyattrx.questions.candidates import Spot
from pyattrx.questions.layers_result import Layer, Layers
from pyattrx.recommending import recommend
from pyattrx.tasks import Task

__all__ = ["check_labels", "with_labels"]


def check_labels(
    labels: Any, probes: Probes | None, method: str | ComparisonMethod
) -> tuple[Task, str | None]:
    """Return a labelled task, and the score that is asked for, if one is.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        No labels, or no name of a score.
    """
    if probes is not None and not isinstance(probes, Probes):
        raise InvalidTypeError("probes", probes, "pyattrx.Probes, or None beside a task")
    if not isinstance(method, str):
        expected = "with labels the name of a score of pyattrx.scores, or 'recommended'"
        raise InvalidTypeError("method", method, expected)
    if probes is None:
        task = Task.of(labels)
    elif isinstance(labels, Task):
        raise InvalidValueError("probes", probes, "None: a task has images of its own")
    else:
        task = Task.of((probes.images(0, len(probes)), labels))
    if task.kind == "unlabelled":
        raise InvalidValueError("labels", labels, "a task with labels, or a target network")
    return task, None if method == "recommended" else method


def with_labels(
    source: Encoder,
    task: Task,
    score: str | None,
    spots: Sequence[Spot],
    *,
    batch_size: int,
    device: torch.device,
    level: float,
    cache: bool | str | os.PathLike[str] | FeatureCache,
) -> Layers:
    """Score layers; parameters as for `layers`, all checked."""
    made = source.read_at_each([spot.name for spot in spots])
    named = dict(zip((one.name for one in made), spots, strict=True))
    # What one pass reads of all layers goes from hand to hand in a cache.
    with tempfile.TemporaryDirectory() if cache is False else nullcontext() as folder:
        found = recommend(
            made, task, scores=score, batch_size=batch_size, device=device, level=level,
            cache=cache if folder is None else folder,
        )  # fmt: skip
    standings = {one.name: one for one in found}
    layers = [
        Layer(
            spot.name, 0, spot.shape, one.value, one.stderr, one.low, one.high,
            tuple(named[tie].name for tie in one.ties),
        )
        for name, spot in named.items()
        if (one := standings.get(name)) is not None
    ]  # fmt: skip
    return Layers(
        tuple(replace(one, depth=depth) for depth, one in enumerate(layers, 1)),
        source.name,
        str(found.task["name"]),
        found.score,
        {named[name].name: why for name, why in found.failures.items()},
        (),
        {**found.provenance, "task": found.task},
    )
