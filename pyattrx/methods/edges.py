"""The edges of DEPARA."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pyattrx.methods.feature_method import Summary
from pyattrx.methods.points import OfGram, recentered, unit_ranks

__all__ = ["Edges"]


@dataclass(frozen=True)
class Edges(OfGram):
    """DEPARA's edges: are the same pairs of images alike?

    Spearman's correlation of the cosines of centered outputs, of all pairs of probes.

    Song, Chen, Ye, Wang, Shen, Mao, Song, *DEPARA: Deep Attribution Graph for Deep Knowledge
    Transferability*, CVPR 2020. Its nodes are attribution maps: see `Combined.depara`.

    Examples
    --------
    >>> import pyattrx
    >>> pyattrx.methods.Edges().least_probes
    3
    """

    name = "edges"
    invariant_to = frozenset({"scale", "rotation", "shift", "permutation of probes"})

    def query(self, summary: Summary, keep: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """Ranks of the cosines, centered, of unit length."""
        gram = recentered(summary.arrays["output"], keep)
        norms = np.sqrt(np.diag(gram))
        norms[norms == 0] = 1
        cosines = gram / np.outer(norms, norms)
        return unit_ranks(cosines[np.triu_indices(len(keep), 1)])
