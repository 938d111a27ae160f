"""Features instead of maps: `pyattrx.affinity` by CKA against forward loops, in both arithmetics.

Part of `pipeline`. The strongest simple alternative in bfloat16 is a frozen, channels_last loop
under autocast; on a CPU without instructions for it both are slow, and "auto" is float32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import pyattrx

from .measure import Say, Settings, ratios_to, time_rounds, wall_seconds

__all__ = ["measure_reading"]

_AUTO = "pyattrx, precision auto"
_EXACT = 1e-4  # float32 against float32
_CHEAPER = 2e-2  # bfloat16 against float32


def measure_reading(
    settings: Settings,
    say: Say,
    networks: tuple[list[nn.Module], list[nn.Module]],
    encoders: list[pyattrx.Encoder],
    images: Tensor,
    prepare: Callable[[Tensor], Tensor],
    batch: int,
) -> dict[str, Any]:
    """Time all ways; checked to have equal affinities.

    Parameters
    ----------
    settings : Settings
    say : callable
        Told what is running.
    networks : two lists of modules
        As they are, and frozen in channels_last.
    encoders : list of Encoder
        Of the same networks.
    images : Tensor [N, 3, H, W]
    prepare : callable
        Normalizes a batch.
    batch : int
        Images in a pass.

    Returns
    -------
    dict
        A case of the pipeline's document.

    Raises
    ------
    AssertionError
        The ways do not agree.
    """
    plain, turned = networks
    probes = pyattrx.Probes.from_tensor(images)
    results: dict[str, list[np.ndarray]] = {}

    def loop(some: list[nn.Module], layout: torch.memory_format, half: bool) -> np.ndarray:
        grams = []
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=half):
            for network in some:
                outputs = [
                    network(prepare(part).to(memory_format=layout)).flatten(1)
                    for part in images.split(batch)
                ]
                rows = torch.cat(outputs).double()
                rows -= rows.mean(0)
                gram = (rows @ rows.T).flatten()
                grams.append(gram / gram.norm())
        stacked = torch.stack(grams)
        return (stacked @ stacked.T).numpy()

    def ours(precision: str) -> np.ndarray:
        return pyattrx.affinity(encoders, probes, "cka", batch, "cpu", precision=precision).values

    def step(name: str, compute: Callable[[], np.ndarray]) -> Callable[[], None]:
        def timed() -> None:
            say(f"pipeline: features, {name}, {len(plain)} networks, {len(images)} probes")
            results.setdefault(name, []).append(compute())

        return timed

    last = torch.channels_last
    ways = {
        _AUTO: lambda: ours("auto"),
        "pyattrx": lambda: ours("float32"),
        "plain loop": lambda: loop(plain, torch.contiguous_format, False),
        "channels_last loop": lambda: loop(turned, last, False),
        "channels_last loop, bfloat16": lambda: loop(turned, last, True),
    }
    seconds = time_rounds(
        {name: step(name, way) for name, way in ways.items()},
        wall_seconds,
        replace(settings, rounds=settings.rounds or (1 if settings.quick else 3)),
    )
    candidates = ratios_to(_AUTO, seconds)
    exact = results["pyattrx"][0]
    for name, found in results.items():
        candidates[name]["difference"] = difference = float(np.abs(np.array(found) - exact).max())
        cheaper = name in (_AUTO, "channels_last loop, bfloat16")
        if difference > (_CHEAPER if cheaper else _EXACT):
            raise AssertionError(f"features: {name} and pyattrx differ by {difference}")
    side = images.shape[-1]
    return {
        "name": f"affinity by cka {len(plain)}xResNet-18 {len(images)}x3x{side}x{side}",
        "op": "affinity",
        "shape": {"m": len(plain), "n": len(images), "d": side * side},
        "rounds": len(seconds["pyattrx"]),
        "candidates": candidates,
        "left_out": {},
    }
