"""Descriptors of a set of probes as a whole: what they observe, what they keep, how they compare.

Attribution maps are rows, one for each probe, whose cosines are averaged. The methods here say
nothing about one probe alone: a network's outputs on all probes are reduced to a `Summary`, and
summaries are compared. How far a comparison can be trusted is told by a jackknife: what it says
without one block of probes, for every block. A bootstrap would show the same probe twice, which
these methods mistake for structure (a dissimilarity of 0, a probe left out that is still there).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from pyattrx.descriptors.feature_method import FeatureMethod
from pyattrx.encoders import PreparedEncoder
from pyattrx.errors import InvalidValue

__all__ = [
    "ROUNDINGS",
    "ProbeSetDescriptor",
    "Summary",
    "centred",
    "chunks",
    "is_constant",
    "widened",
]

# Columns of features that are taken to float64 at once.
_CHUNK_ELEMENTS = 1 << 22
# A feature is constant where its values differ by no more than so many roundings.
ROUNDINGS = 16


@dataclass(frozen=True)
class Summary:
    """What is kept of a network.

    Attributes
    ----------
    arrays : dict of str to ndarray
        float32 or float64; the first axis is the probes.
    zero_probes : int
        Probes on which there is nothing to compare.
    facts : dict
        What else is worth knowing, as JSON types: shapes, features that never change.
    """

    arrays: dict[str, np.ndarray]
    zero_probes: int = 0
    facts: dict[str, Any] = field(default_factory=dict)


class ProbeSetDescriptor(ABC):
    """A network as its outputs on all probes.

    Parameters
    ----------
    method : FeatureMethod

    Attributes
    ----------
    symmetric : bool
        Whether target and source can be swapped.
    bounds : (float, float)
        Least and largest score.
    directional : bool
        Whether sources are read at `Encoder.features`.
    """

    symmetric: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (-1.0, 1.0)
    least_probes: ClassVar[int] = 3
    least_groups: ClassVar[int] = 1

    def __init__(self, method: FeatureMethod) -> None:
        self.method = method

    def check_probes(self, groups: np.ndarray) -> None:
        """Refuse probes that are too few.

        Raises
        ------
        InvalidValue
        """
        count, independent = len(groups), len(np.unique(groups))
        if count < self.least_probes:
            raise InvalidValue(
                "probes", count, f"at least {self.least_probes} probe images for {self.method}"
            )
        if independent < self.least_groups:
            raise InvalidValue(
                "probes.groups",
                independent,
                f"at least {self.least_groups} groups of probes for {self.method}",
            )

    def enough(self, groups: np.ndarray) -> bool:
        """Whether some of the probes, in these groups, can be compared alone."""
        return len(groups) >= self.least_probes and len(np.unique(groups)) >= self.least_groups

    def observe(
        self, encoder: PreparedEncoder, images: Tensor, probes: np.ndarray
    ) -> dict[str, Tensor]:
        """Run a network on a batch of probes.

        Parameters
        ----------
        encoder : PreparedEncoder
        images : Tensor [B, 3, H, W]
        probes : ndarray [B], int64
            Their numbers.

        Returns
        -------
        dict of str to Tensor [B, ...]
            float64 for a float64 network, float32 otherwise.
        """
        output, _ = encoder.outputs(encoder.preprocess(images))
        return {"latent": widened(output)}

    @abstractmethod
    def summarise(self, observed: dict[str, Tensor]) -> Summary:
        """Reduce what was observed on all probes, [N, ...] each, finite, on the host."""

    @abstractmethod
    def compare(
        self,
        targets: Sequence[Summary],
        sources: Sequence[Summary],
        groups: np.ndarray,
        blocks: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compare networks, over all probes and without each block of them.

        Parameters
        ----------
        targets, sources : sequence of Summary
        groups, blocks : ndarray [N], int64
            Group of each probe, and the block that its group belongs to, 0 to K - 1.

        Returns
        -------
        values : ndarray [T, S], float64
        without : ndarray [K, T, S], float64
            NaN where what is left of the probes is not enough.
        """


def widened(output: Tensor) -> Tensor:
    """An output in a type that its values can be compared in."""
    return output if output.dtype in (torch.float32, torch.float64) else output.float()


def centred(features: Tensor, *, scale: bool = False) -> tuple[np.ndarray, int]:
    """Gram matrix of features, less each feature's mean over the probes.

    Parameters
    ----------
    features : Tensor [N, ...]
    scale : bool
        Divide each feature by its standard deviation over the probes, too.

    Returns
    -------
    gram : ndarray [N, N], float64
        Of features scaled as a whole by a power of two, so that no square over- or underflows.
    constant : int
        Features that are the same on every probe; they do not contribute.
    """
    flat = features.flatten(1) if features.dim() > 1 else features[:, None]
    gram = np.zeros((len(flat), len(flat)))
    constant = 0
    exponent = int(np.frexp(float(flat.abs().max()))[1])
    for some in chunks(flat):
        x = flat[:, some].double().numpy()
        x = np.ldexp(x, -exponent)
        moving = ~is_constant(x, flat.dtype)
        constant += int((~moving).sum())
        x = x[:, moving] - x[:, moving].mean(0)
        if scale:
            x /= np.sqrt(np.square(x).mean(0))
        gram += x @ x.T
    return gram, constant


def is_constant(values: np.ndarray, dtype: torch.dtype) -> Any:
    """Whether values [N, ...], computed in a type, differ along the first axis by rounding only."""
    rounding = ROUNDINGS * torch.finfo(dtype).eps
    return np.ptp(values, axis=0) <= rounding * np.abs(values).max(0)


def chunks(flat: Tensor) -> Iterator[slice]:
    """Columns of features [N, D] that are taken to float64 at once."""
    step = max(1, _CHUNK_ELEMENTS // len(flat))
    for first in range(0, flat.shape[1], step):
        yield slice(first, first + step)
