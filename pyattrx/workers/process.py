"""One worker process of this machine: how it begins, and what it does with a job."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import signal
import threading
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path

import torch

from pyattrx._progress import set_progress
from pyattrx.probes import Probes
from pyattrx.workers.answers import answered
from pyattrx.workers.capturing import Captured
from pyattrx.workers.engine import Shared, Task
from pyattrx.workers.parcels import Parcel, pack

__all__ = ["PROBES", "Beginning", "begin", "perform"]

PROBES = "images.probes"  # the file of a run's folder that has its probes


@dataclass(frozen=True)
class Beginning:
    """What a process is told when it begins.

    Attributes
    ----------
    folder : str
        Of the run: probes, results and what is printed.
    name : str
        Of the process, for its files.
    threads : int
    device : str
        Where it computes.
    packed : bytes
        The task, and what is shared beside the probes.
    """

    folder: str
    name: str
    threads: int
    device: str
    packed: bytes


class _Process:
    """What this process knows of its run."""

    def __init__(self, beginning: Beginning) -> None:
        self.folder = beginning.folder
        self.device = torch.device(beginning.device)
        self.captured = Captured.named(beginning.folder, beginning.name)
        task, what = pickle.loads(beginning.packed)
        self.task: Task = task
        self.shared = Shared(Probes.load(Path(beginning.folder) / PROBES), what)


_here: list[_Process] = []


def begin(beginning: Beginning) -> None:
    """Make this process ready for jobs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the parent answers
    _end_with_parent(beginning.folder)
    torch.set_num_threads(beginning.threads)
    set_progress(False)
    _here.append(_Process(beginning))


def _end_with_parent(folder: str) -> None:
    """End this process when its parent has ended, however that was, and leave no files."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch(sentinel: int = parent.sentinel) -> None:
        wait([sentinel])
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)

    threading.Thread(target=watch, name="pyattrx-watch", daemon=True).start()


def perform(packed: bytes) -> Parcel:
    """Run a job of this process's task."""
    (here,) = _here
    answer = answered(
        lambda: here.task(here.shared, pickle.loads(packed), here.device), here.captured
    )
    return pack(answer, here.folder)
