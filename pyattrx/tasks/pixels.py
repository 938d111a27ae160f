"""Tensors of images as pixels to store: grey made RGB, a normalisation undone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.photos import Pixels, check_images, to_pixels

__all__ = ["Normalisation", "check_normalisation", "pixels_of"]

_RANGE = "finite values in [0, 1] in floating images, or uint8 from 0 to 255"
# Of an 8-bit step: what a normalisation and its undoing in float32 or half precision may leave.
_NEARLY = 0.1


@dataclass(frozen=True)
class Normalisation:
    """What was done to images: ``(x - mean) / std`` of each channel."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def undo(self, images: Tensor) -> Tensor:
        """Return images as they were; 8-bit values become exact."""
        mean, std = (torch.tensor(v)[:, None, None] for v in (self.mean, self.std))
        x = images.detach().cpu().float() * std + mean
        levels = (x * 255).round()
        eight_bit = ((x * 255 - levels).abs() < _NEARLY).flatten(1).all(1)
        return torch.where(eight_bit[:, None, None, None], levels / 255, x)


def check_normalisation(mean: Any, std: Any) -> Normalisation | None:
    """Return what `mean` and `std` say, a number or three of them each; None for neither."""
    if (mean is None) != (std is None):
        missing = "mean" if mean is None else "std"
        raise InvalidValueError(missing, None, "numbers too, as mean and std undo a normalisation")
    if mean is None:
        return None
    return Normalisation(_three("mean", mean, False), _three("std", std, True))


def _three(argument: str, value: Any, positive: bool) -> tuple[float, float, float]:
    expected = "three positive numbers" if positive else "three numbers"
    try:
        numbers = np.asarray(value, np.float64).reshape(-1)
    except (TypeError, ValueError) as error:
        raise InvalidTypeError(argument, value, f"{expected}, one for every channel") from error
    if len(numbers) not in (1, 3):
        raise InvalidValueError(argument, value, f"{expected}, one for every channel")
    if not np.isfinite(numbers).all() or (positive and not (numbers > 0).all()):
        raise InvalidValueError(argument, value, f"{expected}, one for every channel")
    red, green, blue = np.broadcast_to(numbers, 3).tolist()
    return red, green, blue


def pixels_of(
    images: Tensor, label: str, first: int = 0, normalisation: Normalisation | None = None
) -> Pixels:
    """Return checked pixels of a tensor [N, 3 or 1, H, W], uint8 or float32.

    `first` is the index of images[0] in what `label` names.
    """
    if images.ndim == 4 and images.shape[1] == 1:
        images = images.expand(-1, 3, -1, -1)
    images = check_images(images, label)
    if normalisation is not None:
        if not images.is_floating_point():
            raise InvalidTypeError(
                f"{label}.dtype", images.dtype, "floating, as mean= and std= are given"
            )
        images = normalisation.undo(images)
    try:
        return to_pixels(images, label, first)
    except InvalidValueError as error:
        low, high = (float(bound) for bound in images.float().aminmax())
        if not np.isfinite([low, high]).all():
            raise
        if normalisation is not None:
            hint = "after mean= and std= undo the normalisation: are these the right ones?"
        elif low >= 0 and high <= 255:
            hint = "images / 255 makes them of numbers from 0 to 255"
        else:
            hint = (
                "normalised images: take the normalisation out of the transform, or undo it; "
                "Task.from_dataset(..., mean=, std=) does"
            )
        raise InvalidValueError(
            error.argument, round(high if high > 1 else low, 4), f"{_RANGE}; {hint}"
        ) from error
