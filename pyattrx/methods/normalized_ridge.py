"""Ridge regression on features of unit length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from pyattrx.encoders import PreparedEncoder
from pyattrx.methods.regression import Regression, shaped, shrunk, unit_length

__all__ = ["NormalizedRidge"]


@dataclass(frozen=True)
class NormalizedRidge(Regression):
    """How well a source's features, of unit length at every location, predict a target's output.

    R^2 of ridge regression, fitted on one half of the probes and tested on the other, and the other
    way round. It predicted measured transfers best (docs/transfer.md); with a penalty of 1 it is
    "recommended". With 0.1 and less, wide features fit what a few images have in common by chance
    (docs/evidence-details.md).

    Parameters
    ----------
    penalty : float
        Positive, in units of the mean diagonal of the Gram matrix, of samples or of features,
        whichever is smaller.
    largest_grid : int
        Features with more rows or columns than this are area-resampled to it.
    window : int
        How many rows and columns of a source's features, around a location, predict a target there;
        odd, zeros beyond the edge. It costs that many times as many features: for narrow ones.

    Examples
    --------
    >>> import pyattrx
    >>> pyattrx.methods.get("recommended")
    NormalizedRidge(penalty=1.0, largest_grid=16, window=1)
    """

    penalty: float = 0.01
    largest_grid: int = 16
    window: int = 1

    name = "normalized_ridge"
    invariant_to = frozenset({"scale", "rotation"})
    intercept = True

    def observe(
        self, encoder: PreparedEncoder, images: Tensor, probes: np.ndarray
    ) -> dict[str, Tensor]:
        """Run a network; both of its outputs count."""
        output, features = encoder.outputs(encoder.preprocess(images))
        most = self.largest_grid
        return {
            "output": shrunk(shaped(output), most)[:, None],
            "features": shrunk(unit_length(shaped(features)), most)[:, None],
        }
