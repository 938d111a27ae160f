"""A network's answer, followed while its probes are occluded step by step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyattrx.encoders import Encoder, PreparedEncoder
from pyattrx.errors import NonFiniteError
from pyattrx.methods import AttributionMaps, Method, Scalar, resolve_scalar
from pyattrx.probes import Probes
from pyattrx.questions.occluding import Fill, Order, Patches, filled
from pyattrx.running import Description

__all__ = ["Followed", "Occlusions"]

_Array = NDArray[np.float64]


@dataclass
class Followed:
    """What was seen of one method's order, and of the random one.

    Attributes
    ----------
    fractions, random_fractions : ndarray [N, S]
        Part of the pixels that is occluded.
    distances, random_distances : ndarray [N, S]
        Of the output from that for the whole probe.
    scalars, random_scalars : ndarray [N, S]
        The number that is attributed.
    zero_maps : int
        Probes whose map is zero.
    """

    fractions: _Array
    random_fractions: _Array
    distances: _Array
    random_distances: _Array
    scalars: _Array
    random_scalars: _Array
    zero_maps: int


@dataclass(frozen=True)
class _Walk:
    """One order of occlusion for a batch, [B, S] each; the scalars of the methods that ask."""

    fractions: _Array
    distances: _Array
    scalars: list[_Array]


@dataclass(frozen=True)
class Occlusions:
    """How probes are occluded.

    Attributes
    ----------
    methods : sequence of Method
        Each with a whole map an image.
    patches : Patches
    order : Order
    fill : str or tuple
    steps : ndarray [S], int64
        Patches that are occluded at each step.
    seed : int
    """

    methods: Sequence[Method]
    patches: Patches
    order: Order
    fill: Fill
    steps: NDArray[np.int64]
    seed: int

    def follow(
        self, encoder: Encoder, probes: Probes, batch_size: int, device: torch.device
    ) -> tuple[list[Followed], dict[str, object]]:
        """Make the maps of every method, and follow the network in the order of each.

        The whole probes, those that are occluded altogether, and the random order are run once for
        all methods.

        Returns
        -------
        (list of Followed, dict)
            One for each method, and what is special about how the network is run.
        """
        makers = [AttributionMaps(method, probes.size) for method in self.methods]
        with Description(
            encoder, probes, makers, batch_size=batch_size, device=device, precision="float32"
        ) as network:
            means, zero = self._means(network, makers, len(probes))
            walks = list(self._walks(network, probes, encoder.name, means))
            facts = {**network.how, "untrained": network.untrained}
        return [self._joined(walks, index, count) for index, count in enumerate(zero)], facts

    def _means(
        self, network: Description, makers: Sequence[AttributionMaps], count: int
    ) -> tuple[list[NDArray[np.floating]], list[int]]:
        """Means of maps over patches, [N, P] for each method, and how many maps are zero."""
        found: list[NDArray[np.floating]] = []
        zero = [0] * len(makers)
        for chosen, rows in network.rows(on_host=True):
            for index, (maker, some) in enumerate(zip(makers, rows, strict=True)):
                # Of a path's maps the last one, as `attribute` has it.
                maps = some.view(len(some), -1, *maker.grid)[:, -1]
                if len(found) <= index:
                    kind = np.float64 if some.dtype == torch.float64 else np.float32
                    found.append(np.empty((count, self.patches.count), kind))
                found[index][chosen] = self.patches.means(maps)
                zero[index] += int((maps == 0).flatten(1).all(1).sum())
        return found, zero

    def _walks(
        self,
        network: Description,
        probes: Probes,
        name: str,
        means: Sequence[NDArray[np.floating]],
    ) -> Iterator[list[_Walk]]:
        """Walks of a batch: one for each method, and the random one last."""
        scalars = [resolve_scalar(method.scalar) for method in self.methods]

        def run(encoder: PreparedEncoder, images: Tensor, chosen: NDArray[np.int64]) -> list[_Walk]:
            keys = self.patches.random_keys(chosen, self.seed)
            fill = filled(images, self.fill).expand_as(images)
            ends = tuple(encoder.outputs(encoder.preprocess(x))[0] for x in (images, fill))
            made = []
            asking = [*([one] for one in scalars), scalars]
            for some, asked in zip([*means, None], asking, strict=True):
                own = None if some is None else some[chosen].astype(np.float64)
                places = self.patches.places(keys, own, self.order)
                made.append(self._walk(encoder, (images, fill), ends, places, asked))
            return made

        for chosen, made in network.each(run, "occlusions"):
            for walk in made:
                finite = np.isfinite(walk.distances) & np.isfinite(walk.scalars).all(0)
                for probe in chosen[~finite.all(1)]:
                    raise NonFiniteError(
                        f"network {name!r}, probe {probe} ({probes.names[probe]!r}): its answer to "
                        "the occluded image holds NaN or Inf; try another fill"
                    )
            yield made

    def _walk(
        self,
        encoder: PreparedEncoder,
        images: tuple[Tensor, Tensor],
        ends: tuple[Tensor, ...],
        places: NDArray[np.int64],
        scalars: Sequence[Scalar],
    ) -> _Walk:
        """Occlude a batch in an order; `images` and `ends` are of nothing and of all occluded."""
        whole = ends[0].flatten(1).double()
        spread = self.patches.spread(places, images[0].device)
        distances, values = [], []
        for step in self.steps.tolist():
            if step in (0, self.patches.count):
                answer = ends[0 if step == 0 else 1]
            else:
                occluded = torch.where(spread < step, images[1], images[0])
                answer = encoder.outputs(encoder.preprocess(occluded))[0]
            distances.append((answer.flatten(1).double() - whole).norm(dim=1))
            values.append([scalar(answer).double() for scalar in scalars])
        return _Walk(
            self.patches.fractions(places, self.steps),
            torch.stack(distances, 1).cpu().numpy(),
            [torch.stack(of_one, 1).cpu().numpy() for of_one in zip(*values, strict=True)],
        )

    def _joined(self, walks: Sequence[Sequence[_Walk]], index: int, zero: int) -> Followed:
        own, random = [made[index] for made in walks], [made[-1] for made in walks]
        return Followed(
            np.concatenate([one.fractions for one in own]),
            np.concatenate([one.fractions for one in random]),
            np.concatenate([one.distances for one in own]),
            np.concatenate([one.distances for one in random]),
            np.concatenate([one.scalars[0] for one in own]),
            np.concatenate([one.scalars[index] for one in random]),
            zero,
        )
