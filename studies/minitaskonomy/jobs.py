"""Steps run in processes of one thread each, with a line for every step that is done.

A step leaves its result in files that appear whole, so a run that was stopped goes on with the
steps that are missing.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

import torch

from benchmarks.measure import Say, limited_threads
from pyattrx.errors import PyattrxError

__all__ = ["Job", "JobError", "Say", "run_jobs"]

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class JobError(PyattrxError):
    """A step failed in its process; the reason is on standard error."""


@dataclass(frozen=True)
class Job:
    """A step: its name, and an importable function that returns a line about its result."""

    name: str
    run: Callable[..., str]
    arguments: tuple[Any, ...]


def run_jobs(jobs: list[Job], processes: int, say: Say) -> None:
    """Run steps, so many at a time, in the order given; one process is the caller's own.

    Parameters
    ----------
    jobs : list of Job
        Steps that do not wait for one another.
    processes : int
        How many at a time.
    say : callable
        Is told what is done, and about how long the rest takes.

    Raises
    ------
    JobError
        A step failed; those that are running are stopped, as they are by an interrupt.
    """
    begun = time.monotonic()
    done = 0

    def report(name: str, seconds: float, result: str) -> None:
        nonlocal done
        done += 1
        left = (time.monotonic() - begun) / done * (len(jobs) - done)
        say(f"[{done}/{len(jobs)}] {name}: {result} ({seconds:.0f} s; {left / 60:.0f} min left)")

    if processes == 1:
        for job in jobs:
            started = time.monotonic()
            with limited_threads(1):
                result = job.run(*job.arguments)
            report(job.name, time.monotonic() - started, result)
        return
    context = multiprocessing.get_context("spawn")
    running: dict[int, tuple[Job, SpawnProcess, Connection, float]] = {}
    waiting = list(reversed(jobs))
    try:
        while waiting or running:
            while waiting and len(running) < processes:
                job = waiting.pop()
                receiver, sender = context.Pipe(duplex=False)
                process = context.Process(
                    target=_work, args=(sender, job.run, job.arguments), daemon=True
                )
                with _one_thread():
                    process.start()
                sender.close()
                running[process.sentinel] = (job, process, receiver, time.monotonic())
            for sentinel in wait(list(running)):
                assert isinstance(sentinel, int)
                job, process, receiver, started = running.pop(sentinel)
                process.join()
                if process.exitcode != 0 or not receiver.poll():
                    raise JobError(f"{job.name} failed (exit code {process.exitcode})")
                report(job.name, time.monotonic() - started, receiver.recv())
    finally:
        for _, process, _, _ in running.values():
            process.terminate()
            process.join()


def _work(sender: Connection, run: Callable[..., str], arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    sender.send(run(*arguments))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let processes that start inside the block use one thread in every library."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
