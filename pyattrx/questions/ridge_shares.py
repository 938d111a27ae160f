"""Shares of channels in how well a regression predicts a target's output from a source's features.

What is predicted of each of the target's channels sums to the score. What the score falls by
without one of the source's channels does not: several can do for each other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from pyattrx.encoders import Encoder, PreparedEncoder
from pyattrx.methods import (
    AttributionMaps,
    ChannelShares,
    FeatureMethod,
    Method,
    Regression,
    Ridge,
    channel_shares,
    channels_of,
)
from pyattrx.probes import Probes
from pyattrx.questions.map_shares import Asked, Wanted, as_images, conditional_maps
from pyattrx.questions.where import channel_axis
from pyattrx.running import Description
from pyattrx.statistics import jackknife_blocks

__all__ = ["RidgeShares", "ridge_examples", "ridge_shares"]


@dataclass(frozen=True)
class RidgeShares:
    """What was found.

    Attributes
    ----------
    found : ChannelShares
    blocks : ndarray [N], int64
        Of the jackknife.
    relevance : dict of str to ndarray [N, C]
        "sum" and "max" of the magnitude of a channel's activation over its locations.
    facts : dict of str to dict
        What is known of the networks, by name.
    """

    found: ChannelShares
    blocks: np.ndarray
    relevance: dict[str, np.ndarray]
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)


def ridge_shares(
    target: Encoder,
    source: Encoder,
    probes: Probes,
    method: Regression | Ridge,
    of: str,
    axis: int | None,
    **options: Any,
) -> RidgeShares:
    """Divide a score among the channels of one of two networks.

    Parameters
    ----------
    target, source : Encoder
        Read where they are asked about.
    probes : Probes
    method : Regression or Ridge
    of : {"target", "source"}
    axis : int or None
        Of the channels.
    **options
        Of `Description`: ``batch_size`` and ``device``.
    """
    groups = np.asarray(probes.groups)
    observed: list[dict[str, Tensor]] = []
    shapes: dict[str, tuple[int, ...]] = {}
    facts = {}
    for who, encoder in (("target", target), ("source", source)):
        noting = _Noting(method)
        with Description(encoder, probes, [], precision="float32", **options) as network:
            observed.append(network.observed(cast(FeatureMethod, noting)))
            facts[encoder.name] = {**network.how, "features_in": network.features_in}
        shapes[who] = noting.shapes["output" if who == "target" else "features"]
    shape = shapes[of]
    name = (target if of == "target" else source).name
    channels = channels_of(shape[1:], channel_axis(shape, axis, name))
    own = observed[0]["output"] if of == "target" else _features(observed[1])
    relevance = _relevance(own, channels)
    blocks = jackknife_blocks(groups)
    found = channel_shares(
        method, observed[0], observed[1], channels, groups, blocks, of_source=of == "source"
    )
    return RidgeShares(found, blocks, relevance, facts)


def ridge_examples(
    asked: Asked, other: Encoder, probes: Probes, wanted: Wanted, **options: Any
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """What in an image a channel answers to, beside what the other network's output is from.

    Parameters
    ----------
    asked : Asked
        Whose output the channels are.
    other : Encoder
    probes : Probes
    wanted : list of (int, ndarray)
        Channels, and the probes of each.
    **options
        As for `ridge_shares`.

    Returns
    -------
    maps, others : list of ndarray [R, h, w]
        Gradient x input of the sum of the channel, and of the other network's mean output.
    """
    numbers = np.unique(np.concatenate([some for _, some in wanted]))
    few = probes.take(numbers)
    maps = AttributionMaps(Method(), probes.size)
    rows: dict[int, np.ndarray] = {}
    with Description(other, few, [maps], precision="float32", **options) as network:
        for chosen, (part,) in network.rows():
            rows.update(zip(numbers[chosen].tolist(), as_images(maps, part), strict=True))
    by_probe: dict[tuple[int, int], np.ndarray] = {}

    def run(encoder: PreparedEncoder, images: Tensor, chosen: np.ndarray) -> None:
        for place, number in enumerate(numbers[chosen].tolist()):
            channels = [channel for channel, some in wanted if number in some]
            copies = images[place : place + 1].expand(len(channels), *images.shape[1:])
            found = conditional_maps(encoder, asked, maps, copies, torch.tensor(channels), own=True)
            by_probe.update({(c, number): one for c, one in zip(channels, found, strict=True)})

    with Description(asked.encoder, few, [maps], precision="float32", **options) as network:
        for _ in network.each(run, "channels"):
            pass
    return (
        [np.stack([by_probe[channel, n] for n in some.tolist()]) for channel, some in wanted],
        [np.stack([rows[n] for n in some.tolist()]) for _, some in wanted],
    )


def _features(observed: dict[str, Tensor]) -> Tensor:
    return observed.get("features", observed["output"])


def _relevance(values: Tensor, channels: np.ndarray) -> dict[str, np.ndarray]:
    count = int(channels.max()) + 1
    flat = values.flatten(1) if values.dim() > 1 else values[:, None]
    if flat.shape[1] % len(channels) == 0 and flat.shape[1] != len(channels):
        channels = np.tile(channels, flat.shape[1] // len(channels))  # perturbations of each
    elif flat.shape[1] != len(channels):  # maps that were made smaller
        channels = np.repeat(np.arange(count), flat.shape[1] // count)
    order = np.argsort(channels, kind="stable")
    alike = flat.abs().double().numpy()[:, order].reshape(len(flat), count, -1)
    return {"sum": alike.sum(2), "max": alike.max(2)}


class _Noting:
    """A method that notes the shapes of what networks answer."""

    def __init__(self, method: Regression | Ridge) -> None:
        self._method = method
        self.name, self.all_units_alike = method.name, method.all_units_alike
        self.shapes: dict[str, tuple[int, ...]] = {}

    def observe(
        self, encoder: PreparedEncoder, images: Tensor, probes: np.ndarray
    ) -> dict[str, Tensor]:
        """As the method does."""
        return self._method.observe(
            cast(PreparedEncoder, _Noted(encoder, self.shapes)), images, probes
        )


class _Noted:
    def __init__(self, encoder: PreparedEncoder, shapes: dict[str, tuple[int, ...]]) -> None:
        self._encoder, self._shapes = encoder, shapes
        self.preprocess = encoder.preprocess

    def outputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        found = self._encoder.outputs(x)
        self._shapes.update(
            zip(("output", "features"), (tuple(one.shape) for one in found), strict=True)
        )
        return found
