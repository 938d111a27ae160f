"""The arithmetic of forward and backward passes, and what a cheaper one does to the maps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from pyattrx.errors import InvalidValue

__all__ = ["PRECISIONS", "arithmetic", "check_precision", "map_cosines"]

PRECISIONS = ("float32", "tf32", "bfloat16")


def check_precision(precision: str, device: torch.device) -> None:
    """Refuse what is unknown, or has no meaning on a device.

    Raises
    ------
    InvalidValue
        Not one of `PRECISIONS`, or "tf32" without a CUDA device.
    """
    if precision not in PRECISIONS:
        choices = ", ".join(map(repr, PRECISIONS))
        raise InvalidValue("precision", precision, f"one of {choices}")
    if precision == "tf32" and device.type != "cuda":
        raise InvalidValue("precision", precision, f"'float32' or 'bfloat16' on {device.type!r}")


@contextmanager
def arithmetic(precision: str, device: torch.device) -> Iterator[None]:
    """Run passes in one of `PRECISIONS`; what PyTorch was set to before comes back afterwards.

    "float32" is float32: PyTorch's own default would run convolutions in TF32 on a GPU. "tf32"
    rounds the factors of convolutions and matrix products to 10 bits, "bfloat16" is autocast.
    float64 networks are not touched by any of them but "bfloat16".
    """
    convolutions, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = convolutions.allow_tf32, products.allow_tf32
    if device.type == "cuda":
        convolutions.allow_tf32 = products.allow_tf32 = precision != "float32"
    try:
        if precision == "bfloat16":
            with torch.autocast(device.type, torch.bfloat16):
                yield
        else:
            yield
    finally:
        if device.type == "cuda":
            convolutions.allow_tf32, products.allow_tf32 = before


def map_cosines(maps: Tensor, exact: Tensor) -> Tensor:
    """Cosine of each map with its exact one; 1 where both are zero.

    Returns
    -------
    Tensor [N], float64
    """
    a, b = maps.double(), exact.double()
    # Scaled first: squares of small gradients would vanish.
    a = a / a.abs().amax(1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
    b = b / b.abs().amax(1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
    norms = a.norm(dim=1) * b.norm(dim=1)
    cosines = (a * b).sum(1) / torch.where(norms == 0, 1.0, norms)
    both_zero = (a == 0).all(1) & (b == 0).all(1)
    return torch.where(both_zero, 1.0, cosines)
