"""Tensors as the native launchers see them: addresses, strides and codes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pyattrx.errors import InvalidValueError

__all__ = [
    "COMBINE_CODES",
    "DTYPE_CODES",
    "REDUCE_CODES",
    "ImageLayout",
    "check_places",
    "image_layout",
    "map_dtype",
    "map_size",
    "rows_layout",
]

# The enumerations of csrc/include/attrx/types.h.
DTYPE_CODES = {torch.float32: 0, torch.float64: 1, torch.float16: 2, torch.bfloat16: 3}
# e-LRP in gradient form is gradient x input of a network whose activations have other derivatives.
COMBINE_CODES = {"grad_x_input": 0, "elrp": 0, "saliency": 1, "identity": 2}
REDUCE_CODES = {"mean": 0, "abs_mean": 1, "none": 2}


class ImageLayout(NamedTuple):
    """A tensor [N, C, H, W] whose pixels are one axis; `tensor` owns the memory."""

    tensor: Tensor
    strides: list[int]  # n, c, pixel


def image_layout(images: Tensor) -> ImageLayout:
    """Find the three strides of images, copying them only where two do not describe a pixel."""
    height, width = images.shape[-2:]
    row, column = images.stride()[-2:]
    if height != 1 and width != 1 and row != width * column:
        images = images.contiguous()
        row, column = images.stride()[-2:]
    pixel = row if width == 1 else column
    return ImageLayout(images, [images.stride(-4), images.stride(-3), pixel])


def rows_layout(maps: Tensor) -> Tensor:
    """Maps [..., D] whose elements lie side by side."""
    return maps if maps.shape[-1] <= 1 or maps.stride(-1) == 1 else maps.contiguous()


def check_places(places: Tensor | None, size: int) -> Tensor | None:
    """Refuse places of map elements that no map of `size` elements has, or that do not rise."""
    if places is None:
        return None
    if len(places) and not (int(places[0]) >= 0 and int(places[-1]) < size):
        ends = f"{int(places[0])} to {int(places[-1])}"
        raise InvalidValueError("places", ends, f"elements of a map, 0 to {size - 1}")
    if bool((places[1:] <= places[:-1]).any()):
        raise InvalidValueError("places", "not rising", "each element once, in rising order")
    return places.contiguous()


def map_dtype(dtype: torch.dtype) -> torch.dtype:
    """Dtype of the maps made from gradients of `dtype`: half types are computed in float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def map_size(channels: int, height: int, width: int, reduce: str) -> int:
    """Elements of one map."""
    return channels * height * width if reduce == "none" else height * width
