"""What an attribution method is: how a network's answer is traced back to its input."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from pyattrx._layouts import any_layout
from pyattrx.methods.network import Network
from pyattrx.methods.scalars import Scalar

__all__ = ["Forward", "GradXInput", "InputAttribution", "Saliency"]

#: What an attribution runs: a network, or a function of a batch of images.
Forward = Network | Callable[[Tensor], Tensor]


class InputAttribution:
    """One way of tracing a network's output back to its input, or to a layer on the way.

    Subclass it for a method of your own: either change the derivatives that the pass sees
    (`rules`), or replace the pass altogether (`gradient`), and say in `combine` what the result
    still needs.

    Attributes
    ----------
    name : str
        Name of the method, for provenance.
    combine : {"grad_x_input", "saliency", "identity"}
        What `pyattrx.ops.attribution_maps` does with the tensor that `gradient` returns: multiply
        it by the input, take its magnitude, or nothing (it is the attribution already).
    inner : bool
        Whether it attributes to the layer that ``Encoder(features=...)`` names, and not to the
        input. `gradient` is then asked only for batches that the network can stand as they are.
    maps : int
        How many maps an image has. Those of more than one are a field: a row is all of them, one
        behind another, and `gradient` returns [N, maps, C, H, W].
    unit_maps : bool
        Whether each map of a field is brought to unit length.

    Examples
    --------
    Integrated gradients in eight steps, as a method of one's own:

    >>> import torch, pyattrx
    >>> class IntegratedGradients(pyattrx.InputAttribution):
    ...     name = "integrated_gradients"
    ...     combine = "grad_x_input"
    ...     def gradient(self, forward, x, scalar):
    ...         steps = [(k + 0.5) / 8 for k in range(8)]
    ...         parent = super().gradient
    ...         return sum(parent(forward, s * x, scalar) for s in steps) / 8
    >>> pyattrx.Method(IntegratedGradients()).attribution.name
    'integrated_gradients'
    """

    name: str = ""
    combine: ClassVar[str] = "identity"
    inner: ClassVar[bool] = False

    @property
    def maps(self) -> int:  # noqa: D102
        return 1

    @property
    def unit_maps(self) -> bool:  # noqa: D102
        return False

    def rules(self) -> AbstractContextManager[object]:
        """Return a context in which the network is run; it may change derivatives."""
        return nullcontext()

    def check(self, module: nn.Module) -> None:
        """Raise `EncoderError` for a network that the method cannot attribute."""

    def check_rules(self, rules: object, *values: Tensor) -> None:
        """Raise `EncoderError` where an answer was not made by the rules.

        Parameters
        ----------
        rules : object
            What entering the context of `rules` returned.
        *values : Tensor
            What the network answered, with its graph.
        """

    def gradient(self, forward: Forward, x: Tensor, scalar: Scalar) -> Tensor | None:
        """Run the network on a batch and differentiate its scalar with respect to the input.

        Parameters
        ----------
        forward : Network
            Called, it goes from [N, C, H, W] to the network's output [N, ...]; it has an inner
            layer, too, and other things that an attribution may ask for. Where these are not
            needed any callable will do.
        x : Tensor [N, C, H, W]
            The batch as the network sees it, detached.
        scalar : callable
            From the output to one number per image, [N].

        Returns
        -------
        Tensor [N, C, H, W], [N, maps, C, H, W] or None
            Of the input's shape, unless `combine` is "identity"; then C, H and W are those of what
            is attributed to. None where the output does not depend on the input through
            differentiable operations.
        """
        with torch.enable_grad(), self.rules() as rules:
            x = x.detach().requires_grad_()
            value = scalar(forward(x)).sum()
            self.check_rules(rules, value)
            return differentiated(value, x)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), tuple(sorted(vars(self).items()))))

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in sorted(vars(self).items()))
        return f"{type(self).__name__}({options})"


def differentiated(value: Tensor, x: Tensor) -> Tensor | None:
    """Derivative of a number with respect to an input, by the rules of the context all the way.

    ``torch.autograd.grad`` is a function that a rule may replace, and so runs without any: what is
    computed once more in the backward pass (activation checkpointing) would have other derivatives.

    Parameters
    ----------
    value : Tensor []
    x : Tensor

    Returns
    -------
    Tensor or None
        None where the number does not depend on it through differentiable operations.
    """
    if not value.requires_grad:
        return None
    engine: Any = torch.autograd.Variable._execution_engine
    one = (torch.ones_like(value),)
    with any_layout(x):
        (gradient,) = engine.run_backward(
            (value,), one, False, False, (x,), allow_unreachable=True, accumulate_grad=False
        )
    found: Tensor | None = gradient
    return found


class Saliency(InputAttribution):
    """Magnitude of the gradient (Simonyan et al. 2014)."""

    name = "saliency"
    combine = "saliency"


class GradXInput(InputAttribution):
    """Gradient times input (Shrikumar et al. 2016)."""

    name = "grad_x_input"
    combine = "grad_x_input"
