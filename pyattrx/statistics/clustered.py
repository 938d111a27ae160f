"""Means and standard errors of per-probe cosines, robust to probes that belong together.

Probes of one group (crops of one photo, say) are not independent. The mean over N probes in G
groups, n_g of them in group g, has the cluster-robust variance
``sum_g S_g^2 / (1 - n_g / N) / N^2`` with ``S_g = sum_{k in g} (c_k - mean)``: unbiased where all
probes are independent and alike ("CR2", Bell and McCaffrey 2002), and the usual variance where
every probe is a group of its own. Its degrees of freedom are Satterthwaite's, for probes that are
the same within a group: G - 1 for groups of one size, fewer where few groups hold most probes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtr, stdtrit  # scipy.stats takes seconds to import

__all__ = [
    "PairMoments",
    "Residuals",
    "clustered_stderr",
    "degrees_of_freedom",
    "paired_p_values",
    "reach",
]


class PairMoments:
    """Sums over probes that give every pair's mean and standard error in one pass.

    Blocks of probes come sorted by group. Cosines are taken relative to those of the first probe,
    so that nothing is lost where they hardly vary.

    Parameters
    ----------
    shape : tuple of int
        Shape of one probe's cosines.
    total : int
        Probes that there will be.
    """

    def __init__(self, shape: tuple[int, ...], total: int) -> None:
        self._total = total
        self._first: np.ndarray | None = None
        self._n = 0
        self._groups = 0
        self._group = -1
        self._in_group = 0
        self._sum = np.zeros(shape)
        self._group_sum = np.zeros(shape)
        # Sums over groups, each divided by 1 - n_g / N, of S_g^2, n_g S_g and n_g^2.
        self._squares = np.zeros(shape)
        self._weighted = np.zeros(shape)
        self._size_squares = 0.0

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
        stderr = np.sqrt(np.maximum(spread, 0)) / self._n
        return self._first + mean, stderr

    def _end_group(self) -> None:
        if self._in_group == 0:
            return
        if self._in_group < self._total:
            weight = 1 / (1 - self._in_group / self._total)
            self._squares += weight * self._group_sum**2
            self._weighted += weight * self._in_group * self._group_sum
            self._size_squares += weight * self._in_group**2
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
    >>> from pyattrx.statistics.clustered import clustered_stderr
    >>> values = np.array([1.0, 2.0, 3.0, 6.0])
    >>> bool(np.isclose(clustered_stderr(values, np.arange(4)), values.std(ddof=1) / 2))
    True
    """
    return Residuals.of(values, groups).stderr()


@dataclass(frozen=True)
class Residuals:
    """What is left of the samples behind means: enough for the errors of all their differences.

    Attributes
    ----------
    sums : ndarray [G, ...]
        Deviations from the mean, added by group. Those of a difference of two columns are the
        difference of theirs.
    weights : ndarray [G]
        ``1 / (1 - n_g / N)``; empty where there is one group only.
    count : int
        N.
    df : float
        Degrees of freedom; 0 where there is one group only.
    """

    sums: np.ndarray
    weights: np.ndarray
    count: int
    df: float

    @classmethod
    def of(cls, values: np.ndarray, groups: np.ndarray) -> Residuals:
        """Take those of samples [N, ...] in dense groups [N]."""
        sizes = np.bincount(groups) if len(groups) else np.zeros(0, int)
        if len(sizes) < 2:
            return cls(np.zeros((0, *values.shape[1:])), np.zeros(0), len(values), 0.0)
        deviation = values - values.mean(0)
        sums = deviation
        if len(sizes) < len(values):
            order = np.argsort(groups, kind="stable")
            starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
            sums = np.add.reduceat(deviation[order], starts, axis=0)
        weights = 1 / (1 - sizes / len(values))
        return cls(sums, weights, len(values), degrees_of_freedom(groups))

    def columns(self, chosen: np.ndarray) -> Residuals:
        """Those of some columns."""
        return replace(self, sums=self.sums[:, chosen])

    def stderr(self) -> np.ndarray:
        """Standard errors of the means; NaN where there is one group only."""
        return self._stderr(self.sums)

    def stderr_of_differences(self, some: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Standard errors of the mean differences of columns [k] to others [K]: [k, K]."""
        return self._stderr(self.sums[:, some, None] - self.sums[:, None, others])

    def _stderr(self, sums: np.ndarray) -> np.ndarray:
        if not len(self.weights):
            return np.full(sums.shape[1:], np.nan)
        squares = np.square(sums).reshape(len(sums), -1)
        stderr: np.ndarray = np.sqrt(self.weights @ squares).reshape(sums.shape[1:])
        return stderr / self.count


def degrees_of_freedom(groups: np.ndarray) -> float:
    """Satterthwaite's degrees of freedom of `clustered_stderr`.

    Parameters
    ----------
    groups : ndarray [N], int64
        Dense group numbers from 0.

    Returns
    -------
    float
        From 1 to G - 1; 0 where there are fewer than two groups.

    Examples
    --------
    >>> import numpy as np
    >>> from pyattrx.statistics.clustered import degrees_of_freedom
    >>> round(degrees_of_freedom(np.arange(12) // 2), 6), len(set(np.arange(12) // 2))
    (5.0, 6)
    """
    sizes = np.bincount(groups).astype(float) if len(groups) else np.zeros(0)
    if len(sizes) < 2:
        return 0.0
    # The variance is a quadratic form in the groups' sums, whose own variances are n_g^2:
    # trace(M)^2 / |M|^2 for M = V^(1/2) (I - h 1')' W (I - h 1') V^(1/2), multiplied out.
    share = sizes / sizes.sum()
    weight = 1 / (1 - share)
    variance = np.square(share)
    c, u = float((share**2 * weight).sum()), share * weight
    trace = float((variance * (weight - 2 * u + c)).sum())
    p, q, r = (float((variance * u**power).sum()) for power in (0, 1, 2))
    norm = c * c * p * p - 4 * c * p * q + 2 * p * r + 2 * q * q
    norm += float((variance**2 * ((weight + c - 2 * u) ** 2 - (c - 2 * u) ** 2)).sum())
    return float(np.clip(trace**2 / norm, 1.0, len(sizes) - 1))


def reach(level: float, df: float) -> float:
    """Standard errors on either side of a mean that make its interval, by Student's t.

    Parameters
    ----------
    level : float
        Confidence, in (0, 1).
    df : float
        Degrees of freedom.

    Returns
    -------
    float
        NaN for less than one.

    Examples
    --------
    >>> from pyattrx.statistics.clustered import reach
    >>> round(reach(0.95, 10), 3)
    2.228
    """
    return float(stdtrit(df, (1 + level) / 2)) if df >= 1 else float("nan")


def paired_p_values(
    difference: np.ndarray, stderr: np.ndarray, df: float, family: int | None = None
) -> np.ndarray:
    """Two-sided p-values of mean paired differences, corrected for their number.

    Parameters
    ----------
    difference, stderr : ndarray [K], or of any shape with a `family`
        Means over probes of the difference of two cosines, and their standard errors.
    df : float
        Degrees of freedom of the standard errors.
    family : int, optional
        Multiply every p-value by this number of comparisons (Bonferroni), which treats a pair
        alike wherever it comes up; by Holm's (1979) steps over all K if left out.

    Returns
    -------
    ndarray of that shape
        1 where nothing is known (no degree of freedom). A difference that is the same on every
        probe is certain: 1 where it is 0, otherwise 0.
    """
    if df < 1:
        return np.ones_like(difference)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.abs(difference) / stderr
    p = np.where(stderr > 0, 2 * stdtr(df, -t), np.where(difference == 0, 1.0, 0.0))
    if family is not None:
        bonferroni: np.ndarray = np.minimum(p * family, 1.0)
        return bonferroni
    count = len(difference)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * (count - np.arange(count)))
    corrected = np.empty(count)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected
