"""Exact copies among probes: they are not independent, so their groups are one."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from pyattrx.photos.arguments import dense_groups

__all__ = ["count_copies", "join_copies"]

_DIGEST = 32


def count_copies(digests: bytes) -> int:
    """Count the images that are exact copies of earlier ones, by their digests."""
    return len(digests) // _DIGEST - len(set(_each(digests)))


def join_copies(groups: Sequence[Hashable], digests: bytes) -> NDArray[np.int64]:
    """Make one group of all groups that have an image in common, directly or by others' help.

    Parameters
    ----------
    groups : sequence [N]
        Group of every image.
    digests : bytes
        32 for every image; equal ones are of equal pixels.

    Returns
    -------
    ndarray [N], int64
        Numbered from 0 in the order of first appearance. A group never has another number because
        of images that come after it, unless they join it to one before it.
    """
    numbers = dense_groups(groups)
    joined = list(range(len(numbers)))  # to an earlier group, or to itself

    def root(group: int) -> int:
        while joined[group] != group:
            joined[group] = joined[joined[group]]
            group = joined[group]
        return group

    first: dict[bytes, int] = {}
    for digest, number in zip(_each(digests), numbers.tolist(), strict=True):
        one, other = root(first.setdefault(digest, number)), root(number)
        joined[max(one, other)] = min(one, other)
    return dense_groups([root(number) for number in numbers.tolist()])


def _each(digests: bytes) -> list[bytes]:
    return [digests[at : at + _DIGEST] for at in range(0, len(digests), _DIGEST)]
