"""Features of one network for all images: out of the cache, and computed where they are new."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from pyattrx.encoders import (
    Encoder,
    imagenet_top1,
)
from pyattrx.errors import AssumptionError, EncoderError, PyattrxError
from pyattrx.features.cache import CachedNetwork, FeatureCache, Rows, stacked
from pyattrx.features.costs import Costs, origin
from pyattrx.features.passes import Reading
from pyattrx.features.place import (
    readable,
)
from pyattrx.probes import Probes
from pyattrx.running import examples

__all__ = ["Features", "extract"]

_VARIANTS = 4  # networks that only their behaviour tells apart
# Share of the features' variance over images that rounding to float16 may be.
_COARSE = 0.01


@dataclass(frozen=True, eq=False)
class Features:
    """What one network sees in all images.

    Attributes
    ----------
    name : str
    pooled : ndarray [N, D], float32
        One vector an image, rounded to float16 but for a power of two.
    maps : ndarray [N, C, H, W], float32, or None
        The same by location, area-resampled; None where the network has no such features.
    place : str
        Where in the network they were read.
    costs : Costs
    computed : int
        Images that were run; the others came out of the cache.
    untrained : str or None
        Why the network's weights look as they were initialised.
    facts : dict
        What else is worth knowing, as JSON types: ``imagenet_top1`` where it was published.
    assumed : bool
        Whether only the network's structure told the place.
    """

    name: str
    pooled: np.ndarray
    maps: np.ndarray | None
    place: str
    costs: Costs
    computed: int
    untrained: str | None
    facts: dict[str, Any]
    assumed: bool = False

    def together(self, most: int | None = None) -> np.ndarray:
        """The vector and the maps side by side, [N, D + C * H * W]: what is where counts, too.

        The vector alone where it is the same for every image: what made the maps is not used. Maps
        of more than `most` rows or columns are averaged down to that.
        """
        if self.maps is None or self.constant:
            return self.pooled
        maps = self.maps
        if most is not None and max(maps.shape[-2:]) > most:
            size = min(most, maps.shape[-2]), min(most, maps.shape[-1])
            maps = F.adaptive_avg_pool2d(torch.from_numpy(maps).float(), size).numpy()
        return np.concatenate([self.pooled, maps.reshape(len(maps), -1)], axis=1)

    @property
    def constant(self) -> bool:
        """Whether every image has the same features."""
        return bool((self.pooled == self.pooled[:1]).all())

    @property
    def coarse(self) -> bool:
        """Whether float16 hides a part of how images differ: all have something large in common."""
        values = self.pooled.astype(np.float64)
        steps = np.where(values == 0, 0.0, np.ldexp(1.0, np.frexp(values)[1] - 11))
        # What is rounded to steps has an error of variance 1/12.
        return bool(np.square(steps).mean() / 12 > _COARSE * values.var(0).mean())


def extract(
    encoder: Encoder,
    probes: Probes,
    *,
    batch_size: int = 32,
    device: torch.device | None = None,
    grid: int = 2,
    cache: FeatureCache | None = None,
    label: str | None = None,
) -> Features:
    """Read a network's features of all images, in one forward pass an image.

    Parameters
    ----------
    encoder : Encoder
        Read at its `features`, or `output`, where it names them; else where `find_place` says.
    probes : Probes
    batch_size : int
    device : torch.device, optional
        The CPU if left out.
    grid : int
        Most rows and columns of `Features.maps`.
    cache : FeatureCache, optional
        Images that are there are not run again, once one of them was, and has the same features.
    label : str, optional
        What progress calls the network.

    Returns
    -------
    Features

    Raises
    ------
    InvalidValueError
        ``PYATTRX_IMAGENET`` leads to no table.
    EncoderError, AssumptionError
        The network fails, or is no function of one image.
    NonFiniteError
        Features hold a NaN or an infinity; the message names the image.

    Examples
    --------
    >>> import torch, pyattrx
    >>> from pyattrx.features import extract
    >>> body = [torch.nn.Conv2d(3, 8, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()]
    >>> network = torch.nn.Sequential(*body, torch.nn.Linear(8, 5))
    >>> probes = pyattrx.Probes.from_tensor(torch.rand(4, 3, 16, 16))
    >>> found = extract(pyattrx.Encoder(network, name="net"), probes)
    >>> found.place, found.pooled.shape, found.maps.shape
    ('input of 3', (4, 8), (4, 8, 2, 2))
    """
    top1 = imagenet_top1(encoder)
    run = Reading(encoder, probes, batch_size, device or torch.device("cpu"), grid)
    kept, known = _kept(run, cache)
    digests = probes.digests()
    missing = _first_of_each(
        [i for i, digest in enumerate(digests) if digest not in known], digests
    )
    if missing:
        wanted = (np.array(missing, np.int64), kept, label or encoder.name)
        others = _beside(run, cache, [digests[index] for index in missing])
        try:
            known |= run.compute(*wanted, others)
        except (AssumptionError, EncoderError):
            if not others:
                raise
            known |= run.compute(*wanted)  # what is wrong may be wrong of another place
    facts = run.facts or (kept.facts() if kept is not None else {})
    rows = stacked([known[digest] for digest in digests])
    return Features(
        encoder.name,
        rows.pooled,
        rows.maps,
        facts["place"],
        Costs(
            facts["parameters"],
            facts["multiply_adds"],
            facts["milliseconds"],
            facts["measured_on"],
            rows.pooled.shape[1],
            (facts["input_size"][0], facts["input_size"][1]),
            *origin(encoder),
        ),
        len(missing),
        facts["untrained"],
        facts["how"] if top1 is None else {**facts["how"], "imagenet_top1": top1},
        facts["assumed"],
    )


def _first_of_each(indices: list[int], digests: list[bytes]) -> list[int]:
    """Copies of an image are run once."""
    first: dict[bytes, int] = {}
    for index in indices:
        first.setdefault(digests[index], index)
    return sorted(first.values())


def _kept(
    run: Reading, cache: FeatureCache | None
) -> tuple[CachedNetwork | None, dict[bytes, Rows]]:
    """What the cache has of this network, and where to keep more of it."""
    if cache is None:
        return None, {}
    digests = run.probes.digests()
    for variant in range(_VARIANTS):
        kept = cache.network({**run.identity(), "variant": variant})
        known = kept.read(digests)
        if not known:
            if not kept.facts():
                return kept, {}
            continue  # of other images: nothing tells whether it is the same network
        try:
            if run.agrees(known, kept.facts()):
                return kept, known
        except PyattrxError:
            continue
    return None, {}


def _beside(
    run: Reading, cache: FeatureCache | None, missing: list[bytes]
) -> list[tuple[Reading, CachedNetwork]]:
    """Other layers of the network to read in the same pass, and where they are kept."""
    found: list[tuple[Reading, CachedNetwork]] = []
    if cache is None or run.encoder.features not in run.encoder.beside:
        return found
    with run.glance(examples(run.probes)[0]) as (prepared, x):
        layers = readable(prepared.module, x, run.encoder.beside)
    if run.encoder.features not in layers:
        return found
    for layer in layers:
        if layer != run.encoder.features:
            other = run.elsewhere(layer)
            kept, known = _kept(other, cache)
            if kept is not None and not known.keys() >= set(missing):
                found.append((other, kept))
    return found
