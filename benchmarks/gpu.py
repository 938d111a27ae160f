"""The ops on a GPU against eager PyTorch, checked while they are timed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.measure import median, write_results
from pyattrx import ops

__all__ = ["run"]


def _milliseconds(run: Callable[[], Tensor]) -> float:
    """Time one call by events on the current stream."""
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    run()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end))


def _compare(candidates: dict[str, Callable[[], Tensor]], rounds: int) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(3):
        for run in candidates.values():
            run()
    for _ in range(rounds):
        for name, run in candidates.items():
            times[name].append(_milliseconds(run))
    return {name: median(values) for name, values in times.items()}


def _normalize_matmul(maps: Tensor) -> Tensor:
    rows = F.normalize(maps, dim=2).flatten(1)
    return rows @ rows.T / maps.shape[1]


def _bmm_diagonal(maps: Tensor) -> Tensor:
    rows = maps.transpose(0, 1)
    gram = rows @ rows.transpose(1, 2)
    norm = gram.diagonal(dim1=1, dim2=2).sqrt()
    return (gram / (norm[:, :, None] * norm[:, None])).mean(0)


def _copy_bandwidth(rounds: int) -> float:
    """Gigabytes a second, read and written, of a device-to-device copy."""
    source = torch.empty(1 << 28, device="cuda")
    target = torch.empty_like(source)
    milliseconds = _compare({"copy": lambda: target.copy_(source)}, rounds)["copy"]
    return 2 * source.numel() * 4 / milliseconds / 1e6


def _attribution_maps(n: int, bandwidth: float, rounds: int) -> dict[str, float]:
    grad, image = (torch.randn(n, 3, 256, 256, device="cuda") for _ in range(2))

    def eager() -> Tensor:
        return F.normalize((grad * image).mean(1).flatten(1))

    def ours() -> Tensor:
        return ops.attribution_maps(grad, image)

    torch.testing.assert_close(ours(), eager(), rtol=1e-4, atol=1e-6)
    times = _compare({"pyattrx": ours, "eager": eager}, rounds)
    moved = (2 * grad.numel() + n * 65536) * 4 / 1e6
    return {**times, "fraction_of_copy": moved / times["pyattrx"] / bandwidth}


def _cosine_affinity(m: int, n: int, bandwidth: float, rounds: int) -> dict[str, float]:
    maps = torch.randn(m, n, 65536, device="cuda")
    error = float((ops.cosine_affinity(maps) - _bmm_diagonal(maps.double())).abs().max())
    if error > 1e-8:
        raise AssertionError(f"cosine_affinity is off by {error}")
    times = _compare(
        {
            "pyattrx": lambda: ops.cosine_affinity(maps),
            "normalize+matmul": lambda: _normalize_matmul(maps),
            "bmm+diagonal": lambda: _bmm_diagonal(maps),
        },
        rounds,
    )
    moved = maps.numel() * 4 / 1e6
    return {**times, "error": error, "fraction_of_copy": moved / times["pyattrx"] / bandwidth}


def run(*, rounds: int = 20, out: Path | None = None) -> None:
    """Time maps and affinities (milliseconds) beside the memory that must be moved."""
    if not torch.cuda.is_available():
        raise SystemExit("this benchmark needs a CUDA device")
    bandwidth = _copy_bandwidth(rounds)
    print(f"{torch.cuda.get_device_name()}: copy {bandwidth:.0f} GB/s")
    results: dict[str, object] = {"benchmark": "gpu", "copy_gb_per_s": bandwidth}
    name = "attribution_maps 500x3x256x256"
    results[name] = _attribution_maps(500, bandwidth, rounds)
    print(name, results[name])
    for m, n in ((8, 500), (20, 500), (100, 100), (512, 16)):
        name = f"cosine_affinity {m}x{n}x65536"
        results[name] = _cosine_affinity(m, n, bandwidth, rounds)
        print(name, results[name])
    print(f"wrote {write_results('gpu', results, out)}")
