"""Processes of this machine, by `concurrent.futures`: one a GPU, or one a share of the cores.

Each process has an executor of its own, so that it is known which network a process was running
when it ended, and no other process ends with it. It has two jobs at a time: while the caller takes
the result of one, the other runs.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import signal
import tempfile
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pyattrx._closing import Closing
from pyattrx._scratch import Scratch
from pyattrx.errors import ScratchError, WorkerError
from pyattrx.workers.answers import Answer, Outcome
from pyattrx.workers.capturing import read_printed
from pyattrx.workers.engine import ATTEMPTS, Job, Shared, Task
from pyattrx.workers.ordering import InOrder, Ticket
from pyattrx.workers.parcels import Parcel, unpack
from pyattrx.workers.process import PROBES, Beginning, begin, perform

__all__ = ["LocalEngine"]

_JOBS_EACH = 2  # one that runs, and one that waits in the process
_AHEAD = 4  # jobs for each process that are taken before an outcome is
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class LocalEngine:
    """Runs jobs in processes of this machine.

    Parameters
    ----------
    count : int
        How many processes.
    device : torch.device
        Where they compute. A CUDA device without a number is all of them in turn.
    scratch : Scratch
        Where files of a run are.
    """

    def __init__(self, count: int, device: torch.device, scratch: Scratch) -> None:
        self.count = count
        self.threads = max(1, torch.get_num_threads() // count)
        self._device, self._scratch = device, scratch

    def pack(self, job: Any) -> bytes:
        """Pickle what is sent to a worker."""
        return pickle.dumps(job)

    def run(
        self, task: Task, shared: Shared, jobs: Iterable[Job]
    ) -> Generator[Outcome, None, None]:
        """Run jobs; see `Engine`."""
        packed = pickle.dumps((task, shared.what))
        order = InOrder(jobs, self.pack, _AHEAD * self.count)
        with _folder(self._scratch) as folder, _Slots(self, folder, packed) as slots:
            shared.probes.save(Path(folder) / PROBES)
            while order.fill():
                slots.dispatch(order.waiting)
                slots.collect(order)
                yield from order.ready()

    def device_of(self, number: int) -> str:
        """Name the device of a process."""
        if str(self._device) == "cuda":  # any of them
            return f"cuda:{number % torch.cuda.device_count()}"
        return str(self._device)


@contextmanager
def _folder(scratch: Scratch) -> Iterator[str]:
    """Make a folder for a run."""
    try:
        folder = tempfile.mkdtemp(prefix="pyattrx-workers-", dir=scratch.folder)
    except OSError as error:
        raise ScratchError(
            f"cannot make a folder for workers in {scratch.place}: {error.strerror}"
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Slots(Closing):
    """The processes of a run; all of them have ended when it is closed."""

    def __init__(self, engine: LocalEngine, folder: str, packed: bytes) -> None:
        self._slots = [
            _Slot(Beginning(folder, f"{number}", engine.threads, engine.device_of(number), packed))
            for number in range(engine.count)
        ]

    def dispatch(self, waiting: deque[Ticket]) -> None:
        """Give jobs to processes that have room, the idle ones first."""
        for least in range(_JOBS_EACH):
            for slot in self._slots:
                if waiting and len(slot.given) == least:
                    slot.submit(waiting.popleft())

    def collect(self, order: InOrder) -> None:
        """Wait for something to end, and take what has."""
        running = [given.future for slot in self._slots for given in slot.given]
        wait(running, return_when=FIRST_COMPLETED)
        for slot in self._slots:
            slot.collect(order)

    def close(self) -> None:
        """End all processes, whatever they are doing."""
        for slot in self._slots:
            slot.kill()
        for slot in self._slots:
            slot.join()


@dataclass
class _Given:
    """A job that a process has."""

    ticket: Ticket
    future: Future[Parcel]


class _Slot:
    """One process, begun when it first gets a job, and again when it has ended."""

    def __init__(self, beginning: Beginning) -> None:
        self._beginning = beginning
        self._executor: ProcessPoolExecutor | None = None
        self._process: Any = None
        self._begun: Future[int] | None = None
        self._stillborn = 0  # processes in a row that ended before their first job
        self.given: deque[_Given] = deque()  # the first one is running

    def submit(self, ticket: Ticket) -> None:
        """Give a job to the process."""
        if self._executor is None:
            self._begin()
        assert self._executor is not None
        try:
            future = self._executor.submit(perform, ticket.packed)
        except BrokenProcessPool:  # it has ended since; found out when it is waited for
            future = Future()
            future.set_exception(BrokenProcessPool())
        self.given.append(_Given(ticket, future))

    def collect(self, order: InOrder) -> None:
        """Take the answers that are there; begin again with what a process left that has ended."""
        while self.given and self.given[0].future.done():
            given = self.given[0]
            try:
                answer = unpack(given.future.result())
            except BrokenProcessPool:
                self._ended(order)
                return
            except ScratchError:  # of the disk, and no fault of the network
                raise
            except Exception as error:  # what a network left cannot be sent
                answer = Answer(error=error)
            self.given.popleft()
            order.put(given.ticket, answer)

    def kill(self) -> None:
        """Tell the process to end now."""
        if self._process is not None:
            self._process.kill()

    def join(self) -> None:
        """Wait until it has ended."""
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)
            self._process.join()
        self._executor = self._process = None

    def _begin(self) -> None:
        executor = ProcessPoolExecutor(
            1, multiprocessing.get_context("spawn"), begin, (self._beginning,)
        )
        before = {child.pid for child in multiprocessing.active_children()}
        with _environment(dict.fromkeys(_THREADS, str(self._beginning.threads))):
            self._begun = executor.submit(os.getpid)
        found = [one for one in multiprocessing.active_children() if one.pid not in before]
        self._executor, self._process = executor, found[0] if found else None

    def _ended(self, order: InOrder) -> None:
        """The process has ended by itself: its first job is to blame, the others are not."""
        assert self._executor is not None
        assert self._begun is not None
        self._executor.shutdown(wait=True, cancel_futures=True)
        if self._process is not None:
            self._process.join()
        code = None if self._process is None else self._process.exitcode
        begun = self._begun.done() and self._begun.exception() is None
        self._executor = self._process = None
        blamed, *others = [given.ticket for given in self.given]
        self.given.clear()
        order.waiting.extendleft(reversed(others))
        if begun:
            self._stillborn = 0
            self._blame(blamed, _reason(code), order)
        else:
            order.waiting.appendleft(blamed)
            self._check_can_begin(code)

    def _check_can_begin(self, code: int | None) -> None:
        """Give up where a process ends before its first job; one that was killed may be unlucky."""
        self._stillborn += 1
        if code is None or code >= 0 or self._stillborn == ATTEMPTS:
            raise WorkerError(
                f"a worker process cannot begin: {_reason(code)}; what it printed on standard "
                "error says more. A script that uses workers= must do so below "
                "if __name__ == '__main__':"
            )

    def _blame(self, blamed: Ticket, why: str, order: InOrder) -> None:
        """Try a network again, or say that its workers end."""
        blamed.deaths += 1
        if blamed.deaths < ATTEMPTS:
            order.waiting.appendleft(blamed)
            return
        out, err = read_printed(self._beginning.folder, self._beginning.name)
        error = WorkerError(
            f"network {blamed.name!r} failed: the worker process that ran it ended "
            f"{blamed.deaths} times ({why})"
        )
        order.put(blamed, Answer(error=error, out=out, err=err))


def _reason(code: int | None) -> str:
    """Say how a process ended."""
    if code is None:
        return "nobody knows why"
    if code >= 0:
        return f"exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    memory = ", as the system does where memory is short" if name == "SIGKILL" else ""
    return f"killed by {name}{memory}"


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Set variables for a process that begins; libraries read them while they are imported."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
