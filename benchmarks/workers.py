"""Networks added to a zoo by workers of this machine: seconds a network, once they have begun.

ResNet-18s with random weights are added by this process alone, by one worker and by two, each on
one thread. The zoo takes networks as their outcomes are written, so the time between two that it
takes is that of those between them; the first ones, while processes begin, do not count. What one
worker takes more than this process alone is the overhead.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

import pyattrx

from .measure import Say, Settings, document, limited_threads, median, ratios_to, time_rounds

__all__ = ["run"]

_ROUNDS = 3
_SHAPE = {"networks": 28, "probes": 8, "size": 224}
_QUICK = {"networks": 12, "probes": 2, "size": 32}
_BEGINNING = 8  # networks that do not count: what two workers are given before any is written
_ALONE, _ONE, _TWO = "this process", "1 worker", "2 workers"
_WORKERS = {_ONE: 1, _TWO: 2, _ALONE: None}


def run(settings: Settings, say: Say) -> dict[str, Any]:
    """Time how long a network takes, by this process, one worker and two.

    Parameters
    ----------
    settings : Settings
        Three rounds if left out; threads are those of each process.
    say : callable
        Told what is running.

    Returns
    -------
    dict
        See `document`.

    Raises
    ------
    AssertionError
        Affinities of the zoos differ, in any bit.
    """
    shape = _QUICK if settings.quick else _SHAPE
    found: dict[str, np.ndarray] = {}
    with tempfile.TemporaryDirectory() as folder:
        specifications = _networks(Path(folder), shape["networks"])
        probes = _probes(shape)

        def one(name: str) -> Callable[[], float]:
            def timed() -> float:
                say(name)
                seconds, found[name] = _added(
                    specifications, probes, _WORKERS[name], settings.threads
                )
                return seconds

            return timed

        rounds = Settings(settings.quick, settings.threads, settings.rounds or _ROUNDS)
        runs: dict[str, Callable[[], Any]] = {name: one(name) for name in _WORKERS}
        seconds = time_rounds(runs, lambda timed: float(timed()), rounds)
    candidates = ratios_to(_ONE, seconds)
    for name, values in found.items():
        error = float(abs(values - found[_ALONE]).max())
        if error:
            raise AssertionError(f"{name}: affinities are off by {error}")
        candidates[name]["error"] = error
    speedups = [one / two for one, two in zip(seconds[_ONE], seconds[_TWO], strict=True)]
    more = [one - alone for one, alone in zip(seconds[_ONE], seconds[_ALONE], strict=True)]
    case = {
        "name": "zoo.add_many, a network",
        "shape": shape,
        "rounds": len(seconds[_ONE]),
        "speedup_of_two": median(speedups),
        "overhead_ms": 1e3 * median(more),
        "error_limit": 0.0,
        "candidates": candidates,
        "left_out": {},
    }
    with limited_threads(settings.threads):
        return document("workers", settings, cases=[case])


def _networks(folder: Path, count: int) -> list[str]:
    """Specifications of networks that differ, in a file."""
    package = __name__.rpartition(".")[0]
    lines = [f"from {package}.networks import resnet18"]
    lines += [f"def n{seed}(): return resnet18({seed})" for seed in range(count)]
    path = folder / "networks.py"
    path.write_text("\n".join(lines) + "\n")
    return [f"{path}:n{seed}" for seed in range(count)]


def _probes(shape: dict[str, int]) -> pyattrx.Probes:
    generator = torch.Generator().manual_seed(0)
    size = (shape["probes"], 3, shape["size"], shape["size"])
    return pyattrx.Probes.from_tensor(torch.rand(size, generator=generator))


def _added(
    specifications: list[str], probes: pyattrx.Probes, workers: int | None, threads: int
) -> tuple[float, np.ndarray]:
    """Seconds a network, and the zoo's affinities."""
    taken: list[float] = []

    def given() -> Iterator[str]:
        for specification in specifications:
            taken.append(time.perf_counter())
            yield specification

    with (
        tempfile.TemporaryDirectory() as folder,
        limited_threads(threads * (workers or 1)),
        pyattrx.Zoo.create(Path(folder) / "zoo", probes, "saliency") as zoo,
    ):
        report = zoo.add_many(given(), workers=workers, device="cpu")
        assert not report.failed, report.failed
        values = zoo.affinity().values
    # Of those that are taken while others are written, the first is taken for the first of these.
    counted = taken[_BEGINNING:]
    return (counted[-1] - counted[0]) / (len(counted) - 1), values
