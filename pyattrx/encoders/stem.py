"""A faster derivative of strided input layers on the CPU.

Training never needs the derivative with respect to an image, and the kernels for it are slow: with
three input channels a strided convolution's input gradient runs at a fraction of the speed of any
other convolution. It is itself a convolution. With stride s, pixel ``x = s * q + r`` receives
``sum_o w[x + p - s * o] g[o]``; for every phase r that is a stride-1 convolution of the output
gradient g, so one convolution with ``C * s * s`` output channels gives all phases, and
`torch.nn.functional.pixel_shuffle` interleaves them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

__all__ = ["replace_stems"]

_MOST_CHANNELS = 4  # an image has few; inner layers are fast already
_LANES = 16  # output channels are filled up to whole vectors


class _Axis(NamedTuple):
    """Offsets ``o - q`` between output and input places along one axis, and the taps they use."""

    stride: int
    padding: int
    kernel: int

    def offsets(self) -> range:
        first = -((self.kernel - 1 - self.padding) // self.stride)
        last = (self.stride - 1 + self.padding) // self.stride
        return range(first, last + 1)

    def tap(self, phase: int, offset: int) -> int | None:
        tap = phase + self.padding - self.stride * offset
        return tap if 0 <= tap < self.kernel else None


class _StridedInput(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: StridedStem) -> Tensor:
        ctx.layer, ctx.size = layer, x.shape[-2:]
        with torch.no_grad():
            return nn.Conv2d.forward(layer, x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return ctx.layer.input_gradient(grads[0], *ctx.size), None


class StridedStem(nn.Conv2d):
    """A frozen convolution with a stride and few input channels, and a derivative of its own.

    Parameters
    ----------
    conv : nn.Conv2d
        With equal strides, zero padding, no dilation and no groups.
    """

    phases: Tensor

    def __init__(self, conv: nn.Conv2d) -> None:
        padding = (int(conv.padding[0]), int(conv.padding[1]))
        super().__init__(
            conv.in_channels,
            conv.out_channels,
            (conv.kernel_size[0], conv.kernel_size[1]),
            (conv.stride[0], conv.stride[1]),
            padding,
            device="meta",  # the tensors are those of `conv`
        )
        self.weight, self.bias = conv.weight, conv.bias
        self._down, self._across = (
            _Axis(conv.stride[i], padding[i], conv.kernel_size[i]) for i in (0, 1)
        )
        self.register_buffer("phases", self._phase_weight(), persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        """Convolve, as `torch.nn.Conv2d`."""
        if not input.requires_grad:
            return super().forward(input)
        result: Tensor = _StridedInput.apply(input, self)  # type: ignore[no-untyped-call]
        return result

    def input_gradient(self, grad: Tensor, height: int, width: int) -> Tensor:
        """Derivative with respect to an input [N, C, height, width]."""
        s = self.stride[0]
        top, bottom = self._margins(self._down, height, grad.shape[-2])
        left, right = self._margins(self._across, width, grad.shape[-1])
        grad = grad.contiguous(memory_format=torch.channels_last)
        if top == bottom and left == right and min(top, left) >= 0:
            phases = F.conv2d(grad, self.phases, padding=(top, left))
        else:
            phases = F.conv2d(F.pad(grad, (left, right, top, bottom)), self.phases)
        pixels = F.pixel_shuffle(phases[:, : self.in_channels * s * s], s)
        return pixels[..., :height, :width]

    def _margins(self, axis: _Axis, size: int, outputs: int) -> tuple[int, int]:
        """Zeros before and after the output gradient, so that every place of the input has one."""
        offsets = axis.offsets()
        places = -(-size // axis.stride)
        return -offsets[0], places + offsets[-1] - outputs

    def _phase_weight(self) -> Tensor:
        s = self.stride[0]
        down, across = self._down.offsets(), self._across.offsets()
        count = self.in_channels * s * s
        filled = -(-count // _LANES) * _LANES
        phases = self.weight.new_zeros(filled, self.weight.shape[0], len(down), len(across))
        for phase in range(s * s):
            for i, y in enumerate(down):
                for j, x in enumerate(across):
                    taps = self._down.tap(phase // s, y), self._across.tap(phase % s, x)
                    if taps[0] is not None and taps[1] is not None:
                        # [outputs, channels] to one row of outputs for each channel
                        weight = self.weight[:, :, taps[0], taps[1]].T
                        phases[phase : count : s * s, :, i, j] = weight
        return phases


def replace_stems(module: nn.Module, keep: Iterable[nn.Module] = ()) -> int:
    """Replace, in place, the frozen strided convolutions that images go through.

    Parameters
    ----------
    module : nn.Module
        Owned by the caller, parameters frozen.
    keep : iterable of nn.Module
        Layers to leave alone.

    Returns
    -------
    int
        How many were replaced.
    """
    kept = set(keep)
    places = [
        (name, part)
        for name, part in module.named_modules(remove_duplicate=False)
        if name and type(part) is nn.Conv2d and part not in kept and _suits(part)
    ]
    parts = [part for _, part in places]
    replaced = 0
    for name, part in places:
        if parts.count(part) == 1:
            parent, _, child = name.rpartition(".")
            setattr(module.get_submodule(parent), child, StridedStem(part))
            replaced += 1
    return replaced


def _suits(conv: nn.Conv2d) -> bool:
    hooked = any(
        getattr(conv, kind) for kind in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
    )
    return (
        conv.in_channels <= _MOST_CHANNELS
        and conv.stride[0] == conv.stride[1] > 1
        and conv.dilation == (1, 1)
        and conv.groups == 1
        and conv.padding_mode == "zeros"
        and not isinstance(conv.padding, str)
        and conv.weight.dtype == torch.float32
        and not hooked
        and not parametrize.is_parametrized(conv)
    )
