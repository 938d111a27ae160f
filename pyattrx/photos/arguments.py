"""Checks of arguments that the ways of making probes have in common."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from pyattrx._checks import integer, number
from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.photos.photos import Cuts

__all__ = [
    "check_count",
    "check_cuts",
    "check_names",
    "check_order",
    "check_photos",
    "check_size",
    "dense_groups",
    "group_keys",
]


def check_count(name: str, value: Any, least: int = 1) -> int:
    """Return an integer of at least `least`."""
    return integer(name, value, least)


def check_size(size: Any) -> tuple[int, int]:
    """Return (H, W) of an integer or a pair of integers."""
    if isinstance(size, (tuple, list)):
        if len(size) != 2:
            raise InvalidValueError("size", size, "one integer, or a pair (height, width)")
        return check_count("size[0]", size[0]), check_count("size[1]", size[1])
    side = check_count("size", size)
    return side, side


def check_names(names: Any, count: int, *, longer: bool = False) -> tuple[str, ...]:
    """Return one name for each of `count` images: those given, or image0, image1, ...

    With `longer`, names of images that were left out may follow.
    """
    if names is None:
        return tuple(f"image{index}" for index in range(count))
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise InvalidTypeError("names", names, f"a list of {count} strings")
    for index, name in enumerate(names):
        if not isinstance(name, str):
            raise InvalidTypeError(f"names[{index}]", name, "a string")
    if len(names) < count or (len(names) > count and not longer):
        raise InvalidValueError(
            "names", names, f"{count} names, one for every image; got {len(names)}"
        )
    return tuple(names[:count])


def group_keys(groups: Any, count: int, *, longer: bool = False) -> list[Hashable]:
    """Return the group of each of `count` images; every image is its own where none are given.

    With `longer`, groups of images that were left out may follow.
    """
    if groups is None:
        return list(range(count))
    if isinstance(groups, Tensor):
        groups = groups.detach().cpu().numpy()
    if isinstance(groups, np.ndarray):
        if groups.ndim != 1:
            raise InvalidValueError("groups.shape", groups.shape, f"({count},), one group an image")
        groups = groups.tolist()
    if isinstance(groups, str) or not isinstance(groups, Sequence):
        raise InvalidTypeError("groups", groups, "one integer or string for every image")
    for index, group in enumerate(groups):
        if not isinstance(group, (int, str, np.integer)):
            raise InvalidTypeError(f"groups[{index}]", group, "an integer or a string")
    if len(groups) < count or (len(groups) > count and not longer):
        raise InvalidValueError(
            "groups", groups, f"{count} groups, one for every image; got {len(groups)}"
        )
    return list(groups[:count])


def check_order(order: Any, count: int) -> NDArray[np.int64]:
    """Return indices into `count` probes; all of them if `order` is None."""
    if order is None:
        return np.arange(count)
    chosen = np.asarray(order)
    if chosen.ndim != 1 or not (np.issubdtype(chosen.dtype, np.integer) or chosen.size == 0):
        raise InvalidTypeError("order", order, "a sequence of integers")
    if len(chosen) and not 0 <= chosen.min() <= chosen.max() < count:
        raise InvalidValueError("order", order, f"indices from 0 to {count - 1}")
    return chosen.astype(np.int64)


def dense_groups(keys: Sequence[Hashable]) -> NDArray[np.int64]:
    """Number groups from 0 in the order in which they first appear; [N], read-only."""
    numbers: dict[Hashable, int] = {}
    ids = np.fromiter((numbers.setdefault(key, len(numbers)) for key in keys), np.int64, len(keys))
    ids.setflags(write=False)
    return ids


def check_cuts(size: Any, crops: Any, min_crop: Any, seed: Any) -> Cuts:
    """Return what to cut from every photo."""
    whole, part = integer("seed", seed), number("min_crop", min_crop, above=0, most=1)
    return Cuts(check_size(size), check_count("crops", crops), part, whole)


def check_photos(images: Any) -> list[Image.Image | NDArray[np.uint8]]:
    """Return photos in memory as a list of images and arrays."""
    expected = "a list of PIL images, or of uint8 arrays [H, W, 3]"
    if isinstance(images, (str, bytes, np.ndarray, Image.Image, Path)):
        raise InvalidTypeError("images", images, expected)
    if isinstance(images, Tensor) or not isinstance(images, Iterable):
        raise InvalidTypeError("images", images, f"{expected}; Probes.from_tensor takes a tensor")
    photos = list(images)
    if not photos:
        raise InvalidValueError("images", photos, "at least one image")
    for index, photo in enumerate(photos):
        if isinstance(photo, Image.Image):
            continue
        name = f"images[{index}]"
        if not isinstance(photo, np.ndarray):
            raise InvalidTypeError(name, photo, "a PIL image or a uint8 array [H, W, 3]")
        if photo.dtype != np.uint8:
            raise InvalidTypeError(f"{name}.dtype", photo.dtype, "uint8, from 0 to 255")
        if photo.ndim not in (2, 3) or (photo.ndim == 3 and photo.shape[2] not in (3, 4)):
            raise InvalidValueError(f"{name}.shape", photo.shape, "(H, W, 3), (H, W, 4) or (H, W)")
    return photos
