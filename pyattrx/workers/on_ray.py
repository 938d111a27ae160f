"""A Ray cluster: one task a network, probes once in the object store of every machine.

Ray starts processes, gives them CPUs and GPUs, and moves what they return. Tries after a worker was
lost are counted here, so that a network that ends its workers is known by its name.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import socket
import tempfile
from collections import deque
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pyattrx._progress import set_progress
from pyattrx.errors import MissingDependencyError, WorkerError
from pyattrx.probes import Probes
from pyattrx.workers.answers import Answer, Outcome, answered
from pyattrx.workers.capturing import Captured
from pyattrx.workers.engine import ATTEMPTS, Job, Shared, Task
from pyattrx.workers.ordering import InOrder, Ticket

__all__ = ["RayEngine"]

_AHEAD = 2  # tasks for each place of the cluster that are queued or whose outcomes wait
_CONNECT_S = 10.0
_LOOK_S = 1.0  # how often the cluster is asked for its size while nothing ends


class RayEngine:
    """Runs jobs on a Ray cluster; this process is connected to it when it is made.

    Parameters
    ----------
    address : str
        "auto": the cluster that this machine is a part of; or an address, as for ``ray.init``. A
        program that is connected already stays so.
    device : torch.device
        Where jobs compute: on CUDA each has a GPU for itself.
    any_device : bool
        Whether that was left to us: on GPUs where the cluster has some.

    Raises
    ------
    MissingDependencyError
        Ray is not installed.
    WorkerError
        There is no such cluster.
    """

    def __init__(self, address: str, device: torch.device, *, any_device: bool) -> None:
        self._ray = _imported()
        if not self._ray.is_initialized():
            _check_reached(address)
            try:
                self._ray.init(address=address, log_to_driver=False, logging_level="error")
            except Exception as error:  # of several kinds
                raise WorkerError(f"workers={address!r}: cannot connect: {error}") from error
        resources = self._ray.cluster_resources()
        self._gpus = int(resources.get("GPU", 0) > 0 if any_device else device.type == "cuda")
        nodes = [node for node in self._ray.nodes() if node["Alive"]]
        most = max(int(node["Resources"].get("CPU", 0)) for node in nodes)
        self.threads = max(1, min(torch.get_num_threads(), most))

    @property
    def count(self) -> int:
        """How many jobs run at once on the cluster as it is now."""
        resources = self._ray.cluster_resources()
        places = int(resources.get("CPU", 0)) // self.threads
        return max(1, min(places, int(resources.get("GPU", 0))) if self._gpus else places)

    def pack(self, job: Any) -> bytes:
        """Pickle what is sent to a worker; what this program itself defines goes by value."""
        packed: bytes = self._ray.cloudpickle.dumps(job)
        return packed

    def run(
        self, task: Task, shared: Shared, jobs: Iterable[Job]
    ) -> Generator[Outcome, None, None]:
        """Run jobs; see `Engine`."""
        run = _Run(self._ray, self.threads, self._gpus, self.pack((task, shared.what)), shared)
        order = InOrder(jobs, self.pack, _AHEAD * self.count)
        try:
            while order.fill():
                run.submit(order.waiting)
                run.collect(order)
                yield from order.ready()
                order.ahead = _AHEAD * self.count
        finally:
            run.cancel()


def _check_reached(address: str) -> None:
    """Raise where nobody listens: Ray would try for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon:
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()
    except (OSError, ValueError, OverflowError) as error:
        raise WorkerError(f"workers={address!r}: cannot connect: {error}") from error


def _imported() -> Any:
    try:
        import ray
        import ray.cloudpickle
        import ray.exceptions
    except ImportError as error:
        raise MissingDependencyError("ray", "workers= with an address", "pyattrx[ray]") from error
    return ray


class _Run:
    """Tasks of one run, and whose answers they are."""

    def __init__(self, ray: Any, threads: int, gpus: int, packed: bytes, shared: Shared) -> None:
        self._ray = ray
        self._tickets: dict[Any, Ticket] = {}
        self._probes = ray.put(_bytes_of(shared.probes))
        self._packed = ray.put(packed)
        self._place = _Place(os.urandom(8).hex(), threads, "cuda" if gpus else "cpu", os.getcwd())
        # Tries are counted by us; a process is kept for the next task.
        options = {"num_cpus": threads, "num_gpus": gpus, "max_retries": 0}
        self._perform = ray.remote(**options)(_perform)

    def submit(self, waiting: deque[Ticket]) -> None:
        """Hand all jobs that wait to the cluster, which queues them."""
        while waiting:
            ticket = waiting.popleft()
            task = self._perform.remote(self._place, self._probes, self._packed, ticket.packed)
            self._tickets[task] = ticket

    def collect(self, order: InOrder) -> None:
        """Wait for something to end, and take it."""
        ended, _ = self._ray.wait(list(self._tickets), timeout=_LOOK_S)
        for task in ended:
            ticket = self._tickets.pop(task)
            try:
                order.put(ticket, self._ray.get(task))
            except self._ray.exceptions.RayTaskError as error:  # not of the network: it is caught
                order.put(ticket, Answer(error=WorkerError(str(error))))
            except self._ray.exceptions.RayError as error:  # a process or a machine is gone
                self._lost(ticket, error, order)

    def cancel(self) -> None:
        """End what still runs."""
        for task in self._tickets:
            self._ray.cancel(task, force=True)

    def _lost(self, ticket: Ticket, error: Exception, order: InOrder) -> None:
        ticket.deaths += 1
        if ticket.deaths < ATTEMPTS:
            order.waiting.appendleft(ticket)
            return
        why = str(error).strip().partition("\n")[0]
        message = (
            f"network {ticket.name!r} failed: the worker that ran it was lost {ticket.deaths} "
            f"times ({why})"
        )
        order.put(ticket, Answer(error=WorkerError(message)))


def _bytes_of(probes: Probes) -> np.ndarray:
    with tempfile.TemporaryDirectory(prefix="pyattrx-") as folder:
        return np.fromfile(probes.save(Path(folder) / "images.probes"), np.uint8)


@dataclass(frozen=True)
class _Place:
    """What a process is told of where and how it works.

    Attributes
    ----------
    run : str
        A key of the run.
    threads : int
    device : str
    folder : str
        The caller's current one, which specifications may be relative to.
    """

    run: str
    threads: int
    device: str
    folder: str


class _Process:
    """What a process of Ray's knows of the run that it works for."""

    def __init__(self, place: _Place, probes: np.ndarray, packed: bytes) -> None:
        self.run, self.device = place.run, torch.device(place.device)
        set_progress(False)
        with contextlib.suppress(OSError):  # another machine need not have it
            os.chdir(place.folder)
        task, what = pickle.loads(packed)
        self.task: Task = task
        with tempfile.TemporaryDirectory(prefix="pyattrx-") as folder:
            path = Path(folder) / "images.probes"
            probes.tofile(path)
            self.shared = Shared(Probes.load(path), what)  # it stays open
        self.captured = Captured.nameless()


_here: list[_Process] = []


def _perform(place: _Place, probes: np.ndarray, packed_task: bytes, packed: bytes) -> Answer:
    """Run a job, in a process of Ray's."""
    torch.set_num_threads(place.threads)
    if not (_here and _here[0].run == place.run):
        _here[:] = [_Process(place, probes, packed_task)]
    (here,) = _here
    return answered(
        lambda: here.task(here.shared, pickle.loads(packed), here.device), here.captured
    )
