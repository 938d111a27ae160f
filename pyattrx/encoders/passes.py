"""What a network answers to some images, and whether two answers are the same but for rounding."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pyattrx._layouts import any_layout
from pyattrx.encoders.folding import TOLERANCE, Tracer, agree
from pyattrx.encoders.reading import Reader

__all__ = ["Pass", "joined", "nudged", "observe"]

# Of a gradient's length. Rounding turns a few units on or off, so this is wider than for outputs.
_GRADIENT = {torch.float64: 1e-6, torch.float32: 1e-2, torch.float16: 0.2, torch.bfloat16: 0.5}
# How much more than a change of the input's last bit a difference may be, and still be rounding.
_AMPLIFIED = 8.0


@dataclass(frozen=True)
class Pass:
    """Outputs, features and input gradients of some images.

    Attributes
    ----------
    output : Tensor [N, ...]
    features : Tensor [N, ...]
        The output itself where nothing else is read.
    gradient : Tensor [N, C, H, W] or None
        Of the output's product with `weights`; None where it does not depend on the input through
        differentiable operations, the backward pass fails, or nobody asks for it.
    images : torch.dtype
        Of the images. A network that works in their arithmetic may answer in a finer one, which
        makes its rounding no smaller.
    """

    output: Tensor
    features: Tensor
    gradient: Tensor | None
    images: torch.dtype

    def of(self, order: Sequence[int]) -> Pass:
        """The same of some of the images, in an order."""
        chosen = torch.tensor(list(order), device=self.output.device)
        output = self.output[chosen]
        features = output if self.features is self.output else self.features[chosen]
        gradient = None if self.gradient is None else self.gradient[chosen]
        return Pass(output, features, gradient, self.images)

    def distance(self, other: Pass) -> tuple[float, float]:
        """How far another pass is away, in units of what is allowed: values, and gradients."""
        pairs = [(self.output, other.output)]
        if self.features is not self.output:
            pairs.append((self.features, other.features))
        values = max(_apart(a, b, self.images) for a, b in pairs)
        return values, _gradients_apart(self.gradient, other.gradient)

    def agrees(self, other: Pass, shaken: Pass | None = None, within: float = 1.0) -> bool:
        """Tell whether two passes over the same images are the same but for rounding.

        Parameters
        ----------
        other : Pass
        shaken : Pass, optional
            This one, of images whose last bits were changed: a network that answers to that may
            differ as much.
        within : float
            How much of what is allowed may be used up.
        """
        allowed = (within, within)
        if shaken is not None:
            moved = self.distance(shaken)
            allowed = (max(within, _AMPLIFIED * moved[0]), max(within, _AMPLIFIED * moved[1]))
        there = self.distance(other)
        return there[0] <= allowed[0] and there[1] <= allowed[1]


def observe(
    reader: Reader,
    x: Tensor,
    tracer: Tracer | None = None,
    noted: AbstractContextManager[object] | None = None,
) -> Pass:
    """Run a network on a batch: forward and, unless its reader leaves them out, back.

    Parameters
    ----------
    reader : Reader
    x : Tensor [N, C, H, W]
        As the network sees it.
    tracer : Tracer, optional
        Watches the forward pass.
    noted : context manager, optional
        Entered for the forward pass.

    Returns
    -------
    Pass
        Detached.
    """
    with torch.set_grad_enabled(reader.gradients):
        x = x.detach().requires_grad_(reader.gradients)
        with noted or nullcontext():
            if tracer is None:
                output, features = reader.both(x)
            else:
                with tracer.watching() as answered:
                    output, features = reader.both(x)
                    answered([output, features])
        gradient = None
        if output.requires_grad and reader.gradients:
            largest = float(output.detach().abs().amax())
            scale = largest if 0 < largest < float("inf") else 1.0
            value = (output.float() if output.dtype.itemsize < 4 else output) / scale
            product = (value * weights(output).to(value.dtype)).sum()
            try:
                with any_layout(x):
                    (gradient,) = torch.autograd.grad(product, x, allow_unused=True)
            except Exception:  # of any kind; methods that need no gradient can do without
                gradient = None
            gradient = None if gradient is None else gradient.detach() * scale
    given = output.detach()
    return Pass(given, given if features is output else features.detach(), gradient, x.dtype)


def weights(output: Tensor) -> Tensor:
    """Signs, [1, ...], that every unit of an output counts with: the same for every image."""
    shape = output.shape[1:]
    count = int(np.prod(shape)) if shape else 1
    bits = np.random.PCG64(0).random_raw(-(-count // 64)).view(np.uint8)
    signs = np.unpackbits(bits)[:count].astype(np.float32) * 2 - 1
    return torch.from_numpy(signs).reshape(1, *shape).to(output.device)


def joined(passes: Sequence[Pass]) -> Pass:
    """Several passes as one."""
    if len(passes) == 1:
        return passes[0]
    output = torch.cat([one.output for one in passes])
    same = all(one.features is one.output for one in passes)
    features = output if same else torch.cat([one.features for one in passes])
    gradients = [one.gradient for one in passes if one.gradient is not None]
    whole = len(gradients) == len(passes)
    return Pass(output, features, torch.cat(gradients) if whole else None, passes[0].images)


def nudged(x: Tensor) -> Tensor:
    """Change the last bits of images: what was rounded is rounded anew."""
    generator = torch.Generator().manual_seed(0)
    signs = torch.randint(0, 2, x.shape, generator=generator).mul_(2).sub_(1)
    return x * (1 + signs.to(x) * torch.finfo(x.dtype).eps)


def _apart(a: Tensor, b: Tensor, images: torch.dtype) -> float:
    if a.shape != b.shape or a.dtype != b.dtype:
        return float("inf")
    finite = a.isfinite()
    if not bool(finite.all()):
        return 0.0 if agree(a, b, images) else float("inf")
    if not bool(b.isfinite().all()):
        return float("inf")
    difference = (a.double() - b.double()).abs().amax()
    largest = a.double().abs().amax()
    return _ratio(float(difference), float(largest) * max(TOLERANCE[a.dtype], TOLERANCE[images]))


def _gradients_apart(a: Tensor | None, b: Tensor | None) -> float:
    if a is None or b is None:
        return 0.0 if a is b else float("inf")
    if a.shape != b.shape:
        return float("inf")
    if not bool(a.isfinite().all() & b.isfinite().all()):
        alike = torch.equal(a.isfinite(), b.isfinite())
        return 0.0 if alike else float("inf")
    first, second = a.double().flatten(1), b.double().flatten(1)
    # Scaled first: squares of small gradients would vanish.
    largest = float(first.abs().amax())
    unit = largest if largest > 0 else 1.0
    difference = ((first - second) / unit).norm(dim=1)
    length = (first / unit).norm(dim=1)
    allowed = _GRADIENT[a.dtype]
    return max(
        _ratio(float(d), allowed * float(n)) for d, n in zip(difference, length, strict=True)
    )


def _ratio(difference: float, allowed: float) -> float:
    if difference == 0:
        return 0.0
    return difference / allowed if allowed > 0 else float("inf")
