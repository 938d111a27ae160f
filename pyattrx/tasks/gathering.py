"""Reading no more photos than are wanted, spread over the classes."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyattrx._scratch import Scratch
from pyattrx.errors import ProbeError, TaskError
from pyattrx.photos import Cuts, Decoded, PixelStore, join_copies, read_photos
from pyattrx.probes import Probes, Skipped
from pyattrx.tasks.drawing import at_most, draw

__all__ = ["Gathered", "Offer", "Sizes", "gather", "make_probes", "require_room"]

_ALWAYS_FITS = 64 << 20


class Sizes:
    """Height and width of the smallest and the largest photo met."""

    def __init__(self) -> None:
        self.smallest: tuple[int, int] | None = None
        self.largest: tuple[int, int] | None = None
        self._lock = threading.Lock()

    def see(self, width: int, height: int) -> None:
        """Note a photo; several threads may."""
        with self._lock:
            seen = [pair for pair in (self.smallest, self.largest, (height, width)) if pair]
            self.smallest = min(seen, key=_pixels)
            self.largest = max(seen, key=_pixels)


def _pixels(size: tuple[int, int]) -> tuple[int, tuple[int, int]]:
    return size[0] * size[1], size


@dataclass(frozen=True)
class Offer:
    """Photos that could be read.

    Attributes
    ----------
    names : sequence of str
    groups : sequence
    strata : sequence of tuple of str
        See `draw`.
    read : callable
        From the number of a photo to its pixels; also from several threads.
    """

    names: Sequence[str]
    groups: Sequence[Hashable]
    strata: Sequence[tuple[str, ...]]
    read: Callable[[int], Decoded | Skipped]


@dataclass(frozen=True)
class Gathered:
    """Photos that were read.

    Attributes
    ----------
    probes : Probes
    chosen : ndarray [N], int64
        Their numbers in the offer.
    """

    probes: Probes
    chosen: NDArray[np.int64]


@dataclass
class _Read:
    order: list[int] = field(default_factory=list)
    bad: set[int] = field(default_factory=set)
    skipped: list[Skipped] = field(default_factory=list)


def gather(
    offer: Offer,
    cuts: Cuts,
    source: dict[str, Any],
    limit: int | None,
    scratch: Any,
    workers: int | None,
) -> Gathered:
    """Read photos: all in their order, or the first `limit` of a draw.

    A photo that cannot be read makes room for the next one of the draw.
    """
    total = len(offer.names)
    store = PixelStore(scratch)
    require_room((total if limit is None else min(limit, total)) * cuts.photo_bytes, scratch)
    done = _Read()
    while True:
        if limit is None:
            wanted = [index for index in range(total) if index not in done.bad]
        else:
            left = (index for index in range(total) if index not in done.bad)
            drawn = draw(offer.names, offer.groups, offer.strata, cuts.seed, left)
            wanted = at_most(drawn, limit)
            if not wanted and len(done.bad) < total:
                raise TaskError(
                    f"limit={limit}: the first group of the draw has more images than that; "
                    "groups are kept whole"
                )
        met = set(done.order)
        new = [index for index in wanted if index not in met]
        if not new:
            break
        _read(offer, new, cuts, store, done, workers)
    if not wanted:
        raise ProbeError(
            f"none of {total} images can be read; the first is "
            f"{done.skipped[0].path}: {done.skipped[0].reason}"
        )
    names = [offer.names[index] for index in done.order]
    groups = [offer.groups[index] for index in done.order]
    probes = make_probes(store, names, groups, {**source, "limit": limit}, done.skipped)
    if wanted != done.order:
        at = {index: place for place, index in enumerate(done.order)}
        probes = probes.take([at[index] for index in wanted])
    return Gathered(probes, np.array(wanted, np.int64))


def make_probes(
    store: PixelStore,
    names: Sequence[str],
    groups: Sequence[Hashable],
    source: dict[str, Any],
    skipped: Sequence[Skipped] = (),
) -> Probes:
    """Make probes of a store, the groups of exact copies joined."""
    joined = join_copies(groups, store.digests(len(store)))
    return Probes(store, names, joined.tolist(), source, skipped)


def _read(
    offer: Offer,
    new: list[int],
    cuts: Cuts,
    store: PixelStore,
    done: _Read,
    workers: int | None,
) -> None:
    before = len(done.order)
    asked = [(offer.names[index], index) for index in new]
    content = read_photos(asked, lambda at: offer.read(new[at]), cuts, store, workers=workers)
    for _, index in zip(content.names, content.groups, strict=True):
        assert isinstance(index, int)
        done.order.append(index)
    done.bad.update(set(new) - set(done.order[before:]))
    done.skipped += content.skipped


def require_room(size: int, scratch: Any) -> None:
    """Raise an error if the pixels will not fit where they are kept."""
    if size <= Scratch.of(scratch).room(_ALWAYS_FITS):  # it stays in memory
        return
    folder = Scratch.of(scratch).place
    free = shutil.disk_usage(folder).free
    if size > free:
        raise TaskError(
            f"the pixels need {size / 1e9:.1f} GB of scratch space and {folder} has "
            f"{free / 1e9:.1f} GB: limit= reads fewer images, spread over the classes, size= makes "
            "them smaller, and scratch= names another folder"
        )
