"""What is kept of the networks of a run until they are compared."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyattrx._closing import Closing
from pyattrx._scratch import Scratch
from pyattrx.affinities.comparing import compare
from pyattrx.affinities.rows import Place, Room, RowStore
from pyattrx.affinities.scoring import BlockSums, Plan, Scores, Spill, by_blocks, combined
from pyattrx.errors import EncoderError
from pyattrx.methods import Method, Summary
from pyattrx.probes import Probes
from pyattrx.running import Described
from pyattrx.statistics import jackknife_blocks

__all__ = ["Compared", "Kept"]


@dataclass(frozen=True)
class Compared:
    """Networks, compared.

    Attributes
    ----------
    values, stderr : ndarray [M, M]
    cosines : ndarray [N, M, M] or None
        Of a method of maps, where they fit.
    blocks : ndarray [N] or None
        Of the jackknife, of other methods, where probes are enough for one.
    without : ndarray [K, M, M] or None
        Scores without each block.
    """

    values: np.ndarray
    stderr: np.ndarray
    cosines: np.ndarray | None = None
    blocks: np.ndarray | None = None
    without: np.ndarray | None = None


class Kept(Closing):
    """Rows and summaries of networks, as a plan asks for them; free what it holds by `close`.

    Parameters
    ----------
    plan : Plan
    probes : Probes
    device : torch.device
    scratch : Scratch
    """

    def __init__(self, plan: Plan, probes: Probes, device: torch.device, scratch: Scratch) -> None:
        self._plan, self._groups = plan, np.asarray(probes.groups)
        self._open = ExitStack()
        room = Room(device, scratch)
        self._stores = [
            self._open.enter_context(RowStore(len(probes), device, scratch, room))
            for _ in plan.maps
        ]
        self._spill = Spill(scratch)
        self._summaries: list[list[Summary]] = [[] for _ in plan.sets]

    def add(self, network: Described, name: str) -> dict[str, Any]:
        """Run one network over all probes, or take what a worker found of it.

        Returns
        -------
        dict
            What is to be known of its features.
        """
        observed = {}
        with network:
            if self._stores:
                self._add_maps(network, name)
            for method, kept in zip(self._plan.sets, self._summaries, strict=True):
                summary = network.summary(method)
                kept.append(self._spill.keep(summary))
                observed[str(method)] = summary.facts
        return {"observed": observed} if observed else {}

    def zeros(self, network: Described) -> int:
        """On how many probes there is nothing to compare of the network that came last."""
        of_maps = [checks.zero for checks in network.checks]
        return max([0, *of_maps, *(kept[-1].zero_probes for kept in self._summaries)])

    def keep_first(self, count: int) -> None:
        """Forget all networks but the first ones: one that failed may have left something."""
        for rows in self._stores:
            rows.keep_first(count)
        for kept in self._summaries:
            del kept[count:]

    def compared(self) -> Compared:
        """Compare all networks."""
        if isinstance(self._plan.method, Method):
            return Compared(*compare(self._stores[0], self._groups))
        blocks = jackknife_blocks(self._groups)
        scores = combined(self._plan, self._scores(blocks))
        stderr, without = by_blocks(scores, blocks)
        return Compared(scores.values, stderr, None, None if without is None else blocks, without)

    def close(self) -> None:
        """Free everything."""
        self._open.close()

    def _add_maps(self, network: Described, name: str) -> None:
        places: list[Place] = []

        def begin(batch: Sequence[Tensor]) -> list[bool]:
            for rows, maps in zip(self._stores, batch, strict=True):
                if rows.width not in (None, maps.shape[1]):
                    raise EncoderError(
                        f"network {name!r}: its maps have {maps.shape[1]} elements, those "
                        f"of the networks before it {rows.width}; reduce='none' needs networks "
                        "whose inputs, or layers, have the same number of channels"
                    )
            places.extend(rows.begin(maps) for rows, maps in zip(self._stores, batch, strict=True))
            return [place.on_host for place in places]

        for probes, batch in network.rows(on_host=begin):
            for place, maps in zip(places, batch, strict=True):
                place.write(int(probes[0]), maps)

    def _scores(self, blocks: np.ndarray) -> list[Scores]:
        """Scores of every part of the method."""
        of_maps = []
        for rows in self._stores:
            sums = BlockSums(blocks)
            values, _, _ = compare(rows, self._groups, sums)
            of_maps.append(sums.scores(values))
        of_sets = [
            Scores(*method.compare(kept, kept, self._groups, blocks))
            for method, kept in zip(self._plan.sets, self._summaries, strict=True)
        ]
        return self._plan.in_order(of_maps, of_sets)
