"""Layers of a source, scored by how near they are to a target network."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import numpy as np
import torch

from pyattrx._scratch import ScratchFolder
from pyattrx.affinities import BlockSums, Scores, affinity, by_blocks
from pyattrx.encoders import Encoder, Taps
from pyattrx.errors import AssumptionError, EncoderError, InvalidValueError
from pyattrx.methods import Combined, ComparisonMethod, FeatureMethod, Method
from pyattrx.probes import Probes
from pyattrx.questions.candidates import Spot
from pyattrx.questions.layers_result import Layer, Layers
from pyattrx.questions.tapping import AtLayers, BlurredError, Rooms
from pyattrx.running import Description, device_name, versions
from pyattrx.statistics import (
    Residuals,
    degrees_of_freedom,
    jackknife_blocks,
    jackknife_residuals,
    rank,
)

__all__ = ["with_target"]


@dataclass
class _Run:
    """What a comparison depends on, and what is found on the way."""

    source: Encoder
    target: Encoder
    probes: Probes
    asked: bool
    batch_size: int
    device: torch.device
    scratch: ScratchFolder
    spots: list[Spot]
    failures: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def groups(self) -> np.ndarray:
        return np.asarray(self.probes.groups)

    @property
    def blocks(self) -> np.ndarray:
        return jackknife_blocks(self.groups)

    def leave_out(self, why: dict[str, str]) -> None:
        """Go on without some layers, unless they were asked for."""
        if self.asked and why:
            name, reason = next(iter(why.items()))
            raise AssumptionError(
                "features", f"network {self.source.name!r}: layer {name!r}: {reason}"
            )
        self.failures |= why
        self.spots = [spot for spot in self.spots if spot.name not in why]
        if not self.spots:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in self.failures.items())
            raise EncoderError(f"network {self.source.name!r}: no layer is left ({reasons})")


def with_target(
    source: Encoder,
    target: Encoder,
    probes: Probes,
    method: ComparisonMethod,
    spots: Sequence[Spot],
    *,
    asked: bool,
    batch_size: int,
    device: torch.device,
    level: float,
    scratch: ScratchFolder,
) -> Layers:
    """Score layers; parameters as for `layers`, all checked."""
    begun = time.perf_counter()
    run = _Run(source, target, probes, asked, batch_size, device, scratch, list(spots))
    found = _of_maps(run, method) if isinstance(method, Method) else _by_blocks(run, method)
    names = [spot.name for spot in run.spots]
    ranked = rank(
        names, found.values, found.stderr, found.residuals, found.df,
        k=len(names), level=level, bounds=method.bounds,
    )  # fmt: skip
    of = {match.name: match for match in ranked}
    made = [
        Layer(
            spot.name, depth, spot.shape, of[spot.name].affinity, of[spot.name].stderr,
            of[spot.name].low, of[spot.name].high, of[spot.name].ties,
        )
        for depth, spot in enumerate(run.spots, 1)
    ]  # fmt: skip
    provenance = {
        "method": _method_dict(method),
        "method_name": str(method),
        "probes": probes.describe(),
        "source": source.describe(),
        "target": target.describe(),
        "found": not asked,
        **run.facts,
        "batch_size": batch_size,
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "seconds": round(time.perf_counter() - begun, 3),
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": versions(),
    }
    return Layers(tuple(made), source.name, target.name, str(method), run.failures, (), provenance)


@dataclass(frozen=True)
class _Found:
    values: np.ndarray  # [L]
    stderr: np.ndarray  # [L]
    residuals: Residuals | None
    df: float


def _of_maps(run: _Run, method: Method) -> _Found:
    values, stderr, cosines = _compared_maps(run, method)
    residuals = None if cosines is None else Residuals.of(cosines, run.groups)
    return _Found(values, stderr, residuals, degrees_of_freedom(run.groups))


def _compared_maps(run: _Run, method: Method) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Scores [L], their errors, and the cosines of every probe [N, L]; one pass back a layer."""
    at = {f"{run.source.name} at {spot.name}": spot.name for spot in run.spots}
    networks = [run.source.read_at(output=layer, name=name) for name, layer in at.items()]
    target = run.target.read_at(name=f"target {run.target.name}")
    found = affinity(
        [target, *networks], run.probes, method, run.batch_size, run.device,
        scratch=run.scratch, on_error="raise" if run.asked else "skip",
    )  # fmt: skip
    if found.names[:1] != [target.name]:
        raise EncoderError(found.failures[target.name])
    run.leave_out({at[name]: why for name, why in found.failures.items()})
    cosines = None if found.cosines is None else found.cosines[:, 0, 1:]
    return found.values[0, 1:], found.stderr[0, 1:], cosines


def _by_blocks(run: _Run, method: ComparisonMethod) -> _Found:
    """Scores that are no mean over probes, with the errors of a jackknife."""
    while True:  # again where a layer has to be left out: all parts need the same layers
        before = run.spots
        parts = [_part(run, part) for part in method.parts]
        if run.spots == before:
            break
    scores = _combined(method, parts)
    stderr, without = by_blocks(scores, run.blocks)
    residuals = None
    if without is not None:
        residuals = jackknife_residuals(scores.values[0], scores.without[:, 0], run.blocks)
    return _Found(scores.values[0], stderr[0], residuals, degrees_of_freedom(run.blocks))


def _part(run: _Run, part: ComparisonMethod) -> Scores:
    """Scores [1, L] by one part of a method."""
    if isinstance(part, FeatureMethod):
        return _of_features(run, part)
    assert isinstance(part, Method)
    values, _, cosines = _compared_maps(run, part)
    if cosines is None:
        expected = "fewer, for a method that combines maps and features"
        raise InvalidValueError("probes", len(run.probes), expected)
    sums = BlockSums(run.blocks)
    sums.add(np.arange(len(cosines)), cosines[:, None])
    return sums.scores(values[None])


def _combined(method: ComparisonMethod, parts: Sequence[Scores]) -> Scores:
    if not isinstance(method, Combined):
        return parts[0]
    if not method.standardize:
        return Scores(
            method.combine([one.values for one in parts]),
            method.combine([one.without for one in parts]),
        )

    def square(values: np.ndarray) -> np.ndarray:
        # Scores of a target are standardized over the others: here over the layers.
        count = values.shape[-1] + 1
        whole = np.zeros((*values.shape[:-2], count, count))
        whole[..., 0, 1:] = values[..., 0, :]
        return whole

    return Scores(
        method.combine([square(one.values) for one in parts])[:1, 1:],
        method.combine([square(one.without) for one in parts])[:, :1, 1:],
    )


def _of_features(run: _Run, method: FeatureMethod) -> Scores:
    """Scores of all layers by what one pass sees of them."""
    wanted = _description(run, run.target)
    with wanted:
        target = method.summarize(wanted.observed(method))
    asking, observed = _observed(run, method)
    values, without = [], []
    for index in range(len(run.spots)):
        layer = method.summarize(asking.of_layer(observed, index))
        one = method.compare([target], [layer], run.groups, run.blocks)
        values.append(one[0])
        without.append(one[1])
    return Scores(np.concatenate(values, axis=1), np.concatenate(without, axis=2))


def _observed(run: _Run, method: FeatureMethod) -> tuple[AtLayers, dict[str, torch.Tensor]]:
    encoder = copy.copy(run.source)
    encoder.features = None
    given = run.source.output
    for _ in range(len(run.spots) + 2):
        taps = Taps(
            [spot.name for spot in run.spots],
            [spot.exponent for spot in run.spots],
            given if callable(given) else None,
        )
        asking = AtLayers(method, taps)
        network = _description(run, encoder.read_at(output=taps))
        try:
            with network:
                observed = network.observed(asking, Rooms(run.scratch))
                run.facts |= network.how
            return asking, observed
        except BlurredError as error:
            if encoder.dtype != torch.float64:
                encoder = Encoder(
                    encoder.module, encoder.name, None, encoder.transform, encoder.input_size,
                    dtype=torch.float64,
                )  # fmt: skip
                run.facts["computed_in"] = "float64"
                continue
            why = "it hardly differs between images: what differs is rounding, or in part"
            run.leave_out({run.spots[index].name: why for index in error.layers})
    raise AssertionError  # every turn but two leaves a layer out


def _description(run: _Run, encoder: Encoder) -> Description:
    return Description(
        encoder, run.probes, [], batch_size=run.batch_size, device=run.device, precision="float32"
    )


def _method_dict(method: ComparisonMethod) -> dict[str, Any]:
    try:
        return method.to_dict()
    except InvalidValueError:  # parts that cannot be imported again are still worth a description
        return {"description": str(method)}
