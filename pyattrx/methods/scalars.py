"""The number that is attributed: one per image, from the network's output of any shape."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pyattrx.errors import EncoderError, InvalidValueError

__all__ = ["SCALARS", "Scalar", "half_squared_norm", "mean", "resolve_scalar"]

#: A function of outputs [N, ...] that gives a number an image, [N].
Scalar = Callable[[Tensor], Tensor]


def mean(output: Tensor) -> Tensor:
    """Mean over the output's units.

    By linearity its attribution is the mean of the attributions of all units, which is what
    Song et al. 2019 use.
    """
    return _units(output).mean(1)


def half_squared_norm(output: Tensor) -> Tensor:
    """Half the squared L2 norm of the output.

    Unlike the mean it does not depend on the basis of the output: rotating it changes nothing.
    """
    return _units(output).square().sum(1) / 2


#: Numbers that can be attributed, by name: each maps outputs [N, ...] to [N].
SCALARS: dict[str, Scalar] = {"mean": mean, "half_squared_norm": half_squared_norm}


def resolve_scalar(scalar: str | Scalar) -> Scalar:
    """Turn a scalar's name, or a callable from output [N, ...] to [N], into a checked callable.

    Raises
    ------
    InvalidValueError
        Unknown name, or neither a name nor a callable.
    """
    if isinstance(scalar, str) and scalar in SCALARS:
        return SCALARS[scalar]
    if isinstance(scalar, str) or not callable(scalar):
        names = ", ".join(repr(name) for name in SCALARS)
        raise InvalidValueError(
            "scalar", scalar, f"{names}, or a callable from output [N, ...] to [N]"
        )
    given = scalar

    def checked(output: Tensor) -> Tensor:
        value = given(output)
        if not isinstance(value, Tensor) or value.shape != output.shape[:1]:
            got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise EncoderError(
                f"the scalar {given!r} returned {got} for an output of shape "
                f"{tuple(output.shape)}: expected one number per image, shape "
                f"{tuple(output.shape[:1])}"
            )
        return value

    return checked


def _units(output: Tensor) -> Tensor:
    if output.dtype in (torch.float16, torch.bfloat16):
        output = output.float()  # a mean over many units, or a square, may not fit the half types
    return output.flatten(1) if output.dim() > 1 else output[:, None]
