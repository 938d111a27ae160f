"""The arithmetic of forward and backward passes, and what a cheaper one does to the maps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

from pyattrx.errors import InvalidValueError

__all__ = ["PRECISIONS", "arithmetic", "check_precision", "map_cosines", "settled"]

PRECISIONS = ("float32", "tf32", "bfloat16", "auto")


def check_precision(precision: str, device: torch.device) -> None:
    """Refuse what is unknown, or has no meaning on a device.

    Raises
    ------
    InvalidValueError
        Not one of `PRECISIONS`, or "tf32" without a CUDA device.
    """
    if precision not in PRECISIONS:
        choices = ", ".join(map(repr, PRECISIONS))
        raise InvalidValueError("precision", precision, f"one of {choices}")
    if precision == "tf32" and device.type != "cuda":
        raise InvalidValueError(
            "precision", precision, f"'float32' or 'bfloat16' on {device.type!r}"
        )


def settled(precision: str, device: torch.device) -> str:
    """Return what "auto" is on a device: the cheapest arithmetic that is much faster there.

    On a CPU with instructions for bfloat16 (AMX, AVX512-BF16) that is "bfloat16", on a GPU with
    units for it "tf32", and "float32" on any other.
    """
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "tf32" if torch.cuda.get_device_capability(device) >= (8, 0) else "float32"
    ask = getattr(torch.cpu, "get_capabilities", None)  # not in older versions
    known = ask() if device.type == "cpu" and ask is not None else {}
    return "bfloat16" if known.get("amx_bf16") or known.get("avx512_bf16") else "float32"


@contextmanager
def arithmetic(precision: str, device: torch.device) -> Iterator[None]:
    """Run passes in a `settled` precision; what PyTorch was set to before comes back afterwards.

    "float32" is float32: PyTorch's own default would run convolutions in TF32 on a GPU, and its
    settings and an autocast around the call could ask for less. "tf32" rounds the factors of
    convolutions and matrix products to 10 bits, "bfloat16" is autocast. float64 networks are
    touched by "bfloat16" only.
    """
    reduced = device.type == "cuda" and precision != "float32"
    with _product_precision(reduced), _convolution_precision(reduced), ExitStack() as stack:
        if torch.amp.is_autocast_available(device.type):
            half = precision == "bfloat16"
            stack.enter_context(torch.autocast(device.type, torch.bfloat16, enabled=half))
        yield


# PyTorch has two ways of saying this, and reading the one raises once the other has been used.
@contextmanager
def _product_precision(reduced: bool) -> Iterator[None]:
    try:
        before = torch.get_float32_matmul_precision()
    except RuntimeError:
        backends: Any = torch.backends
        with _settings((backends.cuda.matmul, backends.mkldnn.matmul), reduced):
            yield
        return
    torch.set_float32_matmul_precision("high" if reduced else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextmanager
def _convolution_precision(reduced: bool) -> Iterator[None]:
    cudnn: Any = torch.backends.cudnn
    try:
        before = cudnn.allow_tf32
    except RuntimeError:
        with _settings((cudnn.conv, cudnn.rnn), reduced):
            yield
        return
    cudnn.allow_tf32 = reduced
    try:
        yield
    finally:
        cudnn.allow_tf32 = before


@contextmanager
def _settings(places: Iterable[Any], reduced: bool) -> Iterator[None]:
    before = [(place, place.fp32_precision) for place in places]
    for place, _ in before:
        place.fp32_precision = "tf32" if reduced else "ieee"
    try:
        yield
    finally:
        for place, value in before:
            place.fp32_precision = value


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
