"""Representation similarity analysis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from pyattrx.methods.feature_method import Summary, chunks, is_constant
from pyattrx.methods.points import Points, unit_ranks

__all__ = ["RSA"]


@dataclass(frozen=True)
class RSA(Points):
    """Representation similarity analysis: do both find the same images alike?

    Spearman's correlation of the dissimilarities, 1 - Pearson's correlation of two probes' outputs,
    of all pairs of probes. Dwivedi and Roig, *Representation Similarity Analysis for Efficient Task
    Taxonomy & Transfer Learning*, CVPR 2019.

    Examples
    --------
    >>> import pyattrx
    >>> pyattrx.methods.RSA().symmetric
    True
    """

    name = "rsa"
    invariant_to = frozenset({"scale", "permutation of probes"})

    def summarize(self, observed: dict[str, Tensor]) -> Summary:
        """Keep the correlations of all pairs of probes; 0 with one whose features are all alike."""
        latent = observed["output"]
        flat = latent.flatten(1) if latent.dim() > 1 else latent[:, None]
        gram, alike = _between_probes(flat)
        facts = {"output": list(latent.shape[1:])}
        return Summary({"correlations": gram}, alike, facts)

    def query(self, summary: Summary, keep: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """Ranks of the dissimilarities, centered, of unit length."""
        correlations = summary.arrays["correlations"][np.ix_(keep, keep)]
        return unit_ranks(1 - correlations[np.triu_indices(len(keep), 1)])


def _between_probes(flat: Tensor) -> tuple[np.ndarray, int]:
    """Pearson correlations [N, N] of probes' features [N, D], and how many probes have none."""
    count = len(flat)
    largest, mean, norm = np.ones(count), np.zeros(count), np.zeros(count)
    for index, row in enumerate(flat):
        x = row.double().numpy()
        if not is_constant(x, flat.dtype):
            largest[index] = np.abs(x).max()
            mean[index] = (x / largest[index]).mean()
            norm[index] = np.linalg.norm(x / largest[index] - mean[index])
    alike = norm == 0
    gram = np.zeros((count, count))
    for some in chunks(flat):
        x = flat[:, some].double().numpy() / largest[:, None] - mean[:, None]
        x /= np.where(alike, 1.0, norm)[:, None]
        x[alike] = 0
        gram += x @ x.T
    return gram, int(alike.sum())
