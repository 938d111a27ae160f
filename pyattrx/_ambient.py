"""What a caller has set for the whole of PyTorch, kept away from what is computed here.

A default device or dtype, inference mode or switched-off gradients around a call would change its
numbers, or make it fail. Networks still find the default device that their authors may have counted
on: that of the pass.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

import torch

__all__ = ["for_network", "neutral", "neutrally"]

_Arguments = ParamSpec("_Arguments")
_Answer = TypeVar("_Answer")

# Whether the caller has set a default device of PyTorch.
_device_given: ContextVar[bool] = ContextVar("pyattrx_device_given", default=False)


@contextmanager
def neutral() -> Iterator[None]:
    """Run as if nothing had been set.

    New tensors are float32, on the CPU; gradients are on; no inference mode, and no autocast.

    Examples
    --------
    >>> import torch
    >>> from pyattrx._ambient import neutral
    >>> with torch.inference_mode(), neutral():
    ...     print(torch.is_inference_mode_enabled())
    False
    """
    with ExitStack() as stack:
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        # What learns needs gradients; passes without them ask for that themselves.
        if not torch.is_grad_enabled():
            stack.enter_context(torch.enable_grad())
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
            token = _device_given.set(True)
            stack.callback(_device_given.reset, token)
        dtype = torch.get_default_dtype()
        if dtype != torch.float32:
            # One setting for all threads of the process: left alone where it need not be changed.
            torch.set_default_dtype(torch.float32)
            stack.callback(torch.set_default_dtype, dtype)
        yield


def neutrally(function: Callable[_Arguments, _Answer]) -> Callable[_Arguments, _Answer]:
    """Make a function run in `neutral`.

    Examples
    --------
    >>> import torch
    >>> from pyattrx._ambient import neutrally
    >>> with torch.device("meta"):
    ...     neutrally(lambda: torch.zeros(1))()
    tensor([0.])
    """

    @functools.wraps(function)
    def run(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Answer:
        with neutral():
            return function(*args, **kwargs)

    return run


@contextmanager
def for_network(device: torch.device) -> Iterator[None]:
    """Run a network: where the caller had set a default device, it is that of the pass."""
    if _device_given.get():
        with device:
            yield
    else:
        yield
