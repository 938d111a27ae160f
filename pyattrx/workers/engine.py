"""What runs networks elsewhere: jobs, what came of each, and what every engine offers."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from pyattrx.errors import InvalidTypeError
from pyattrx.probes import Probes
from pyattrx.workers.answers import Loaded, Outcome

__all__ = ["ATTEMPTS", "Engine", "Job", "Shared", "Task", "unsendable"]

# How often a network is run whose worker ends before it has answered.
ATTEMPTS = 3


@dataclass(frozen=True)
class Job:
    """One network over the probes.

    Attributes
    ----------
    name : str
        What the network is called so far.
    what : object
        How it is loaded, and what else a task is told of it; it can be pickled.
    """

    name: str
    what: Any


@dataclass(frozen=True)
class Shared:
    """What all jobs of a run have in common; a worker gets it once.

    Attributes
    ----------
    probes : Probes
    what : object
        What else a task is told; it can be pickled.
    """

    probes: Probes
    what: Any


# Loads one network: of what is shared, what the job is, and where to compute. It returns what the
# network is called, and what runs it.
Task = Callable[[Shared, Any, torch.device], Loaded]


_A_SPECIFICATION = "a specification, such as 'my_networks.py:network'"


def unsendable(
    argument: str, value: Any, error: Exception, instead: str = _A_SPECIFICATION
) -> InvalidTypeError:
    """Make the error of something that cannot be pickled."""
    return InvalidTypeError(
        argument,
        value,
        f"what can be sent to workers: {instead}, in the place of what cannot be pickled "
        f"({type(error).__name__}: {error})",
    )


class Engine(Protocol):
    """Runs jobs in other processes."""

    @property
    def count(self) -> int:
        """How many jobs run at once, as far as is known."""

    @property
    def threads(self) -> int:
        """CPU threads of each."""

    def pack(self, job: Any) -> bytes:
        """Pickle what is sent to a worker; whatever pickling raises is raised."""

    def run(
        self, task: Task, shared: Shared, jobs: Iterable[Job]
    ) -> Generator[Outcome, None, None]:
        """Run jobs; closing the generator ends everything that was started.

        A few jobs more than can run at once are taken, and no more before outcomes are. A job whose
        worker ends is given to others, `ATTEMPTS` times in all.

        Yields
        ------
        Outcome
            One for each job, in the order of the jobs.
        """
