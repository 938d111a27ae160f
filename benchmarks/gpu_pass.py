"""The whole run on a GPU: `pyattrx.affinity` of many ResNet-50s, and how much of it is the network.

Every variant does the same job: without overlap (the same bytes copied in the same way, but when
they are needed, every batch waited for, and weights hashed when the passes are done), with it, with
cheaper arithmetic, and compiled. The share of passes and maps is the time of both on a batch that
is on the device already (the transform, the passes of the network and our kernel of maps), for as
many images as there are, over the time of the run: what is left of 1 is reading, copying,
preparation and comparison. A variant that is not going to fit the time left is left out, and says
so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

import pyattrx
from pyattrx.affinities import networks as whole_run
from pyattrx.methods import AttributionMaps, Method
from pyattrx.running import arithmetic, description, feeding

from .measure import Say
from .networks import resnet18, resnet50
from .pipeline import MEAN, STD

__all__ = ["VARIANTS", "measure_pass"]

# Precision, whether compiled, whether overlapped; the most telling first, should time run out.
VARIANTS: dict[str, tuple[str, bool, bool]] = {
    "float32": ("float32", False, True),
    "bfloat16": ("bfloat16", False, True),
    "bfloat16 compiled": ("bfloat16", True, True),
    "bfloat16 without overlap": ("bfloat16", False, False),
    "tf32": ("tf32", False, True),
    "tf32 compiled": ("tf32", True, True),
    "float32 without overlap": ("float32", False, False),
    "float32 compiled": ("float32", True, True),
}
METHOD = "grad_x_input"
# Everything that needs a GPU is to fit ten minutes; the ops need some of them.
SECONDS = 240.0
_ALIKE = {"float32": 1e-3, "tf32": 0.1, "bfloat16": 0.3}  # largest difference of an affinity


def measure_pass(
    device: torch.device,
    say: Say,
    *,
    quick: bool = False,
    seconds: float = SECONDS,
    batch_size: int = 64,
) -> dict[str, Any]:
    """Time every variant of the run once, after a first one of two networks.

    Parameters
    ----------
    device : torch.device
        A GPU; in quick runs, to see that it works, the CPU too.
    say : callable
        Told what is running.
    quick : bool
        Two ResNet-18s and a few small probes.
    seconds : float
        When to leave out what is left.
    batch_size : int
        Images in one pass.

    Returns
    -------
    dict
        ``job``; by variant ``seconds``, ``images_per_second``, ``share_of_passes_and_maps``, the
        first run's ``seconds_of_two`` (compilation included), ``least_cosines`` to float32 and to
        the network as it is, ``difference`` of an affinity to float32's; ``left_out`` with reasons;
        ``seconds_of`` what else a network costs.

    Raises
    ------
    AssertionError
        A variant's affinities are something else.
    """
    batch_size = min(batch_size, 4) if quick else batch_size
    encoders, probes, job = _made(quick, say)
    networks = len(encoders)
    found: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    exact = None
    deadline = time.monotonic() + seconds
    for name, (precision, compiled, overlapped) in VARIANTS.items():
        unavailable = precision == "tf32" and device.type != "cuda"
        if unavailable or time.monotonic() > deadline:
            left_out[name] = "CUDA only" if unavailable else "no time left"
            continue
        run = partial(_run, probes, batch_size, device, precision, compiled, overlapped)
        say(f"pass: {name}, two networks")
        first, _ = run(encoders[:2])
        second = first if quick else run(encoders[:2])[0]
        expected = second * networks / 2
        if not quick and time.monotonic() + expected > deadline:
            left_out[name] = f"{networks} networks would take {expected:.0f} s: no time left"
            continue
        say(f"pass: {name}, all networks ({expected:.0f} s expected)")
        taken, result = run(encoders)
        if exact is None:
            exact = result.values
        difference = float(np.abs(result.values - exact).max())
        if difference > _ALIKE[precision]:
            raise AssertionError(f"{name}: an affinity differs by {difference} from float32's")
        own = networks * _pass_seconds(encoders[0], probes, device, batch_size, precision, compiled)
        found[name] = {
            "seconds": taken,
            "images_per_second": networks * len(probes) / taken,
            "share_of_passes_and_maps": own / taken,
            "seconds_of_two": first,
            "comparison_seconds": result.provenance["seconds"]["comparison"],
            "least_cosines": _least_cosines(result),
            "difference": difference,
        }
    return {
        "job": {**job, "batch_size": batch_size, "method": METHOD},
        "variants": found,
        "left_out": left_out,
        "seconds_of": _seconds_of(encoders[0], probes, device),
    }


def _made(quick: bool, say: Say) -> tuple[list[pyattrx.Encoder], pyattrx.Probes, dict[str, Any]]:
    """Networks, probes, and what a document says of both."""
    networks, count, side = (2, 6, 32) if quick else (20, 1000, 256)
    make = resnet18 if quick else resnet50
    say(f"pass: making {networks} networks and {count} probes")
    generator = np.random.default_rng(0)
    pixels = (generator.integers(0, 256, (1, 3, side, side), np.uint8) for _ in range(count))
    probes = pyattrx.Probes.from_batches(map(torch.from_numpy, pixels))
    encoders = [
        pyattrx.Encoder(make(seed), name=f"net{seed}", transform=pyattrx.Normalize(MEAN, STD))
        for seed in range(networks)
    ]
    job = {"networks": networks, "network": make.__name__, "probes": count, "side": side}
    return encoders, probes, job


def _run(
    probes: pyattrx.Probes,
    batch_size: int,
    device: torch.device,
    precision: str,
    compiled: bool,
    overlapped: bool,
    encoders: Sequence[pyattrx.Encoder],
) -> tuple[float, pyattrx.Affinity]:
    def affinity() -> pyattrx.Affinity:
        return pyattrx.affinity(
            encoders, probes, METHOD, batch_size, device, precision=precision, compile=compiled
        )

    with _overlap(overlapped):
        return _timed(affinity, device)


def _least_cosines(result: pyattrx.Affinity) -> dict[str, float]:
    facts = result.provenance["networks"]
    return {
        key: min(one[key]["least_cosine"] for one in facts)
        for key in ("precision", "compile")
        if facts[0][key] is not None
    }


@contextmanager
def _overlap(wanted: bool) -> Iterator[None]:
    """Nothing ahead, no lag and nothing beside, unless it is wanted."""
    with ExitStack() as stack:
        if not wanted:
            loader_of = feeding._loader
            stack.enter_context(
                patch.object(feeding, "_loader", lambda *its: _InTurn(loader_of(*its), its[1]))
            )
            stack.enter_context(patch.object(description, "lag", lambda device: 0))
            stack.enter_context(patch.object(whole_run, "beside", _afterwards))
        yield


class _InTurn:
    """A loader whose batches are read when they are needed, and waited for."""

    ahead = 0

    def __init__(self, loader: Any, device: torch.device) -> None:
        self.load = loader.load
        self._loader = loader
        self._device = device

    def hand_over(self, loaded: Any) -> torch.Tensor:
        images: torch.Tensor = self._loader.hand_over(loaded)
        _wait(self._device)
        return images


@contextmanager
def _afterwards(function: Callable[[], Any], device: torch.device) -> Iterator[Callable[[], Any]]:
    """In place of `feeding.beside`: called when it is asked for."""
    yield function


def _timed(run: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    _wait(device)
    begun = time.perf_counter()
    result = run()
    _wait(device)
    return time.perf_counter() - begun, result


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _pass_seconds(
    encoder: pyattrx.Encoder,
    probes: pyattrx.Probes,
    device: torch.device,
    batch_size: int,
    precision: str,
    compiled: bool,
) -> float:
    """Time of a network's passes over all probes, and of their maps, if they were there already."""
    descriptor = AttributionMaps(Method(METHOD), probes.size)
    images = probes.images(0, min(batch_size, len(probes))).to(device)
    passes = -(-len(probes) // batch_size)
    with encoder.prepare(device, images) as prepared, arithmetic(precision, device):
        if compiled:
            prepared.compile(len(images))
        for _ in range(3):
            descriptor.rows(prepared, images)

        def all_of_them() -> None:
            for _ in range(passes):
                descriptor.rows(prepared, images)

        seconds = _timed(all_of_them, device)[0]
    # The last batch is shorter, unless a program fills it up.
    return seconds if compiled else seconds * len(probes) / (passes * len(images))


def _seconds_of(
    encoder: pyattrx.Encoder, probes: pyattrx.Probes, device: torch.device
) -> dict[str, float]:
    """What a network costs beside its passes: its description (a hash of weights), preparation."""

    def prepare() -> None:
        with encoder.prepare(device, probes.images(0, 2)):
            pass

    prepare()
    return {
        "describe": _timed(encoder.describe, device)[0],
        "prepare": _timed(prepare, device)[0],
    }
