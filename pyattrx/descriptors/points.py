"""Networks as points: a query vector as target, a key vector as source, scores are products.

RSA, linear CKA, DDS and DEPARA's edges (one vector for both), and directional ridge regression.
`FeatureMethod` says where each comes from.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from torch import Tensor

from pyattrx.descriptors.probe_sets import (
    ProbeSetDescriptor,
    Summary,
    centred,
    chunks,
    is_constant,
    widened,
)
from pyattrx.encoders import PreparedEncoder

__all__ = ["CKA", "DDS", "RSA", "Edges", "Points", "Ridge", "average_ranks", "recentred"]

# Query vectors in memory at once.
_VECTOR_BYTES = 256 << 20
# A centred feature of less than this share of the mean square is what rounding left of zero.
_NOTHING = 1e-13
_DECIMALS = 12


class Points(ProbeSetDescriptor):
    """Descriptors whose scores are inner products."""

    @abstractmethod
    def query(self, summary: Summary, keep: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """Vector of a target, over some of the probes.

        Parameters
        ----------
        summary : Summary
        keep : ndarray [n], int64
            The probes.
        groups : ndarray [n], int64
            Their groups.

        Returns
        -------
        ndarray [L], float64
            Zero where there is nothing to compare.
        """

    def key(self, summary: Summary, keep: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """Vector of a source; that of a target where the score is symmetric."""
        return self.query(summary, keep, groups)

    def compare(
        self,
        targets: Sequence[Summary],
        sources: Sequence[Summary],
        groups: np.ndarray,
        blocks: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Multiply all query with all key vectors; see `ProbeSetDescriptor.compare`."""
        everything = np.arange(len(groups))
        values = self._products(targets, sources, everything, groups)
        without = np.full((int(blocks.max()) + 1, *values.shape), np.nan)
        for block in range(len(without)):
            keep = everything[blocks != block]
            if self.enough(groups[keep]):
                without[block] = self._products(targets, sources, keep, groups[keep])
        return values, without

    def _products(
        self,
        targets: Sequence[Summary],
        sources: Sequence[Summary],
        keep: np.ndarray,
        groups: np.ndarray,
    ) -> np.ndarray:
        out = np.empty((len(targets), len(sources)))
        at_once = max(1, _VECTOR_BYTES // (8 * len(keep) ** 2))
        for first in range(0, len(targets), at_once):
            some = targets[first : first + at_once]
            queries = np.stack([self.query(target, keep, groups) for target in some])
            if self.symmetric and targets is sources and len(some) == len(targets):
                return np.asarray(queries @ queries.T)
            for column, source in enumerate(sources):
                out[first : first + len(some), column] = queries @ self.key(source, keep, groups)
        return out


class RSA(Points):
    """Representation similarity analysis."""

    def summarise(self, observed: dict[str, Tensor]) -> Summary:
        """Keep the correlations of all pairs of probes; 0 with one whose features are all alike."""
        latent = observed["latent"]
        flat = latent.flatten(1) if latent.dim() > 1 else latent[:, None]
        gram, alike = _between_probes(flat)
        facts = {"latent": list(latent.shape[1:])}
        return Summary({"correlations": gram}, alike, facts)

    def query(self, summary: Summary, keep: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """Ranks of the dissimilarities, centred, of unit length."""
        correlations = summary.arrays["correlations"][np.ix_(keep, keep)]
        return _unit_ranks(1 - correlations[np.triu_indices(len(keep), 1)])


class _OfGram(Points):
    """Those that need the Gram matrix of the centred output."""

    scaled = False

    def summarise(self, observed: dict[str, Tensor]) -> Summary:
        """Keep the Gram matrix."""
        return _gram_summary({"latent": observed["latent"]}, scale=self.scaled)


class CKA(_OfGram):
    """Linear centred kernel alignment."""

    bounds = (0.0, 1.0)

    def query(self, summary: Summary, keep: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """The centred Gram matrix over its Frobenius norm."""
        return _unit(recentred(summary.arrays["latent"], keep).ravel())


class DDS(CKA):
    """Duality diagram similarity: z-scored features, linear kernel.

    The standard deviations are those over all probes also where a jackknife leaves some out, so
    that one Gram matrix is enough. Standard errors become a little larger by that: in a simulation
    with few features and heavy tails by a fifth.
    """

    scaled = True


class Edges(_OfGram):
    """DEPARA's edges."""

    def query(self, summary: Summary, keep: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """Ranks of the cosines, centred, of unit length."""
        gram = recentred(summary.arrays["latent"], keep)
        norms = np.sqrt(np.diag(gram))
        norms[norms == 0] = 1
        cosines = gram / np.outer(norms, norms)
        return _unit_ranks(cosines[np.triu_indices(len(keep), 1)])


class Ridge(Points):
    """Leave-one-out R^2 of a ridge regression of the target's output on the source's features.

    With Z the target's centred outputs and H the source's hat matrix (intercept included), the
    residual of a probe that was left out is that of the fit to all, over ``1 - H_kk``: so for
    ``R = diag(1 / (1 - H_kk)) (I - H)`` the score is ``1 - |R Z|^2 / |Z|^2``, the inner product of
    ``Z Z' / |Z|^2`` and ``C - R'R``, C the centring matrix. A group of several probes is left out
    as a whole: the inverse of its block of ``I - H`` stands in the place of ``1 / (1 - H_kk)``. The
    penalty is that of all probes in every fit.
    """

    symmetric = False
    bounds = (float("-inf"), 1.0)
    least_groups = 2

    def observe(
        self, encoder: PreparedEncoder, images: Tensor, probes: np.ndarray
    ) -> dict[str, Tensor]:
        """Run a network; both of its outputs count."""
        output, features = encoder.outputs(encoder.preprocess(images))
        if features is output:
            return {"latent": widened(output)}
        return {"latent": widened(output), "features": widened(features)}

    def summarise(self, observed: dict[str, Tensor]) -> Summary:
        """Keep both Gram matrices."""
        return _gram_summary(observed)

    def query(self, summary: Summary, keep: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """The Gram matrix of the output, over its trace."""
        gram = recentred(summary.arrays["latent"], keep)
        trace = np.trace(gram)
        return (gram / (trace if trace > 0 else 1.0)).ravel()

    def key(self, summary: Summary, keep: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """What the regression on the features leaves of a target's squares, taken from all."""
        arrays = summary.arrays
        gram = recentred(arrays.get("features", arrays["latent"]), keep)
        count = len(keep)
        assert self.method.penalty is not None
        centring = np.eye(count) - 1 / count
        penalty = self.method.penalty * np.trace(gram) / count
        residual = centring
        if penalty > 0:
            gram[np.diag_indices(count)] += penalty
            residual = penalty * cho_solve(cho_factor(gram, lower=True), np.eye(count)) - 1 / count
        left_out = _left_out(residual, groups)
        return np.asarray(centring - left_out.T @ left_out).ravel()


def _left_out(residual: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """From what makes residuals to what makes those of groups that were left out."""
    sizes = np.bincount(groups, minlength=int(groups.max()) + 1)
    out = residual.copy()
    single = sizes[groups] == 1
    out[single] /= np.diag(residual)[single, None]
    for group in np.flatnonzero(sizes > 1):
        members = np.flatnonzero(groups == group)
        out[members] = np.linalg.solve(residual[np.ix_(members, members)], residual[members])
    return out


def _gram_summary(observed: dict[str, Tensor], *, scale: bool = False) -> Summary:
    arrays: dict[str, np.ndarray] = {}
    facts: dict[str, Any] = {}
    for name, output in observed.items():
        arrays[name], constant = centred(output, scale=scale)
        facts[name] = list(output.shape[1:])
        if constant:
            facts[f"constant {name}"] = constant
    nothing = any(not gram.any() for gram in arrays.values())
    return Summary(arrays, len(next(iter(arrays.values()))) if nothing else 0, facts)


def recentred(gram: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Gram matrix of some probes' features less their own mean; what rounding leaves is 0."""
    part: np.ndarray = gram[np.ix_(keep, keep)].copy()
    if len(keep) < len(gram):
        means = part.mean(0)
        part += means.mean() - means[:, None] - means
    nothing = np.diag(part) <= _NOTHING * (np.trace(gram) / len(gram))
    part[nothing] = 0
    part[:, nothing] = 0
    return part


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


def average_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal values share the mean of theirs.

    Examples
    --------
    >>> import numpy as np
    >>> from pyattrx.descriptors.points import average_ranks
    >>> average_ranks(np.array([3.0, 1.0, 3.0])).tolist()
    [2.5, 1.0, 2.5]
    """
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: np.ndarray = (last - (counts - 1) / 2)[place]
    return ranks


def _unit_ranks(values: np.ndarray) -> np.ndarray:
    # Correlations that are equal but for rounding share a rank.
    ranks = average_ranks(np.round(values, _DECIMALS))
    return _unit(ranks - (len(ranks) + 1) / 2)


def _unit(vector: np.ndarray) -> np.ndarray:
    norm = np.linalg.norm(vector)
    return vector / (norm if norm > 0 else 1.0)
