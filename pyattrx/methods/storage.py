"""Rows in fewer bytes: the quantization that a method may ask for."""

from __future__ import annotations

import torch
from torch import Tensor

from pyattrx.ops import near_one

__all__ = ["STORAGES", "quantize"]

#: Types, by name, that a zoo can keep the rows of maps in.
STORAGES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "int8": torch.int8}

# Powers of two that bring the largest element to the top of a type's range.
_HALF_EXPONENT = 15
_INT8_LARGEST = 127


def quantize(maps: Tensor, storage: str | None) -> Tensor:
    """Round maps to the type that they are stored in; a cosine does not see the row's scale.

    Parameters
    ----------
    maps : Tensor [N, D]
        Finite rows, floating, of any scale.
    storage : {"float16", "bfloat16", "int8"} or None
        None: as they are.

    Returns
    -------
    Tensor [N, D]
        Every row times a number of its own, rounded to the nearest: for the floating types a
        power of two, so that no row over- or underflows as a whole; for int8 the number that makes
        the largest element 127 in magnitude. Rows of zeros stay so, no other row becomes one.

    Examples
    --------
    >>> import torch
    >>> from pyattrx.methods.storage import quantize
    >>> quantize(torch.tensor([[1e-30, -2e-30, 0.0]]), "int8").tolist()
    [[64, -127, 0]]
    """
    if storage is None:
        return maps
    rows = near_one(maps)  # largest element in [0.5, 1)
    if storage == "int8":
        largest = rows.abs().amax(1, keepdim=True) if rows.shape[1] else rows
        return (rows * (_INT8_LARGEST / torch.where(largest == 0, 1.0, largest))).round().char()
    if storage == "float16":
        rows = rows * 2.0**_HALF_EXPONENT
    return rows.to(STORAGES[storage])
