"""SVCCA: how far the leading principal components of two networks span the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import eigh
from torch import Tensor

from pyattrx._checks import number
from pyattrx.methods.feature_method import FeatureMethod, Summary, centered
from pyattrx.methods.points import recentered

__all__ = ["SVCCA"]


@dataclass(frozen=True)
class SVCCA(FeatureMethod):
    """Mean canonical correlation of the components that cover most of the variance.

    Raghu, Gilmer, Yosinski, Sohl-Dickstein, *SVCCA*, NeurIPS 2017.

    Pairwise: no vectors of single networks have it as their product. Where the components of one
    network span everything, as they may with no more probes than features, it is 1 for any two.

    Parameters
    ----------
    variance : float
        Share of the variance that the components cover, in (0, 1].

    Examples
    --------
    >>> import pyattrx
    >>> pyattrx.methods.SVCCA(variance=0.9)
    SVCCA(variance=0.9)
    """

    variance: float = 0.99

    name = "svcca"
    bounds = (0.0, 1.0)
    invariant_to = frozenset({"scale", "rotation", "shift", "permutation of probes"})

    def __post_init__(self) -> None:
        object.__setattr__(self, "variance", number("variance", self.variance, above=0, most=1))

    def summarize(self, observed: dict[str, Tensor]) -> Summary:
        """Keep the Gram matrix of the centered output."""
        latent = observed["output"]
        gram, constant = centered(latent)
        facts: dict[str, Any] = {"output": list(latent.shape[1:])}
        if constant:
            facts["constant output"] = constant
        return Summary({"output": gram}, 0 if gram.any() else len(gram), facts)

    def compare(
        self,
        targets: Sequence[Summary],
        sources: Sequence[Summary],
        groups: np.ndarray,
        blocks: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compare all pairs; see `FeatureMethod.compare`."""
        everything = np.arange(len(groups))
        values = self._values(targets, sources, everything)
        without = np.full((int(blocks.max()) + 1, *values.shape), np.nan)
        for block in range(len(without)):
            keep = everything[blocks != block]
            if self.enough(groups[keep]):
                without[block] = self._values(targets, sources, keep)
        return values, without

    def _values(
        self, targets: Sequence[Summary], sources: Sequence[Summary], keep: np.ndarray
    ) -> np.ndarray:
        right = [self._components(source, keep) for source in sources]
        same = targets is sources
        left = right if same else [self._components(target, keep) for target in targets]
        out = np.empty((len(left), len(right)))
        for i, a in enumerate(left):
            for j, b in enumerate(right):
                out[i, j] = out[j, i] if same and j < i else _mean_correlation(a, b)
        return out

    def _components(self, summary: Summary, keep: np.ndarray) -> np.ndarray:
        """Directions [n, r] of the probes' leading principal components."""
        values, vectors = eigh(recentered(summary.arrays["output"], keep))
        values = np.maximum(values[::-1], 0)
        covered = np.cumsum(values)
        # What rounding makes of a rank that is not full is no component.
        rank = int((values > _NOTHING * values[0]).sum())
        share = self.variance * covered[-1]
        count = min(rank, int(np.searchsorted(covered, share * (1 - 1e-12))) + 1)
        return np.ascontiguousarray(vectors[:, ::-1][:, :count])


_NOTHING = 1e-12


def _mean_correlation(a: np.ndarray, b: np.ndarray) -> float:
    count = min(a.shape[1], b.shape[1])
    if count == 0:
        return 0.0
    correlations = np.linalg.svd(a.T @ b, compute_uv=False)
    return float(np.minimum(correlations, 1).sum() / count)
