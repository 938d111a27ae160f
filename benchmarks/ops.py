"""The ops on the CPU against PyTorch, torch.compile, NumPy, and what the machine can do at best.

Every case measures all candidates and both ceilings in the same rounds, and checks every result
against float64 (`cases`, `measure`). Two sweeps show how the ratios depend on the number of
networks and on the size of the maps.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from pyattrx.ops import core

from . import cases
from .measure import (
    Ceiling,
    Device,
    Say,
    Settings,
    limited_threads,
    require_native,
    wall_seconds,
    with_peak_memory,
)
from .suite import Build, measure_all

__all__ = ["run"]

_READ_BYTES = 1 << 27  # far beyond the caches
_MULTIPLY_S = 0.02
_SIDE = 224
_SWEPT = 25_000_000  # elements of the maps of each case of a sweep


def run(settings: Settings, say: Say) -> dict[str, Any]:
    """Measure all ops on the CPU.

    Parameters
    ----------
    settings : Settings
        How long, and on how many threads.
    say : callable
        Told what is running.

    Returns
    -------
    dict
        What `benchmarks.results.write_results` takes.

    Raises
    ------
    PyattrxError
        The compiled kernels are missing.
    """
    require_native("cpu")
    listed, sweeps = _quick() if settings.quick else _full()
    with limited_threads(settings.threads):
        device = _cpu(core, settings.threads)
        return measure_all("ops", listed, sweeps, device, settings, say)


def _full() -> tuple[list[Build], dict[str, list[Build]]]:
    d = _SIDE * _SIDE
    cosines = partial(partial, cases.cosine_affinity)
    listed = [
        partial(cases.attribution_maps, 32, _SIDE, "cpu"),
        *(cosines(m, n, d, "cpu") for m, n in ((8, 32), (20, 32), (64, 16), (100, 8), (512, 2))),
        *(partial(cases.fused_affinity, m, n, _SIDE, "cpu") for m, n in ((8, 16), (20, 8))),
        partial(cases.sketch, 32, d, "cpu"),
    ]
    return listed, {
        "m": [cosines(m, round(_SWEPT / m / d), d, "cpu") for m in (2, 4, 8, 16, 32, 64, 128)],
        "d": [
            cosines(20, round(_SWEPT / 20 / size), size, "cpu")
            for size in (1024, 4096, 16384, 65536, 262144)
        ],
    }


def _quick() -> tuple[list[Build], dict[str, list[Build]]]:
    cosines = partial(partial, cases.cosine_affinity)
    listed = [
        partial(cases.attribution_maps, 2, 32, "cpu"),
        cosines(4, 2, 1024, "cpu"),
        cosines(64, 2, 1024, "cpu"),
        partial(cases.fused_affinity, 3, 2, 32, "cpu"),
        partial(cases.sketch, 4, 1024, "cpu"),
    ]
    return listed, {
        "m": [cosines(m, 2, 1024, "cpu") for m in (2, 4)],
        "d": [cosines(3, 2, d, "cpu") for d in (256, 1024)],
    }


def _cpu(native: Any, threads: int) -> Device:
    memory = torch.ones(_READ_BYTES // 8, dtype=torch.float64)  # written, or it would be one page

    def read() -> None:
        native.cpu.read_all(memory.data_ptr(), memory.numel(), threads)

    multiply = native.cpu.multiply_add
    rounds = 100_000
    multiply(rounds, threads)  # wakes threads up
    rounds = round(rounds * _MULTIPLY_S / wall_seconds(lambda: multiply(rounds, threads))) or 1
    products = multiply(rounds, threads)
    return Device(
        seconds=wall_seconds,
        with_peak=with_peak_memory,
        memory=Ceiling("read_gb_per_s", read, _READ_BYTES / 1e9),
        arithmetic=Ceiling(
            "fp64_gmultiply_adds_per_s", lambda: multiply(rounds, threads), products / 1e9
        ),
    )
