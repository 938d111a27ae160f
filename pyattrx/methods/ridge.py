"""Leave-one-out ridge regression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from torch import Tensor

from pyattrx._checks import number
from pyattrx.encoders import PreparedEncoder
from pyattrx.methods.feature_method import Summary, widened
from pyattrx.methods.points import Points, gram_summary, recentered

__all__ = ["Ridge", "left_out"]


@dataclass(frozen=True)
class Ridge(Points):
    """Leave-one-out R^2 of a ridge regression of the target's output on the source's features.

    With Z the target's centered outputs and H the source's hat matrix (intercept included), the
    residual of a probe that was left out is that of the fit to all, over ``1 - H_kk``: so for
    ``R = diag(1 / (1 - H_kk)) (I - H)`` the score is ``1 - |R Z|^2 / |Z|^2``, the inner product of
    ``Z Z' / |Z|^2`` and ``C - R'R``, C the centering matrix. A group of several probes is left out
    as a whole: the inverse of its block of ``I - H`` stands in the place of ``1 / (1 - H_kk)``. The
    penalty is that of all probes in every fit.

    Parameters
    ----------
    penalty : float
        Positive, in units of the mean diagonal of the Gram matrix of the probes.

    Examples
    --------
    >>> import pyattrx
    >>> str(pyattrx.methods.Ridge(penalty=0.1))
    'ridge, penalty=0.1'
    """

    penalty: float = 0.01

    name = "ridge"
    symmetric = False
    needs = frozenset({"output", "features"})
    invariant_to = frozenset({"scale", "rotation", "shift", "permutation of probes"})
    bounds = (float("-inf"), 1.0)
    least_groups = 2

    def __post_init__(self) -> None:
        object.__setattr__(self, "penalty", number("penalty", self.penalty, above=0))

    def observe(
        self, encoder: PreparedEncoder, images: Tensor, probes: np.ndarray
    ) -> dict[str, Tensor]:
        """Run a network; both of its outputs count."""
        output, features = encoder.outputs(encoder.preprocess(images))
        if features is output:
            return {"output": widened(output)}
        return {"output": widened(output), "features": widened(features)}

    def summarize(self, observed: dict[str, Tensor]) -> Summary:
        """Keep both Gram matrices."""
        return gram_summary(observed)

    def query(self, summary: Summary, keep: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """The Gram matrix of the output, over its trace."""
        gram = recentered(summary.arrays["output"], keep)
        trace = np.trace(gram)
        return (gram / (trace if trace > 0 else 1.0)).ravel()

    def key(self, summary: Summary, keep: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """What the regression on the features leaves of a target's squares, taken from all."""
        arrays = summary.arrays
        gram = recentered(arrays.get("features", arrays["output"]), keep)
        count = len(keep)
        centering = np.eye(count) - 1 / count
        penalty = self.penalty * np.trace(gram) / count
        residual = centering
        if penalty > 0:
            gram[np.diag_indices(count)] += penalty
            residual = penalty * cho_solve(cho_factor(gram, lower=True), np.eye(count)) - 1 / count
        outside = left_out(residual, groups)
        return np.asarray(centering - outside.T @ outside).ravel()


def left_out(residual: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """From what makes residuals to what makes those of groups that were left out."""
    sizes = np.bincount(groups, minlength=int(groups.max()) + 1)
    out = residual.copy()
    single = sizes[groups] == 1
    out[single] /= np.diag(residual)[single, None]
    for group in np.flatnonzero(sizes > 1):
        members = np.flatnonzero(groups == group)
        out[members] = np.linalg.solve(residual[np.ix_(members, members)], residual[members])
    return out
