"""Which tensor of a network's answer stands for the network."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from pyattrx.encoders.copying import tensors_in
from pyattrx.errors import EncoderError

__all__ = ["Output", "Part", "pick_tensor", "put_tensor", "run_until"]

Output = None | str | Callable[[nn.Module, Tensor], Tensor]
# The same where a submodule's name was looked up.
Part = None | nn.Module | Callable[[nn.Module, Tensor], Tensor]

# Keys of mappings and dataclasses that hold a network's representation, best first.
_KEYS = ("last_hidden_state", "features", "out", "logits", "pooler_output")


class _Reached(BaseException):  # a forward method that catches Exception must not swallow it
    def __init__(self, value: Any) -> None:
        self.value = value


def pick_tensor(value: Any) -> Tensor:
    """Find the tensor in what a module returned.

    A tensor is itself; a tuple or list stands for its first floating tensor; a mapping or dataclass
    for its only floating tensor, or for the first it has of ``last_hidden_state``, ``features``,
    ``out``, ``logits``, ``pooler_output``.

    Raises
    ------
    EncoderError
        There is none, or no rule says which.
    """
    if isinstance(value, Tensor):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, (Mapping, type)):
        value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        tensors: dict[Any, Tensor] = {k: v for k, v in value.items() if _floating(v)}
        for key in _KEYS:
            if key in tensors:
                return tensors[key]
        if len(tensors) == 1:
            return next(iter(tensors.values()))
        raise EncoderError(
            f"the output has the keys {sorted(map(str, value))}, and no rule says which one stands "
            "for the network; say it with output=, for example "
            "output=lambda module, x: module(x)['key']"
        )
    if isinstance(value, (tuple, list)):
        for tensor in tensors_in(value):
            if _floating(tensor):
                return tensor
    raise EncoderError(
        f"the output is a {type(value).__name__} without a floating tensor; "
        "choose one with output= (a submodule's name or a function of module and input)"
    )


def put_tensor(value: Any, old: Tensor, new: Tensor) -> Any:
    """Put a tensor in the place of the one that `pick_tensor` found in what a module returned.

    Raises
    ------
    EncoderError
        It cannot be put there.
    """
    if value is old:
        return new
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return dataclasses.replace(value, **put_tensor(parts, old, new))
    if isinstance(value, dict):
        for key, part in value.items():
            if _holds(part, old):
                return type(value)({**value, key: put_tensor(part, old, new)})
    if isinstance(value, (tuple, list)):
        parts_in_turn = [put_tensor(p, old, new) if _holds(p, old) else p for p in value]
        make = getattr(value, "_make", type(value))  # of a named tuple
        return make(parts_in_turn)
    raise EncoderError(f"nothing can be put in the place of a tensor in a {type(value).__name__}")


def _holds(value: Any, tensor: Tensor) -> bool:
    return any(one is tensor for one in tensors_in(value))


def run_until(module: nn.Module, x: Tensor, submodule: nn.Module) -> Any:
    """Run a module until one of its submodules has answered, and return that answer.

    Raises
    ------
    EncoderError
        The submodule is not called.
    """

    def reached(_: nn.Module, __: Any, answer: Any) -> None:
        raise _Reached(answer)

    hook = submodule.register_forward_hook(reached)
    try:
        module(x)
    except _Reached as stop:
        return stop.value
    finally:
        hook.remove()
    raise EncoderError("the submodule chosen by output= is not called in a forward pass")


def _floating(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()
