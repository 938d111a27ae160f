"""PyTorch's modes, which see every function that is called while they are entered.

With one method to write: what happens to a call.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["DispatchMode", "FunctionMode"]

Function = Callable[..., Any]
Arguments = tuple[Any, ...]
Named = dict[str, Any]


class FunctionMode(TorchFunctionMode):
    """Sees the functions of PyTorch that Python calls.

    Examples
    --------
    >>> import torch
    >>> from pyattrx._modes import FunctionMode
    >>> class Names(FunctionMode):
    ...     def call(self, function, arguments, named):
    ...         print(function.__name__)
    ...         return function(*arguments, **named)
    >>> with Names():
    ...     x = torch.ones(2).relu()
    ones
    relu
    """

    def __torch_function__(
        self, func: Function, types: Sequence[type], args: Arguments = (), kwargs: Any = None
    ) -> Any:
        return self.call(func, args, kwargs or {})

    def call(self, function: Function, arguments: Arguments, named: Named) -> Any:
        """Answer a call; ``function(*arguments, **named)`` does what it would have done."""
        raise NotImplementedError


class DispatchMode(TorchDispatchMode):
    """Sees the operators that are run, also inside programs and in backward passes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._uncompiled: Callable[..., Any] | None = None

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Leave `__torch_dispatch__` as it is: wrapped, it would import PyTorch's compiler.

        That takes seconds, and is of use only to networks that are compiled.
        """
        return False

    def __torch_dispatch__(
        self, func: Function, types: Sequence[type], args: Arguments = (), kwargs: Any = None
    ) -> Any:
        if self._uncompiled is None:
            # Not there while it is being imported.
            disable = getattr(sys.modules.get("torch._dynamo"), "disable", None)
            if disable is None:
                return self.call(func, args, kwargs or {})
            self._uncompiled = disable(self.call, recursive=True)
        return self._uncompiled(func, args, kwargs or {})

    def call(self, function: Function, arguments: Arguments, named: Named) -> Any:
        """Answer a call; ``function(*arguments, **named)`` does what it would have done."""
        raise NotImplementedError
