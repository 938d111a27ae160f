"""What was found of each candidate: its features, and what every score says of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pyattrx._progress import progress
from pyattrx.features import Features
from pyattrx.recommending.agreement import consensus
from pyattrx.recommending.labelled import Labelled, score_candidate
from pyattrx.scores import Score
from pyattrx.tasks import Task

__all__ = ["Finding", "agreement", "find", "places", "spread_out"]


@dataclass(frozen=True, eq=False)
class Finding:
    """What was found of one candidate.

    Attributes
    ----------
    features : Features
    scores : dict of str to Score
        The consensus is one of them, where there is one.
    missing : dict of str to str
        Scores that cannot be computed from its features, and why.
    """

    features: Features
    scores: dict[str, Score]
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the candidate."""
        return self.features.name

    @property
    def dead(self) -> bool:
        """Whether it sees no difference between the images."""
        return self.features.constant

    @property
    def facts(self) -> dict[str, Any]:
        """What else is worth knowing, as JSON types."""
        probe = self.scores.get("linear_probe")
        if probe is None or "accuracy" not in probe.facts:
            return dict(self.features.facts)
        return {**self.features.facts, "accuracy": float(probe.facts["accuracy"])}

    @property
    def remarks(self) -> tuple[str, ...]:
        """What to know before it is used."""
        said = []
        if self.features.untrained is not None:
            said.append(f"looks untrained: {self.features.untrained}")
        if self.dead:
            said.append(
                "sees no difference between the images: its features are all the same, in half "
                "precision"
            )
        elif self.features.coarse:
            said.append(
                "its features differ little between images for what all have in common, and are "
                "kept in half precision: it may be better than its value says"
            )
        return tuple(said)


def agreement(read: Sequence[Features], task: Task) -> dict[str, Score]:
    """Compute the consensus, by candidate; empty where candidates or images are too few."""
    if len(read) < 2 or task.probes.n_groups < 4:
        return {}
    spread = spread_out(task)
    found = consensus([one.pooled[spread] for one in read], task.groups[spread])
    return dict(zip([one.name for one in read], found.scores(), strict=True))


def spread_out(task: Task) -> np.ndarray:
    """Images in an order that knows nothing of labels, [N]: folders come class by class."""
    return np.array(sorted(range(len(task)), key=task.probes.digests().__getitem__))


def find(
    read: Sequence[Features], task: Task, names: Sequence[str], agreed: dict[str, Score]
) -> list[Finding]:
    """Score candidates.

    Parameters
    ----------
    read : sequence of Features
    task : Task
        Its images are those of the features.
    names : sequence of str
        Scores; none without labels.
    agreed : dict of str to Score
        The consensus, by candidate; see `agreement`.
    """
    found = []
    labelled = Labelled.of(task) if names else None
    with progress("scores", len(read)) as step:
        for one in read:
            scores: dict[str, Score] = {}
            missing: dict[str, str] = {}
            if labelled is not None:
                scores, missing = score_candidate(one, labelled, task.kind, names)
            if one.name in agreed:
                scores["consensus"] = agreed[one.name]
            found.append(Finding(one, scores, missing))
            step(1)
    return found


def places(found: Sequence[Finding]) -> list[dict[str, int]]:
    """Place of every candidate by every score that it has, from 1."""
    made: list[dict[str, int]] = [{} for _ in found]
    for name in dict.fromkeys(name for one in found for name in one.scores):
        values = [one.scores[name].value for one in found if name in one.scores]
        for one, into in zip(found, made, strict=True):
            if name in one.scores:
                into[name] = 1 + sum(value > one.scores[name].value for value in values)
    return made
