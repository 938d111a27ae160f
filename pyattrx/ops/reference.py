"""Every op in plain PyTorch: the oracle of the native kernels, and their stand-in where none exist.

The functions take what the operators of `torch.library` take, checked already.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pyattrx.ops.layout import check_places, map_dtype

__all__ = ["attribution_maps", "fused_probe_cosines", "near_one", "probe_cosines", "sketch"]


def attribution_maps(
    grad: Tensor,
    input: Tensor | None,
    method: str,
    reduce: str,
    normalize: bool,
    places: Tensor | None = None,
) -> Tensor:
    """Reference of `pyattrx.ops.attribution_maps`; one more leading dimension is allowed."""
    dtype = map_dtype(grad.dtype)
    attribution = grad.to(dtype)
    if method in ("grad_x_input", "elrp"):
        assert input is not None
        attribution = attribution * input.to(dtype)
    elif method == "saliency":
        attribution = attribution.abs()
    if reduce == "mean":
        attribution = attribution.mean(-3)
    elif reduce == "abs_mean":
        attribution = attribution.abs().mean(-3)
    first = -2 if reduce != "none" else -3
    maps = attribution.flatten(first)
    chosen = check_places(places, maps.shape[-1])
    if chosen is not None:
        maps = maps[..., chosen.to(maps.device)]
    if not normalize:
        return maps.contiguous()
    wide = near_one(maps)
    norm = wide.square().sum(-1, keepdim=True).sqrt()
    return (wide / torch.where(norm == 0, 1.0, norm)).to(dtype)


def probe_cosines(maps: Tensor, other: Tensor | None) -> Tensor:
    """Reference of `pyattrx.ops.probe_cosines`."""
    right = maps if other is None else other
    out = maps.new_empty((maps.shape[1], maps.shape[0], right.shape[0]), dtype=torch.float64)
    for probe in range(maps.shape[1]):
        out[probe] = _cosines(maps[:, probe], right[:, probe], symmetric=other is None)
    return out


def fused_probe_cosines(grads: Tensor, input: Tensor, method: str, reduce: str) -> Tensor:
    """Reference of the op behind `pyattrx.ops.fused_affinity`."""
    if input.dim() == grads.dim() - 1:
        input = input.unsqueeze(0)
    return probe_cosines(attribution_maps(grads, input, method, reduce, False), None)


def sketch(maps: Tensor, size: int, seed: int, first_probe: int, normalize: bool) -> Tensor:
    """Reference of `pyattrx.ops.sketch`; csrc/include/attrx/sketch_hash.h says what goes where."""
    n, d = maps.shape
    rows = near_one(maps) if normalize else maps.double()
    if normalize:
        norm = rows.square().sum(1, keepdim=True).sqrt()
        rows = rows / torch.where(norm == 0, 1.0, norm)
        rows = torch.where(norm.isfinite(), rows, torch.nan)
    element = torch.arange(d, device=maps.device)
    lap, offset = element // size, element % size
    total = torch.zeros(size, dtype=torch.float64, device=maps.device)
    for row in range(n):
        key = _probe_key(seed, first_probe + row)
        words = _hashes(key, 2 * torch.arange(-(-d // 64), device=maps.device) + 1)
        minus = (words[element // 64] >> (element % 64)) & 1
        turns = (_hashes(key, 2 * torch.arange(-(-d // size), device=maps.device) + 2) >> 32) & _LOW
        slot = (offset + ((turns * size) >> 32)[lap]) % size
        total.index_add_(0, slot, torch.where(minus == 1, -rows[row], rows[row]))
    if normalize and bool(rows.isnan().any()):  # a bad map shows in every slot
        total.fill_(torch.nan)
    return total.float()


_GOLDEN, _ALL, _LOW = 0x9E3779B97F4A7C15, (1 << 64) - 1, (1 << 32) - 1
_MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1))


def _probe_key(seed: int, probe: int) -> int:
    def mix(x: int) -> int:
        for shift, factor in _MIX:
            x = (x ^ (x >> shift)) * factor & _ALL
        return x

    return mix((mix((seed + _GOLDEN) & _ALL) + probe * _GOLDEN) & _ALL)


def _hashes(key: int, counter: Tensor) -> Tensor:
    """SplitMix64's finalizer of key + counter * golden; int64 products wrap as uint64's do."""
    x = counter * _signed(_GOLDEN) + _signed(key)
    for shift, factor in _MIX:
        logical = (x >> shift) & ((1 << (64 - shift)) - 1)
        x = (x ^ logical) * _signed(factor)
    return x


def _signed(bits: int) -> int:
    return bits - (1 << 64) if bits >> 63 else bits


def near_one(rows: Tensor) -> Tensor:
    """Rows in float64, each times the power of two that brings its largest element near 1.

    Examples
    --------
    >>> import torch
    >>> from pyattrx.ops import near_one
    >>> near_one(torch.tensor([[3e-30, -6e-30]])).abs().amax() < 1
    tensor(True)
    """
    wide = rows.double()
    if rows.shape[-1] == 0:
        return wide
    _, exponent = torch.frexp(wide.abs().amax(-1, keepdim=True).nan_to_num(1.0, 1.0, 1.0))
    # Two steps: the scale of a denormal row does not fit one float64.
    half = torch.div(exponent, 2, rounding_mode="floor")
    return torch.ldexp(torch.ldexp(wide, -half), half - exponent)


def _cosines(left: Tensor, right: Tensor, *, symmetric: bool) -> Tensor:
    """[A, D] and [B, D] to [A, B], as csrc/include/attrx/ops.h defines a cosine."""
    left, right = near_one(left), near_one(right)
    dots = left @ right.T
    if symmetric:
        dots = dots.triu() + dots.triu(1).T
    squares = left.square().sum(1)[:, None] * right.square().sum(1)
    cosines = (dots / squares.sqrt()).clamp(-1.0, 1.0)
    cosines = torch.where(squares == 0, 0.0, cosines)
    if symmetric:
        cosines.diagonal()[left.square().sum(1) > 0] = 1.0
    bad = ~(dots.isfinite() & squares.isfinite())
    return torch.where(bad, torch.nan, cosines)
