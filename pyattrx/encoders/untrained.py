"""Weights that look as they were initialised: a network that nobody has trained.

A factory that forgets to load weights gives plausible maps, and a library's models are random
unless asked otherwise. Ranking them is no mistake, so it is said, not refused.
"""

from __future__ import annotations

import warnings
from collections.abc import Container
from typing import Any

from torch import Tensor, nn

from pyattrx._level import outside
from pyattrx.errors import UntrainedWarning

__all__ = ["looks_untrained", "say_untrained"]

_LAYERS = (
    nn.Linear,
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)
_ENOUGH = 64  # weights of a layer whose largest is near the bound that they were drawn from
_NEAR = 0.9


def say_untrained(name: str, why: str | None) -> None:
    """Warn that a network looks untrained, if there is a reason to think so.

    Examples
    --------
    >>> from pyattrx.encoders.untrained import say_untrained
    >>> say_untrained("net", None)
    """
    if why is not None:
        warnings.warn(
            f"network {name!r} looks untrained: {why}; its weights may not have been loaded",
            UntrainedWarning,
            stacklevel=outside(),
        )


def looks_untrained(module: nn.Module, used: Container[str] | None = None) -> str | None:
    """Say why the weights of a network look as they were initialised.

    Parameters
    ----------
    module : nn.Module
    used : container of str, optional
        Names of the parts that are judged; all of them if left out. A trained head behind the
        output, or a branch that never runs, says nothing of the others.

    Returns
    -------
    str or None
        None where they do not: at least some of them have learned something.

    Examples
    --------
    >>> import torch
    >>> from pyattrx.encoders.untrained import looks_untrained
    >>> looks_untrained(torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8)))
    'no batch norm has seen an image'
    """
    parts = [part for name, part in module.named_modules() if used is None or name in used]
    counting = [
        part
        for part in parts
        if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.running_var is not None
    ]
    if counting:
        fresh = all(_all(n.running_mean, 0) and _all(n.running_var, 1) for n in counting)
        return "no batch norm has seen an image" if fresh else None
    norms: list[Any] = [part for part in parts if _is_norm(part)]
    if norms:
        fresh = all(_all(norm.weight, 1) and _all(norm.bias, 0) for norm in norms)
        return "every normalisation has weights of exactly 1 and biases of 0" if fresh else None
    layers = [part for part in parts if isinstance(part, _LAYERS) and part.weight is not None]
    biased = [part for part in layers if isinstance(part.bias, Tensor)]
    if len(biased) > 1 and all(_all(part.bias, 0) for part in biased):
        return "every bias is exactly 0"
    large = [part for part in layers if part.weight.numel() >= _ENOUGH]
    if large and all(_uniform(part) for part in large):
        return "every layer has the weights that PyTorch draws for a new one"
    return None


def _is_norm(part: nn.Module) -> bool:
    kinds = (nn.LayerNorm, nn.GroupNorm, nn.modules.instancenorm._InstanceNorm)
    named = isinstance(part, kinds) or type(part).__name__.endswith("Norm")
    return named and isinstance(getattr(part, "weight", None), nn.Parameter)


def _all(values: Tensor | None, number: float) -> bool:
    return values is None or bool((values == number).all())


def _uniform(part: nn.Module) -> bool:
    """Whether the weights fill the interval that PyTorch draws them from, and no more."""
    weight = part.weight
    assert isinstance(weight, Tensor)
    if weight.is_quantized:
        return False
    bound = float(weight[0].numel()) ** -0.5  # 1 / sqrt(fan in), as PyTorch counts it
    largest = float(weight.detach().abs().max())
    return bool(_NEAR * bound <= largest <= bound * 1.001)
