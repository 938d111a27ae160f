"""Means and standard errors of per-probe cosines, robust to probes that belong together.

Probes of one group (crops of one photo, say) are not independent. The mean over N probes in G
groups has the cluster-robust variance ``G / (G - 1) * sum_g (sum_{k in g} (c_k - mean))^2 / N^2``,
which is the usual one where every probe is a group of its own.
"""

from __future__ import annotations

import numpy as np
from scipy.special import stdtr, stdtrit  # scipy.stats takes seconds to import

__all__ = ["PairMoments", "clustered_stderr", "paired_p_values", "reach"]


class PairMoments:
    """Sums over probes that give every pair's mean and standard error in one pass.

    Blocks of probes come sorted by group. Cosines are taken relative to those of the first probe,
    so that nothing is lost where they hardly vary.

    Parameters
    ----------
    shape : tuple of int
        Shape of one probe's cosines.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._first: np.ndarray | None = None
        self._n = 0
        self._groups = 0
        self._group = -1
        self._in_group = 0
        self._sum = np.zeros(shape)
        self._group_sum = np.zeros(shape)
        self._squares = np.zeros(shape)  # sum over groups of S_g^2
        self._weighted = np.zeros(shape)  # sum over groups of n_g S_g
        self._size_squares = 0  # sum over groups of n_g^2

    def add(self, cosines: np.ndarray, groups: np.ndarray) -> None:
        """Add a block of probes.

        Parameters
        ----------
        cosines : ndarray [B, ...]
        groups : ndarray [B], int64
            Group of each probe; equal groups side by side, over all blocks.
        """
        for one, group in zip(cosines, groups, strict=True):
            if self._first is None:
                self._first = one.copy()
            if group != self._group:
                self._end_group()
                self._group = int(group)
            deviation = one - self._first
            self._sum += deviation
            self._group_sum += deviation
            self._in_group += 1
            self._n += 1

    def mean_and_stderr(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean and its standard error, NaN where there is one group only."""
        assert self._first is not None
        self._end_group()
        mean = self._sum / self._n
        if self._groups < 2:
            return self._first + mean, np.full_like(mean, np.nan)
        spread = self._squares - 2 * mean * self._weighted + mean**2 * self._size_squares
        factor = self._groups / (self._groups - 1)
        stderr = np.sqrt(factor * np.maximum(spread, 0)) / self._n
        return self._first + mean, stderr

    def _end_group(self) -> None:
        if self._in_group == 0:
            return
        self._squares += self._group_sum**2
        self._weighted += self._in_group * self._group_sum
        self._size_squares += self._in_group**2
        self._groups += 1
        self._group_sum[:] = 0
        self._in_group = 0


def clustered_stderr(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Standard error of the mean over the first axis.

    Parameters
    ----------
    values : ndarray [N, ...]
    groups : ndarray [N], int64
        Dense group numbers from 0.

    Returns
    -------
    ndarray [...]
        NaN where there is one group only.

    Examples
    --------
    >>> import numpy as np
    >>> from pyattrx.affinities.statistics import clustered_stderr
    >>> values = np.array([1.0, 2.0, 3.0, 6.0])
    >>> bool(np.isclose(clustered_stderr(values, np.arange(4)), values.std(ddof=1) / 2))
    True
    """
    count = int(groups.max()) + 1 if len(groups) else 0
    if count < 2:
        return np.full(values.shape[1:], np.nan)
    deviation = values - values.mean(0)
    sums = np.zeros((count, *values.shape[1:]))
    np.add.at(sums, groups, deviation)
    stderr: np.ndarray = np.sqrt(count / (count - 1) * np.square(sums).sum(0)) / len(values)
    return stderr


def reach(level: float, groups: int) -> float:
    """Standard errors on either side of a mean that make its interval, by Student's t.

    Parameters
    ----------
    level : float
        Confidence, in (0, 1).
    groups : int
        Independent groups of probes.

    Returns
    -------
    float
        NaN for fewer than two groups.

    Examples
    --------
    >>> from pyattrx.affinities.statistics import reach
    >>> round(reach(0.95, 11), 3)
    2.228
    """
    return float(stdtrit(groups - 1, (1 + level) / 2)) if groups > 1 else float("nan")


def paired_p_values(
    difference: np.ndarray, stderr: np.ndarray, groups: int, family: int | None = None
) -> np.ndarray:
    """Two-sided p-values of mean paired differences, corrected for their number.

    Parameters
    ----------
    difference, stderr : ndarray [K]
        Means over probes of the difference of two cosines, and their standard errors.
    groups : int
        Independent groups of probes; the t distribution has one degree of freedom fewer.
    family : int, optional
        Multiply every p-value by this number of comparisons (Bonferroni), which treats a pair
        alike wherever it comes up; by Holm's (1979) steps over all K if left out.

    Returns
    -------
    ndarray [K]
        1 where nothing is known (one group). A difference that is the same on every probe is
        certain: 1 where it is 0, otherwise 0.
    """
    count = len(difference)
    if groups < 2:
        return np.ones(count)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.abs(difference) / stderr
    p = np.where(stderr > 0, 2 * stdtr(groups - 1, -t), np.where(difference == 0, 1.0, 0.0))
    if family is not None:
        bonferroni: np.ndarray = np.minimum(p * family, 1.0)
        return bonferroni
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * (count - np.arange(count)))
    corrected = np.empty(count)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected
