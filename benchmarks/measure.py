"""Timing and the machine it was done on."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import torch

from pyattrx import ops

__all__ = ["interleaved", "machine", "median", "peak_rss_mib", "write_results"]

RESULTS = Path(__file__).parent / "results"


def interleaved(
    candidates: dict[str, Callable[[], Any]], rounds: int
) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Time each candidate once a round, in turn, so that a drifting machine hits all alike.

    Returns
    -------
    (dict, dict)
        Seconds of every round, and the last result, by name.
    """
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    results: dict[str, Any] = {}
    for _ in range(rounds):
        for name, run in candidates.items():
            begun = time.perf_counter()
            results[name] = run()
            seconds[name].append(time.perf_counter() - begun)
    return seconds, results


def median(values: list[float]) -> float:
    """Return the middle of the values."""
    return statistics.median(values)


def machine() -> dict[str, Any]:
    """Describe where and with what the figures were measured."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        if names:
            cpu = names[0].split(":", 1)[1].strip()
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "ops": ops.backends(),
        "gpus": devices,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "date": date.today().isoformat(),
    }


def peak_rss_mib() -> float:
    """Return the most memory this process has had resident (Linux).

    Not ``ru_maxrss``: a child begins with that of its parent.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/status has no VmHWM")


def write_results(name: str, values: dict[str, Any], path: Path | None) -> Path:
    """Write results with the machine's description as JSON."""
    path = path or RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine(), **values}, indent=2) + "\n")
    return path
