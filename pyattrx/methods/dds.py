"""Duality diagram similarity."""

from __future__ import annotations

from dataclasses import dataclass

from pyattrx.methods.cka import CKA

__all__ = ["DDS"]


@dataclass(frozen=True)
class DDS(CKA):
    """Duality diagram similarity: `CKA` of z-scored outputs.

    The form of Dwivedi, Huang, Cichy, Roig, *Duality Diagram Similarity*, ECCV 2020, with z-scores
    and a linear kernel.

    The standard deviations are those over all probes also where a jackknife leaves some out, so
    that one Gram matrix is enough. Standard errors become a little larger by that: in a simulation
    with few features and heavy tails by a fifth.

    Examples
    --------
    >>> import pyattrx
    >>> str(pyattrx.methods.DDS())
    'dds'
    """

    name = "dds"
    invariant_to = frozenset({"scale", "shift", "permutation of probes"})
    scaled = True
    all_units_alike = True
