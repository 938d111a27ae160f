"""Networks as points: a query vector as target, a key vector as source, scores are products."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from pyattrx.evaluate import mean_ranks
from pyattrx.methods.feature_method import FeatureMethod, Summary, centered

__all__ = ["OfGram", "Points", "gram_summary", "recentered", "unit", "unit_ranks"]

# Query vectors in memory at once.
_VECTOR_BYTES = 256 << 20
# A centered feature of less than this share of the mean square is what rounding left of zero.
_NOTHING = 1e-13
_DECIMALS = 12


class Points(FeatureMethod):
    """Methods that see a network as a point: scores are products of two vectors.

    A network has a query vector as target and a key vector as source; they are the same where the
    score is symmetric.
    """

    @abstractmethod
    def query(self, summary: Summary, keep: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """Vector of a target, over some of the probes.

        Parameters
        ----------
        summary : Summary
        keep : ndarray [n], int64
            The probes.
        groups : ndarray [n], int64
            Their groups.

        Returns
        -------
        ndarray [L], float64
            Zero where there is nothing to compare.
        """

    def key(self, summary: Summary, keep: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """Vector of a source; that of a target where the score is symmetric."""
        return self.query(summary, keep, groups)

    def compare(
        self,
        targets: Sequence[Summary],
        sources: Sequence[Summary],
        groups: np.ndarray,
        blocks: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Multiply all query with all key vectors; see `FeatureMethod.compare`."""
        everything = np.arange(len(groups))
        values = self._products(targets, sources, everything, groups)
        without = np.full((int(blocks.max()) + 1, *values.shape), np.nan)
        for block in range(len(without)):
            keep = everything[blocks != block]
            if self.enough(groups[keep]):
                without[block] = self._products(targets, sources, keep, groups[keep])
        return values, without

    def _products(
        self,
        targets: Sequence[Summary],
        sources: Sequence[Summary],
        keep: np.ndarray,
        groups: np.ndarray,
    ) -> np.ndarray:
        out = np.empty((len(targets), len(sources)))
        at_once = max(1, _VECTOR_BYTES // (8 * len(keep) ** 2))
        for first in range(0, len(targets), at_once):
            some = targets[first : first + at_once]
            queries = np.stack([self.query(target, keep, groups) for target in some])
            if self.symmetric and targets is sources and len(some) == len(targets):
                return np.asarray(queries @ queries.T)
            for column, source in enumerate(sources):
                out[first : first + len(some), column] = queries @ self.key(source, keep, groups)
        return out


class OfGram(Points):
    """Those that need the Gram matrix of the centered output."""

    scaled: ClassVar[bool] = False  # features over their standard deviation

    def summarize(self, observed: dict[str, Tensor]) -> Summary:
        """Keep the Gram matrix."""
        return gram_summary({"output": observed["output"]}, scale=self.scaled)


def gram_summary(observed: dict[str, Tensor], *, scale: bool = False) -> Summary:
    """Keep the Gram matrix of what was observed, by name."""
    arrays: dict[str, np.ndarray] = {}
    facts: dict[str, Any] = {}
    for name, output in observed.items():
        arrays[name], constant = centered(output, scale=scale)
        facts[name] = list(output.shape[1:])
        if constant:
            facts[f"constant {name}"] = constant
    nothing = any(not gram.any() for gram in arrays.values())
    return Summary(arrays, len(next(iter(arrays.values()))) if nothing else 0, facts)


def recentered(gram: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Gram matrix of some probes' features less their own mean; what rounding leaves is 0."""
    part: np.ndarray = gram[np.ix_(keep, keep)].copy()
    if len(keep) < len(gram):
        means = part.mean(0)
        part += means.mean() - means[:, None] - means
    nothing = np.diag(part) <= _NOTHING * (np.trace(gram) / len(gram))
    part[nothing] = 0
    part[:, nothing] = 0
    return part


def unit_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks, less their mean, of unit length."""
    # Correlations that are equal but for rounding share a rank.
    ranks = mean_ranks(np.round(values, _DECIMALS))
    return unit(ranks - (len(ranks) + 1) / 2)


def unit(vector: np.ndarray) -> np.ndarray:
    """A vector over its length; zeros stay zeros."""
    norm = np.linalg.norm(vector)
    return vector / (norm if norm > 0 else 1.0)
