"""SVCCA: how far the leading principal components of two networks span the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.linalg import eigh
from torch import Tensor

from pyattrx.descriptors.points import recentred
from pyattrx.descriptors.probe_sets import ProbeSetDescriptor, Summary, centred

__all__ = ["SVCCA"]


class SVCCA(ProbeSetDescriptor):
    """Mean canonical correlation of the components that cover most of the variance.

    Pairwise: no vectors of single networks have it as their product. Where the components of one
    network span everything, as they may with no more probes than features, it is 1 for any two.
    """

    bounds = (0.0, 1.0)

    def summarise(self, observed: dict[str, Tensor]) -> Summary:
        """Keep the Gram matrix of the centred output."""
        latent = observed["latent"]
        gram, constant = centred(latent)
        facts: dict[str, Any] = {"latent": list(latent.shape[1:])}
        if constant:
            facts["constant latent"] = constant
        return Summary({"latent": gram}, 0 if gram.any() else len(gram), facts)

    def compare(
        self,
        targets: Sequence[Summary],
        sources: Sequence[Summary],
        groups: np.ndarray,
        blocks: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compare all pairs; see `ProbeSetDescriptor.compare`."""
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
        values, vectors = eigh(recentred(summary.arrays["latent"], keep))
        values = np.maximum(values[::-1], 0)
        covered = np.cumsum(values)
        assert self.method.variance is not None
        # What rounding makes of a rank that is not full is no component.
        rank = int((values > _NOTHING * values[0]).sum())
        share = self.method.variance * covered[-1]
        count = min(rank, int(np.searchsorted(covered, share * (1 - 1e-12))) + 1)
        return np.ascontiguousarray(vectors[:, ::-1][:, :count])


_NOTHING = 1e-12


def _mean_correlation(a: np.ndarray, b: np.ndarray) -> float:
    count = min(a.shape[1], b.shape[1])
    if count == 0:
        return 0.0
    correlations = np.linalg.svd(a.T @ b, compute_uv=False)
    return float(np.minimum(correlations, 1).sum() / count)
