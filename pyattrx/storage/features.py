"""What a zoo keeps for its feature method: the summary of every network, as records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyattrx import methods
from pyattrx.errors import InvalidValueError
from pyattrx.methods import FeatureMethod, Method, Summary
from pyattrx.running import Description
from pyattrx.storage.catalog import EntryRow

__all__ = [
    "FACTS",
    "FEATURES_ID",
    "FEATURES_RERANK",
    "NEAREST",
    "StoredFeatures",
    "arrays_of",
    "facts_of",
    "resolve_features",
    "summarized",
    "tensors_of",
]

FACTS = "features_kept"  # the fact of an entry that says which arrays are kept of it
FEATURES_ID = 0  # methods of maps begin at 1

# What a zoo is made of that is made for "recommended": see docs/transfer.md.
NEAREST = Method("saliency", scalar="half_squared_norm")

# For whoever names another method to make a zoo of.
FEATURES_RERANK = ": a zoo finds networks by maps; features re-rank them, as rerank='recommended'"


@dataclass(frozen=True)
class StoredFeatures:
    """The feature method of a zoo."""

    id: int
    name: str
    method: FeatureMethod
    digest: int

    @classmethod
    def of(cls, method: FeatureMethod, digest: int) -> StoredFeatures:
        """Make one of a method, and of the hash of its definition."""
        return cls(FEATURES_ID, str(method), method, digest)

    def is_meant(self, method: Any) -> bool:
        """Whether somebody asks for this method: by its definition, or by a name of it."""
        if method in (self.method, self.name):
            return True
        try:
            return isinstance(method, str) and methods.get(method) == self.method
        except InvalidValueError:
            return False


def resolve_features(method: Any) -> FeatureMethod:
    """Turn the argument `rerank` into a feature method.

    Raises
    ------
    InvalidValueError, InvalidTypeError
    """
    found = methods.get(method, "rerank")
    if not isinstance(found, FeatureMethod):
        names = ", ".join(map(repr, ("recommended", *methods.FEATURE_METHODS)))
        raise InvalidValueError("rerank", str(method), f"one of {names}, or a FeatureMethod")
    return found


def summarized(description: Description, features: StoredFeatures) -> Summary:
    """Reduce a network to what a feature method keeps."""
    return features.method.summarize(description.observed(features.method))


def tensors_of(summary: Summary) -> list[tuple[str, Tensor]]:
    """Arrays of a summary as rows [N, width], by name."""
    found = []
    for name, array in sorted(summary.arrays.items()):
        rows = torch.from_numpy(np.ascontiguousarray(array)).reshape(len(array), -1)
        found.append((name, rows))
    return found


def facts_of(summary: Summary) -> dict[str, Any]:
    """What an entry has to say of its summary, as JSON types."""
    shapes = {name: list(array.shape[1:]) for name, array in sorted(summary.arrays.items())}
    return {"arrays": shapes, "zero_probes": summary.zero_probes, "observed": summary.facts}


def arrays_of(entry: EntryRow) -> dict[str, list[int]]:
    """Shapes of what is kept of an entry, by name; empty for one that was added as maps."""
    shapes: dict[str, list[int]] = entry.facts.get(FACTS, {}).get("arrays", {})
    return shapes
