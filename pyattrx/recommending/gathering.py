"""Features of all candidates, one network in memory at a time; those that fail are named."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from pyattrx.errors import EncoderError, ProbeError, PyattrxError, UntrainedWarning
from pyattrx.features import Features, extract
from pyattrx.recommending.candidates import Candidate
from pyattrx.recommending.options import Options
from pyattrx.tasks import Task

__all__ = ["nothing_left", "read_all"]

_GRID, _DENSE_GRID = 2, 8
_SHOWN = 3  # candidates that an error names


def read_all(
    candidates: Sequence[Candidate], task: Task, options: Options
) -> tuple[list[Features], dict[str, str]]:
    """Read candidates on the images of a task.

    Returns
    -------
    read : list of Features
    failures : dict of str to str
        What went wrong, by candidate.

    Warns
    -----
    UntrainedWarning
        Weights look as they were initialised.
    UserWarning
        A candidate failed.
    """
    read: list[Features] = []
    failures: dict[str, str] = {}
    grid = _DENSE_GRID if task.kind.startswith("dense") else _GRID
    for number, candidate in enumerate(candidates, 1):
        try:
            encoder = candidate.load()
            features = extract(
                encoder if encoder.name == candidate.name else encoder.read_at(name=candidate.name),
                task.probes,
                batch_size=options.batch_size,
                device=options.device,
                grid=grid,
                cache=options.cache,
                label=f"{candidate.name} ({number} of {len(candidates)})",
            )
        except ProbeError:
            raise
        except (PyattrxError, OSError, ImportError) as error:
            if options.on_error == "raise":
                raise
            failures[candidate.name] = str(error)
            warnings.warn(f"{candidate.name} failed: {error}", stacklevel=4)
            continue
        if features.untrained is not None:
            warnings.warn(
                f"network {features.name!r} looks untrained: {features.untrained}; its weights "
                "may not have been loaded",
                UntrainedWarning,
                stacklevel=4,
            )
        read.append(features)
    return read, failures


def nothing_left(failures: dict[str, str]) -> PyattrxError:
    """Make the error that says that every candidate failed."""
    said = [f"{name}: {why}" for name, why in failures.items()]
    more = [f"and {len(said) - _SHOWN} more"] if len(said) > _SHOWN else []
    return EncoderError(f"no candidate could be read: {'; '.join(said[:_SHOWN] + more)}")
