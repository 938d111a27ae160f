"""What `explain` and `layers` cost beside plain passes: `python -m benchmarks.explain`.

Two ResNet-18 with random weights see random images of 128 x 128, on one thread. CPU seconds a probe
are those of more probes less those of fewer, so that what it takes to look at networks is left out:
of `affinity` by grad x input over one network (a pass: forward and back), of `explain` at a layer,
and of a backward pass for each channel of that layer, on some of its channels. Medians of three.
`layers` reads many layers in one forward pass: its seconds are those of reading twelve, beside
those of reading the output alone.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["LAYERS", "TAPPED", "measure"]

_OUT = Path(__file__).parent / "results" / "explain.json"
# The ends of the first, second and last stage.
LAYERS = ("5", "7", "11")
TAPPED = tuple(str(place) for place in range(1, 13))
_FEWER, _MORE, _REPEATS = 8, 24, 3
_SIZE, _CHANNELS = 128, 8


def measure(
    size: int = _SIZE,
    fewer: int = _FEWER,
    more: int = _MORE,
    repeats: int = _REPEATS,
    channels: int = _CHANNELS,
) -> dict[str, Any]:
    """Measure all layers.

    Parameters
    ----------
    size : int
        Height and width of the images.
    fewer, more : int
        Probes.
    repeats : int
    channels : int
        How many of a layer's channels have a pass of their own.
    """
    import torch

    import pyattrx

    from .measure import machine
    from .networks import resnet18

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    pyattrx.set_progress(False)
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(more, 3, size, size, generator=generator)
    target, source = (pyattrx.Encoder(resnet18(seed), name=f"net{seed}") for seed in (0, 1))
    probes = pyattrx.Probes.from_tensor(images)

    def a_probe(run: Callable[[Any], object]) -> float:
        seconds = []
        for _ in range(repeats):
            taken = []
            for count in (more, fewer):
                some = probes.head(count)
                begun = time.process_time()
                run(some)
                taken.append(time.process_time() - begun)
            seconds.append((taken[0] - taken[1]) / (more - fewer))
        return statistics.median(seconds)

    try:
        one = a_probe(lambda some: pyattrx.affinity([source], some, "grad_x_input", 8, "cpu"))
        layers = []
        for layer in LAYERS:
            found = pyattrx.explain(
                target, source, probes.head(2), layer=layer, channels=0, device="cpu"
            )

            def asked(some: Any, layer: str = layer) -> object:
                return pyattrx.explain(
                    target, source, some, layer=layer, channels=0, batch_size=8, device="cpu"
                )

            def masked(some: Any, layer: str = layer) -> None:
                _one_by_one(source, some, layer, channels)

            layers.append(
                {
                    "layer": layer,
                    "channels": len(found),
                    "explain": a_probe(asked),
                    "channel": a_probe(masked) / channels,
                }
            )
        taps = _of_taps(source, images, repeats)
    finally:
        torch.set_num_threads(threads)
    return {
        "image": size,
        "machine": machine(),
        "pass": one,
        "layers": layers,
        "taps": taps,
    }


def _of_taps(source: Any, images: Any, repeats: int) -> dict[str, Any]:
    """Seconds an image of a forward pass that reads the output alone, and twelve layers."""
    import torch

    from pyattrx.encoders import Taps

    some = images[:2]
    with (
        source.prepare("cpu", some) as plain,
        source.read_at(output=Taps(TAPPED)).prepare("cpu", some) as tapped,
    ):
        x = plain.preprocess(images)
        runs: dict[str, Callable[[], object]] = {
            "output": lambda: plain.outputs(x),
            "layers": lambda: tapped.each(x),
        }
        taken: dict[str, list[float]] = {name: [] for name in runs}
        with torch.no_grad():
            for _ in range(1 + repeats):  # the first of each is no pass like the others
                for name, run in runs.items():
                    begun = time.process_time()
                    run()
                    taken[name].append((time.process_time() - begun) / len(images))
    return {name: statistics.median(seconds[1:]) for name, seconds in taken.items()}


def _one_by_one(source: Any, probes: Any, layer: str, channels: int) -> None:
    """A backward pass for each of some channels, from the layer down, after one forward pass."""
    import torch

    images = probes.images()
    with source.read_at(features=layer).prepare("cpu", images[:2]) as prepared:
        for batch in images.split(8):
            x = prepared.preprocess(batch).requires_grad_()
            seen: list[Any] = []
            hook = prepared.module.get_submodule(layer).register_forward_hook(
                lambda _, __, answer, seen=seen: seen.append(answer)
            )
            value = prepared.forward(x).flatten(1).mean(1).sum()
            hook.remove()
            (down,) = torch.autograd.grad(value, seen[0], retain_graph=True)
            for channel in range(channels):
                kept = torch.zeros_like(down)
                kept[:, channel] = down[:, channel]
                torch.autograd.grad(seen[0], x, kept, retain_graph=True)


if __name__ == "__main__":
    _OUT.write_text(json.dumps(measure(), indent=1) + "\n")
