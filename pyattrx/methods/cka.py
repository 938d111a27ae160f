"""Linear centered kernel alignment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pyattrx.methods.feature_method import Summary
from pyattrx.methods.points import OfGram, recentered, unit

__all__ = ["CKA"]


@dataclass(frozen=True)
class CKA(OfGram):
    """Linear centered kernel alignment: the cosine of both centered Gram matrices of the outputs.

    Kornblith, Norouzi, Lee, Hinton, *Similarity of Neural Network Representations Revisited*, ICML
    2019.

    Examples
    --------
    >>> import pyattrx
    >>> pyattrx.methods.CKA().bounds
    (0.0, 1.0)
    """

    name = "cka"
    bounds = (0.0, 1.0)
    invariant_to = frozenset({"scale", "rotation", "shift", "permutation of probes"})

    def query(self, summary: Summary, keep: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """The centered Gram matrix over its Frobenius norm."""
        return unit(recentered(summary.arrays["output"], keep).ravel())
