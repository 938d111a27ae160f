"""Standard errors of scores that are no mean over probes: a delete-a-block jackknife.

Blocks are made of whole groups. With ``t`` the score on all N probes and ``t_b`` that without the
n_b probes of block b, the block's pseudo-values sum to ``N t - (N - n_b) t_b``, which for a mean is
the sum of its values; so what `pyattrx.statistics.clustered` says of sums over groups holds, with
blocks as groups (Busing, Meijer, van der Leeden 1999 for blocks of unequal sizes). It is
deterministic, and unlike a bootstrap it never shows a probe twice.
"""

from __future__ import annotations

import numpy as np

from pyattrx.statistics.clustered import Residuals, degrees_of_freedom

__all__ = ["jackknife_blocks", "jackknife_residuals"]

# More blocks give more degrees of freedom; each costs a comparison.
_MOST_BLOCKS = 16


def jackknife_blocks(groups: np.ndarray) -> np.ndarray:
    """Deal groups, two neighbours at a time, to at most 16 blocks.

    Two at a time, because methods that divide groups into two halves in turn find both halves in
    every block then; with up to 16 groups every group is a block.

    Parameters
    ----------
    groups : ndarray [N], int64
        Dense group numbers from 0.

    Returns
    -------
    ndarray [N], int64
        Dense numbers from 0.

    Examples
    --------
    >>> import numpy as np
    >>> from pyattrx.statistics.jackknife import jackknife_blocks
    >>> int(jackknife_blocks(np.arange(100)).max())
    15
    """
    count = int(groups.max()) + 1 if len(groups) else 0
    if count <= _MOST_BLOCKS:
        return groups.astype(np.int64)
    blocks: np.ndarray = (groups // 2 % _MOST_BLOCKS).astype(np.int64)
    return blocks


def jackknife_residuals(values: np.ndarray, without: np.ndarray, blocks: np.ndarray) -> Residuals:
    """What is left of a jackknife, for the errors of scores and of their differences.

    Parameters
    ----------
    values : ndarray [...]
        Scores on all probes.
    without : ndarray [K, ...]
        Scores without each block.
    blocks : ndarray [N], int64
        Block of each probe.

    Returns
    -------
    Residuals [K, ...]
        Without samples where a score could not be computed without some block.
    """
    count = len(blocks)
    sizes = np.bincount(blocks)
    if len(sizes) < 2 or np.isnan(without).any():
        return Residuals(np.zeros((0, *values.shape)), np.zeros(0), count, 0.0)
    left = (count - sizes).reshape(-1, *(1,) * values.ndim)
    sums = left * (values - without)
    # About the pseudo-values' mean; it is the score but for the jackknife's bias.
    sums -= (sizes / count).reshape(left.shape) * sums.sum(0)
    return Residuals(sums, 1 / (1 - sizes / count), count, degrees_of_freedom(blocks))
