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

from pyattrx.errors import EncoderError

__all__ = ["private_copy", "random_state_kept", "tensors_in"]


def private_copy(
    module: nn.Module, name: str, device: torch.device, dtype: torch.dtype | None
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
        Floating parameters and buffers are cast to it; left alone if None, so that a network of
        mixed precision stays one.

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
    # Tensors with a gradient history (kept activations, recomputed weights) refuse to be copied.
    memo: dict[int, Any] = {
        id(tensor): tensor.detach().clone()
        for part in module.modules()
        for tensor in tensors_in(vars(part))
        if tensor.grad_fn is not None
    }
    try:
        with torch.no_grad():
            made = copy.deepcopy(module, memo)
    except Exception as error:
        raise EncoderError(
            f"network {name!r} cannot be copied ({type(error).__name__}: {error}); the module is "
            "never changed, so a copy is needed: remove open handles and the like from its "
            "attributes"
        ) from error
    try:
        with contextlib.suppress(NotImplementedError):  # an exported program has no modes
            made.eval()
        for parameter in made.parameters():
            parameter.grad = None
            parameter.requires_grad_(False)
        made = made.to(device)
        if dtype is not None:
            made._apply(lambda t: t.to(dtype) if t.is_floating_point() else t)
    except Exception as error:
        to = "" if dtype is None else f" and {dtype}"
        raise EncoderError(
            f"network {name!r} cannot be moved to {device}{to}: {type(error).__name__}: {error}"
        ) from error
    return made


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
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors_in(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors_in(item)
