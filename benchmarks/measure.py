"""Timing that a drifting machine does not fool, and the machine it was done on."""

from __future__ import annotations

import ctypes
import hashlib
import math
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import torch

from pyattrx import ops
from pyattrx.errors import PyattrxError
from pyattrx.ops import core

__all__ = [
    "Case",
    "Ceiling",
    "Device",
    "Run",
    "Say",
    "Settings",
    "document",
    "limited_threads",
    "machine",
    "measure",
    "median",
    "peak_rss_mib",
    "ratios_to",
    "require_native",
    "time_rounds",
    "wall_seconds",
    "with_peak_memory",
]

Run = Callable[[], Any]
Say = Callable[[str], None]

# A rival may be inexact, as single precision is, but it must compute the same thing.
_RIVAL_LIMIT = 1e-3
_FEWEST_ROUNDS, _MOST_ROUNDS = 5, 30


@dataclass(frozen=True)
class Settings:
    """How long and on what to measure.

    Parameters
    ----------
    quick : bool
        Tiny cases, to see that everything works; their times say nothing.
    threads : int
        Threads of the CPU.
    rounds : int, optional
        Repetitions; as many as fit `seconds`, between 5 and 30, if left out.
    seconds : float
        Time for the rounds of one case.
    """

    quick: bool = False
    threads: int = 1
    rounds: int | None = None
    seconds: float = 15.0


@dataclass(frozen=True)
class Ceiling:
    """Work that a device cannot do faster: `giga` billions of bytes or multiply-adds in `run`."""

    key: str
    run: Run
    giga: float


@dataclass(frozen=True)
class Device:
    """How candidates are timed and watched on one kind of device."""

    seconds: Callable[[Run], float]
    with_peak: Callable[[Run], tuple[Any, int | None]]
    memory: Ceiling
    arithmetic: Ceiling | None
    warmups: int = 0


@dataclass(frozen=True)
class Case:
    """One question and everybody who answers it.

    Parameters
    ----------
    name, op : str
        What the case is called, and which of `pyattrx.ops` it measures.
    shape : dict
        Its sizes by name.
    moved_bytes, multiply_adds : int
        What nobody can do without: inputs read once and outputs written once; products summed.
    candidates : dict
        Name to a function without arguments; the first is ours.
    error : callable
        Largest error of a result, from the candidate's name and the result.
    limit : float
        Largest error that ours may have.
    left_out : dict
        Candidates that did not take part, and why.
    """

    name: str
    op: str
    shape: dict[str, int]
    moved_bytes: int
    multiply_adds: int
    candidates: dict[str, Run]
    error: Callable[[str, Any], float]
    limit: float
    left_out: dict[str, str] = field(default_factory=dict)


def measure(case: Case, device: Device, settings: Settings) -> dict[str, Any]:
    """Check every candidate, then time all of them and the ceilings once a round.

    The speed of shared machines drifts, up to twofold within seconds, so ratios and fractions are
    taken round by round, and the median of those is quoted; medians of times alone are not
    compared.

    Parameters
    ----------
    case : Case
        What to measure.
    device : Device
        Where.
    settings : Settings
        How long.

    Returns
    -------
    dict
        The case as JSON types: milliseconds, per-round ratios to ours (median and quartiles),
        errors and memory by candidate; the ceilings, the floor they set and the fraction of it that
        ours reaches.

    Raises
    ------
    AssertionError
        A result is not finite, ours is off by more than the case's limit, or a rival computes
        something else.
    """
    errors, peaks = {}, {}
    ours = next(iter(case.candidates))
    for name, run in case.candidates.items():
        result, peaks[name] = device.with_peak(run)
        errors[name] = case.error(name, result)
        del result
        if not math.isfinite(errors[name]):
            raise AssertionError(f"{case.name}: the result of {name} is not finite")
    if errors[ours] > case.limit:
        raise AssertionError(f"{case.name}: {ours} is off by {errors[ours]}, beyond {case.limit}")
    loose = max(case.limit, _RIVAL_LIMIT)
    for name, error in errors.items():
        if error > loose:
            raise AssertionError(f"{case.name}: {name} is off by {error}, beyond {loose}")
    for run in [*case.candidates.values()] * device.warmups:
        run()

    ceilings = [device.memory] if device.arithmetic is None else [device.memory, device.arithmetic]
    runs = {**{ceiling.key: ceiling.run for ceiling in ceilings}, **case.candidates}
    seconds = time_rounds(runs, device.seconds, settings)
    rates = {c.key: [c.giga / s for s in seconds[c.key]] for c in ceilings}
    memory_floor = [case.moved_bytes / 1e9 / rate for rate in rates[device.memory.key]]
    arithmetic_floor = [
        0.0 if device.arithmetic is None else case.multiply_adds / 1e9 / rate
        for rate in rates[ceilings[-1].key]
    ]
    floor = [max(both) for both in zip(memory_floor, arithmetic_floor, strict=True)]
    fraction = [f / s for f, s in zip(floor, seconds[ours], strict=True)]
    candidates = ratios_to(ours, {name: seconds[name] for name in case.candidates})
    for name, candidate in candidates.items():
        candidate |= {"error": errors[name], "peak_memory_bytes": peaks[name]}
    return {
        "name": case.name,
        "op": case.op,
        "shape": case.shape,
        "rounds": len(floor),
        "bytes": case.moved_bytes,
        "multiply_adds": case.multiply_adds,
        "ceilings": {key: median(values) for key, values in rates.items()},
        "floor_ms": 1e3 * median(floor),
        "bound": "memory" if median(memory_floor) >= median(arithmetic_floor) else "arithmetic",
        "fraction_of_floor": median(fraction),
        "fraction_quartiles": _quartiles(fraction),
        "error_limit": case.limit,
        "candidates": candidates,
        "left_out": case.left_out,
    }


def time_rounds(
    runs: dict[str, Run], timer: Callable[[Run], float], settings: Settings
) -> dict[str, list[float]]:
    """Time everything once a round, so that a drifting machine hits all alike.

    Every round has another order: whoever comes after a run that fills the caches starts cold.

    Parameters
    ----------
    runs : dict
        Name to a function without arguments.
    timer : callable
        Returns the seconds that a function took.
    settings : Settings
        How many rounds.

    Returns
    -------
    dict
        Seconds of every round by name.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    begun = time.perf_counter()
    for done in range(settings.rounds or _MOST_ROUNDS):
        late = time.perf_counter() - begun > settings.seconds
        if settings.rounds is None and done >= _FEWEST_ROUNDS and late:
            break
        order = list(runs)
        random.Random(done).shuffle(order)
        for name in order:
            seconds[name].append(timer(runs[name]))
    return seconds


def ratios_to(ours: str, seconds: dict[str, list[float]]) -> dict[str, dict[str, Any]]:
    """Median milliseconds, and ratios to one candidate round by round: median and quartiles.

    Parameters
    ----------
    ours : str
        The candidate that others are compared with.
    seconds : dict
        Seconds of every round by name.

    Returns
    -------
    dict
        ``ms``, ``ratio`` and ``ratio_quartiles`` by name.
    """
    found = {}
    for name, values in seconds.items():
        ratios = [s / o for s, o in zip(values, seconds[ours], strict=True)]
        found[name] = {
            "ms": 1e3 * median(values),
            "ratio": median(ratios),
            "ratio_quartiles": _quartiles(ratios),
        }
    return found


def wall_seconds(run: Run) -> float:
    """Time one call by the clock."""
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


def median(values: list[float]) -> float:
    """Return the middle of the values."""
    return statistics.median(values)


def _quartiles(values: list[float]) -> list[float]:
    if len(values) == 1:
        return values * 2
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return [low, high]


@contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """Let PyTorch, and with it the kernels, use so many threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def with_peak_memory(run: Run) -> tuple[Any, int | None]:
    """Run something once and see how much memory it took at most, its result included.

    Parameters
    ----------
    run : callable
        A function without arguments.

    Returns
    -------
    (object, int or None)
        The result, and bytes; None where the system does not tell (it is Linux that does).
    """
    with suppress(AttributeError, OSError):  # memory that the C library keeps would not be seen
        ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = peak_rss_mib()
    except (OSError, RuntimeError):
        return run(), None
    result = run()
    return result, round((peak_rss_mib() - before) * 2**20)


def peak_rss_mib() -> float:
    """Return the most memory this process has had resident (Linux).

    Not ``ru_maxrss``: a child begins with that of its parent.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/status has no VmHWM")


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
        "usable_cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else None,
        "threads": torch.get_num_threads(),
        "ops": ops.backends(),
        "kernels": _kernels(),
        "torch_isa": torch.backends.cpu.get_cpu_capability(),
        "compiler": _compiler(),
        "gpus": devices,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "date": date.today().isoformat(),
    }


def require_native(kind: str) -> None:
    """Raise a PyattrxError where the ops of a kind of device are not the compiled kernels."""
    backend = ops.backends()[kind]
    if not backend.startswith("native"):
        raise PyattrxError(f"the {kind} kernels to measure are missing: {backend}")


def _kernels() -> str | None:
    """Tell builds of the compiled module apart: the beginning of its SHA-256."""
    if core is None or core.__file__ is None:
        return None
    return hashlib.sha256(Path(core.__file__).read_bytes()).hexdigest()[:16]


def _compiler() -> str | None:
    """First line of what the C++ compiler that torch.compile would call says of itself."""
    path = shutil.which(os.environ.get("CXX", "g++"))
    if path is None:
        return None
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    return done.stdout.partition("\n")[0] or None


def document(benchmark: str, settings: Settings, **parts: Any) -> dict[str, Any]:
    """Put together what a benchmark found.

    Parameters
    ----------
    benchmark : str
        Its name.
    settings : Settings
        How it was run.
    **parts
        JSON types; ``cases`` is one of them.

    Returns
    -------
    dict
        With the machine, and the medians of the ceilings that the cases measured.
    """
    rates: dict[str, list[float]] = {}
    for case in parts["cases"]:
        for key, rate in case.get("ceilings", {}).items():
            rates.setdefault(key, []).append(rate)
    ceilings = {key: median(values) for key, values in rates.items()}
    return {
        "benchmark": benchmark,
        "machine": {**machine(), "ceilings": ceilings},
        "settings": asdict(settings),
        **parts,
    }
