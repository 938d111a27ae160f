"""Candidates ranked for a network that does the task already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pyattrx.errors import InvalidValueError
from pyattrx.features import Features
from pyattrx.methods import RECOMMENDED
from pyattrx.recommending.agreement import as_scores, predict
from pyattrx.recommending.answering import answer
from pyattrx.recommending.candidates import Candidate, read_candidates
from pyattrx.recommending.finding import Finding, spread_out
from pyattrx.recommending.gathering import read_all
from pyattrx.recommending.options import Options
from pyattrx.recommending.result import Recommendation
from pyattrx.recommending.rule import TARGET, Rule
from pyattrx.running import Failures
from pyattrx.scores import Score
from pyattrx.statistics import jackknife_residuals
from pyattrx.tasks import Task

__all__ = ["rank_for_target", "target_scores"]

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
    shown = replace(wanted, name=f"{wanted.name} (target)")
    (asked,) = read_all([shown], task, options, Failures("raise"))
    if asked.constant:
        expected = "a network that sees a difference between the images: its features are all alike"
        raise InvalidValueError("target", wanted.name, expected)
    if options.weight:
        expected = "0: a target network takes the place of labels, and of the consensus"
        raise InvalidValueError("consensus_weight", options.weight, expected)
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
    spread = spread_out(task)
    wanted = asked.together(_GRID)[spread]
    found = predict(
        [wanted],
        [one.together(_GRID)[spread] for one in read],
        task.groups[spread],
        most=_MOST_IMAGES,
        penalty=RECOMMENDED.penalty,
    )
    residuals = jackknife_residuals(found.values[0], found.without[:, 0], found.blocks)
    digests = task.probes.digests()
    question = wanted.tobytes() + b"".join(digests[index] for index in spread)
    return as_scores(TARGET, found.values[0], residuals, found.blocks, question)
