"""Preprocessing: normalisation, and the check that a transform leaves the image where it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pyattrx.errors import EncoderError, InvalidType, InvalidValue

__all__ = ["Normalize", "Transform", "check_geometry"]

Transform = Callable[[Tensor], Tensor]

_CELLS = 8  # the image is probed along both diagonals of a grid of so many rows and columns


@dataclass(frozen=True)
class Normalize:
    """Subtract a mean and divide by a standard deviation, channel by channel.

    Parameters
    ----------
    mean, std : sequence of float
        One a channel, in units of images in [0, 1]; `std` positive.

    Raises
    ------
    InvalidType, InvalidValue
        Not numbers, of different length, or a `std` that is not positive.

    Examples
    --------
    >>> import torch, pyattrx
    >>> normalize = pyattrx.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    >>> normalize(torch.ones(1, 3, 2, 2)).unique().item()
    1.0
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        for name, values in (("mean", mean), ("std", std)):
            try:
                numbers = tuple(float(v) for v in values)
            except (TypeError, ValueError) as error:
                raise InvalidType(name, values, "a number for each channel") from error
            if not numbers or not all(abs(v) < float("inf") for v in numbers):
                raise InvalidValue(name, values, "a finite number for each channel")
            object.__setattr__(self, name, numbers)
        if len(self.mean) != len(self.std):
            raise InvalidValue("std", self.std, f"{len(self.mean)} numbers, as mean")
        if min(self.std) <= 0:
            raise InvalidValue("std", self.std, "positive numbers")

    def __call__(self, images: Tensor) -> Tensor:
        """Normalise images [N, C, H, W] in their own dtype."""
        if images.shape[1] != len(self.mean):
            raise InvalidValue(
                "images.shape", tuple(images.shape), f"{len(self.mean)} channels, as mean and std"
            )
        mean = torch.tensor(self.mean, dtype=images.dtype, device=images.device)
        std = torch.tensor(self.std, dtype=images.dtype, device=images.device)
        return (images - mean[:, None, None]) / std[:, None, None]


def check_geometry(transform: Transform, size: tuple[int, int]) -> None:
    """Make sure that what is somewhere in the image is there in the transformed image too.

    An image is brightened in one part after another, along both diagonals of a grid of 8 x 8, and
    the place where the transformed image answers is compared with the place of the change, in
    relative coordinates. Images of less than 16 pixels are too small for that.

    Parameters
    ----------
    transform : callable
    size : (int, int)
        Height and width of the images that it will see.

    Raises
    ------
    EncoderError
        The transform fails on a batch, is random, does not return [N, C, H', W'], or moves what it
        sees by more than a pixel (of the smaller image).
    """
    height, width = size
    parts = [(k, k) for k in range(_CELLS)] + [(k, _CELLS - 1 - k) for k in range(_CELLS)]
    down = torch.linspace(0, 0.2, height)[:, None]
    across = torch.linspace(0, 0.1, width)
    image = (0.2 + down + across).repeat(1, 3, 1, 1)
    margin = width // _CELLS // 7
    for k in range(_CELLS if margin else 0):
        # Black and white that stay, so that stretching the contrast changes nothing elsewhere.
        columns = _cell(k, width)
        image[..., columns.start : columns.start + margin] = 0
        image[..., columns.stop - margin : columns.stop] = 1
    base = _apply(transform, image)
    if not torch.equal(_apply(transform, image), base):
        raise EncoderError(
            "the transform is random: two calls on one image differ, so no two networks would see "
            "the same probe"
        )
    if min(height, width) < 2 * _CELLS:
        return
    changed = image.repeat(len(parts), 1, 1, 1)
    # By another amount in each channel: a transform may take their differences.
    amount = torch.tensor([0.4, 0.3, 0.2])[:, None, None]
    centres = []
    for one, (i, j) in zip(changed, parts, strict=True):
        rows, columns = _cell(i, height), _cell(j, width)
        one[:, rows, columns.start + margin : columns.stop - margin] += amount
        centres.append(((rows.start + rows.stop) / 2, (columns.start + columns.stop) / 2))
    answers = (_apply(transform, changed) - base).abs().amax(1).double()
    out_height, out_width = answers.shape[-2:]
    for (y, x), answer in zip(centres, answers, strict=True):
        expected = (y / height, x / width)
        found = _centroid(answer)
        tolerance = (1 / min(height, out_height), 1 / min(width, out_width))
        if found is None or any(
            abs(f - e) > t for f, e, t in zip(found, expected, tolerance, strict=True)
        ):
            seen = "nowhere" if found is None else f"at {found[0]:.3f}, {found[1]:.3f}"
            raise EncoderError(
                "the transform crops or moves the image: a change around "
                f"{expected[0]:.3f}, {expected[1]:.3f} of its height and width comes out {seen}, "
                "so maps would not line up with those of other networks; resize with input_size= "
                "instead of cropping, and normalise with pyattrx.Normalize"
            )


def _cell(index: int, size: int) -> slice:
    return slice(index * size // _CELLS, (index + 1) * size // _CELLS)


def _centroid(answer: Tensor) -> tuple[float, float] | None:
    """Centre of the strong part of a response, in relative coordinates."""
    # A change in one part may move global statistics too; that is weak and everywhere.
    strong = (answer > answer.max() / 2).double()
    if float(answer.max()) == 0:
        return None
    total = strong.sum()
    height, width = answer.shape
    y = (strong.sum(1) * (torch.arange(height) + 0.5)).sum() / total / height
    x = (strong.sum(0) * (torch.arange(width) + 0.5)).sum() / total / width
    return float(y), float(x)


def _apply(transform: Transform, images: Tensor) -> Tensor:
    try:
        with torch.no_grad():
            result: Any = transform(images.clone())
    except Exception as error:
        raise EncoderError(
            f"the transform failed on a batch of shape {tuple(images.shape)}: {error!r}; it must "
            "take tensors [N, 3, H, W] in [0, 1]"
        ) from error
    if (
        not isinstance(result, Tensor)
        or result.dim() != 4
        or len(result) != len(images)
        or not result.is_floating_point()
    ):
        got = (
            f"{tuple(result.shape)} of {result.dtype}"
            if isinstance(result, Tensor)
            else type(result).__name__
        )
        raise EncoderError(
            f"the transform returned {got} for images of shape {tuple(images.shape)}: expected a "
            "floating tensor [N, C, H, W]"
        )
    return result.cpu()
