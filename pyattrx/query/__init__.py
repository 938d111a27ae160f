"""Indexes: the vectors with the largest inner products, out of a thousand or a million."""

from pyattrx.query.sketch_index import KINDS, SketchIndex, faiss_or_none

__all__ = ["KINDS", "SketchIndex", "faiss_or_none"]
