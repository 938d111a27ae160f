"""Sketches in blocks: a network as one short vector that also knows its own error.

Every group of probes belongs to one of up to 16 blocks, by a hash of its number, and every block
has a part of the sketch to itself. The inner product of two sketches is the sum over blocks: its
variance is that of one whole sketch of the same length, and the spread between blocks, each a
random sample of the probes sketched on its own, is a standard error that includes both the choice
of probes and the sketch.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pyattrx import ops
from pyattrx._hashing import GOLDEN, mixed

__all__ = ["BLOCKS", "Sketcher", "block_cosines", "blocks_of"]

BLOCKS = 16


def blocks_of(groups: np.ndarray, blocks: int = BLOCKS) -> np.ndarray:
    """Block of every probe, by its group; groups that come later change nothing.

    Parameters
    ----------
    groups : ndarray [N], int64

    Returns
    -------
    ndarray [N], int64
    """
    with np.errstate(over="ignore"):
        keys = (groups.astype(np.uint64) + np.uint64(1)) * GOLDEN
    return (mixed(keys) % np.uint64(blocks)).astype(np.int64)


class Sketcher:
    """Sketches the rows of one network, batch by batch.

    Parameters
    ----------
    groups : ndarray [N], int64
        Group of each of the zoo's probes.
    size : int
        Length of the sketch, a multiple of `BLOCKS`.
    seed : int
    """

    def __init__(self, groups: np.ndarray, size: int, seed: int) -> None:
        self._blocks = blocks_of(groups)
        # Block and number within it decide a probe's signs and places. Blocks must not share them:
        # their errors would add up.
        self._ranks = np.empty(len(groups), np.int64)
        for block in range(BLOCKS):
            members = np.flatnonzero(self._blocks == block)
            self._ranks[members] = (block << 40) + np.arange(len(members))
        self._seed = seed
        self._sums = torch.zeros(BLOCKS, size // BLOCKS)

    def add(self, probes: np.ndarray, rows: Tensor) -> None:
        """Add the rows [B, D] of some probes."""
        rows = rows.float() if rows.dtype == torch.int8 else rows
        for block in np.unique(self._blocks[probes]).tolist():
            mine = np.flatnonzero(self._blocks[probes] == block)
            ranks = self._ranks[probes[mine]]
            for run in np.split(np.arange(len(mine)), np.flatnonzero(np.diff(ranks) != 1) + 1):
                some = rows[torch.from_numpy(mine[run]).to(rows.device)]
                part = ops.sketch(some, self._sums.shape[1], self._seed, int(ranks[run[0]]))
                self._sums[block] += part.cpu()

    def total(self) -> Tensor:
        """Sum over the probes added, float32 [size]; divide by ``sqrt(N)`` for unit length."""
        return self._sums.flatten().clone()


def block_cosines(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Inner products of sketches by block, float64.

    Parameters
    ----------
    left : ndarray [size]
    right : ndarray [K, size]

    Returns
    -------
    ndarray [K, BLOCKS]
    """
    a = left.reshape(BLOCKS, -1).astype(np.float64)
    b = right.reshape(len(right), BLOCKS, -1).astype(np.float64)
    parts: np.ndarray = np.einsum("bs,kbs->kb", a, b)
    return parts
