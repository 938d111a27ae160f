"""The operators by the compiled kernels, on CPU tensors or on CUDA tensors."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from types import ModuleType

import torch
from torch import Tensor

from pyattrx.ops.layout import (
    COMBINE_CODES,
    DTYPE_CODES,
    REDUCE_CODES,
    check_places,
    image_layout,
    map_dtype,
    map_size,
    rows_layout,
)

__all__ = ["Kernels"]


class Kernels:
    """The operators of one module of launchers, `core.cpu` or `core.cuda`.

    Both take the same arguments, but for the last ones: the CPU is told how many threads to use,
    and CUDA what memory to work in, if a launcher needs any, and the stream.
    """

    def __init__(self, launchers: ModuleType, *, on_gpu: bool) -> None:
        self._launchers = launchers
        self._on_gpu = on_gpu

    def attribution_maps(
        self,
        grad: Tensor,
        input: Tensor | None,
        method: str,
        reduce: str,
        normalize: bool,
        places: Tensor | None = None,
    ) -> Tensor:
        """See `pyattrx.ops.attribution_maps`."""
        n, channels, height, width = grad.shape
        size = map_size(channels, height, width, reduce)
        with self._device_of(grad):
            g = image_layout(grad)
            x = image_layout(input) if input is not None and COMBINE_CODES[method] == 0 else None
            chosen = check_places(places, size)
            if chosen is not None:
                chosen = chosen.to(grad.device, non_blocking=True)
            kept = size if chosen is None else len(chosen)
            out = grad.new_empty((n, kept), dtype=map_dtype(grad.dtype))
            if kept == 0:  # no places at all have no address, which would mean every place
                return out
            self._launchers.attribution_maps(
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
                self._threads_or_stream(),
            )
        return out

    def probe_cosines(self, maps: Tensor, other: Tensor | None) -> Tensor:
        """See `pyattrx.ops.probe_cosines`."""
        with self._device_of(maps):
            left = rows_layout(maps)
            right = left if other is None else rows_layout(other)
            (m, n, d), columns = left.shape, right.shape[0]
            symmetric, code = other is None, DTYPE_CODES[left.dtype]
            out = left.new_empty((n, m, columns), dtype=torch.float64)
            workspace = self._workspace("probe_cosines", left, m, columns, symmetric, code, n, d)
            self._launchers.probe_cosines(
                left.data_ptr(),
                *left.stride()[:2],
                m,
                right.data_ptr(),
                *right.stride()[:2],
                columns,
                symmetric,
                code,
                n,
                d,
                out.data_ptr(),
                *(w.data_ptr() for w in workspace),
                self._threads_or_stream(),
            )
        return out

    def fused_probe_cosines(self, grads: Tensor, input: Tensor, method: str, reduce: str) -> Tensor:
        """Cosines [N, M, M] of maps that are made on the way."""
        m, n, channels, height, width = grads.shape
        shape = [n, channels, height * width]
        code, reduce_code = DTYPE_CODES[grads.dtype], REDUCE_CODES[reduce]
        with self._device_of(grads):
            g, x = image_layout(grads), image_layout(input)
            out = grads.new_empty((n, m, m), dtype=torch.float64)
            workspace = self._workspace("fused_probe_cosines", grads, code, m, shape, reduce_code)
            self._launchers.fused_probe_cosines(
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
                reduce_code,
                out.data_ptr(),
                *(w.data_ptr() for w in workspace),
                self._threads_or_stream(),
            )
        return out

    def sketch(
        self, maps: Tensor, size: int, seed: int, first_probe: int, normalize: bool
    ) -> Tensor:
        """See `pyattrx.ops.sketch`."""
        with self._device_of(maps):
            rows = rows_layout(maps)
            out = rows.new_empty((size,), dtype=torch.float32)
            workspace = self._workspace("sketch", rows, rows.shape[0], size)
            self._launchers.sketch(
                rows.data_ptr(),
                rows.stride(0),
                DTYPE_CODES[rows.dtype],
                *rows.shape,
                size,
                seed,
                first_probe,
                normalize,
                out.data_ptr(),
                *(w.data_ptr() for w in workspace),
                self._threads_or_stream(),
            )
        return out

    def _device_of(self, tensor: Tensor) -> AbstractContextManager[object]:
        return torch.cuda.device(tensor.device) if self._on_gpu else nullcontext()

    def _threads_or_stream(self) -> int:
        if not self._on_gpu:
            return torch.get_num_threads()
        stream: int = torch.cuda.current_stream().cuda_stream
        return stream

    def _workspace(self, name: str, like: Tensor, *sizes: object) -> list[Tensor]:
        """Memory from torch's allocator, which frees it in stream order; none on the CPU."""
        if not self._on_gpu:
            return []
        size = getattr(self._launchers, f"{name}_workspace")(*sizes)
        return [torch.empty(max(size, 1), dtype=torch.uint8, device=like.device)]
