"""End to end: `pyattrx.affinity` against the loops that a user would write.

All compute the affinities of the same ResNet-18s over the same images, and the results of every
round are checked to be equal. The plain loop leaves the module as it is (parameters not frozen),
normalises with `F.normalize` and multiplies matrices; the next one freezes parameters, as is usual
advice; the strongest simple one is in channels_last, too. Beside them are timed the passes of the
prepared networks alone, as what bounds the run, and the look at the networks before it: copying
them, testing what is assumed of them, preparing them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import pyattrx
from pyattrx.encoders import PreparedEncoder

from .measure import (
    Say,
    Settings,
    document,
    limited_threads,
    peak_rss_mib,
    ratios_to,
    require_native,
    time_rounds,
    wall_seconds,
)
from .networks import resnet18
from .reading import measure_reading

__all__ = ["run"]

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BATCH = 16
PASSES = "passes of the copies alone"
LOOK = "the look alone"


def _normalized(images: Tensor) -> Tensor:
    mean, std = torch.tensor(MEAN)[:, None, None], torch.tensor(STD)[:, None, None]
    return (images - mean) / std


def _loop(
    networks: list[nn.Module],
    images: Tensor,
    batch_size: int,
    layout: torch.memory_format = torch.contiguous_format,
) -> np.ndarray:
    rows = []
    for network in networks:
        maps = []
        for batch in images.split(batch_size):
            x = _normalized(batch).to(memory_format=layout).requires_grad_()
            network(x).flatten(1).mean(1).sum().backward()
            assert x.grad is not None
            maps.append(F.normalize((x.grad * x).detach().mean(1).flatten(1)))
        rows.append(torch.cat(maps).flatten())
    flat = torch.stack(rows)
    return (flat @ flat.T / len(images)).double().numpy()


def _passes(copies: list[PreparedEncoder], images: Tensor) -> None:
    """Forward and backward passes, and nothing of what comes of them."""
    for copy in copies:
        for batch in images.split(BATCH):
            x = copy.preprocess(batch).requires_grad_()
            torch.autograd.grad(copy.forward(x).flatten(1).mean(1).sum(), x)


def _look(encoders: list[pyattrx.Encoder], images: Tensor) -> None:
    for encoder in encoders:
        encoder.prepare("cpu", images[:2], batch_size=BATCH).close()


def run(settings: Settings, say: Say, *, networks: int = 2, probes: int = 64) -> dict[str, Any]:
    """Time all ways.

    Parameters
    ----------
    settings : Settings
        How long, and on how many threads; three rounds if it does not say.
    say : callable
        Told what is running.
    networks, probes : int
        How many ResNet-18s, and images; quick runs have two of each.

    Returns
    -------
    dict
        What `benchmarks.results.write_results` takes.

    Raises
    ------
    PyattrxError
        The compiled kernels are missing.
    AssertionError
        The loops and pyattrx do not agree.
    """
    require_native("cpu")
    side = 224
    if settings.quick:
        networks, probes, side = 2, 2, 64
    with limited_threads(settings.threads):
        return _measure(settings, say, networks, probes, side)


def _measure(settings: Settings, say: Say, networks: int, probes: int, side: int) -> dict[str, Any]:
    plain = [resnet18(seed).eval() for seed in range(networks)]
    frozen = [resnet18(seed).eval().requires_grad_(False) for seed in range(networks)]
    last = torch.channels_last
    turned = [resnet18(seed).eval().requires_grad_(False) for seed in range(networks)]
    for network in turned:
        network.to(memory_format=last)  # type: ignore[call-overload]
    images = torch.rand(probes, 3, side, side, generator=torch.Generator().manual_seed(0))
    ours = pyattrx.Probes.from_tensor(images)
    encoders = [
        pyattrx.Encoder(network, name=f"r18-{i}", transform=pyattrx.Normalize(MEAN, STD))
        for i, network in enumerate(plain)
    ]
    copies = [encoder.prepare("cpu", images[:2]) for encoder in encoders]
    results: dict[str, list[np.ndarray]] = {}

    def step(name: str, compute: Callable[[], np.ndarray]) -> Callable[[], None]:
        def timed() -> None:
            say(f"pipeline: {name}, {networks} x ResNet-18, {probes} probes")
            results.setdefault(name, []).append(compute())

        return timed

    _loop(plain[:1], images[:BATCH], BATCH)  # the first pass pays for warming up
    seconds = time_rounds(
        {
            "pyattrx": step(
                "pyattrx",
                lambda: (
                    pyattrx.affinity(
                        encoders, ours, batch_size=BATCH, device="cpu", method="grad_x_input"
                    ).values
                ),
            ),
            "plain loop": step("plain loop", lambda: _loop(plain, images, BATCH)),
            "frozen loop": step("frozen loop", lambda: _loop(frozen, images, BATCH)),
            "channels_last loop": step(
                "channels_last loop", lambda: _loop(turned, images, BATCH, last)
            ),
            PASSES: lambda: _passes(copies, images),
            LOOK: lambda: _look(encoders, images),
        },
        wall_seconds,
        replace(settings, rounds=settings.rounds or (1 if settings.quick else 3)),
    )
    difference, diagonal_error = _checked(results.pop("pyattrx"), results)
    candidates = ratios_to("pyattrx", seconds)
    for name, candidate in candidates.items():
        candidate["difference"] = difference.get(name, 0.0)
    memory = {} if settings.quick else {str(n): _peak_memory(n, say) for n in (100, 1000)}
    case = {
        "name": f"affinity {networks}xResNet-18 {probes}x3x{side}x{side}",
        "op": "affinity",
        "shape": {"m": networks, "n": probes, "d": side * side},
        "rounds": len(seconds["pyattrx"]),
        "candidates": candidates,
        "left_out": {},
    }
    seen = images if probes >= 8 else torch.cat([images] + [images.flip(d) for d in (1, 2, 3)])
    # In noise of one shade all images are alike to a network that nobody trained.
    seen = seen * torch.rand(len(seen), 3, 1, 1, generator=torch.Generator().manual_seed(1))
    reading = measure_reading(settings, say, (plain, turned), encoders, seen, _normalized, BATCH)
    return document(
        "pipeline",
        settings,
        cases=[case, reading],
        batch_size=BATCH,
        seconds=seconds,
        ms_an_image={name: c["ms"] / (networks * probes) for name, c in candidates.items()},
        speedup_over_plain_loop=candidates["plain loop"]["ratio"],
        speedup_over_frozen_loop=candidates["frozen loop"]["ratio"],
        speedup_over_channels_last_loop=candidates["channels_last loop"]["ratio"],
        share_of_passes=candidates[PASSES]["ratio"],
        share_of_the_look=candidates[LOOK]["ratio"],
        largest_difference_of_a_pair=difference,
        loops_error_on_the_diagonal=diagonal_error,
        peak_memory_mib=memory,
    )


def _checked(
    values: list[np.ndarray], loops: dict[str, list[np.ndarray]]
) -> tuple[dict[str, float], dict[str, float]]:
    """How far the loops are from ours, by pairs of networks and on the diagonal."""
    # The diagonal is 1; what the loops have there is the error of their own float32 product.
    pairs = ~np.eye(len(values[0]), dtype=bool)
    difference, diagonal_error = {}, {}
    for name, loop in loops.items():
        difference[name] = float(np.abs(np.subtract(loop, values))[:, pairs].max())
        diagonal_error[name] = float(np.abs(np.subtract(loop, 1))[:, ~pairs].max())
        if difference[name] > 1e-5:
            raise AssertionError(f"{name} and pyattrx differ by {difference[name]}")
    return difference, diagonal_error


def _peak_memory(probes: int, say: Say) -> float:
    """Peak resident memory of a process that compares small networks on so many probes."""
    say(f"pipeline: memory for {probes} probes")
    done = subprocess.run(
        [sys.executable, "-m", f"{__package__}.pipeline", str(probes)],
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
    pyattrx.affinity(
        encoders,
        pyattrx.Probes.from_batches(batches),
        batch_size=10,
        device="cpu",
        method="grad_x_input",
    )
    print(json.dumps({"peak_mib": peak_rss_mib()}))


if __name__ == "__main__":
    _memory_of_one_run(int(sys.argv[1]))
