"""What a data set gives: an image and its label, alone or in a batch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.photos import Cuts, Decoded, Unreadable, digest, to_rgb
from pyattrx.tasks.gathering import Sizes
from pyattrx.tasks.pixels import Normalisation, pixels_of

__all__ = ["Key", "decode_sample", "each_label", "split_item"]

Key = str | int | None

_IMAGES = ("image", "pixel_values", "images", "img")
_LABELS = ("label", "labels", "target", "targets")
_EXPECTED = (
    "an image, a pair (image, label), or a mapping with 'image' and 'label'; image= and label= "
    "name others"
)


def split_item(item: Any, where: str, image: Key, label: Key) -> tuple[Any, Any]:
    """Return the image and the label of a sample or a batch; a label of None if it has none."""
    if isinstance(item, Mapping):
        return _named(item, where, "image", image, _IMAGES), _named(
            item, where, "label", label, _LABELS
        )
    if isinstance(item, (tuple, list)):
        return _numbered(item, where, image, label)
    if image is not None or label is not None:
        argument = "image" if image is not None else "label"
        value = image if image is not None else label
        raise InvalidValueError(argument, value, f"None, as {where} is a {type(item).__name__}")
    return item, None


def _named(
    item: Mapping[Any, Any], where: str, argument: str, key: Key, usual: tuple[str, ...]
) -> Any:
    keys = ", ".join(map(repr, item))
    if key is not None:
        if key not in item:
            raise InvalidValueError(argument, key, f"a key of {where}: {keys}")
        return item[key]
    for name in usual:
        if name in item:
            return item[name]
    if argument == "label":
        return None
    raise InvalidValueError(argument, None, f"the key of the images in {where}: {keys}")


def _numbered(item: Sequence[Any], where: str, image: Key, label: Key) -> tuple[Any, Any]:
    for argument, key in (("image", image), ("label", label)):
        if key is not None and (not isinstance(key, int) or not 0 <= key < len(item)):
            raise InvalidValueError(argument, key, f"a place in {where}, from 0 to {len(item) - 1}")
    if not item:
        raise InvalidTypeError(where, item, _EXPECTED)
    first = image or 0
    second = label if label is not None else (1 if first == 0 else 0)
    assert isinstance(first, int)
    assert isinstance(second, int)
    return item[first], item[second] if second < len(item) else None


def decode_sample(
    image: Any,
    where: str,
    name: str,
    cuts: Cuts,
    sizes: Sizes,
    normalisation: Normalisation | None,
    *,
    resize: bool,
) -> Decoded:
    """Return the pixels of one image: photos are cut, tensors only where `resize` says so.

    Raises
    ------
    Unreadable
        A photo that is damaged.
    InvalidValueError, InvalidTypeError
        Something else than an image.
    """
    if isinstance(image, np.ndarray):
        image = _from_array(image, where)
    if isinstance(image, Image.Image):
        if normalisation is not None:
            raise InvalidTypeError(where, image, "tensors, as mean= and std= undo a normalisation")
        try:
            photo = to_rgb(image)
        except Unreadable:
            raise
        except Exception as error:  # Pillow raises almost anything on damaged photos
            raise Unreadable(str(error) or type(error).__name__) from error
        sizes.see(photo.width, photo.height)
        return cuts.apply(photo, name)
    if not isinstance(image, Tensor):
        hint = ""
        if isinstance(image, Mapping) and "bytes" in image:
            hint = "; these are not decoded: cast_column(name, datasets.Image()) does"
        elif isinstance(image, (str, os.PathLike)):
            hint = "; Task.of((paths, labels)) opens files"
        elif isinstance(image, list):
            hint = "; numpy.array(image, numpy.uint8) makes one of a list of numbers"
        raise InvalidTypeError(where, image, f"a PIL image, an array or a tensor{hint}")
    if image.ndim == 2:
        image = image[None]
    if image.ndim != 3 or image.shape[0] not in (1, 3):
        raise InvalidValueError(
            f"{where}.shape", tuple(image.shape), "(3, H, W), (1, H, W) or (H, W)"
        )
    pixels = pixels_of(image[None], where, 0, normalisation)
    if resize and pixels.shape[2:] != cuts.size:
        if pixels.dtype != np.uint8:
            raise InvalidValueError(
                "size",
                cuts.size,
                f"None, or {pixels.shape[2:]} as the tensors are: only photos and uint8 tensors "
                "are resized",
            )
        sizes.see(pixels.shape[3], pixels.shape[2])
        return cuts.apply(Image.fromarray(np.ascontiguousarray(pixels[0].transpose(1, 2, 0))), name)
    return Decoded([pixels[0]], [digest(pixels[0])])


def _from_array(image: np.ndarray[Any, Any], where: str) -> Any:
    """An array as a photo, or as a tensor if it looks like one."""
    import torch

    if image.ndim == 3 and image.shape[0] in (1, 3) and image.shape[2] not in (1, 3, 4):
        return torch.from_numpy(np.array(image))
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (3, 4)):
        raise InvalidValueError(f"{where}.shape", image.shape, "(H, W, 3), (H, W, 4) or (H, W)")
    if image.dtype == np.uint8:
        return Image.fromarray(image)
    if image.dtype.kind == "f" and (image.ndim == 2 or image.shape[2] == 3):
        return torch.from_numpy(np.array(image if image.ndim == 2 else image.transpose(2, 0, 1)))
    raise InvalidTypeError(f"{where}.dtype", image.dtype, "uint8, or floating in [0, 1]")


def each_label(labels: Any, count: int, where: str) -> list[Any]:
    """Return the labels of a batch, one for every image."""
    if labels is None:
        return [None] * count
    if isinstance(labels, (Tensor, np.ndarray)) and labels.ndim:
        found = list(labels)
    elif isinstance(labels, (list, tuple)):
        found = list(labels)
        if any(isinstance(part, (Tensor, np.ndarray)) and part.ndim for part in found):
            raise InvalidTypeError(
                where, labels, "one tensor of labels; label= chooses among several in a mapping"
            )
    else:
        raise InvalidTypeError(where, labels, f"a tensor or a list of {count} labels")
    if len(found) != count:
        raise InvalidValueError(where, f"{len(found)} labels", f"{count}, one for every image")
    return found
