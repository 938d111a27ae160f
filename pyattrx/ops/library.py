"""Operators of the namespace ``pyattrx``: one schema, one fake, a kernel per backend.

Every device without a compiled kernel gets the reference, so that the operators run anywhere
PyTorch does. They have no derivative.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pyattrx.ops import reference
from pyattrx.ops.kernels import Kernels
from pyattrx.ops.layout import map_dtype, map_size
from pyattrx.ops.native import core

__all__ = ["operators"]

# Blocks of per-probe cosines on the way to a mean take at most this much memory.
_BLOCK_BYTES = 64 << 20

_library = torch.library.Library("pyattrx", "DEF")
_library.define(
    "attribution_maps(Tensor grad, Tensor? input, str method, str reduce, bool normalize, "
    "Tensor? places=None) -> Tensor"
)
_library.define("probe_cosines(Tensor maps, Tensor? other) -> Tensor")
_library.define("cosine_affinity(Tensor maps) -> Tensor")
_library.define("fused_probe_cosines(Tensor grads, Tensor input, str method, str reduce) -> Tensor")
_library.define("fused_affinity(Tensor grads, Tensor input, str method, str reduce) -> Tensor")
_library.define(
    "sketch(Tensor maps, int size, int seed, int first_probe, bool normalize) -> Tensor"
)
operators = torch.ops.pyattrx


def _probes_at_once(networks: int) -> int:
    return max(1, _BLOCK_BYTES // max(8 * networks * networks, 1))


def _cosine_affinity(maps: Tensor) -> Tensor:
    m, n, _ = maps.shape
    total = maps.new_zeros((m, m), dtype=torch.float64)
    for block in maps.split(_probes_at_once(m), dim=1):
        total += operators.probe_cosines(block, None).sum(0)
    return total / n


def _fused_affinity(grads: Tensor, input: Tensor, method: str, reduce: str) -> Tensor:
    m, n = grads.shape[:2]
    step = _probes_at_once(m)
    total = grads.new_zeros((m, m), dtype=torch.float64)
    for block, x in zip(grads.split(step, dim=1), input.split(step, dim=-4), strict=True):
        total += operators.fused_probe_cosines(block, x, method, reduce).sum(0)
    return total / n


def _register(backend: Any, key: str) -> None:
    for name in ("attribution_maps", "probe_cosines", "fused_probe_cosines", "sketch"):
        _library.impl(name, getattr(backend, name), key)


_register(reference, "CompositeExplicitAutograd")
_library.impl("cosine_affinity", _cosine_affinity, "CompositeExplicitAutograd")
_library.impl("fused_affinity", _fused_affinity, "CompositeExplicitAutograd")
if core is not None:
    _register(Kernels(core.cpu, on_gpu=False), "CPU")
    if core.with_cuda and not core.emulated:
        _register(Kernels(core.cuda, on_gpu=True), "CUDA")


@torch.library.register_fake("pyattrx::attribution_maps", lib=_library)
def _(
    grad: Tensor,
    input: Tensor | None,
    method: str,
    reduce: str,
    normalize: bool,
    places: Tensor | None = None,
) -> Tensor:
    n, channels, height, width = grad.shape
    size = map_size(channels, height, width, reduce) if places is None else places.shape[0]
    return grad.new_empty((n, size), dtype=map_dtype(grad.dtype))


@torch.library.register_fake("pyattrx::probe_cosines", lib=_library)
def _(maps: Tensor, other: Tensor | None) -> Tensor:
    columns = maps.shape[0] if other is None else other.shape[0]
    return maps.new_empty((maps.shape[1], maps.shape[0], columns), dtype=torch.float64)


@torch.library.register_fake("pyattrx::fused_probe_cosines", lib=_library)
def _(grads: Tensor, input: Tensor, method: str, reduce: str) -> Tensor:
    m, n = grads.shape[:2]
    return grads.new_empty((n, m, m), dtype=torch.float64)


@torch.library.register_fake("pyattrx::sketch", lib=_library)
def _(maps: Tensor, size: int, seed: int, first_probe: int, normalize: bool) -> Tensor:
    return maps.new_empty((size,), dtype=torch.float32)


@torch.library.register_fake("pyattrx::cosine_affinity", lib=_library)
def _(maps: Tensor) -> Tensor:
    return maps.new_empty((maps.shape[0], maps.shape[0]), dtype=torch.float64)


@torch.library.register_fake("pyattrx::fused_affinity", lib=_library)
def _(grads: Tensor, input: Tensor, method: str, reduce: str) -> Tensor:
    return grads.new_empty((grads.shape[0], grads.shape[0]), dtype=torch.float64)
