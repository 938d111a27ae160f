"""Whether a network's output is an activation of its last layer, which then is no classifier."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["is_activated"]

# Not those that make probabilities: a classifier may have one of these behind it.
_ACTIVATIONS: tuple[Callable[[Tensor], Tensor], ...] = (
    F.relu6,
    F.leaky_relu,
    F.elu,
    F.gelu,
    lambda x: F.gelu(x, approximate="tanh"),
    F.silu,
    F.hardswish,
    F.mish,
    torch.tanh,
)


def is_activated(made: Tensor, output: Tensor) -> bool:
    """Tell whether an output is an activation of what a layer made, its mean over locations.

    VGG without its classifier ends so, and MobileNetV3: the last layer is as wide as the output
    there, too. SqueezeNet's classifier has a ReLU before the mean: of several locations, ReLU says
    nothing.

    Parameters
    ----------
    made : Tensor [N, C] or [N, C, H, W]
    output : Tensor [N, C]

    Examples
    --------
    >>> import torch
    >>> from pyattrx.features.activated import is_activated
    >>> made = torch.tensor([[-1.0, 2.0]])
    >>> is_activated(made, made.relu()), is_activated(made, made.softmax(1))
    (True, False)
    """
    made = made.float().flatten(2) if made.dim() > 2 else made.float().unsqueeze(2)
    output = output.float()
    if _close(made.mean(2), output):
        return False
    if _close(made.relu().mean(2), output):
        return made.shape[2] == 1
    return any(_close(activation(made).mean(2), output) for activation in _ACTIVATIONS)


def _close(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=1e-3, atol=1e-4 * float(other.abs().max()))
