"""Cosines of all pairs of networks, probe by probe."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch

from pyattrx import ops
from pyattrx._progress import progress
from pyattrx.affinities.scoring import BlockSums
from pyattrx.statistics import PairMoments, clustered_stderr

__all__ = ["Rows", "compare"]


class Rows(Protocol):
    """Rows of some networks on some probes; `RowStore` is one."""

    def __len__(self) -> int:
        """Return the number of networks."""

    @property
    def row_bytes(self) -> int:
        """Bytes of the longest network's row."""

    def block(self, networks: slice, probes: np.ndarray) -> torch.Tensor:
        """Rows of some networks on some probes, [M, B, D], floating."""


def compare(
    rows: Rows,
    groups: np.ndarray,
    sums: BlockSums | None = None,
    *,
    block_bytes: int = 64 << 20,
    block_networks: int = 256,
    cosine_bytes: int = 64 << 20,
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Cosines of all pairs on all probes: means, standard errors, and themselves if they fit.

    Parameters
    ----------
    rows : Rows
    groups : ndarray [N]
    sums : BlockSums, optional
        They are added to it, too.
    block_bytes : int
        Rows of a block of probes on all networks, while they are compared.
    block_networks : int
        Networks compared at once; more are taken block against block.
    cosine_bytes : int
        Cosines are kept up to this size.
    """
    m, n = len(rows), len(groups)
    keep = 8 * n * m * m <= cosine_bytes
    cosines = np.empty((n, m, m)) if keep else None
    moments = PairMoments((m, m), n)
    # Probes of a group side by side: so the sums of one group at a time are enough.
    order = np.argsort(groups, kind="stable")
    together = max(1, min(block_networks, block_bytes // max(1, 2 * rows.row_bytes)))
    probe_bytes = max(min(m, 2 * together) * rows.row_bytes, 16 * m * m)
    at_once = max(1, block_bytes // probe_bytes)
    with progress("comparing", n) as step:
        for first in range(0, n, at_once):
            chosen = order[first : first + at_once]
            rising, place = np.unique(chosen, return_inverse=True)
            block = _block_cosines(rows, rising, m, together)[place]
            if sums is not None:
                sums.add(chosen, block)
            if cosines is not None:
                cosines[chosen] = block
            else:
                moments.add(block, groups[chosen])
            step(len(chosen))
    if cosines is None:
        values, stderr = moments.mean_and_stderr()
    else:
        # Row by row, so that the sum's order does not depend on how probes were batched.
        values, stderr = np.add.reduce(cosines, axis=0) / n, clustered_stderr(cosines, groups)
    return values, stderr, cosines


def _block_cosines(rows: Rows, probes: np.ndarray, m: int, together: int) -> np.ndarray:
    """[B, M, M] of some probes; many networks, or long rows, are taken block against block."""
    out = np.empty((len(probes), m, m))
    for i in range(0, m, together):
        left = rows.block(slice(i, i + together), probes)
        for j in range(i, m, together):
            right = None if j == i else rows.block(slice(j, j + together), probes)
            if right is not None and right.dtype != left.dtype:
                left, right = left.double(), right.double()
            cosines = ops.probe_cosines(left, right).cpu().numpy()
            across, down = slice(i, i + cosines.shape[1]), slice(j, j + cosines.shape[2])
            out[:, across, down] = cosines
            out[:, down, across] = cosines.transpose(0, 2, 1)
    return out
