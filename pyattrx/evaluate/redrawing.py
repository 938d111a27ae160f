"""What scores would be on other probes, told by the probes that there were."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyattrx.evaluate.tables import Table

__all__ = ["ProbeParts"]

_Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ProbeParts:
    """The share of every group, or block, of probes in the scores.

    A score that is a mean over probes is the sum of its shares over the number of probes. Any other
    is made one by the pseudo-values of a jackknife: with t the score on all N probes and t_b that
    without the n_b probes of block b, the share of b is ``N t - (N - n_b) t_b``, which is the sum
    of its values where the score is a mean (Busing, Meijer, van der Leeden 1999), less what the
    shares of all blocks are too much together. Scores of probes drawn anew are linear in the shares
    then: no probe is ever shown twice to a method that would take that for structure.

    Attributes
    ----------
    sums : ndarray [K, T, S]
        Shares.
    sizes : ndarray [K]
        Probes that each is of.
    parts : ndarray [N], int64
        Part that each probe belongs to, 0 to K - 1.

    Shares of scores that are no finite number have no meaning.
    """

    sums: _Vector
    sizes: NDArray[np.int64]
    parts: NDArray[np.int64]

    @classmethod
    def of(cls, table: Table) -> ProbeParts | None:
        """Return the parts of a table, or None where it does not know its probes."""
        if table.cosines is not None and table.groups is not None:
            return cls._of_values(table.cosines, table.groups)
        if table.without is None or table.blocks is None:
            return None
        known = np.isfinite(table.values)
        sizes = np.bincount(table.blocks)
        if len(sizes) < 2 or not np.isfinite(table.without[:, known]).all():
            return None
        values, without = (np.where(known, x, 0) for x in (table.values, table.without))
        left, size = ((x[:, None, None]) for x in (sizes.sum() - sizes, sizes))
        more = left * (values - without)
        more -= size * (more.sum(0) / sizes.sum())  # the jackknife's bias
        return cls(size * values + more, sizes, table.blocks)

    @classmethod
    def _of_values(cls, values: _Vector, parts: NDArray[np.int64]) -> ProbeParts:
        sizes = np.bincount(parts)
        if len(sizes) == len(parts):  # each probe by itself: in order, nothing to add up
            return cls(values[np.argsort(parts)], sizes, parts)
        sums = np.zeros((len(sizes), *values.shape[1:]))
        np.add.at(sums, parts, values)
        return cls(sums, sizes, parts)

    def drawn(self, counts: NDArray[np.int64]) -> _Vector:
        """Return the scores [B, T, S] of so many copies [B, K] of each part."""
        means = counts / (counts @ self.sizes)[:, None]
        with np.errstate(invalid="ignore"):  # scores that are no finite number
            return np.asarray(np.tensordot(means, self.sums, 1))

    def like(self, other: ProbeParts) -> bool:
        """Whether as many probes are in the same parts, under the same numbers."""
        return np.array_equal(self.parts, other.parts)

    def coarser(self, parts: NDArray[np.int64]) -> ProbeParts | None:
        """Return larger parts of the same probes; None where some part would be torn apart."""
        if len(parts) != len(self.parts):
            return None
        pairs = np.unique(np.stack([self.parts, parts]), axis=1)
        if pairs.shape[1] != len(self.sizes):
            return None
        sums = np.zeros((int(parts.max()) + 1, *self.sums.shape[1:]))
        np.add.at(sums, pairs[1], self.sums[pairs[0]])
        return ProbeParts(sums, np.bincount(parts), parts)
