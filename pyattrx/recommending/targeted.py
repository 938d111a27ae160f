"""Candidates ranked for a network that does the task already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from pyattrx.errors import InvalidValueError
from pyattrx.features import Features
from pyattrx.recommending.agreement import as_scores, predict
from pyattrx.recommending.answering import answer
from pyattrx.recommending.candidates import Candidate, read_candidates
from pyattrx.recommending.finding import Finding
from pyattrx.recommending.gathering import read_all
from pyattrx.recommending.options import Options
from pyattrx.recommending.result import Recommendation
from pyattrx.recommending.rule import TARGET, Rule
from pyattrx.running import Failures
from pyattrx.scores import Score
from pyattrx.statistics import jackknife_residuals
from pyattrx.tasks import Task

__all__ = ["rank_for_target", "target_scores"]

# Of the regressions: with 0.1 wide networks fit what is by chance alike in few images. See
# docs/evidence.md.
_PENALTY = 1.0
_GRID = 2
_MOST_IMAGES = 512


def rank_for_target(
    target: Any, candidates: Sequence[Candidate], task: Task, options: Options, *, trust: bool
) -> Recommendation:
    """Rank candidates by how well their features predict those of the target.

    Raises
    ------
    InvalidValueError
        Too few images.
    EncoderError
        The target fails, or every candidate.
    """
    if task.probes.n_groups < 4:
        raise InvalidValueError("task", f"{task.probes.n_groups} images that differ", "at least 4")
    (wanted,) = read_candidates([target], trust=trust)
    wanted = replace(wanted, name=f"{wanted.name} (target)")
    (asked,) = read_all([wanted], task, options, Failures("raise"))
    failures = Failures(options.on_error)
    read = read_all(candidates, task, options, failures)
    found = [
        Finding(one, {TARGET: score})
        for one, score in zip(read, target_scores(asked, read, task), strict=True)
    ]
    made = answer(found, task, Rule(TARGET), options, failures.found)
    notes = (
        f"{wanted.name} stands for the task; it is read at {asked.place}. Labels are not used.",
        *made.notes,
    )
    return replace(made, notes=notes, provenance={**made.provenance, "target": wanted.name})


def target_scores(asked: Features, read: Sequence[Features], task: Task) -> list[Score]:
    """Score candidates by how well they predict a target's features, as R^2.

    Parameters
    ----------
    asked : Features
        Of the target.
    read : sequence of Features
        Of the candidates, for the same images.
    task : Task
        Its images are those of the features.
    """
    # In an order that knows nothing of labels: folders come class by class.
    spread = np.array(sorted(range(len(task)), key=task.probes.digests().__getitem__))
    found = predict(
        [_vector(asked)[spread]],
        [_vector(one)[spread] for one in read],
        task.groups[spread],
        most=_MOST_IMAGES,
        penalty=_PENALTY,
    )
    residuals = jackknife_residuals(found.values[0], found.without[:, 0], found.blocks)
    return as_scores(TARGET, found.values[0], residuals, found.blocks)


def _vector(one: Features) -> np.ndarray:
    """The vector, and maps of 2 x 2 beside it, [N, D]."""
    if one.maps is None or one.constant:
        return one.pooled
    maps = one.maps
    if max(maps.shape[-2:]) > _GRID:
        small = torch.from_numpy(maps.astype(np.float32))
        maps = F.adaptive_avg_pool2d(small, _GRID).numpy()
    return np.concatenate([one.pooled, maps.reshape(len(maps), -1)], axis=1)
