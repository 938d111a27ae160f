"""Scores of attributions along paths, for the encoders of the first seed, which the demo has.

Their rows are too long to be kept (fifty maps a probe), and their passes many. So a few probes at a
time go through all networks, cosines are all that is left of them, and the work goes on where it
was stopped. Beside each stands what it is to be held against: the same without a path.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import pyattrx.demo.minitaskonomy
from benchmarks.measure import machine
from pyattrx import InnerAttribution, InputAttribution, Method, Probes, evaluate, ops
from pyattrx._files import atomic_write
from pyattrx.affinities import BlockSums
from pyattrx.encoders import PreparedEncoder
from pyattrx.evaluate import Table
from pyattrx.methods import AttributionMaps, GradientField, Network, resolve_scalar
from pyattrx.statistics import jackknife_blocks

from ..minitaskonomy.jobs import Say
from ..minitaskonomy.presets import Preset
from ..minitaskonomy.tasks import TARGETS, TASKS
from .probes import make_probes
from .scores import (
    blocks_file,
    read_blocks,
    read_scores,
    score_file,
    write_blocks,
    write_scores,
)
from .study import Run
from .truth import Truth

__all__ = [
    "COSTS",
    "PATHS",
    "RUN",
    "Along",
    "GradXActivation",
    "IntegratedGradients",
    "compute_paths",
    "costs_file",
    "measure_costs",
    "path_runs",
    "read_costs",
]

RUN = "residual-seed0"
_AT_ONCE = 16  # probes
_LAYER_GRID = (8, 8)  # of the layer: on the grid of the probes cosines would be the same
_SCALARS = {"": "mean", "_hsn": "half_squared_norm"}


class GradXActivation(InputAttribution):
    """Gradient times activation at the inner layer: one pass, and no path."""

    name, combine, inner = "grad_x_activation", "identity", True

    def gradient(self, forward: Any, x: Tensor, scalar: Any) -> Tensor:
        """Run the network once."""
        with torch.enable_grad():
            output, features = forward.through(x)
            (gradient,) = torch.autograd.grad(scalar(output).sum(), features)
        found: Tensor = (gradient * features).detach()
        return found


class IntegratedGradients(InputAttribution):
    """The last map of a gradient field."""

    name, combine = "integrated_gradients", "identity"

    def gradient(self, forward: Any, x: Tensor, scalar: Any) -> Tensor | None:
        """Run the network along the path."""
        field = GradientField().gradient(forward, x, scalar)
        return None if field is None else field[:, -1]


@dataclass(frozen=True)
class Along:
    """One run of all networks: what is attributed, and what maps are made of it.

    Parameters
    ----------
    methods : mapping of str to Method
        All of them from the gradient of the first.
    last : frozenset of str
        Those that are made of the last map of a field only.
    """

    methods: Mapping[str, Method]
    last: frozenset[str] = frozenset()


def _runs() -> list[Along]:
    found = []
    for suffix, scalar in _SCALARS.items():
        found += [_field(suffix, scalar), _short_field(suffix, scalar)]
        inner = [GradXActivation(), *(InnerAttribution(n) for n in ("conductance", "naa"))]
        for one in (*inner, InnerAttribution("layer_ig")):
            made = {
                f"{sign}{one.name}{suffix}": Method(one, scalar, reduce, grid=_LAYER_GRID)
                for sign, reduce in (("", "mean"), ("abs_", "abs_mean"))
            }
            found.append(Along(made))
        names = ("saliency", "grad_x_input")
        found += [Along({f"demo_{name}{suffix}": Method(name, scalar)}) for name in names]
    return found


def _field(suffix: str, scalar: str) -> Along:
    name = f"gradient_field{suffix}"
    own, whole, last = GradientField(), GradientField(unit_steps=False), IntegratedGradients()
    made = {
        name: Method(own, scalar),
        f"{name}_whole": Method(whole, scalar),
        f"abs_{name}": Method(own, scalar, "abs_mean"),
        f"integrated_gradients{suffix}": Method(last, scalar),
        f"abs_integrated_gradients{suffix}": Method(last, scalar, "abs_mean"),
    }
    return Along(made, frozenset(n for n in made if "integrated" in n))


def _short_field(suffix: str, scalar: str) -> Along:
    return Along({f"gradient_field{suffix}_8steps": Method(GradientField(8), scalar)})


ALONG = _runs()
PATHS: dict[str, Method] = {name: m for along in ALONG for name, m in along.methods.items()}
# What maps cost is measured of.
COSTS = ("saliency", "gradient_field", "conductance", "naa", "layer_ig")


def compute_paths(
    folder: Path,
    preset: Preset,
    kind: str,
    root: Path,
    say: Say,
    *,
    encoders: Callable[[], Sequence[Any]] = pyattrx.demo.minitaskonomy.encoders,
    runs: Sequence[Along] | None = None,
) -> list[Path]:
    """Score all pairs of the demo's networks by every method of `PATHS`.

    Parameters
    ----------
    folder : Path
        Of `minitaskonomy`, with its scenes; what is done so far goes there, too.
    preset : Preset
    kind : str
        Of the probes, one of `PROBE_SETS`.
    root : Path
        Where tables go, as `score_file` and `blocks_file` say.
    say : callable
        Is told what is done.
    encoders : callable
        Returns the networks.
    runs : sequence of Along
        All of them if left out.

    Returns
    -------
    list of Path
        What was written.
    """
    probes = make_probes(kind, folder, preset)
    work = folder / "paths" / kind
    work.mkdir(parents=True, exist_ok=True)
    parts, chosen = [], ALONG if runs is None else runs
    networks = list(encoders())
    with ExitStack() as stack:
        prepared = [
            stack.enter_context(network.prepare("cpu", probes.images(0, 2), batch_size=64))
            for network in networks
        ]
        for first in range(0, len(probes), _AT_ONCE):
            file = work / f"{first}.npz"
            if not file.is_file():
                images = probes.images(first, min(first + _AT_ONCE, len(probes)))
                arrays = {}
                for along in chosen:
                    arrays.update(_cosines(along, prepared, images, probes.size))
                with atomic_write(file) as out:
                    np.savez(out, **arrays)  # type: ignore[arg-type]
                say(f"{kind}: probes {first} to {first + len(images)} of {len(probes)}")
            with np.load(file) as found:
                parts.append({name: found[name] for name in found.files})
    labels = [network.name for network in networks]
    return _written(parts, probes, labels, kind, root, say)


def path_runs(root: Path, truth: Truth, name: str, probes: str) -> list[Run]:
    """Scores by a method of `PATHS` beside the truth; none where they are missing."""
    file = score_file(root, RUN, probes, name)
    if not file.is_file():
        return []
    values = read_scores(file, tuple(TASKS))
    labels = evaluate.read_table(file).targets
    less, blocks = read_blocks(blocks_file(root, RUN, probes, name), labels, tuple(TASKS))
    whole = Table(values, tuple(TASKS), tuple(TASKS), without=values - less, blocks=blocks)
    return [(whole.select(TARGETS, tuple(TASKS)), truth.table)]


def costs_file(root: Path) -> Path:
    """Return where the costs of maps are."""
    return root / "paths-costs.json"


def read_costs(root: Path) -> dict[str, float]:
    """Return the seconds of one thread's CPU time an image, by method."""
    found: dict[str, float] = json.loads(costs_file(root).read_text())["seconds an image"]
    return found


def measure_costs(
    folder: Path, preset: Preset, root: Path, images: int = 64, times: int = 5
) -> Path:
    """Measure the CPU time of maps of one of the demo's networks; medians, one thread."""
    probes = make_probes("rendered", folder, preset)
    batch = probes.images(0, images)
    network = pyattrx.demo.minitaskonomy.encoders()[0]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    taken: dict[str, list[float]] = {name: [] for name in COSTS}
    try:
        for _ in range(times):  # one after another, so that a busy machine is so for all of them
            for name in COSTS:
                maps = AttributionMaps(Method(name), probes.size)
                at_once = max(1, 64 // maps.maps)
                with network.prepare("cpu", batch[:2], batch_size=64) as prepared:
                    begun = time.process_time()
                    for part in batch.split(at_once):
                        maps.rows(prepared, part)
                    taken[name].append((time.process_time() - begun) / images)
    finally:
        torch.set_num_threads(threads)
    seconds = {name: float(np.median(some)) for name, some in taken.items()}
    facts = {
        "seconds an image": seconds,
        "images": images,
        "times": times,
        **machine(),
        "threads": 1,
    }
    with atomic_write(costs_file(root)) as out:
        out.write((json.dumps(facts, indent=2) + "\n").encode())
    return costs_file(root)


def _cosines(
    along: Along, prepared: Sequence[PreparedEncoder], images: Tensor, size: tuple[int, int]
) -> dict[str, NDArray[np.float64]]:
    """Cosines [N, M, M] of all pairs of networks on some probes, by each method."""
    makers = {name: AttributionMaps(method, size) for name, method in along.methods.items()}
    first = next(iter(along.methods.values()))
    scalar = resolve_scalar(first.scalar)
    rows: dict[str, list[Tensor]] = {name: [] for name in makers}
    for encoder in prepared:
        x = encoder.preprocess(images)
        gradient = first.traced.gradient(Network(encoder, size), x, scalar)
        assert gradient is not None
        for name, maker in makers.items():
            some = gradient[:, -1] if name in along.last else gradient
            rows[name].append(maker.of_gradient(some, x))
    return {name: ops.probe_cosines(torch.stack(some)).numpy() for name, some in rows.items()}


def _written(
    parts: Sequence[Mapping[str, NDArray[np.float64]]],
    probes: Probes,
    labels: Sequence[str],
    kind: str,
    root: Path,
    say: Say,
) -> list[Path]:
    blocks = jackknife_blocks(np.asarray(probes.groups))
    written: list[Path] = []
    for name in parts[0]:
        cosines = np.concatenate([part[name] for part in parts])
        sums = BlockSums(blocks)
        sums.add(np.arange(len(cosines)), cosines)
        scores = sums.scores(cosines.mean(0))
        files = score_file(root, RUN, kind, name), blocks_file(root, RUN, kind, name)
        write_scores(files[0], scores.values, labels)
        write_blocks(files[1], scores, blocks)
        written += files
        say(f"wrote {files[0]}")
    return written
