"""Whether what moves one network most moves another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyattrx._checks import integer, number
from pyattrx.encoders import PreparedEncoder
from pyattrx.methods.feature_method import FeatureMethod, Summary
from pyattrx.methods.strongest_steps import StrongestSteps, grid_of

__all__ = ["AdversarialResponse"]

# Steps of sources in memory at once, in float64.
_BYTES = 32 << 20


@dataclass(frozen=True)
class AdversarialResponse(FeatureMethod):
    """How far the step that moves a source's features most moves a target, over the most it can.

    For a probe let J be the derivative of a network's answer by the image, v1 the direction that
    the answer follows most, and s1 how far it does: the score is the mean over the probes of
    ``|J_T v1(J_S)| / s1(J_T)``, with the target's output and the source's features. It needs no
    labels. Every network is looked at alone: kept are its strongest `rank` directions and their
    strengths, and what a target does in any other direction counts as nothing.

    Parameters
    ----------
    strength : float or None
        Root mean square of a step on the grid, where pixels are in [0, 1]; positive. None for the
        derivative itself, which takes forward derivatives: a few operations have none.
    steps : int
        Iterations in which the strongest directions are found, at least 1.
    rank : int
        Directions that are kept of a network, at least 1. An image takes as many passes forward and
        back in every iteration, and as many forward at the end; twice that where features are not
        the output.
    largest_grid : int
        Steps are made on a grid of at most so many rows and columns, and enlarged to the probes.
    seed : int
        Of the directions that the iteration begins with.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        For any of them. When a network is run, `EncoderError` if it, or its transform, has no
        derivative, or no forward derivative where `strength` is None.

    Notes
    -----
    Liang, Zhang, Wang, Yang, Koyejo, Li: *Uncovering the connection between adversarial
    transferability and knowledge transferability*, ICML 2021. This is their alpha, between a
    source's features and a target's output. Their gamma asks whether both networks answer to these
    steps in directions that go together from probe to probe, and is not part of it: see
    `PerturbationResponse`, which predicts one answer from the other.

    Examples
    --------
    Two linear networks that look at the same color, and one that looks at another:

    >>> import torch, pyattrx
    >>> nets = []
    >>> for name, channel in (("red", 0), ("also red", 0), ("blue", 2)):
    ...     net = torch.nn.Conv2d(3, 1, 4, bias=False)
    ...     weight = torch.zeros(1, 3, 4, 4)
    ...     weight[:, channel] = torch.rand(4, 4)
    ...     net.weight = torch.nn.Parameter(weight)
    ...     nets.append(pyattrx.Encoder(net, name=name))
    >>> probes = pyattrx.Probes.from_tensor(torch.rand(4, 3, 4, 4))
    >>> found = pyattrx.affinity(nets, probes, pyattrx.methods.AdversarialResponse(rank=2))
    >>> bool(found.values[0, 1] > 0.5), round(float(found.values[0, 2]), 6)
    (True, 0.0)
    """

    strength: float | None = 0.01
    steps: int = 4
    rank: int = 4
    largest_grid: int = 32
    seed: int = 0

    name = "adversarial_response"
    symmetric = False
    bounds = (0.0, 1.0)
    needs = frozenset({"gradients", "output", "features"})
    invariant_to = frozenset({"scale", "rotation", "shift", "permutation of probes"})

    def __post_init__(self) -> None:
        if self.strength is not None:
            strength = number("strength", self.strength, above=0, more=", or None")
            object.__setattr__(self, "strength", strength)
        for option in ("steps", "rank", "largest_grid"):
            object.__setattr__(self, option, integer(option, getattr(self, option), least=1))
        seed = integer("seed", self.seed, least=0, most=2**63 - 1)
        object.__setattr__(self, "seed", seed)

    def observe(
        self, encoder: PreparedEncoder, images: Tensor, probes: np.ndarray
    ) -> dict[str, Tensor]:
        """Find the strongest directions of the images.

        Returns
        -------
        dict of str to Tensor
            "output" [B, rank, D], those of the output, the strongest first, as long as they are
            strong beside it; "features" [B, D], the first one of the features, where these are
            something else.
        """
        grid = grid_of((images.shape[-2], images.shape[-1]), self.largest_grid)
        rng = np.random.default_rng(self.seed)
        size = 3 * grid[0] * grid[1]
        start = torch.from_numpy(rng.standard_normal((min(self.rank, size), 3, *grid)))
        # As many images in a pass as without directions: memory is that of any other method.
        at_once = max(1, encoder.batch_size // len(start))
        parts = [self._observed(encoder, some, start) for some in images.split(at_once)]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def _observed(
        self, encoder: PreparedEncoder, images: Tensor, start: Tensor
    ) -> dict[str, Tensor]:
        output, features = encoder.outputs(encoder.preprocess(images))

        def strongest(reads: str, plain: Tensor) -> Tensor:
            finder = StrongestSteps(encoder, reads, start, self.strength)
            return finder.find(images, plain, self.steps)

        found = {"output": strongest("output", output)}
        if features is not output:
            found["features"] = strongest("features", features)[:, 0]
        return found

    def summarize(self, observed: dict[str, Tensor]) -> Summary:
        """Keep the directions."""
        arrays = {name: part.numpy() for name, part in observed.items()}
        nothing = np.zeros(len(arrays["output"]), bool)
        for array in arrays.values():
            nothing |= ~np.any(array.reshape(len(array), -1), axis=1)
        facts: dict[str, Any] = {"directions": list(arrays["output"].shape[1:])}
        return Summary(arrays, int(nothing.sum()), facts)

    def compare(
        self,
        targets: Sequence[Summary],
        sources: Sequence[Summary],
        groups: np.ndarray,
        blocks: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Take every source's step at every target; see `FeatureMethod.compare`."""
        count = int(blocks.max()) + 1
        sums = np.zeros((count, len(targets), len(sources)))
        at_once = max(1, _BYTES // (8 * targets[0].arrays["output"].shape[-1]))
        width = min(len(sources), at_once)
        probes = max(1, at_once // max(width, self.rank))
        for first in range(0, len(blocks), probes):
            some = slice(first, first + probes)
            for left in range(0, len(sources), width):
                columns = slice(left, left + width)
                steps = np.stack([_own_step(one, some) for one in sources[columns]], axis=-1)
                for row, target in enumerate(targets):
                    moved = target.arrays["output"][some].astype(np.float64) @ steps
                    shares = np.minimum(np.linalg.norm(moved, axis=1), 1)
                    np.add.at(sums[:, row, columns], blocks[some], shares)
        return self._means(sums, groups, blocks)

    def _means(
        self, sums: np.ndarray, groups: np.ndarray, blocks: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Means over all probes, and without each block, of sums over blocks."""
        total = sums.sum(0)
        without = np.full_like(sums, np.nan)
        for block in range(len(sums)):
            keep = blocks != block
            if self.enough(groups[keep]):
                without[block] = (total - sums[block]) / keep.sum()
        return total / len(blocks), without


def _own_step(source: Summary, probes: slice) -> np.ndarray:
    """The direction [n, D] that moves a source most, of some probes."""
    features = source.arrays.get("features")
    found = source.arrays["output"][probes, 0] if features is None else features[probes]
    return np.asarray(found, np.float64)
