"""Occluded images: patches in the order of a map, or at random, and what is put in their place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pyattrx._checks import integer, number
from pyattrx._hashing import GOLDEN, mixed
from pyattrx.errors import InvalidTypeError, InvalidValueError

__all__ = ["FILLS", "ORDERS", "Fill", "Order", "Patches", "check_fill", "filled", "order_of"]

FILLS = ("zero", "mean", "blur")
Fill = str | tuple[float, float, float]
_BLUR = 8  # parts of the shorter side that a standard deviation of the blur is
_SIDE = 16  # patches along the shorter side, if nothing is said


@dataclass(frozen=True)
class Order:
    """Which patches are occluded first.

    Attributes
    ----------
    name : str
    magnitude : bool
        Whether it goes by the map's magnitude, and not by its value.
    falling : bool
        Whether the largest come first: what matters, if the map is right.
    """

    name: str
    magnitude: bool
    falling: bool


ORDERS = {
    one.name: one
    for one in (
        Order("strongest", magnitude=True, falling=True),
        Order("weakest", magnitude=True, falling=False),
        Order("highest", magnitude=False, falling=True),
        Order("lowest", magnitude=False, falling=False),
    )
}


def order_of(order: Any) -> Order:
    """Return the order of a name.

    Raises
    ------
    InvalidValueError
    """
    if not isinstance(order, str) or order not in ORDERS:
        names = ", ".join(map(repr, ORDERS))
        raise InvalidValueError("order", order, f"one of {names}; a random one is always beside it")
    return ORDERS[order]


@dataclass(frozen=True)
class Patches:
    """Squares that an image is cut into; those at its right and lower edge may be smaller.

    Attributes
    ----------
    side : int
        Pixels.
    size : (int, int)
        Height and width of the image.
    """

    side: int
    size: tuple[int, int]

    @classmethod
    def of(cls, patch: int | None, size: tuple[int, int]) -> Patches:
        """Check `patch`; left out, it is a sixteenth of the shorter side.

        Raises
        ------
        InvalidTypeError, InvalidValueError
        """
        if patch is None:
            return cls(max(1, min(size) // _SIDE), size)
        more = f", the shorter side of the {size[0]} x {size[1]} probes, or None"
        return cls(integer("patch", patch, least=1, most=min(size), more=more), size)

    @property
    def grid(self) -> tuple[int, int]:
        """Patches down and across."""
        return math.ceil(self.size[0] / self.side), math.ceil(self.size[1] / self.side)

    @property
    def count(self) -> int:
        """How many there are."""
        return self.grid[0] * self.grid[1]

    @property
    def shares(self) -> NDArray[np.float64]:
        """Part of the image's pixels that each is, [P]."""
        down, across = (
            np.minimum(self.side, length - self.side * np.arange(parts))
            for length, parts in zip(self.size, self.grid, strict=True)
        )
        pixels: NDArray[np.float64] = np.outer(down, across).ravel()
        return pixels / (self.size[0] * self.size[1])

    def steps(self, steps: int) -> NDArray[np.int64]:
        """How many patches are occluded at each step: none first, all of them last."""
        return np.unique(np.linspace(0, self.count, steps + 1).round().astype(np.int64))

    def means(self, maps: Tensor) -> NDArray[np.float64]:
        """Mean of each map over each patch.

        Parameters
        ----------
        maps : Tensor [N, h, w]
            Area-resampled to the image where it has another size.

        Returns
        -------
        ndarray [N, P]
        """
        wide = maps.double()[:, None]
        if tuple(maps.shape[1:]) != self.size:
            wide = F.interpolate(wide, size=self.size, mode="area")
        pooled = F.avg_pool2d(wide, self.side, ceil_mode=True, count_include_pad=False)
        return np.asarray(pooled.flatten(1).cpu().numpy())

    def random_keys(self, probes: NDArray[np.int64], seed: int) -> NDArray[np.uint64]:
        """Draw a number for every patch of every probe, [N, P]; the same on every machine."""
        with np.errstate(over="ignore"):
            of_probe = mixed((probes.astype(np.uint64) + np.uint64(1)) * GOLDEN ^ np.uint64(seed))
            of_patch = (np.arange(self.count, dtype=np.uint64) + np.uint64(1)) * GOLDEN
        return mixed(of_probe[:, None] ^ of_patch)

    def places(
        self, keys: NDArray[np.uint64], means: NDArray[np.float64] | None, order: Order
    ) -> NDArray[np.int64]:
        """Place of each patch in the order, from 0, [N, P].

        Parameters
        ----------
        keys : ndarray [N, P]
            Order of patches with equal means.
        means : ndarray [N, P] or None
            None for the order of the keys alone.
        order : Order
        """
        if means is None:
            chosen = np.argsort(keys, axis=1, kind="stable")
        else:
            values = np.abs(means) if order.magnitude else means
            chosen = np.lexsort((keys, -values if order.falling else values), axis=1)
        places = np.empty(chosen.shape, np.int64)
        np.put_along_axis(places, chosen, np.arange(self.count)[None], axis=1)
        return places

    def fractions(self, places: NDArray[np.int64], steps: NDArray[np.int64]) -> NDArray[np.float64]:
        """Part of the pixels that is occluded at each step, [N, steps]."""
        chosen = np.argsort(places, axis=1)
        sums = np.cumsum(self.shares[chosen], axis=1)
        sums[:, -1] = 1.0  # and not but for rounding
        return np.concatenate([np.zeros((len(sums), 1)), sums], axis=1)[:, steps]

    def spread(self, places: NDArray[np.int64], device: torch.device) -> Tensor:
        """Place in the order of the patch of every pixel, [N, 1, H, W]."""
        image = torch.from_numpy(places).to(device).view(len(places), 1, *self.grid)
        wide = image.repeat_interleave(self.side, 2).repeat_interleave(self.side, 3)
        return wide[:, :, : self.size[0], : self.size[1]]


def check_fill(fill: Any) -> Fill:
    """Check what occluded pixels become: a name of `FILLS`, or a color.

    Raises
    ------
    InvalidTypeError, InvalidValueError
    """
    names = ", ".join(map(repr, FILLS))
    expected = f"{names}, or a color: three numbers from 0 to 1"
    if isinstance(fill, str):
        if fill not in FILLS:
            raise InvalidValueError("fill", fill, f"one of {expected}")
        return fill
    if not isinstance(fill, (Sequence, np.ndarray, Tensor)):
        raise InvalidTypeError("fill", fill, expected)
    values = [one.item() if isinstance(one, Tensor) else one for one in fill]
    if len(values) != 3:
        raise InvalidValueError("fill", fill, expected)
    red, green, blue = (number("fill", one, least=0, most=1) for one in values)
    return red, green, blue


def filled(images: Tensor, fill: Fill) -> Tensor:
    """What stands where images are occluded.

    Parameters
    ----------
    images : Tensor [N, 3, H, W]
    fill : str or tuple
        Checked.

    Returns
    -------
    Tensor, broadcastable to the images

    Examples
    --------
    >>> import torch
    >>> from pyattrx.questions.occluding import filled
    >>> bool((filled(torch.ones(1, 3, 4, 4), "blur") - 1).abs().max() < 1e-6)
    True
    """
    if fill == "zero":
        return images.new_zeros(1, 3, 1, 1)
    if fill == "mean":
        return images.mean((2, 3), keepdim=True)
    if fill == "blur":
        height, width = images.shape[-2:]
        deviation = min(height, width) / _BLUR
        down, across = (_gaussian(length, deviation, images) for length in (height, width))
        return down @ images @ across.T
    return images.new_tensor(fill).view(1, 3, 1, 1)


def _gaussian(length: int, deviation: float, like: Tensor) -> Tensor:
    """Weights [length, length] of a blur along an axis; at the edges those inside share all."""
    places = torch.arange(length, dtype=torch.float64)
    weights = torch.exp(-((places[:, None] - places) ** 2) / (2 * deviation**2))
    return (weights / weights.sum(1, keepdim=True)).to(like)
