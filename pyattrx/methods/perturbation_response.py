"""How networks answer to small changes of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pyattrx._checks import integer, number
from pyattrx.encoders import PreparedEncoder
from pyattrx.methods.regression import Regression, shaped, shrunk, unit_length

__all__ = ["PerturbationResponse", "perturbations"]

_NOISE = 8  # rows and columns of the noise that perturbations are made of


@dataclass(frozen=True)
class PerturbationResponse(Regression):
    """How well the change of a source's features predicts that of a target's output.

    As `NormalizedRidge`, of how both answer to noise that is added to the image, and without an
    intercept.

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
    draws : int
        Perturbations of each probe.
    strength : float
        Root mean square of a perturbation, where pixels are in [0, 1]; positive.
    seed : int
        Of the perturbations, at least 0.

    Examples
    --------
    >>> import pyattrx
    >>> str(pyattrx.methods.PerturbationResponse(draws=2))
    'perturbation_response, draws=2'
    """

    penalty: float = 0.01
    largest_grid: int = 16
    window: int = 1
    draws: int = 4
    strength: float = 0.2
    seed: int = 0

    name = "perturbation_response"
    invariant_to = frozenset({"scale", "rotation"})
    intercept = False

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "draws", integer("draws", self.draws, least=1))
        object.__setattr__(self, "strength", number("strength", self.strength, above=0))
        seed = integer("seed", self.seed, least=0, most=2**63 - 1)
        object.__setattr__(self, "seed", seed)

    def observe(
        self, encoder: PreparedEncoder, images: Tensor, probes: np.ndarray
    ) -> dict[str, Tensor]:
        """Run a network on the images, and on each perturbation of them."""

        def seen(x: Tensor) -> list[Tensor]:
            output, features = encoder.outputs(encoder.preprocess(x))
            return [shaped(output), unit_length(shaped(features))]

        plain = seen(images)
        changes: list[list[Tensor]] = [[], []]
        for draw in range(self.draws):
            noise = perturbations(probes, draw, images.shape[-2:], self.strength, self.seed)
            for which, moved in enumerate(seen(images + _sent(noise, images))):
                changes[which].append(shrunk(moved - plain[which], self.largest_grid))
        output, features = (torch.stack(part, dim=1) for part in changes)
        return {"output": output, "features": features}


def _sent(noise: Tensor, images: Tensor) -> Tensor:
    """Noise where the images are; nobody waits for what a GPU has still to do."""
    if images.is_cuda:
        noise = noise.pin_memory()
    return noise.to(images.device, images.dtype, non_blocking=True)


def perturbations(
    probes: np.ndarray, draw: int, size: Sequence[int], strength: float, seed: int
) -> Tensor:
    """Noise to add to images, the same for every network: 8 x 8 normal numbers, made as large.

    Parameters
    ----------
    probes : ndarray [B], int64
        Numbers of the probes; each has noise of its own.
    draw : int
        Which of the perturbations of a probe.
    size : (int, int)
        Height and width.
    strength : float
        Root mean square of each image of noise.
    seed : int

    Returns
    -------
    Tensor [B, 3, H, W], float32

    Examples
    --------
    >>> import numpy as np
    >>> from pyattrx.methods.perturbation_response import perturbations
    >>> noise = perturbations(np.array([5]), 0, (32, 32), 0.25, seed=0)
    >>> round(float(noise.square().mean().sqrt()), 6)
    0.25
    """
    coarse = [
        np.random.default_rng([seed, draw, int(probe)]).standard_normal((3, _NOISE, _NOISE))
        for probe in probes
    ]
    noise = torch.from_numpy(np.stack(coarse))
    noise = F.interpolate(noise, size=tuple(size), mode="bicubic", align_corners=False)
    power = noise.square().mean((1, 2, 3), keepdim=True).sqrt()
    return (strength * noise / power).float()
