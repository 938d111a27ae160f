"""Preprocessing: normalisation, and the check that a transform leaves the image where it is."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pyattrx.errors import EncoderError, InvalidTypeError, InvalidValueError

__all__ = ["Normalize", "Transform", "check_geometry"]

Transform = Callable[[Tensor], Tensor]

_PARTS = 4  # the image is probed in so many rows and columns
_LEAST = 8  # pixels
# Of the change; another one in each channel, since a transform may take their differences.
_AMOUNT = torch.tensor([0.25, 0.2, 0.15])[:, None, None]


@dataclass(frozen=True)
class Normalize:
    """Subtract a mean and divide by a standard deviation, channel by channel.

    Parameters
    ----------
    mean, std : sequence of float
        One a channel, in units of images in [0, 1]; `std` positive.

    Raises
    ------
    InvalidTypeError, InvalidValueError
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
                raise InvalidTypeError(name, values, "a number for each channel") from error
            if not numbers or not all(abs(v) < float("inf") for v in numbers):
                raise InvalidValueError(name, values, "a finite number for each channel")
            object.__setattr__(self, name, numbers)
        if len(self.mean) != len(self.std):
            raise InvalidValueError("std", self.std, f"{len(self.mean)} numbers, as mean")
        if min(self.std) <= 0:
            raise InvalidValueError("std", self.std, "positive numbers")

    def __call__(self, images: Tensor) -> Tensor:
        """Normalise images [N, C, H, W] in their own dtype."""
        if images.shape[1] != len(self.mean):
            raise InvalidValueError(
                "images.shape", tuple(images.shape), f"{len(self.mean)} channels, as mean and std"
            )
        # Few bytes, and so that nobody waits for what the device has still to do.
        place = images.device
        mean = torch.tensor(self.mean, dtype=images.dtype, device="cpu").to(
            place, non_blocking=True
        )
        std = torch.tensor(self.std, dtype=images.dtype, device="cpu").to(place, non_blocking=True)
        return (images - mean[:, None, None]) / std[:, None, None]


def check_geometry(transform: Transform, size: tuple[int, int]) -> None:
    """Make sure that what is somewhere in the image is there in the transformed image too.

    An image is brightened in one part after another of a grid of 4 x 4, and the place where the
    transformed image answers is compared with the place of the change, in relative coordinates.
    Images of less than 8 pixels are too small for that.

    Parameters
    ----------
    transform : callable
    size : (int, int)
        Height and width of the images that it will see.

    Raises
    ------
    EncoderError
        The transform fails on a batch, is random, mixes the images of a batch, does not return
        [N, C, H', W'], returns NaN or Inf, or moves what it sees by more than a pixel (of the
        smaller image).
    """
    height, width = size
    image = _ramp(height, width, _parts(height, height))
    base = _apply(transform, image)
    if not bool(base.isfinite().all()):
        raise EncoderError("the transform returned NaN or Inf for an image between 0.02 and 0.98")
    if not torch.equal(_apply(transform, image), base):
        raise EncoderError(
            "the transform is random: two calls on one image differ, so no two networks would see "
            "the same probe"
        )
    _check_batch(transform, image, base)
    if min(height, width) < _LEAST:
        return
    # A part is at least a pixel of the result, so that a much smaller image still shows it.
    rows = _parts(height, base.shape[-2])
    columns = _parts(width, base.shape[-1])
    image = _ramp(height, width, rows)
    base = _apply(transform, image)
    tolerance = (1 / min(height, base.shape[-2]), 1 / min(width, base.shape[-1]))
    _check_edges(transform, image, base)
    for row, column in itertools.product(rows, columns):
        changed = image.clone()
        changed[0, :, row, column] += _AMOUNT
        answer = (_apply(transform, changed) - base).abs().amax((0, 1)).double()
        expected = (
            (row.start + row.stop) / 2 / height,
            (column.start + column.stop) / 2 / width,
        )
        found = _centroid(answer)
        if found is None or any(
            abs(f - e) > t for f, e, t in zip(found, expected, tolerance, strict=True)
        ):
            seen = "nowhere" if found is None else f"at {found[0]:.3f}, {found[1]:.3f}"
            raise _moved(
                f"around {expected[0]:.3f}, {expected[1]:.3f} of its height and width", seen
            )


def _parts(size: int, result: int) -> list[slice]:
    """Place up to four parts along an axis, from edge to edge, with gaps between them."""
    length = max(1, size // 8, -(-size // result))
    count = max(1, min(_PARTS, (size + 1) // (length + 1)))
    starts = [round(k * (size - length) / max(1, count - 1)) for k in range(count)]
    return [slice(start, start + length) for start in starts]


def _ramp(height: int, width: int, rows: list[slice]) -> Tensor:
    """Make a dim image [1, 3, H, W]; between the rows of parts it is black, then white.

    Since black and white stay, stretching the contrast changes nothing elsewhere.
    """
    down = torch.linspace(0, 0.1, height)[:, None]
    image = (0.3 + down + torch.linspace(0, 0.05, width)).repeat(1, 3, 1, 1)
    for index, (before, after) in enumerate(itertools.pairwise(rows)):
        image[..., before.stop : after.start, :] = 0.02 if index % 2 == 0 else 0.98
    return image


def _check_edges(transform: Transform, image: Tensor, base: Tensor) -> None:
    """Make sure that the outermost pixels are seen there: a crop of a few pixels moves little."""
    for axis, side in ((0, "top"), (0, "bottom"), (1, "left"), (1, "right")):
        size = image.shape[axis + 2]
        thick = -(-size // base.shape[axis + 2])
        start = 0 if side in ("top", "left") else size - thick
        changed = image.clone()
        line = changed.narrow(axis + 2, start, thick)
        line += _AMOUNT * (line < 0.9)  # nothing becomes whiter than white
        found = _centroid((_apply(transform, changed) - base).abs().amax((0, 1)).double())
        # Blurring may widen the line; where it is cut off, only global statistics answer.
        if found is None or abs(found[axis] - (start + thick / 2) / size) > 1 / 8:
            seen = "nowhere" if found is None else f"at {found[0]:.3f}, {found[1]:.3f}"
            raise _moved(f"of the outermost {thick} pixel(s) at the {side}", seen)


def _moved(where: str, seen: str) -> EncoderError:
    return EncoderError(
        f"the transform crops or moves the image: a change {where} comes out {seen}, so maps would "
        "not line up with those of other networks; resize with input_size= instead of cropping, "
        "and normalise with pyattrx.Normalize"
    )


def _check_batch(transform: Transform, image: Tensor, base: Tensor) -> None:
    together = _apply(transform, torch.cat((image, 1 - image.flip(2) ** 2)))[:1]
    scale = float(base.abs().max())
    if together.shape != base.shape or float((together - base).abs().max()) > 1e-4 * scale:
        raise EncoderError(
            "the transform treats an image differently beside another image than alone; take "
            "statistics over (1, 2, 3), that is, image by image"
        )


def _centroid(answer: Tensor) -> tuple[float, float] | None:
    """Centre of the strong part of a response, in relative coordinates."""
    # A change in one part may move global statistics too; that is weak and everywhere.
    strong = (answer > answer.max() / 2).double()
    if not float(answer.max()) > 0:
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
