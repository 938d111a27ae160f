"""Backward passes whose result does not depend on how tensors lie in memory.

PyTorch's batch norm on the CPU takes one memory layout for the input and the gradient of its output
where both fit either: a batch of one image whose channels lie innermost in one of them only, as
after ``flatten(2).transpose(1, 2)``, gets a gradient whose elements belong to other places. (Seen
in 2.13 and 2.14, in LeViT and XCiT at a batch of one; instance norm always runs as a batch of one.)
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from pyattrx._modes import Arguments, DispatchMode, Function, Named

__all__ = ["any_layout"]

_BATCH_NORM_BACKWARD = torch.ops.aten.native_batch_norm_backward.default


def any_layout(x: Tensor) -> AbstractContextManager[object]:
    """Context for the backward pass of a network that was run on `x`.

    Parameters
    ----------
    x : Tensor
        Only its device matters: no other device's kernels are known to do this.

    Examples
    --------
    >>> import torch
    >>> from pyattrx._layouts import any_layout
    >>> x = torch.rand(1, 3, 2, 2, requires_grad=True)
    >>> y = torch.nn.BatchNorm2d(3, eps=0).eval()(x).flatten(2).transpose(1, 2)
    >>> with any_layout(x):
    ...     (gradient,) = torch.autograd.grad((y * torch.tensor([1.0, 2.0, 3.0])).sum(), x)
    >>> gradient[0, :, 0, 0]
    tensor([1., 2., 3.])
    """
    return _SameLayout() if x.device.type == "cpu" else nullcontext()


class _SameLayout(DispatchMode):
    """Gives batch norm's backward pass both tensors without a gap and in one order."""

    def call(self, function: Function, arguments: Arguments, named: Named) -> Any:
        if function is _BATCH_NORM_BACKWARD and not _lie_alike(arguments[0], arguments[1]):
            first, second = (part.contiguous() for part in arguments[:2])
            arguments = (_restrided(first), _restrided(second), *arguments[2:])
        return function(*arguments, **named)


def _lie_alike(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors of a shape have the same order in memory, strides of ones aside."""
    sizes = list(zip(a.shape, a.stride(), b.stride(), strict=True))
    return all(one == other for size, one, other in sizes if size > 1)


def _restrided(x: Tensor) -> Tensor:
    """A tensor without gaps, with the strides that its shape has in the plain layout.

    A dimension of one may have any stride, which `Tensor.contiguous` leaves as it is.
    """
    strides, step = [], 1
    for size in reversed(x.shape):
        strides.append(step)
        step *= max(size, 1)
    return x.as_strided(x.shape, strides[::-1])
