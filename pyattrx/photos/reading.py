"""From photos and tensors to stored probes."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from operator import length_hint
from typing import Any

from torch import Tensor

from pyattrx._progress import progress
from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.photos.parallel import ordered_map
from pyattrx.photos.photos import Cuts, Decoded, Skipped
from pyattrx.photos.store import PixelStore, digest
from pyattrx.photos.tensors import check_images, images_of, to_pixels

__all__ = ["Photos", "read_batches", "read_photos", "store_images"]

# Images of a tensor that are copied and checked at once.
_AT_ONCE = 32
# Probes that wait in memory to be stored.
_AHEAD_BYTES = 64 << 20
_LABEL = "reading probes"
_MOST_WORKERS = 8


@dataclass
class Photos:
    """Probes cut from photos."""

    store: PixelStore
    names: list[str] = field(default_factory=list)
    groups: list[Hashable] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


def read_photos(
    photos: Sequence[tuple[str, Hashable]],
    read: Callable[[int], Decoded | Skipped],
    cuts: Cuts,
    store: PixelStore,
    limit: int | None = None,
    workers: int | None = None,
) -> Photos:
    """Store the probes of photos, given as (name, group), until there are `limit` more of them.

    `read` gets the position of a photo, possibly of some beyond those that are needed. A group of
    None makes every probe its own.
    """
    content, before = Photos(store), len(store)
    total = len(photos) * cuts.crops
    if limit is not None:
        total = min(limit, total)
    if workers is None:
        workers = min(_MOST_WORKERS, os.cpu_count() or 1)
    ahead = min(2 * workers, -(-total // cuts.crops), max(1, _AHEAD_BYTES // cuts.photo_bytes))
    with (
        closing(ordered_map(read, range(len(photos)), workers, ahead)) as decoded,
        progress(_LABEL, total) as step,
    ):
        for (name, group), found in zip(photos, decoded, strict=True):
            if isinstance(found, Skipped):
                content.skipped.append(found)
                continue
            wanted = found.images[: total + before - len(store)]
            for index, image in enumerate(wanted):
                store.append(image, found.digests[index])
                content.names.append(name if cuts.crops == 1 else f"{name}#{index}")
                content.groups.append(len(content.groups) if group is None else group)
            step(len(wanted))
            if len(store) - before == limit:
                break
    return content


def read_batches(iterable: Iterable[Any], limit: int | None, store: PixelStore) -> bool:
    """Store the images of batches; tell whether `limit` cut them off."""
    if isinstance(iterable, (Tensor, str, Mapping)) or not isinstance(iterable, Iterable):
        hint = "; Probes.from_tensor takes a tensor" if isinstance(iterable, Tensor) else ""
        raise InvalidTypeError(
            "iterable", iterable, f"a DataLoader or other iterable of batches{hint}"
        )
    total = limit or _length(iterable)
    with progress(_LABEL, total) if total else nullcontext(_ignore) as step:
        for number, batch in enumerate(iterable):
            label = f"batch {number}"
            images = check_images(images_of(batch, label), label)
            if limit is not None:
                images = images[: limit - len(store)]
            store_images(images, label, store, step if limit else _ignore)
            if limit is None:
                step(1)
            elif len(store) == limit:
                return True
    return False


def store_images(
    images: Tensor, label: str, store: PixelStore, step: Callable[[int], None]
) -> None:
    """Store checked images, a few at a time."""
    for first in range(0, len(images), _AT_ONCE):
        pixels = to_pixels(images[first : first + _AT_ONCE], label, first)
        if store.shape is not None and pixels.shape[1:] != store.shape:
            raise InvalidValueError(
                f"{label}.shape", tuple(images.shape), f"images of shape {store.shape}, as before"
            )
        if store.dtype is not None and pixels.dtype != store.dtype:
            before = "uint8" if store.dtype == "uint8" else "floating"
            raise InvalidTypeError(f"{label}.dtype", images.dtype, f"{before} images, as before")
        for image in pixels:
            store.append(image, digest(image))
        step(len(pixels))


def _length(iterable: Iterable[Any]) -> int:
    """Return how many batches there are; 0 where it does not say."""
    try:
        return length_hint(iterable)
    except Exception:  # loaders of streams refuse in their own ways
        return 0


def _ignore(steps: int) -> None:
    """Progress that nobody sees."""
