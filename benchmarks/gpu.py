"""The ops on a GPU, as `ops` measures them on the CPU, and the whole run of `gpu_pass`.

Time is that between CUDA events. The ceiling is a copy from device memory to device memory; what
the GPU could multiply at best is not measured, so floors are those of memory alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from pyattrx.errors import InvalidValueError, PyattrxError

from . import cases
from .gpu_pass import measure_pass
from .measure import Ceiling, Device, Run, Say, Settings, require_native
from .suite import Build, measure_all

__all__ = ["PARTS", "run"]

PARTS = ("pass", "ops")

_COPIED = 1 << 28  # floats
_SIDE = 256
_SWEPT = 200_000_000  # elements of the maps of each case of a sweep


def run(settings: Settings, say: Say, parts: Sequence[str] = PARTS) -> dict[str, Any]:
    """Measure the whole run and all ops on the current CUDA device.

    Parameters
    ----------
    settings : Settings
        How long.
    say : callable
        Told what is running.
    parts : sequence of str
        Some of `PARTS`: a machine that is lent for minutes has one measured and written at a time.

    Returns
    -------
    dict
        What `benchmarks.results.write_results` takes; without "pass" unless it was asked for.

    Raises
    ------
    InvalidValueError
        There is no such part.
    PyattrxError
        There is no CUDA device, or the compiled kernels are missing.
    """
    for part in parts:
        if part not in PARTS:
            raise InvalidValueError("part", part, f"one of {', '.join(map(repr, PARTS))}")
    if not torch.cuda.is_available():
        raise PyattrxError("the benchmark gpu needs a CUDA device")
    require_native("cuda")
    listed, sweeps = _cases(settings.quick) if "ops" in parts else ([], {})
    whole = {}
    if "pass" in parts:  # first, as what nothing else tells
        whole["pass"] = measure_pass(torch.device("cuda", 0), say, quick=settings.quick)
    return {**measure_all("gpu", listed, sweeps, _gpu(), settings, say), **whole}


def _cases(quick: bool) -> tuple[list[Build], dict[str, list[Build]]]:
    side, fewer = (32, 50) if quick else (_SIDE, 1)  # divides the numbers of probes
    d = side * side
    cosines = partial(partial, cases.cosine_affinity)
    networks = ((8, 500), (20, 500), (100, 100), (512, 50 if quick else 16))
    listed = [
        partial(cases.attribution_maps, 500 // fewer, side, "cuda"),
        *(cosines(m, n // fewer, d, "cuda") for m, n in networks),
        *(
            partial(cases.fused_affinity, m, n // fewer, side, "cuda")
            for m, n in ((8, 100), (20, 50))
        ),
        partial(cases.sketch, 500 // fewer, d, "cuda"),
    ]
    if quick:
        return listed, {}
    return listed, {
        "m": [cosines(m, round(_SWEPT / m / d), d, "cuda") for m in (2, 4, 8, 16, 32, 64, 128)],
        "d": [
            cosines(20, round(_SWEPT / 20 / size), size, "cuda")
            for size in (1024, 4096, 16384, 65536, 262144)
        ],
    }


def _gpu() -> Device:
    source = torch.ones(_COPIED, device="cuda")
    target = torch.empty_like(source)
    return Device(
        seconds=_seconds,
        with_peak=_with_peak,
        memory=Ceiling("copy_gb_per_s", lambda: target.copy_(source), 2 * 4 * _COPIED / 1e9),
        arithmetic=None,
        warmups=3,
    )


def _seconds(run: Run) -> float:
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    run()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) / 1e3


def _with_peak(run: Run) -> tuple[Any, int]:
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    result = run()
    torch.cuda.synchronize()
    return result, torch.cuda.max_memory_allocated() - before
