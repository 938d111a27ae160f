"""Shares of channels in the cosine of two networks' attribution maps, probe by probe.

A map that is linear in the gradient is the sum of what comes by each channel of a layer, and of
what goes around the layer. So is its inner product with the other network's map b: with R what
makes a map of a gradient, g the derivative with respect to the layer's answer and J the derivative
of that answer, channel c adds the sum over its locations of ``g * J R^T b``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyattrx import ops
from pyattrx.affinities import RowStore
from pyattrx.encoders import Encoder, PreparedEncoder
from pyattrx.methods import AttributionMaps, Method, resolve_attribution, resolve_scalar
from pyattrx.probes import Probes
from pyattrx.questions.crossing import Crossing, Tap, by_channel
from pyattrx.questions.where import channel_axis
from pyattrx.running import Description

__all__ = ["Asked", "MapShares", "Wanted", "as_images", "conditional_maps", "map_shares"]

# Channels, and the probes on which each is to be shown.
Wanted = list[tuple[int, np.ndarray]]


@dataclass
class MapShares:
    """What was found, by probe.

    Attributes
    ----------
    cosines : ndarray [N]
    shares : ndarray [N, C]
        In units of the cosine.
    around : ndarray [N]
        By paths around the layer, computed by themselves.
    relevance : dict of str to ndarray [N, C]
        "sum" and "max", in units of the number that is attributed.
    zero : int
        Probes on which one of the maps is zero.
    maps, others : list of ndarray [R, h, w]
        For each of the channels that were wanted: its conditional maps, and the other network's.
    facts : dict of str to dict
        What is known of the networks, by name.
    """

    cosines: np.ndarray
    around: np.ndarray
    shares: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    relevance: dict[str, np.ndarray] = field(default_factory=dict)
    zero: int = 0
    maps: list[np.ndarray] = field(default_factory=list)
    others: list[np.ndarray] = field(default_factory=list)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """The network whose channels are asked about, and where they are.

    Attributes
    ----------
    encoder : Encoder
    layer : str or None
        None for its output.
    axis : int or None
        Of the channels.
    """

    encoder: Encoder
    layer: str | None
    axis: int | None

    def read(self) -> Encoder:
        """The network with its layer kept from what would move it, such as folding."""
        layer = self.layer
        return self.encoder if layer is None else self.encoder.read_at(features=layer)

    def axis_of(self, answer: Tensor) -> int:
        """Axis of the channels of what the layer answers."""
        return channel_axis(tuple(answer.shape), self.axis, self.encoder.name)


@dataclass(frozen=True)
class _Batch:
    images: Tensor
    maps: Tensor
    sizes: Tensor
    products: Tensor  # of each channel with the other's map of unit length, [B, C]
    around: Tensor  # [B]
    relevance: dict[str, Tensor]


def map_shares(
    asked: Asked,
    other: Encoder,
    probes: Probes,
    method: Method,
    choose: Callable[[np.ndarray, dict[str, np.ndarray]], Wanted],
    **options: Any,
) -> MapShares:
    """Divide the cosines of two networks among the channels of a layer of one.

    Parameters
    ----------
    asked : Asked
    other : Encoder
    probes : Probes
    method : Method
        Linear in the gradient.
    choose : callable
        From shares and relevance to what is to be shown.
    **options
        Of `Description`: ``batch_size`` and ``device``.
    """
    maps = AttributionMaps(method, probes.size)
    count = len(probes)
    found = MapShares(np.zeros(count), np.zeros(count))
    with RowStore(count, options["device"]) as store:
        with Description(other, probes, [maps], precision="float32", **options) as network:
            place = None
            for chosen, (rows,) in network.rows():
                place = store.begin(rows) if place is None else place
                place.write(int(chosen[0]), rows)
            found.facts[other.name] = _facts(network)
        with Description(asked.read(), probes, [maps], precision="float32", **options) as network:
            wanted = _cross_all(asked, network, maps, store, found, choose)
            images = [
                probes.take(numbers).images().to(options["device"]) for _, numbers in wanted[0]
            ]
            for (channel, numbers), photos in zip(wanted[0], images, strict=True):
                channels = torch.full((len(photos),), channel)
                found.maps.append(
                    conditional_maps(wanted[1], asked, maps, photos, channels, own=False)
                )
                found.others.append(as_images(maps, _rows(store, numbers)))
            found.facts[asked.encoder.name] = _facts(network)
    return found


def _cross_all(
    asked: Asked,
    network: Description,
    maps: AttributionMaps,
    store: RowStore,
    found: MapShares,
    choose: Callable[[np.ndarray, dict[str, np.ndarray]], Wanted],
) -> tuple[Wanted, PreparedEncoder]:
    method = maps.method
    tap = Tap(asked.layer, resolve_attribution(method.attribution), resolve_scalar(method.scalar))
    prepared: PreparedEncoder | None = None

    def run(encoder: PreparedEncoder, images: Tensor, chosen: np.ndarray) -> _Batch:
        nonlocal prepared
        prepared = encoder
        x = encoder.preprocess(images)
        towards = maps.adjoint(_unit(store.block(slice(0, 1), chosen)[0]), x)
        crossing = tap.cross(encoder, x, towards)
        rows, sizes = maps.of_gradient_and_sizes(crossing.through + crossing.around, x)
        around = (crossing.around.double() * towards.double()).flatten(1).sum(1)
        axis = asked.axis_of(crossing.answer)
        return _Batch(
            images, rows, sizes, _products(crossing, axis), around, _relevance(crossing, axis)
        )

    for chosen, batch in network.each(run, "channels"):
        rows = network.checked(chosen, batch.images, batch.maps, batch.sizes)
        others = store.block(slice(0, 1), chosen)[0].to(rows.dtype)
        norms = _norms(rows)[:, 0]
        there = (norms > 0) & (others != 0).any(1)
        over = torch.where(there, norms, 1.0)
        if not found.shares.size:
            shape = (len(found.cosines), batch.products.shape[1])
            found.shares = np.zeros(shape)
            found.relevance = {name: np.zeros(shape) for name in batch.relevance}
        found.cosines[chosen] = ops.probe_cosines(rows[None], others[None])[:, 0, 0].cpu()
        found.shares[chosen] = torch.where(
            there[:, None], batch.products / over[:, None], 0.0
        ).cpu()
        found.around[chosen] = torch.where(there, batch.around / over, 0.0).cpu()
        for name, values in batch.relevance.items():
            found.relevance[name][chosen] = values.cpu()
        found.zero += int((~there).sum())
    assert prepared is not None
    return choose(found.shares, found.relevance), prepared


def conditional_maps(
    encoder: PreparedEncoder,
    asked: Asked,
    maps: AttributionMaps,
    images: Tensor,
    channels: Tensor,
    *,
    own: bool,
) -> np.ndarray:
    """Maps of what comes by one channel, for each image.

    Parameters
    ----------
    encoder : PreparedEncoder
    asked : Asked
    maps : AttributionMaps
    images : Tensor [B, 3, H, W]
    channels : Tensor [B], int64
    own : bool
        Of the channel itself, and not of the number that is attributed.

    Returns
    -------
    ndarray [B, h, w], float32
    """
    method = maps.method
    tap = Tap(asked.layer, resolve_attribution(method.attribution), resolve_scalar(method.scalar))
    x = encoder.preprocess(images)
    gradient = tap.of_channels(encoder, x, channels, asked.axis_of, own=own)
    return as_images(maps, maps.of_gradient(gradient, x))


def as_images(maps: AttributionMaps, rows: Tensor) -> np.ndarray:
    """Rows as images; the mean over channels where a method keeps them apart."""
    height, width = maps.grid
    return rows.view(len(rows), -1, height, width).mean(1).float().cpu().numpy()


def _rows(store: RowStore, numbers: np.ndarray) -> Tensor:
    """Rows of some probes in any order; a store gives them in a rising one."""
    rising, place = np.unique(numbers, return_inverse=True)
    rows: Tensor = store.block(slice(0, 1), rising)[0]
    return rows[torch.from_numpy(place)]


def _products(crossing: Crossing, axis: int) -> Tensor:
    assert crossing.moved is not None
    return by_channel(crossing.gradient.double() * crossing.moved.double(), axis).sum(2)


def _relevance(crossing: Crossing, axis: int) -> dict[str, Tensor]:
    """What each channel adds to the number that is attributed: epsilon-LRP's relevance."""
    values = by_channel(crossing.gradient.double() * crossing.answer.double(), axis)
    return {"sum": values.sum(2).abs(), "max": values.abs().amax(2)}


def _norms(rows: Tensor) -> Tensor:
    """Norms [N, 1] of rows, in float64 and without under- or overflow."""
    wide = rows.double()
    largest = wide.abs().amax(1, keepdim=True)
    scaled = wide / torch.where(largest > 0, largest, 1.0)
    norms: Tensor = largest * scaled.norm(dim=1, keepdim=True)
    return norms


def _unit(rows: Tensor) -> Tensor:
    """Rows of unit length; zeros stay zeros."""
    norms = _norms(rows)
    return rows.double() / torch.where(norms > 0, norms, 1.0)


def _facts(network: Description) -> dict[str, Any]:
    return {**network.how, "untrained": network.untrained}
