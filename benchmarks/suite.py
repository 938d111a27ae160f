"""Many cases one after another, on any device: what `ops` and `gpu` have in common."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from . import cases
from .measure import Case, Device, Say, Settings, document, measure

__all__ = ["Build", "measure_all"]

Build = partial[Case]  # a function of `cases` and all of its arguments but the last
_SWEPT_SECONDS = 5.0


def measure_all(
    benchmark: str,
    listed: Sequence[Build],
    sweeps: dict[str, list[Build]],
    device: Device,
    settings: Settings,
    say: Say,
) -> dict[str, Any]:
    """Measure cases, each with data of its own, and put the document together.

    Parameters
    ----------
    benchmark : str
        What the document is called.
    listed : sequence
        Cases that all candidates take part in.
    sweeps : dict
        Cases for curves, by what grows; torch.compile and loops in NumPy, which take minutes, do
        not take part.
    device : Device
        How to time where the data are.
    settings : Settings
        How long.
    say : callable
        Told what is running.

    Returns
    -------
    dict
        What `benchmarks.results.write_results` takes.
    """
    swept_settings = Settings(
        settings.quick,
        settings.threads,
        settings.rounds,
        min(_SWEPT_SECONDS, settings.seconds),
    )
    total = len(listed) + sum(map(len, sweeps.values()))
    done, begun = 0, time.monotonic()

    def one(build: Build, settings: Settings, compiled: str | None, loops: str | None) -> Any:
        nonlocal done
        done += 1
        sizes = "x".join(str(size) for size in build.args if isinstance(size, int))
        say(f"[{done}/{total}] {build.func.__name__} {sizes} ({time.monotonic() - begun:.0f} s)")
        if compiled is None:
            # What PyTorch has compiled for earlier shapes counts against a limit.
            torch.compiler.reset()
        measured = measure(build(cases.Candidates(compiled, loops, say)), device, settings)
        gc.collect()  # compiled functions hold their inputs in cycles
        return measured

    compiled = "not in quick runs" if settings.quick else None
    apart = "not in sweeps"
    return document(
        benchmark,
        settings,
        cases=[one(build, settings, compiled, None) for build in listed],
        sweeps={
            name: [one(build, swept_settings, apart, apart) for build in builds]
            for name, builds in sweeps.items()
        },
    )
