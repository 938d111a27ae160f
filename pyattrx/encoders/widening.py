"""Networks that go to half precision by themselves, computed in a wider type all the way.

A copy of a float16 network has wide weights; a cast in its forward method, a half constant or
autocast to float16 would bring back what was to be avoided, or not fit the weights.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from pyattrx._modes import Arguments, Function, FunctionMode, Named
from pyattrx.encoders.folding import DESCRIPTIONS

__all__ = ["Widened"]

_HALVES = (torch.float16, torch.bfloat16)
_CASTS = (torch.Tensor.half, torch.Tensor.bfloat16)


class Widened(FunctionMode):
    """Runs every function with a wide type where it is given a half one.

    Parameters
    ----------
    dtype : torch.dtype

    Examples
    --------
    >>> import torch
    >>> from pyattrx.encoders.widening import Widened
    >>> with Widened(torch.float32):
    ...     torch.ones(2).half().dtype
    torch.float32
    """

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self._dtype = dtype

    def call(self, function: Function, arguments: Arguments, named: Named) -> Any:
        """Call a function with wide types."""
        if function in DESCRIPTIONS:
            return function(*arguments, **named)
        if function in _CASTS:
            return arguments[0].to(self._dtype)
        arguments, named = tree_map(self._wide, (arguments, named))
        kind = next((v.device.type for v in arguments if isinstance(v, Tensor)), "cpu")
        if torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind) == torch.float16:
            with torch.autocast(kind, enabled=False):
                return function(*arguments, **named)
        return function(*arguments, **named)

    def _wide(self, value: Any) -> Any:
        if isinstance(value, torch.dtype) and value in _HALVES:
            return self._dtype
        if isinstance(value, Tensor) and value.dtype in _HALVES:
            with torch._C.DisableTorchFunction():
                return value.to(self._dtype)
        return value
