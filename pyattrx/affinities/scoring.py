"""From what is kept of networks to their scores, for one method or several together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pyattrx._scratch import Scratch, ScratchFile, ScratchFolder
from pyattrx.methods import (
    AttributionMaps,
    Combined,
    ComparisonMethod,
    FeatureMethod,
    Method,
    Summary,
)
from pyattrx.probes import Probes
from pyattrx.statistics import jackknife_residuals

__all__ = ["BlockSums", "Plan", "Scores", "Spill", "by_blocks", "combined"]

# What is kept of networks stays in memory up to this size, and goes to a scratch file beyond it.
_SUMMARY_BYTES = 128 << 20


class Plan:
    """What has to be known of every network to compare them by a method.

    Parameters
    ----------
    method : ComparisonMethod
    probes : Probes

    Attributes
    ----------
    maps : list of AttributionMaps
        What makes the maps of its parts that compare maps.
    sets : list of FeatureMethod
        Its other parts.

    Raises
    ------
    InvalidValueError
        The probes are too few, or a map too small.
    """

    def __init__(self, method: ComparisonMethod, probes: Probes) -> None:
        self.method = method
        of_maps = [part for part in method.parts if isinstance(part, Method)]
        self.maps = [AttributionMaps(part, probes.size) for part in of_maps]
        self.sets = [part for part in method.parts if isinstance(part, FeatureMethod)]
        method.check_probes(np.asarray(probes.groups))

    def in_order(self, maps: Sequence[Any], sets: Sequence[Any]) -> list[Any]:
        """What belongs to the maps, and to the sets of probes, in the order of the parts."""
        of_maps, of_sets = iter(maps), iter(sets)
        return [
            next(of_maps if isinstance(part, Method) else of_sets) for part in self.method.parts
        ]


@dataclass(frozen=True)
class Scores:
    """Scores of all pairs, and without each block of probes.

    Attributes
    ----------
    values : ndarray [M, M]
    without : ndarray [K, M, M]
    """

    values: np.ndarray
    without: np.ndarray


def combined(plan: Plan, scores: Sequence[Scores]) -> Scores:
    """Add the scores of the terms of a method up."""
    if not isinstance(plan.method, Combined):
        return scores[0]
    return Scores(
        plan.method.combine([some.values for some in scores]),
        plan.method.combine([some.without for some in scores]),
    )


def by_blocks(scores: Scores, blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Standard errors of scores, and what they were made of; NaN and None if nothing is known."""
    residuals = jackknife_residuals(scores.values, scores.without, blocks)
    known = len(residuals.weights) > 0
    return residuals.stderr(), scores.without if known else None


class BlockSums:
    """Sums of per-probe cosines over blocks of probes.

    Parameters
    ----------
    blocks : ndarray [N], int64
    """

    def __init__(self, blocks: np.ndarray) -> None:
        self._blocks = blocks
        self._sums: np.ndarray | None = None

    def add(self, probes: np.ndarray, cosines: np.ndarray) -> None:
        """Add the cosines [B, M, M] of some probes."""
        if self._sums is None:
            self._sums = np.zeros((int(self._blocks.max()) + 1, *cosines.shape[1:]))
        np.add.at(self._sums, self._blocks[probes], cosines)

    def scores(self, values: np.ndarray) -> Scores:
        """Means [M, M] of all probes, with those of all but one block."""
        assert self._sums is not None
        sizes = np.bincount(self._blocks)
        left = (len(self._blocks) - sizes)[:, None, None]
        with np.errstate(invalid="ignore"):  # one block: nothing is left
            without = (self._sums.sum(0) - self._sums) / left
        return Scores(values, np.where(left > 0, without, np.nan))


class Spill:
    """Keeps summaries: in memory as long as they fit, then in a nameless file.

    Parameters
    ----------
    scratch : path or Scratch, optional
        Where they go beyond 128 MiB.
    """

    def __init__(self, scratch: ScratchFolder) -> None:
        self._scratch = Scratch.of(scratch)
        self._left = self._scratch.room(_SUMMARY_BYTES)

    def keep(self, summary: Summary) -> Summary:
        """Return a summary whose arrays may be in a file."""
        size = sum(array.nbytes for array in summary.arrays.values())
        self._left -= size
        if self._left >= 0:
            return summary
        return replace(summary, arrays={k: self._filed(v) for k, v in summary.arrays.items()})

    def _filed(self, array: np.ndarray) -> np.ndarray:
        return ScratchFile(self._scratch, "features").array(array)
