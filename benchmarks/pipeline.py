"""End to end: `pyattrx.affinity` against the loop that a user would write.

Both compute the affinities of the same ResNet-18s over the same images, and both results are
checked to be equal while they are timed. The plain loop leaves the module as it is (parameters not
frozen), normalises with `F.normalize` and multiplies matrices; the careful loop freezes parameters
first, which is the strongest simple alternative. What each lever of the preparation is worth can be
read off the steps between them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import pyattrx
from benchmarks.measure import interleaved, median, peak_rss_mib, write_results
from benchmarks.networks import resnet18

__all__ = ["run"]

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BATCH = 16


def _loop(networks: list[nn.Module], images: Tensor, batch_size: int) -> np.ndarray:
    mean, std = torch.tensor(MEAN)[:, None, None], torch.tensor(STD)[:, None, None]
    rows = []
    for network in networks:
        maps = []
        for batch in images.split(batch_size):
            x = ((batch - mean) / std).requires_grad_()
            network(x).flatten(1).mean(1).sum().backward()
            assert x.grad is not None
            maps.append(F.normalize((x.grad * x).detach().mean(1).flatten(1)))
        rows.append(torch.cat(maps).flatten())
    flat = torch.stack(rows)
    return (flat @ flat.T / len(images)).double().numpy()


def run(*, rounds: int = 3, networks: int = 3, probes: int = 32, out: Path | None = None) -> None:
    """Time the three ways with one thread and print and write the ratios."""
    torch.set_num_threads(1)
    pyattrx.set_progress(False)
    plain = [resnet18(seed).eval() for seed in range(networks)]
    frozen = [resnet18(seed).eval().requires_grad_(False) for seed in range(networks)]
    images = torch.rand(probes, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    ours = pyattrx.Probes.from_tensor(images)
    encoders = [
        pyattrx.Encoder(network, name=f"r18-{i}", transform=pyattrx.Normalize(MEAN, STD))
        for i, network in enumerate(plain)
    ]
    _loop(plain[:1], images[:BATCH], BATCH)  # the first pass pays for warming up
    seconds, results = interleaved(
        {
            "plain loop": lambda: _loop(plain, images, BATCH),
            "frozen loop": lambda: _loop(frozen, images, BATCH),
            "pyattrx": lambda: pyattrx.affinity(encoders, ours, batch_size=BATCH, device="cpu"),
        },
        rounds,
    )
    values = results["pyattrx"].values
    # The diagonal is 1; what the loops have there is the error of their own float32 product.
    pairs = ~np.eye(networks, dtype=bool)
    loops = {name: results[name] for name in ("plain loop", "frozen loop")}
    difference = {name: float(np.abs(loop - values)[pairs].max()) for name, loop in loops.items()}
    diagonal_error = {name: float(np.abs(loop - 1)[~pairs].max()) for name, loop in loops.items()}
    for name, error in difference.items():
        if error > 1e-5:
            raise AssertionError(f"{name} and pyattrx differ by {error}: {loops[name]} {values}")
    medians = {name: median(times) for name, times in seconds.items()}
    per_image = {name: 1e3 * t / (networks * probes) for name, t in medians.items()}
    memory = {n: _peak_memory(n) for n in (100, 1000)}
    print(f"{networks} x ResNet-18, {probes} probes of 224 x 224, batches of {BATCH}, one thread")
    for name, milliseconds in per_image.items():
        ratio = medians["plain loop"] / medians[name]
        print(f"  {name:12s} {milliseconds:7.1f} ms an image   x {ratio:.2f}")
    print(f"  largest difference of a pair's affinity: {max(difference.values()):.1e}")
    print(f"  the loops' own error on the diagonal: {max(diagonal_error.values()):.1e}")
    print(f"  peak memory: {memory[100]:.0f} MiB for 100 probes, {memory[1000]:.0f} MiB for 1000")
    path = write_results(
        "pipeline",
        {
            "benchmark": "pipeline",
            "networks": networks,
            "probes": probes,
            "batch_size": BATCH,
            "seconds": seconds,
            "ms_an_image": per_image,
            "speedup_over_plain_loop": medians["plain loop"] / medians["pyattrx"],
            "speedup_over_frozen_loop": medians["frozen loop"] / medians["pyattrx"],
            "largest_difference_of_a_pair": difference,
            "loops_error_on_the_diagonal": diagonal_error,
            "peak_memory_mib": memory,
        },
        out,
    )
    print(f"wrote {path}")


def _peak_memory(probes: int) -> float:
    """Peak resident memory of a process that compares small networks on so many probes."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.pipeline", str(probes)],
        capture_output=True,
        text=True,
        check=True,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return float(result["peak_mib"])


def _memory_of_one_run(probes: int) -> None:
    torch.set_num_threads(1)
    pyattrx.set_progress(False)
    generator = torch.Generator().manual_seed(0)
    batches = (torch.rand(10, 3, 224, 224, generator=generator) for _ in range(probes // 10))
    encoders = [
        pyattrx.Encoder(nn.Sequential(nn.Conv2d(3, 8, 7, 4), nn.ReLU()), name=f"small{i}")
        for i in range(6)
    ]
    pyattrx.affinity(encoders, pyattrx.Probes.from_batches(batches), batch_size=10, device="cpu")
    print(json.dumps({"peak_mib": peak_rss_mib()}))


if __name__ == "__main__":
    _memory_of_one_run(int(sys.argv[1]))
