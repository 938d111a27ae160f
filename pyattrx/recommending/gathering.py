"""Features of all candidates, one network in memory at a time; those that fail are noted."""

from __future__ import annotations

from collections.abc import Sequence

from pyattrx.encoders import say_untrained
from pyattrx.features import Features, extract
from pyattrx.recommending.candidates import Candidate
from pyattrx.recommending.options import Options
from pyattrx.running import Failures
from pyattrx.tasks import Task

__all__ = ["read_all"]

_GRID, _DENSE_GRID = 2, 8


def read_all(
    candidates: Sequence[Candidate], task: Task, options: Options, failures: Failures
) -> list[Features]:
    """Read candidates on the images of a task.

    Parameters
    ----------
    candidates : sequence of Candidate
    task : Task
    options : Options
    failures : Failures
        Is told of candidates that fail.

    Raises
    ------
    EncoderError
        All of them failed.

    Warns
    -----
    UntrainedWarning
        Weights look as they were initialised.
    SkippedWarning
        A candidate failed.
    """
    read: list[Features] = []
    for number, candidate in enumerate(candidates, 1):
        features = None
        with failures.noted(candidate.name):
            features = _read(candidate, task, options, f"{number} of {len(candidates)}")
        if features is None:
            continue
        say_untrained(features.name, features.untrained)
        read.append(features)
    failures.check_some_are_left([one.name for one in read])
    return read


def _read(candidate: Candidate, task: Task, options: Options, number: str) -> Features:
    encoder = candidate.load()
    return extract(
        encoder if encoder.name == candidate.name else encoder.read_at(name=candidate.name),
        task.probes,
        batch_size=options.batch_size,
        device=options.device,
        grid=_DENSE_GRID if task.kind.startswith("dense") else _GRID,
        cache=options.cache,
        label=f"{candidate.name} ({number})",
    )
