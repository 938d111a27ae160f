"""What is kept of every network: maps of all methods from as few passes as they need, features.

Several methods are made from one gradient, and several from the same features. What they need is in
``descriptors/RUN/PROBES/NETWORK/GROUP.npz`` of a work folder, made when it is missing, so that the
work goes on where it was stopped, and can begin before all networks are there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyattrx import Encoder, FeatureMethod, Probes, methods
from pyattrx._files import atomic_write
from pyattrx.encoders import PreparedEncoder
from pyattrx.methods import (
    ELRP,
    AttributionMaps,
    InputAttribution,
    resolve_attribution,
    resolve_scalar,
)

from .methods import BASE, CODE, LAYER

__all__ = ["describe", "group_of", "read"]

_BATCH = 64


def group_of(name: str) -> str:
    """Name what a method of `BASE` shares with others: a gradient, or what is observed."""
    method = BASE[name]
    if isinstance(method, FeatureMethod):
        place = "-code" if name in CODE else ""
        if isinstance(method, methods.PerturbationResponse):
            return f"{method.name}-{method.strength:g}-{method.draws}-{method.seed}{place}"
        if "features" in method.needs:
            return method.name + place
        return "output"
    rules = "elrp" if isinstance(resolve_attribution(method.attribution), ELRP) else "gradient"
    scalar = str(getattr(method.scalar, "__name__", method.scalar))
    return "-".join([rules, scalar, *([LAYER[name]] if name in LAYER else [])])


def describe(
    encoder: Encoder, probes: Probes, folder: Path, methods: Sequence[str] = tuple(BASE)
) -> list[str]:
    """Make what is missing of a network.

    Parameters
    ----------
    encoder : Encoder
    probes : Probes
    folder : Path
        Of this network and these probes.
    methods : sequence of str
        Names in `BASE` that have to be possible.

    Returns
    -------
    list of str
        The groups that were made.
    """
    groups: dict[str, list[str]] = {}
    for name in methods:
        groups.setdefault(group_of(name), []).append(name)
    missing = {g: names for g, names in groups.items() if not _has(folder / f"{g}.npz", names)}
    folder.mkdir(parents=True, exist_ok=True)
    for group, names in missing.items():
        layer = LAYER.get(names[0], encoder.output)
        features = None if names[0] in CODE else encoder.features
        read_there = Encoder(encoder.module, encoder.name, layer, encoder.transform,
                             encoder.input_size, features=features)  # fmt: skip
        with ExitStack() as stack:
            prepared = stack.enter_context(read_there.prepare("cpu", probes.images(0, 1)))
            feature = isinstance(BASE[names[0]], FeatureMethod)
            parts = list((_features if feature else _maps)(prepared, probes, names))
        arrays = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
        with atomic_write(folder / f"{group}.npz") as out:
            np.savez(out, **arrays)  # type: ignore[arg-type]
    return list(missing)


def read(folder: Path, name: str) -> dict[str, NDArray[np.float32]]:
    """Return what was kept of a network for a method: ``maps`` [N, D], or what it observes."""
    with np.load(folder / f"{group_of(name)}.npz") as found:
        if isinstance(BASE[name], FeatureMethod):
            return {key: found[key] for key in found.files}
        return {"maps": found[name]}


def _has(file: Path, names: list[str]) -> bool:
    if not file.is_file():
        return False
    if isinstance(BASE[names[0]], FeatureMethod):
        return True
    with np.load(file) as found:
        return set(names) <= set(found.files)


def _batches(probes: Probes) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
    for start in range(0, len(probes), _BATCH):
        stop = min(start + _BATCH, len(probes))
        yield np.arange(start, stop), probes.images(start, stop)


def _maps(
    prepared: PreparedEncoder, probes: Probes, names: list[str]
) -> Iterator[dict[str, NDArray[np.float32]]]:
    """Maps of several methods from one gradient."""
    descriptors = {}
    for name in names:
        method = BASE[name]
        assert not isinstance(method, FeatureMethod)
        descriptors[name] = AttributionMaps(method, probes.size)
    first = descriptors[names[0]].method
    attribution: InputAttribution = resolve_attribution(first.attribution)
    scalar = resolve_scalar(first.scalar)
    for _, images in _batches(probes):
        x = prepared.preprocess(images)
        gradient = attribution.gradient(prepared.forward, x, scalar)
        assert gradient is not None
        yield {name: d.of_gradient(gradient, x).numpy() for name, d in descriptors.items()}


def _features(
    prepared: PreparedEncoder, probes: Probes, names: list[str]
) -> Iterator[dict[str, NDArray[np.float32]]]:
    method = BASE[names[0]]
    assert isinstance(method, FeatureMethod)
    descriptor = method
    for numbers, images in _batches(probes):
        with torch.no_grad():
            observed = descriptor.observe(prepared, images, numbers)
        yield {key: part.numpy() for key, part in observed.items()}
