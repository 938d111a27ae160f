"""The operators on CUDA tensors, by the compiled kernels, on the current stream."""

from __future__ import annotations

import torch
from torch import Tensor

from pyattrx.ops._layout import (
    COMBINE_CODES,
    DTYPE_CODES,
    REDUCE_CODES,
    check_places,
    image_layout,
    map_dtype,
    map_size,
    rows_layout,
)
from pyattrx.ops._native import core

__all__ = ["attribution_maps", "fused_probe_cosines", "probe_cosines", "sketch"]


def _workspace(like: Tensor, size: int) -> Tensor:
    # From torch's allocator: freed in stream order, so that no kernel loses its memory.
    return torch.empty(max(size, 1), dtype=torch.uint8, device=like.device)


def attribution_maps(
    grad: Tensor,
    input: Tensor | None,
    method: str,
    reduce: str,
    normalize: bool,
    places: Tensor | None = None,
) -> Tensor:
    assert core is not None
    n, channels, height, width = grad.shape
    with torch.cuda.device(grad.device):
        g = image_layout(grad)
        x = image_layout(input) if input is not None and COMBINE_CODES[method] == 0 else None
        size = map_size(channels, height, width, reduce)
        chosen = check_places(places, size)
        chosen = None if chosen is None else chosen.to(grad.device, non_blocking=True)
        kept = size if chosen is None else len(chosen)
        out = grad.new_empty((n, kept), dtype=map_dtype(grad.dtype))
        if kept == 0:  # no places at all have no address, which would mean every place
            return out
        core.cuda.attribution_maps(
            g.tensor.data_ptr(),
            g.strides,
            0 if x is None else x.tensor.data_ptr(),
            [0, 0, 0] if x is None else x.strides,
            DTYPE_CODES[grad.dtype],
            [n, channels, height * width],
            COMBINE_CODES[method],
            REDUCE_CODES[reduce],
            normalize,
            0 if chosen is None else chosen.data_ptr(),
            kept,
            out.data_ptr(),
            torch.cuda.current_stream().cuda_stream,
        )
    return out


def probe_cosines(maps: Tensor, other: Tensor | None) -> Tensor:
    assert core is not None
    with torch.cuda.device(maps.device):
        left = rows_layout(maps)
        right = left if other is None else rows_layout(other)
        m, n, d = left.shape
        code, symmetric = DTYPE_CODES[left.dtype], other is None
        out = left.new_empty((n, m, right.shape[0]), dtype=torch.float64)
        workspace = _workspace(
            left, core.cuda.probe_cosines_workspace(m, right.shape[0], symmetric, code, n, d)
        )
        core.cuda.probe_cosines(
            left.data_ptr(),
            left.stride(0),
            left.stride(1),
            m,
            right.data_ptr(),
            right.stride(0),
            right.stride(1),
            right.shape[0],
            symmetric,
            code,
            n,
            d,
            out.data_ptr(),
            workspace.data_ptr(),
            torch.cuda.current_stream().cuda_stream,
        )
    return out


def fused_probe_cosines(grads: Tensor, input: Tensor, method: str, reduce: str) -> Tensor:
    assert core is not None
    with torch.cuda.device(grads.device):
        m, n, channels, height, width = grads.shape
        g, x = image_layout(grads), image_layout(input)
        shape, code = [n, channels, height * width], DTYPE_CODES[grads.dtype]
        out = grads.new_empty((n, m, m), dtype=torch.float64)
        workspace = _workspace(
            grads,
            core.cuda.fused_probe_cosines_workspace(code, m, shape, REDUCE_CODES[reduce]),
        )
        core.cuda.fused_probe_cosines(
            g.tensor.data_ptr(),
            g.tensor.stride(0),
            g.strides,
            x.tensor.data_ptr(),
            x.tensor.stride(0) if x.tensor.dim() == 5 else 0,
            x.strides,
            code,
            m,
            shape,
            COMBINE_CODES[method],
            REDUCE_CODES[reduce],
            out.data_ptr(),
            workspace.data_ptr(),
            torch.cuda.current_stream().cuda_stream,
        )
    return out


def sketch(maps: Tensor, size: int, seed: int, first_probe: int, normalize: bool) -> Tensor:
    assert core is not None
    with torch.cuda.device(maps.device):
        rows = rows_layout(maps)
        out = rows.new_empty((size,), dtype=torch.float32)
        workspace = _workspace(rows, core.cuda.sketch_workspace(rows.shape[0], size))
        core.cuda.sketch(
            rows.data_ptr(),
            rows.stride(0),
            DTYPE_CODES[rows.dtype],
            *rows.shape,
            size,
            seed,
            first_probe,
            normalize,
            out.data_ptr(),
            workspace.data_ptr(),
            torch.cuda.current_stream().cuda_stream,
        )
    return out
