"""Jobs on their way to workers, a few ahead, and their outcomes in the order of the jobs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pyattrx.workers.answers import Answer, Outcome
from pyattrx.workers.engine import Job, unsendable

__all__ = ["InOrder", "Ticket"]


@dataclass
class Ticket:
    """A job on its way.

    Attributes
    ----------
    number : int
        Its place among all.
    name : str
    packed : bytes
    deaths : int
        Workers that have ended while they ran it.
    """

    number: int
    name: str
    packed: bytes
    deaths: int = 0


class InOrder:
    """Takes jobs, no more than some ahead of what was handed out, and keeps the order.

    Parameters
    ----------
    jobs : iterable of Job
    pack : callable
        Pickles what a job is.
    ahead : int
        Jobs that are taken and whose outcomes were not.

    Attributes
    ----------
    waiting : deque of Ticket
        Those that no worker has.
    ahead : int
        As above; it may change.

    Examples
    --------
    >>> from pyattrx.workers.answers import Answer
    >>> from pyattrx.workers.engine import Job
    >>> from pyattrx.workers.ordering import InOrder
    >>> order = InOrder([Job("a", 1), Job("b", 2), Job("c", 3)], repr, ahead=2)
    >>> order.fill(), [ticket.name for ticket in order.waiting]
    (True, ['a', 'b'])
    >>> first, second = order.waiting
    >>> order.put(second, Answer(value="B")); list(order.ready())
    []
    >>> order.put(first, Answer(value="A")); [outcome.answer.value for outcome in order.ready()]
    ['A', 'B']
    """

    def __init__(self, jobs: Iterable[Job], pack: Callable[[Any], bytes], ahead: int) -> None:
        self._jobs, self._pack, self.ahead = iter(jobs), pack, ahead
        self.waiting: deque[Ticket] = deque()
        self._found: dict[int, Outcome] = {}
        self._taken = self._handed = 0
        self._ended = False
        self._error: BaseException | None = None

    def fill(self) -> bool:
        """Take jobs; False when all outcomes were handed out.

        Raises
        ------
        Exception
            What taking a job raised, after the outcomes of those before it.
        """
        while not self._ended and self._taken - self._handed < self.ahead:
            try:
                job = next(self._jobs)
                self.waiting.append(Ticket(self._taken, job.name, self._packed(job)))
                self._taken += 1
            except StopIteration:
                self._ended = True
            except Exception as error:
                self._ended, self._error = True, error
        if self._taken > self._handed:
            return True
        if self._error is not None:
            raise self._error
        return False

    def _packed(self, job: Job) -> bytes:
        try:
            return self._pack(job.what)
        except Exception as error:  # of any kind: pickling runs what a class says
            raise unsendable("encoders", job.name, error) from error

    def put(self, ticket: Ticket, answer: Answer) -> None:
        """Note what became of a job."""
        self._found[ticket.number] = Outcome(ticket.name, answer)

    def ready(self) -> Iterator[Outcome]:
        """Hand out outcomes that are next."""
        while self._handed in self._found:
            outcome = self._found.pop(self._handed)
            self._handed += 1
            yield outcome
