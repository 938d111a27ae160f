"""The methods of the study, as data: what is scored, and what is put together from the scores.

A name in `BASE` is a method that is computed; its table of scores is a file of that name. A
`Candidate` is one of them, or a sum of several, which is made from their tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyattrx import Combined, FeatureMethod, Method, methods
from pyattrx.methods import ComparisonMethod

__all__ = [
    "BASE",
    "CANDIDATES",
    "CODE",
    "FEWER_PROBES",
    "JUDGED",
    "LAYER",
    "PUBLISHED",
    "Candidate",
    "place_norms",
]

Part = Method | FeatureMethod


def place_norms(output: Tensor) -> Tensor:
    """Sum of the lengths of the output's vectors: a place counts by its length, not its square."""
    norms: Tensor = torch.linalg.vector_norm(output.flatten(2), dim=1)
    return norms.sum(1)


def _saliency(scalar: str = "half_squared_norm", **options: Any) -> Method:
    return Method("saliency", scalar=scalar, **options)


PUBLISHED = ("saliency", "grad_x_input", "elrp")
_DIRECTIONAL = ("ridge", "normalized_ridge", "perturbation_response")  # what their names begin with

BASE: dict[str, Part] = {
    # The published forms: the mean output, the mean over channels.
    "saliency": Method("saliency"),
    "grad_x_input": Method("grad_x_input"),
    "elrp": Method("elrp"),
    # Magnitudes, and other scalars.
    "abs_grad_x_input": Method("grad_x_input", reduce="abs_mean"),
    "abs_elrp": Method("elrp", reduce="abs_mean"),
    "saliency_hsn": _saliency(),
    "grad_x_input_hsn": Method("grad_x_input", scalar="half_squared_norm"),
    "abs_grad_x_input_hsn": Method("grad_x_input", scalar="half_squared_norm", reduce="abs_mean"),
    "elrp_hsn": Method("elrp", scalar="half_squared_norm"),
    "abs_elrp_hsn": Method("elrp", scalar="half_squared_norm", reduce="abs_mean"),
    "saliency_norms": Method("saliency", scalar=place_norms),
    # What becomes of the map.
    "saliency_centred": _saliency("mean", center=True),
    "saliency_hsn_centred": _saliency(center=True),
    "saliency_hsn_channels": _saliency(reduce="none"),
    "saliency_hsn_grid32": _saliency(grid=(32, 32)),
    "saliency_hsn_grid16": _saliency(grid=(16, 16)),
    "saliency_hsn_grid8": _saliency(grid=(8, 8)),
    "saliency_hsn_grid16_centred": _saliency(grid=(16, 16), center=True),
    "saliency_hsn_pixels512": _saliency(pixels=512),
    # Another layer.
    "saliency_hsn_last_block": _saliency(),
    # Features.
    "rsa": methods.RSA(),
    "cka": methods.CKA(),
    "dds": methods.DDS(),
    "edges": methods.Edges(),
    "svcca": methods.SVCCA(),
    "ridge": methods.Ridge(),
    "normalized_ridge": methods.NormalizedRidge(),
    "perturbation_response": methods.PerturbationResponse(),
    # Their penalties, and a weaker perturbation.
    "ridge_p0.1": methods.Ridge(penalty=0.1),
    "ridge_p0.001": methods.Ridge(penalty=0.001),
    "normalized_ridge_p0.1": methods.NormalizedRidge(penalty=0.1),
    "normalized_ridge_p0.001": methods.NormalizedRidge(penalty=0.001),
    "perturbation_response_p0.1": methods.PerturbationResponse(penalty=0.1),
    "perturbation_response_p0.001": methods.PerturbationResponse(penalty=0.001),
    "perturbation_response_weak": methods.PerturbationResponse(strength=0.05),
    # The source's output, on which transfers are trained, in place of its last block; and windows.
    "ridge_code": methods.Ridge(),
    "normalized_ridge_code": methods.NormalizedRidge(),
    "perturbation_response_code": methods.PerturbationResponse(),
    "normalized_ridge_code_window3": methods.NormalizedRidge(window=3),
    "perturbation_response_code_window3": methods.PerturbationResponse(window=3),
    "normalized_ridge_code_window5": methods.NormalizedRidge(window=5),
    "perturbation_response_code_window5": methods.PerturbationResponse(window=5),
}

# Where a network is read, if not at its output.
LAYER = {"saliency_hsn_last_block": "network.block3"}
# Where a source is read, if not at its last block: at its output.
CODE = frozenset(name for name in BASE if "_code" in name)

# Scored on the first 8, 32 and 128 probes, too.
FEWER_PROBES = (
    "saliency", "saliency_hsn", "rsa", "ridge", "normalized_ridge", "perturbation_response",
)  # fmt: skip

# What is compared with one another: intervals over probes, rankings across architectures.
JUDGED = (
    *PUBLISHED, "saliency_hsn", "saliency_hsn_centred", "rsa", "cka", "dds", "edges", "svcca",
    "ridge", "normalized_ridge", "normalized_ridge_p0.1", "perturbation_response",
)  # fmt: skip

# What sums are made of: the leading form of every kind.
_SHORTLIST = (
    "saliency_hsn_centred", "abs_grad_x_input_hsn", "rsa", "cka", "edges", "ridge",
    "normalized_ridge", "perturbation_response", "ridge_code", "normalized_ridge_code_window3",
    "perturbation_response_code_window3",
)  # fmt: skip


@dataclass(frozen=True)
class Candidate:
    """A method that the study judges.

    Parameters
    ----------
    terms : mapping of str to float
        Names in `BASE` and their weights.
    standardize : bool
        As for `pyattrx.Combined`; of no meaning for one term.
    """

    terms: Mapping[str, float]
    standardize: bool = True

    @property
    def method(self) -> ComparisonMethod:
        """The method that computes it; where networks are read (`LAYER`, `CODE`) aside."""
        if len(self.terms) == 1:
            return BASE[next(iter(self.terms))]
        terms = tuple((BASE[name], weight) for name, weight in self.terms.items())
        return Combined(terms, standardize=self.standardize)

    def scores(self, tables: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """Put its scores [M, M] together from those in `BASE`."""
        parts = [tables[name] for name in self.terms]
        method = self.method
        return method.combine(parts) if isinstance(method, Combined) else parts[0]


def _candidates() -> dict[str, Candidate]:
    found = {name: Candidate({name: 1.0}) for name in BASE}
    for maps in ("grad_x_input", "saliency", "saliency_hsn"):
        for weight in (1.0, 0.25):
            name = f"depara, {maps} + {weight:g} edges"
            found[name] = Candidate({maps: 1.0, "edges": weight}, standardize=False)
    for count in (2, 3):
        for names in combinations(_SHORTLIST, count):
            if len({name in CODE for name in names if name.startswith(_DIRECTIONAL)}) > 1:
                continue  # a source is read in one place
            found[" + ".join(names)] = Candidate(dict.fromkeys(names, 1.0))
    return found


CANDIDATES: dict[str, Candidate] = _candidates()
