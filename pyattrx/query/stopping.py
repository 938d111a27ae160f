"""When the nearest networks are settled: a race over probes, looked at in between.

A target sees the probes in rounds, whole groups in random order, and after each round networks that
are certainly not among the k nearest drop out. The race is settled when k are left.

What is estimated is what the complete set of probes would say: the sample is drawn without
replacement from G groups, so that variances shrink by ``1 - g / G`` (finite population). A network
drops out when k others are better by one-sided paired t tests of cluster-robust errors. If it is
wrong that a network dropped out, then for at least one pair of a network that belongs to the k and
one that does not the wrong one was judged better; there are k (n - k) such pairs and L looks before
the last, so each test has the level ``(1 - confidence) / (L k (n - k))`` (Bonferroni), and looking
repeatedly is paid for. At the end nothing is estimated.

A t test trusts the spread that it has seen. Two guards keep it from being sure too early: the mean
difference is lowered by the largest deviation seen times ``3 / g``, as if a few groups still to
come were as bad as that; and a network whose maps were not zero on fewer than eight groups so far
cannot drop out.
"""

from __future__ import annotations

import numpy as np
from scipy.special import stdtrit

from pyattrx.statistics import degrees_of_freedom
from pyattrx.storage import blocks_of

__all__ = ["Race", "rounds"]

_LEAST_GROUPS = 16  # at the first look
_LEAST_NONZERO = 8
_BAD_GROUPS = 3.0
# More rivals than this for each match cannot be needed to see that k are better.
_RIVALS = 4
_CHUNK = 1 << 22  # elements of a block of differences


class Race:
    """Finds the k networks with the largest mean cosine over all probes, from as few as it takes.

    Parameters
    ----------
    groups : ndarray [N], int64
        Group of every probe.
    n : int
        Networks in the race.
    k : int
        How many are wanted.
    level : float
        Confidence that the k found are those of the complete set of probes.

    Attributes
    ----------
    order, looks
        See `rounds`.
    alive : ndarray of int64
        Networks that may be among the k.

    Examples
    --------
    >>> import numpy as np
    >>> from pyattrx.query.stopping import Race
    >>> race = Race(np.arange(256), n=3, k=1, level=0.95)
    >>> cosines = np.random.default_rng(0).normal([0.1, 0.8, 0.2], 0.1, size=(256, 3))
    >>> seen = race.order[: race.looks[0]]
    >>> race.look(cosines[seen])
    >>> race.alive.tolist(), race.settled, len(seen) < 256
    ([1], True, True)
    """

    def __init__(self, groups: np.ndarray, n: int, k: int, level: float) -> None:
        self._groups = groups
        self._n_groups = int(groups.max()) + 1
        self._k = k
        self.alive = np.arange(n)
        self.order, self.looks = rounds(groups)
        between = max(len(self.looks) - 1, 1)
        self._alpha = (1 - level) / (between * max(k * (n - k), 1))

    @property
    def settled(self) -> bool:
        """Whether it is decided which k they are."""
        return len(self.alive) <= self._k

    def look(self, cosines: np.ndarray) -> None:
        """Drop networks that are certainly not among the k.

        Parameters
        ----------
        cosines : ndarray [seen, alive]
            Of the first probes in `order`, as many as one of `looks`, for the networks in `alive`.
        """
        seen = len(cosines)
        if self.settled or seen == len(self.order):
            return
        groups = np.unique(self._groups[self.order[:seen]], return_inverse=True)[1]
        count = int(groups.max()) + 1
        if count < 2:
            return
        sums, sizes = _by_group(cosines, groups)
        means = cosines.mean(0)
        df = degrees_of_freedom(groups)
        left = 1 - count / self._n_groups
        scale = 1 / (1 - sizes / seen)
        quantile = float(stdtrit(df, 1 - self._alpha))
        rivals = np.argsort(-means, kind="stable")[: max(_RIVALS * self._k, self._k + 8)]
        enough = (sums != 0).sum(0) >= _LEAST_NONZERO
        out = np.zeros(len(self.alive), bool)
        at_once = max(1, _CHUNK // (count * len(rivals)))
        for start in range(0, len(self.alive), at_once):
            some = slice(start, start + at_once)
            difference = means[rivals][:, None] - means[some]  # [rivals, some]
            apart = sums[:, rivals][:, :, None] - sums[:, some][:, None, :]
            apart -= sizes[:, None, None] * difference
            error = np.sqrt(left * (scale[:, None, None] * apart**2).sum(0)) / seen
            largest = (np.abs(apart) / sizes[:, None, None]).max(0)
            guard = _BAD_GROUPS / count * left * np.maximum(largest, np.abs(difference))
            better = difference - guard > quantile * error
            out[some] = better.sum(0) >= self._k
        self.alive = self.alive[~(out & enough)]

    def withdraw(self, gone: np.ndarray) -> None:
        """Take networks out of the race whose rows cannot be read; `gone` is a mask of `alive`."""
        self.alive = self.alive[~gone]


def _by_group(cosines: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums by group [G, n] of probes that lie side by side, and sizes [G]."""
    order = np.argsort(groups, kind="stable")
    sizes = np.bincount(groups)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    return np.add.reduceat(cosines[order], starts, axis=0), sizes.astype(float)


def rounds(groups: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Return the probes in the order in which they are seen, and after how many of them to look.

    The blocks of sketches are random parts of the probes: a round ends with 1, 2, 4, 8 or all of
    them, as far as that is enough groups.

    Returns
    -------
    order : ndarray [N], int64
    looks : list of int
        Rising; the last is N.
    """
    blocks = blocks_of(groups)
    order = np.lexsort((np.arange(len(groups)), groups, blocks))
    ends = [int((blocks < used).sum()) for used in (1, 2, 4, 8)]
    enough = {
        end
        for end in ends
        if end < len(groups) and len(np.unique(groups[order[:end]])) >= _LEAST_GROUPS
    }
    return order, [*sorted(enough), len(groups)]
