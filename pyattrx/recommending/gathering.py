"""Features of all candidates, one network in memory at a time; those that fail are noted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import torch

from pyattrx._progress import progress
from pyattrx.encoders import say_untrained
from pyattrx.features import FeatureCache, Features, extract
from pyattrx.probes import Probes
from pyattrx.recommending.candidates import Candidate
from pyattrx.recommending.options import Options
from pyattrx.running import Failures
from pyattrx.tasks import Task
from pyattrx.workers import Job, Shared

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
    read = _elsewhere if options.engine is not None and len(candidates) > 1 else _here
    found = list(read(candidates, task, options, failures))
    failures.check_some_are_left([one.name for one in found])
    return found


def _here(
    candidates: Sequence[Candidate], task: Task, options: Options, failures: Failures
) -> Iterator[Features]:
    for number, candidate in enumerate(candidates, 1):
        features = None
        with failures.noted(candidate.name):
            label = f"{candidate.name} ({number} of {len(candidates)})"
            features = _read(candidate, task.probes, _Reading.of(task, options), label)
        if features is not None:
            say_untrained(features.name, features.untrained)
            yield features


def _elsewhere(
    candidates: Sequence[Candidate], task: Task, options: Options, failures: Failures
) -> Iterator[Features]:
    engine = options.engine
    assert engine is not None
    jobs = (Job(one.name, one) for one in candidates)
    shared = Shared(task.probes, _Reading.of(task, options))
    with (
        closing(engine.run(_read_there, shared, jobs)) as outcomes,
        progress(f"candidates, by {engine.count} workers", len(candidates)) as step,
    ):
        for outcome in outcomes:
            features = None
            with failures.noted(outcome.job):
                features = outcome.get()
            step(1)
            if features is not None:
                say_untrained(features.name, features.untrained)
                yield features


@dataclass(frozen=True)
class _Reading:
    """How features are read; it can be pickled."""

    batch_size: int
    device: torch.device
    grid: int
    cache: FeatureCache | None

    @classmethod
    def of(cls, task: Task, options: Options) -> _Reading:
        grid = _DENSE_GRID if task.kind.startswith("dense") else _GRID
        return cls(options.batch_size, options.device, grid, options.cache)


def _read_there(
    shared: Shared, candidate: Candidate, device: torch.device
) -> tuple[str, Callable[[], Features]]:
    """Read a candidate in a worker."""
    reading = replace(shared.what, device=device)
    return candidate.name, lambda: _read(candidate, shared.probes, reading, candidate.name)


def _read(candidate: Candidate, probes: Probes, reading: _Reading, label: str) -> Features:
    encoder = candidate.load()
    return extract(
        encoder if encoder.name == candidate.name else encoder.read_at(name=candidate.name),
        probes,
        batch_size=reading.batch_size,
        device=reading.device,
        grid=reading.grid,
        cache=reading.cache,
        label=label,
    )
