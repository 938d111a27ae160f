"""A faster gradient for the strided convolutions that networks begin with.

Libraries compute the gradient of a convolution with respect to a few input channels poorly: vector
lanes are made for 16 channels and 3 are there. With stride s, the convolution is one of stride 1
over blocks of s x s pixels, which have s * s times the channels; its gradient with respect to the
blocks fills the lanes. Only the backward pass is replaced: outputs keep their bits.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import forward_ad

__all__ = ["restore_stems", "speed_up_stems"]

_FEW_CHANNELS = 4
_LANES = 16  # blocks get channels of zeros up to a multiple of this


def speed_up_stems(module: nn.Module) -> list[nn.Conv2d]:
    """Replace the backward pass of the convolutions to which this applies, in place.

    Parameters
    ----------
    module : nn.Module
        On the CPU, parameters frozen and in their final memory layout; owned by the caller.

    Returns
    -------
    list of nn.Conv2d
        The convolutions to which it applies.

    Examples
    --------
    >>> import torch
    >>> from pyattrx.encoders.stems import speed_up_stems
    >>> network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 7, 2, 3)).requires_grad_(False)
    >>> speed_up_stems(network)
    [Conv2d(3, 8, kernel_size=(7, 7), stride=(2, 2), padding=(3, 3))]
    """
    stems = [part for part in module.modules() if type(part) is nn.Conv2d and _applies(part)]
    for conv in stems:
        run = functools.partial(
            _strided,
            weight=conv.weight,
            bias=conv.bias,
            blocks=_block_kernel(conv),
            stride=conv.stride[0],
            padding=_pair(conv),
        )
        vars(conv)["forward"] = run
    return stems


def restore_stems(stems: Iterable[nn.Conv2d]) -> None:
    """Give convolutions their own backward pass back."""
    for conv in stems:
        del vars(conv)["forward"]


def _applies(conv: nn.Conv2d) -> bool:
    return (
        conv.in_channels <= _FEW_CHANNELS
        and conv.groups == 1
        and conv.stride[0] == conv.stride[1] > 1
        and min(conv.kernel_size) > 1
        and conv.dilation == (1, 1)
        and conv.padding_mode == "zeros"
        and not isinstance(conv.padding, str)
        and "forward" not in vars(conv)
        # A weight that a hook recomputes is not the one seen here.
        and isinstance(conv._parameters.get("weight"), nn.Parameter)
        and not conv._forward_pre_hooks
        and not conv.weight.requires_grad
    )


def _pair(conv: nn.Conv2d) -> tuple[int, int]:
    assert not isinstance(conv.padding, str)
    return conv.padding[0], conv.padding[1]


def _before(padding: int, stride: int) -> tuple[int, int]:
    """Blocks before the image that the padding reaches into, and what it leaves of the first."""
    blocks = -(-padding // stride)
    return blocks, blocks * stride - padding


def _block_kernel(conv: nn.Conv2d) -> Tensor:
    """Kernel [C * s * s and zeros, O, K, K'] from an output's gradient to the blocks' gradient."""
    s = conv.stride[0]
    off = [_before(p, s)[1] for p in _pair(conv)]
    size = [-(-(o + k) // s) * s for o, k in zip(off, conv.kernel_size, strict=True)]
    kernel = conv.weight.new_zeros(conv.out_channels, conv.in_channels, *size)
    height, width = conv.kernel_size
    kernel[:, :, off[0] : off[0] + height, off[1] : off[1] + width] = conv.weight
    kernel = F.pixel_unshuffle(kernel, s).flip(2, 3).transpose(0, 1)
    kernel = F.pad(kernel, (0, 0, 0, 0, 0, 0, 0, -len(kernel) % _LANES))
    channels_last = conv.weight.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return kernel.contiguous(memory_format=layout)


def _strided(
    x: Tensor,
    *,
    weight: Tensor,
    bias: Tensor | None,
    blocks: Tensor,
    stride: int,
    padding: tuple[int, int],
) -> Tensor:
    plain = x.dim() != 4 or not (torch.is_grad_enabled() and x.requires_grad)
    if plain or _transformed(x):
        return F.conv2d(x, weight, bias, stride, padding)
    answer: Tensor = _StridedConv.apply(  # type: ignore[no-untyped-call]
        x, weight, bias, blocks, stride, padding
    )
    return answer


def _transformed(x: Tensor) -> bool:
    """Tell whether torch.func or forward-mode differentiation is at work, which need more."""
    inside: bool = torch._C._are_functorch_transforms_active()
    return inside or forward_ad.unpack_dual(x).tangent is not None


class _StridedConv(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        blocks: Tensor,
        stride: int,
        padding: tuple[int, int],
    ) -> Tensor:
        ctx.save_for_backward(blocks)
        ctx.size, ctx.stride, ctx.padding = x.shape[1:], stride, padding
        return F.conv2d(x, weight, bias, stride, padding)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (blocks,) = ctx.saved_tensors
        reach = (blocks.shape[2] - 1, blocks.shape[3] - 1)
        filled = F.conv2d(grads[0], blocks, padding=reach)
        channels, *sizes = ctx.size
        gradient = F.pixel_shuffle(filled[:, : channels * ctx.stride**2], ctx.stride)
        # The blocks begin before the image and may end before or after it.
        first = [_before(p, ctx.stride)[0] * ctx.stride for p in ctx.padding]
        last = [
            size + start - have
            for size, start, have in zip(sizes, first, gradient.shape[2:], strict=True)
        ]
        gradient = F.pad(gradient, (-first[1], last[1], -first[0], last[0]))
        return gradient, None, None, None, None, None
