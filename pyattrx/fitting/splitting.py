"""Which images are learnt from, which stop the training, and which judge it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyattrx.errors import InvalidValueError
from pyattrx.fitting.labels import Labels

__all__ = ["Split", "split"]

_LEAST_IMAGES = 10
_LEAST_HELD_OUT = 4  # two to stop, two to judge


@dataclass(frozen=True)
class Split:
    """Disjoint indices of images, in ascending order."""

    train: Tensor
    validation: Tensor
    test: Tensor


def split(groups: NDArray[np.int64], labels: Labels, holdout: float, seed: int) -> Split:
    """Divide images at random; groups stay together, and classes keep their shares.

    Parameters
    ----------
    groups : ndarray [N], int64
    labels : Labels
        Of the N images.
    holdout : float
        Share of the groups, half of it for validation and half for the test.
    seed : int

    Raises
    ------
    InvalidValueError
        Too few images or groups.
    """
    n_groups = int(groups.max()) + 1
    if len(groups) < _LEAST_IMAGES:
        raise InvalidValueError("images", f"{len(groups)} images", f"at least {_LEAST_IMAGES}")
    held_out = max(_LEAST_HELD_OUT, round(holdout * n_groups))
    if n_groups - held_out < 2:
        expected = f"more of them than {held_out + 1}, to hold {held_out} out"
        raise InvalidValueError("images", f"{n_groups} groups of images", expected)
    order = np.random.default_rng(seed).permutation(n_groups)
    if labels.task == "classification":
        first = np.unique(groups, return_index=True)[1]  # an image of every group
        classes = labels.values.numpy()[first[order]]
        order = order[np.argsort(classes, kind="stable")]
    # Spread evenly over the order, so that every class gives its share.
    places = ((np.arange(held_out) + 0.5) * n_groups / held_out).astype(int)
    chosen = order[places]
    validation, test = np.isin(groups, chosen[::2]), np.isin(groups, chosen[1::2])

    def indices(mask: NDArray[np.bool_]) -> Tensor:
        return torch.from_numpy(np.flatnonzero(mask))

    return Split(indices(~(validation | test)), indices(validation), indices(test))
