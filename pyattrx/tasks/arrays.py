"""Images in memory, whatever their layout."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pyattrx._progress import progress
from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.photos import (
    Cuts,
    PixelStore,
    check_cuts,
    check_names,
    check_photos,
    digest,
    group_keys,
)
from pyattrx.probes import Probes
from pyattrx.tasks.gathering import Sizes, make_probes, require_room
from pyattrx.tasks.pixels import pixels_of
from pyattrx.tasks.report import TaskReport

__all__ = ["planar", "read_arrays"]

_AT_ONCE = 32
_EXPECTED = "[N, 3, H, W] or [N, H, W, 3], also with 1 (grey) in place of the 3, or [N, H, W]"


def read_arrays(
    images: Any, cuts: Cuts | None, names: Any, groups: Any, scratch: Any, labels: Any
) -> tuple[Probes, TaskReport]:
    """Read images in memory; see `Task.from_arrays`."""
    if isinstance(images, Probes):
        for argument, value in (("size", cuts), ("names", names), ("groups", groups)):
            if value is not None:
                raise InvalidValueError(
                    argument, value, "None, as the images are Probes, which have it"
                )
        return images, TaskReport("probes", available=len(images), skipped=images.skipped)
    if isinstance(images, Tensor) or (isinstance(images, np.ndarray) and images.dtype.kind != "O"):
        return _stack(images, cuts, names, groups, scratch, labels)
    photos = _listed(images)
    if all(isinstance(photo, Tensor) for photo in photos):
        shapes = {tuple(photo.shape) for photo in photos}
        if len(shapes) > 1:
            raise InvalidValueError("images", f"tensors of shapes {sorted(shapes)}", "one shape")
        return _stack(torch.stack(photos), cuts, names, groups, scratch, labels)
    sizes = Sizes()
    for photo in check_photos(photos):
        width, height = _size(photo)
        sizes.see(width, height)
    chosen = cuts or check_cuts(224, 1, 0.5, 0)
    require_room(len(photos) * chosen.photo_bytes, scratch)
    made = Probes.from_images(
        photos, chosen.size, names=names, groups="photo" if groups is None else groups,
        scratch=scratch,
    )  # fmt: skip
    report = TaskReport(
        "arrays", available=len(photos), smallest=sizes.smallest, largest=sizes.largest
    )
    return made, report


def _listed(images: Any) -> list[Any]:
    expected = f"an array or a tensor {_EXPECTED}; or a list of photos"
    if isinstance(images, (str, bytes, dict, Image.Image)) or not isinstance(images, Iterable):
        raise InvalidTypeError("images", images, expected)
    photos = list(images)
    if not photos:
        raise InvalidValueError("images", photos, "at least one image")
    for index, photo in enumerate(photos):
        if isinstance(photo, (str, bytes)) or hasattr(photo, "__fspath__"):
            raise InvalidTypeError(
                f"images[{index}]", photo, "an image; Task.from_manifest reads a list of paths"
            )
    return photos


def _size(photo: Any) -> tuple[int, int]:
    if isinstance(photo, Image.Image):
        return photo.width, photo.height
    return photo.shape[1], photo.shape[0]


def _stack(
    images: Tensor | np.ndarray[Any, Any],
    cuts: Cuts | None,
    names: Any,
    groups: Any,
    scratch: Any,
    labels: Any,
) -> tuple[Probes, TaskReport]:
    """Read one array of all images."""
    shape = tuple(images.shape)
    if len(shape) == 3 and 3 in (shape[0], shape[2]):
        one = hasattr(labels, "__len__") and len(labels) == shape[0]  # as many grey images
        if not one:
            raise InvalidValueError(
                "images.shape", shape, f"{_EXPECTED}; images[None] for a single image"
            )
    if isinstance(images, np.ndarray) and images.dtype.kind not in "uif":
        raise InvalidTypeError("images.dtype", images.dtype, "uint8, or floating in [0, 1]")
    axes = planar(shape, "images.shape")
    count = shape[0]
    if not count:
        raise InvalidValueError("images.shape", shape, "at least one image")
    titles, keys = check_names(names, count), group_keys(groups, count)
    height, width = (shape[axis] for axis in axes[2:])
    uint8 = str(images.dtype).removeprefix("torch.") == "uint8"
    size = (height, width) if cuts is None else cuts.size
    before = None if size == (height, width) else (height, width)
    report = TaskReport("arrays", available=count, smallest=before, largest=before)
    if size != (height, width) and not uint8:
        raise InvalidValueError(
            "size", size, f"None, or {(height, width)} as they are: only uint8 images are resized"
        )
    require_room(count * 3 * size[0] * size[1] * (1 if uint8 else 4), scratch)
    if size != (height, width):
        photos = _photos(images, axes)
        return Probes.from_images(
            photos, size, names=titles, groups=keys, scratch=scratch  # type: ignore[arg-type]
        ), report  # fmt: skip
    store = PixelStore(scratch)
    with progress("reading images", count) as step:
        for first in range(0, count, _AT_ONCE):
            part = _part(images, first, axes)
            for image in pixels_of(part, "images", first):
                store.append(image, digest(image))
            step(len(part))
    source = {"kind": "arrays", "dtype": str(images.dtype).removeprefix("torch.")}
    return make_probes(store, titles, keys, source), report


def planar(shape: tuple[int, ...], argument: str) -> tuple[int, int, int, int]:
    """Return the axes of images, channels, rows and columns; (0, 0, 1, 2) of [N, H, W].

    Raises
    ------
    InvalidValueError
        Another shape, or one that can be read in two ways.
    """
    if len(shape) == 3 and 0 not in shape[1:]:
        return 0, 0, 1, 2
    if len(shape) != 4 or 0 in shape[1:]:
        raise InvalidValueError(argument, shape, _EXPECTED)
    first, last = shape[1] in (1, 3), shape[3] in (1, 3)
    if first and last and (shape[1] == 3) != (shape[3] == 3):
        first, last = shape[1] == 3, shape[3] == 3
    if first and last:
        raise InvalidValueError(
            argument, shape, f"{_EXPECTED}; this can be read in two ways, so use a list of arrays "
            "[H, W, 3] or of tensors [3, H, W]"
        )  # fmt: skip
    if not first and not last:
        hint = ""
        if 4 in (shape[1], shape[3]):
            hint = "; images[..., :3] or images[:, :3] leaves out a fourth channel, and a list of "
            hint += "arrays [H, W, 4] is shown over white"
        raise InvalidValueError(argument, shape, _EXPECTED + hint)
    return (0, 1, 2, 3) if first else (0, 3, 1, 2)


def _part(images: Any, first: int, axes: tuple[int, int, int, int]) -> Tensor:
    """Some images as a tensor [n, C, H, W]; copies, if anything, no more than these."""
    part = images[first : first + _AT_ONCE]
    tensor = part if isinstance(part, Tensor) else torch.from_numpy(np.array(part))
    return tensor[:, None] if tensor.ndim == 3 else tensor.permute(*axes)


def _photos(images: Any, axes: tuple[int, int, int, int]) -> Iterator[Image.Image]:
    for first in range(0, len(images), _AT_ONCE):
        for image in _part(images, first, axes).cpu().permute(0, 2, 3, 1).contiguous().numpy():
            yield Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
