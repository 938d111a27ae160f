"""Tensors as probes: types, shapes and ranges, and the images in a batch of any kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.photos.store import Pixels

__all__ = ["check_images", "images_of", "to_pixels"]

# A quarter of an 8-bit step: what resizing or half precision may add to a proper range.
_TOLERANCE = 1e-3
_FLOATING = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
_KEYS = ("image", "pixel_values", "images")


def images_of(batch: Any, label: str) -> Tensor:
    """Return the images of a batch: itself, its entry of a usual name, or its first tensor."""
    if isinstance(batch, Tensor):
        return batch
    values: list[Any] = []
    if isinstance(batch, Mapping):
        values = [batch[key] for key in _KEYS if key in batch] + list(batch.values())
    elif isinstance(batch, (tuple, list)):
        values = list(batch)
    for value in values:
        if isinstance(value, Tensor):
            return value
    raise InvalidTypeError(
        label, batch, "a tensor of images, or a tuple, list or mapping that holds one"
    )


def check_images(images: Any, label: str) -> Tensor:
    """Check type and shape, [N, 3, H, W], of a batch of images."""
    expected = "a tensor [N, 3, H, W], floating in [0, 1] or uint8"
    if not isinstance(images, Tensor):
        hint = "; torch.from_numpy makes one" if isinstance(images, np.ndarray) else ""
        raise InvalidTypeError(label, images, expected + hint)
    if images.dtype != torch.uint8 and images.dtype not in _FLOATING:
        raise InvalidTypeError(f"{label}.dtype", images.dtype, expected)
    if images.layout != torch.strided or images.is_meta:
        raise InvalidTypeError(label, images, "a dense tensor with data")
    shape = tuple(images.shape)
    if images.ndim == 3 and shape[0] == 3:
        raise InvalidValueError(
            f"{label}.shape", shape, f"{expected}; images[None] for a single image"
        )
    if images.ndim != 4 or shape[1] != 3 or 0 in shape[2:]:
        hint = ""
        if images.ndim == 4 and shape[3] == 3:
            hint = "; .permute(0, 3, 1, 2) puts the channels there"
        elif images.ndim == 4 and shape[1] == 1:
            hint = "; .expand(-1, 3, -1, -1) makes RGB of grey"
        raise InvalidValueError(f"{label}.shape", shape, expected + hint)
    return images


def to_pixels(images: Tensor, label: str, first: int = 0) -> Pixels:
    """Copy checked images to uint8 or float32 in host memory; check the values.

    `first` is the index of images[0] in what `label` names.
    """
    dtype = torch.uint8 if images.dtype == torch.uint8 else torch.float32
    out = images.detach().to("cpu", dtype, copy=True, memory_format=torch.contiguous_format)
    if dtype == torch.float32 and out.numel():
        low, high = (float(bound) for bound in out.aminmax())
        if not (low >= -_TOLERANCE and high <= 1 + _TOLERANCE):  # NaN is neither
            inside = (out >= -_TOLERANCE) & (out <= 1 + _TOLERANCE)
            where = [int(index) for index in (~inside).nonzero()[0]]
            value = float(images[tuple(where)])
            place = ", ".join(str(index) for index in [where[0] + first, *where[1:]])
            raise InvalidValueError(
                f"{label}[{place}]",
                value,
                "finite values in [0, 1] in floating images, or uint8 from 0 to 255",
            )
        out.clamp_(0, 1).add_(0.0)  # -0 becomes 0: equal values, equal hashes
    return out.numpy()
