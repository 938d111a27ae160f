"""Blocks and folds: whole groups of images, dealt out class by class."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyattrx.scores._labels import KINDS, Labels, read_labels

__all__ = ["blocks", "deal", "in_order"]

# As in pyattrx.statistics.jackknife: more give more degrees of freedom, and cost more.
_MOST_BLOCKS = 16


def blocks(labels: Any, groups: Any = None) -> np.ndarray:
    """Deal images to at most 16 blocks, whole groups at a time, every class evenly.

    Groups are ordered by their most frequent class (or by their mean label) and dealt in turn, so
    that blocks differ by at most one group, in all and in every class.

    Parameters
    ----------
    labels : Tensor or array_like
        Classes [N] as integers, strings or booleans; numbers [N] or [N, K]; or booleans [N, K].
    groups : array_like [N], optional
        Integers or strings; every image is a group of its own if left out.

    Returns
    -------
    ndarray [N], int64
        Dense numbers from 0.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        Labels or groups that are none; a NaN or an infinity; labels that are all the same.

    Examples
    --------
    >>> from pyattrx import scores
    >>> scores.blocks(["cat", "dog", "cat", "dog"]).tolist()
    [0, 2, 1, 3]
    """
    return deal(read_labels(labels, groups, tuple(KINDS)), _MOST_BLOCKS)


def deal(labels: Labels, most: int) -> np.ndarray:
    """Deal images to at most so many blocks; see `blocks`."""
    places = in_order(labels)
    return np.asarray(places % min(most, int(places.max()) + 1))


def in_order(labels: Labels) -> np.ndarray:
    """Number the groups by class, or by mean label; the number of each image's group, [N].

    Maps of classes go by the class that has most locations of a group, and by its share of them.
    Neighbours are alike then: whoever deals them out in turn deals out every class evenly, in
    whatever order the images come.
    """
    groups = labels.groups
    count = int(groups.max()) + 1
    if labels.numbers is None:
        order = np.argsort(_majority(labels.codes, groups, count), kind="stable")
    elif labels.kind == "dense_classification":
        often = np.zeros((count, labels.width))
        np.add.at(often, groups, labels.numbers)
        order = np.lexsort((often.max(1) / often.sum(1), often.argmax(1)))
    else:
        sums = np.bincount(groups, labels.numbers.sum(1), minlength=count)
        order = np.argsort(sums / np.bincount(groups), kind="stable")
    places = np.empty(count, np.int64)
    places[order] = np.arange(count)
    return np.asarray(places[groups])


def _majority(codes: np.ndarray, groups: np.ndarray, count: int) -> np.ndarray:
    """Most frequent class of each group, [G]; the one that comes first where two are."""
    classes = int(codes.max()) + 1
    pairs, often = np.unique(groups * classes + codes, return_counts=True)
    # The last of a group that is written stays: the most frequent one, then the smallest number.
    order = np.lexsort((-pairs, often))
    majority = np.empty(count, np.int64)
    majority[pairs[order] // classes] = pairs[order] % classes
    return majority
