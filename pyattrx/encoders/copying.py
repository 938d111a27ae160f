"""The private copy of a network, and the surroundings in which it is made and looked at."""

from __future__ import annotations

import contextlib
import copy
import random
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from pyattrx._modes import Arguments, Function, FunctionMode, Named
from pyattrx.encoders.rebinding import rebind, stored_at
from pyattrx.errors import AssumptionError, EncoderError

__all__ = [
    "all_tensors",
    "not_private",
    "own_tensors",
    "private_copy",
    "random_state_kept",
    "tensors_in",
]


def private_copy(
    module: nn.Module,
    name: str,
    device: torch.device,
    dtype: torch.dtype | None = None,
    computed: torch.dtype | None = None,
) -> nn.Module:
    """Copy a network: in eval mode, parameters frozen, on a device.

    Parameters
    ----------
    module : nn.Module
        Left as it is.
    name : str
        For messages.
    device : torch.device
    dtype : torch.dtype, optional
        Floating parameters and buffers are rounded to it; left alone if None, so that a network of
        mixed precision stays one.
    computed : torch.dtype, optional
        Half types become this one, in which passes are made.

    Raises
    ------
    EncoderError
        The network has no values yet, or cannot be copied or moved.
    """
    for key, tensor in (*module.named_parameters(), *module.named_buffers()):
        if is_lazy(tensor) or tensor.is_meta:
            raise EncoderError(
                f"network {name!r}: {key} has no values yet (a lazy or a meta tensor); run the "
                "network once, or load its weights, first"
            )
    memo: dict[int, Any] = {}
    try:
        with torch.no_grad(), _Detached():
            made = copy.deepcopy(module, memo)
            rebind(made, memo)
    except Exception as error:
        raise EncoderError(
            f"network {name!r} cannot be copied ({type(error).__name__}: {error}); the module is "
            "never changed, so a copy is needed: remove open handles and the like from its "
            "attributes"
        ) from error
    _check_private(module, made, name)
    try:
        with contextlib.suppress(NotImplementedError):  # an exported program has no modes
            made.eval()
        for parameter in made.parameters():
            parameter.grad = None
            parameter.requires_grad_(False)
        made = made.to(device)
        if dtype is not None:
            made._apply(lambda t: t.to(dtype) if t.is_floating_point() else t)
        if computed is not None and computed.itemsize > 2:
            halves = (torch.float16, torch.bfloat16)
            made._apply(lambda t: t.to(computed) if t.dtype in halves else t)
    except AssumptionError:
        raise
    except Exception as error:
        to = "" if dtype is None else f" and {dtype}"
        raise EncoderError(
            f"network {name!r} cannot be moved to {device}{to}: {type(error).__name__}: {error}"
        ) from error
    return made


class _Detached(FunctionMode):
    """Copies tensors with a gradient history, which refuse it, wherever a network keeps them.

    Kept activations, recomputed weights.
    """

    def call(self, function: Function, arguments: Arguments, named: Named) -> Any:
        if function is Tensor.__deepcopy__ and arguments[0].grad_fn is not None:
            tensor, memo = arguments
            return memo.setdefault(id(tensor), tensor.detach().clone())
        return function(*arguments, **named)


def own_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Find the tensors that a module holds beside its state, by name.

    Buffers that are not saved, plain attributes, and tensors in lists, tuples and dictionaries of
    them. An activation that was kept has a history and is none of them.
    """
    saved = {id(t) for t in (*module.parameters(), *module.state_dict(keep_vars=True).values())}
    found: dict[str, Tensor] = {}
    for name, part in module.named_modules():
        held = {key: v for key, v in vars(part).items() if key not in ("_parameters", "_modules")}
        buffers = held.pop("_buffers", {})
        for key, value in (*buffers.items(), *held.items()):
            if key.endswith("hooks"):
                continue
            for index, tensor in enumerate(tensors_in(value)):
                if id(tensor) not in saved and tensor.grad_fn is None:
                    found[f"{name}.{key}.{index}"] = tensor
    return found


def all_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Find parameters, buffers and other tensors of a module, by name."""
    return {
        **dict(module.named_parameters()),
        **dict(module.named_buffers()),
        **own_tensors(module),
    }


def not_private(name: str, what: str) -> AssumptionError:
    """Make the error that says that a copy refers to its original."""
    return AssumptionError(
        "private copy",
        f"network {name!r}: {what}, and networks are never changed, so that a copy is run; a "
        "replaced forward method, a hook, and output(module, x) or features(module, x), must use "
        "the module that it is given, and not the original",
    )


def _check_private(original: nn.Module, made: nn.Module, name: str) -> None:
    """Refuse a copy that shares parts or tensors with its original.

    Raises
    ------
    AssumptionError
    """
    shared = {id(part): key for key, part in original.named_modules()}
    for part in made.modules():
        if id(part) in shared:
            raise not_private(
                name, f"the copy shares its part {shared[id(part)]!r} with the original"
            )
    known = all_tensors(original).items()
    tensors = {id(tensor): key for key, tensor in known}
    places = {storage: key for key, tensor in known if (storage := stored_at(tensor)) is not None}
    for tensor in all_tensors(made).values():
        key = tensors.get(id(tensor)) or places.get(stored_at(tensor) or 0)
        if key is not None:
            raise not_private(name, f"the copy shares {key} with the original")


@contextlib.contextmanager
def random_state_kept(device: torch.device) -> Iterator[None]:
    """Leave the random states of torch, NumPy and Python as they were."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 (the global state)
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


def tensors_in(value: Any) -> Iterable[Tensor]:
    """Find the tensors in nested tuples, lists and dictionaries."""
    # Containers first: whether something else is a tensor, a metaclass in Python has to say.
    if isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors_in(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors_in(item)
    elif isinstance(value, Tensor):
        yield value
