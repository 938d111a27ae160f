"""Preprocessing that `Normalize` cannot say: channels that change places or are mixed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pyattrx.errors import InvalidTypeError, InvalidValueError

__all__ = ["Affine"]


@dataclass(frozen=True)
class Affine:
    """Multiply the channels of each pixel by a matrix and add an offset.

    Parameters
    ----------
    matrix : sequence of sequence of float, [C', C]
        A row for each channel of the result.
    offset : sequence of float, [C']

    Raises
    ------
    InvalidTypeError, InvalidValueError
        Not finite numbers, or of lengths that do not fit.

    Examples
    --------
    >>> import torch
    >>> from pyattrx.encoders import Affine
    >>> swapped = Affine(((0, 0, 1), (0, 1, 0), (1, 0, 0)), (0, 0, 0))  # BGR
    >>> swapped(torch.tensor([1.0, 2.0, 3.0]).reshape(1, 3, 1, 1)).flatten().tolist()
    [3.0, 2.0, 1.0]
    """

    matrix: tuple[tuple[float, ...], ...]
    offset: tuple[float, ...]

    def __init__(self, matrix: Sequence[Sequence[float]], offset: Sequence[float]) -> None:
        try:
            rows = tuple(tuple(float(v) for v in row) for row in matrix)
            numbers = tuple(float(v) for v in offset)
        except (TypeError, ValueError) as error:
            raise InvalidTypeError(
                "matrix", matrix, "rows of numbers, and an offset each"
            ) from error
        if not rows or not rows[0] or len({len(row) for row in rows}) != 1:
            raise InvalidValueError("matrix", matrix, "rows of one length")
        if len(numbers) != len(rows):
            raise InvalidValueError("offset", offset, f"{len(rows)} numbers, as matrix has rows")
        if not all(abs(v) < float("inf") for row in (*rows, numbers) for v in row):
            raise InvalidValueError("matrix", matrix, "finite numbers, as in offset")
        object.__setattr__(self, "matrix", rows)
        object.__setattr__(self, "offset", numbers)

    def __call__(self, images: Tensor) -> Tensor:
        """Apply to images [N, C, H, W] in their own dtype; return [N, C', H, W]."""
        if images.shape[1] != len(self.matrix[0]):
            expected = f"{len(self.matrix[0])} channels, as matrix has columns"
            raise InvalidValueError("images.shape", tuple(images.shape), expected)
        matrix = torch.tensor(self.matrix, dtype=images.dtype, device="cpu").to(images.device)
        offset = torch.tensor(self.offset, dtype=images.dtype, device="cpu").to(images.device)
        # Sums of products, one after another: a device's matrix product might round to TF32.
        mixed = sum(matrix[:, c, None, None] * images[:, c : c + 1] for c in range(matrix.shape[1]))
        return mixed + offset[:, None, None]
