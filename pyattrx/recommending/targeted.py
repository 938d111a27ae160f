"""Candidates ranked for a network that does the task already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from pyattrx.affinities import affinity
from pyattrx.encoders import Encoder
from pyattrx.errors import EncoderError
from pyattrx.recommending.candidates import Candidate, read_candidates
from pyattrx.recommending.notes import score_in_words
from pyattrx.recommending.result import Recommendation, Standing
from pyattrx.running import OnError, all_failed, device_name, versions
from pyattrx.tasks import Task

__all__ = ["rank_for_target"]

_METHOD = "recommended"


def rank_for_target(
    target: Any,
    candidates: Sequence[Candidate],
    task: Task,
    *,
    batch_size: int,
    device: torch.device,
    level: float,
    on_error: OnError,
    trust: bool,
) -> Recommendation:
    """Rank candidates by how well their features predict the target's output.

    Raises
    ------
    EncoderError
        The target fails, or every candidate.
    """
    (wanted,) = read_candidates([target], trust=trust)
    encoder = wanted.load().read_at(name=f"{wanted.name} (target)")

    found = affinity(
        [encoder, *map(_loader, candidates)],
        task.probes,
        _METHOD,
        batch_size=batch_size,
        device=device,
        on_error=on_error,
    )
    if encoder.name not in found.names:
        raise EncoderError(f"the target failed: {found.failures.get(encoder.name)}")
    others = [name for name in found.names if name != encoder.name]
    if not others:
        raise all_failed(found.failures)
    matches = found.nearest(encoder.name, len(others), level=level)
    described = {network["name"]: network for network in found.provenance["networks"]}
    standings = [
        Standing(
            name=match.name,
            place=place,
            value=match.affinity,
            stderr=match.stderr,
            low=match.low,
            high=match.high,
            ties=match.ties,
            scores={_METHOD: match.affinity},
            errors={_METHOD: match.stderr},
            places={_METHOD: place},
            costs=None,
            on_front=False,
            read_at=_read_at(described[match.name]),
            remarks=_remarks(described[match.name]),
        )
        for place, match in enumerate(matches, 1)
    ]
    notes = [
        f"{encoder.name} stands for the task. Where transfers were measured (twenty tasks on "
        "rendered rooms) the first source named by this score was among the five best for "
        "every target: docs/transfer.md."
    ]
    if any(one.read_at == "output" for one in standings):
        notes.append(
            "Candidates are read at their output: of a classifier, its classes. ?features=LAYER "
            "reads another layer."
        )
    return Recommendation(
        tuple(standings),
        score_in_words("target", 0.0),
        "target",
        tuple(notes),
        dict(found.failures),
        np.full((len(standings), len(standings)), np.nan),
        task.as_dict(),
        {
            "main_score": _METHOD,
            "target": encoder.name,
            "level": level,
            "device": device_name(device),
            "versions": versions(),
        },
    )


def _loader(candidate: Candidate) -> Callable[[], Encoder]:
    """Make what `affinity` loads a candidate by, under the candidate's name."""

    def load() -> Encoder:
        return candidate.load().read_at(name=candidate.name)

    load.__name__ = candidate.name
    return load


def _read_at(network: dict[str, Any]) -> str:
    return str(network.get("features") or network["output"] or "output")


def _remarks(network: dict[str, Any]) -> tuple[str, ...]:
    untrained = network.get("untrained")
    return (f"looks untrained: {untrained}",) if untrained else ()
