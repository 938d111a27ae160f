"""Which parts of a network take part in a pass: those whose tensors an operator reads.

A part may be used without being called, as the projection of an attention layer is, and a whole
branch may be there and not run. So what counts is which parameters and buffers reach an operator.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from pyattrx._modes import Arguments, DispatchMode, Function, Named
from pyattrx.encoders.copying import tensors_in
from pyattrx.encoders.rebinding import stored_at

__all__ = ["Used"]


class Used(DispatchMode):
    """Notes the parts of a module whose tensors are read while it is entered.

    Parameters
    ----------
    module : nn.Module

    Attributes
    ----------
    names : set of str
        Dotted names of the parts, and of the parts that hold them.

    Examples
    --------
    >>> import torch
    >>> from pyattrx.encoders.used import Used
    >>> network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    >>> with Used(network) as used:
    ...     answer = network[1](torch.ones(1, 2))
    >>> sorted(used.names)
    ['', '1']
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.names: set[str] = set()
        self._owners: dict[int | None, set[str]] = {}
        for name, part in module.named_modules(remove_duplicate=False):
            steps = name.split(".") if name else []
            holders = {".".join(steps[:count]) for count in range(len(steps) + 1)}
            for tensor in (*part._parameters.values(), *part._buffers.values()):
                if tensor is not None:
                    self._owners.setdefault(stored_at(tensor), set()).update(holders)
        self._owners.pop(None, None)

    def call(self, function: Function, arguments: Arguments, named: Named) -> Any:
        """Call a function, and note whose tensors it is given."""
        for tensor in tensors_in((arguments, named)):
            self.names |= self._owners.get(stored_at(tensor), set())
        return function(*arguments, **named)
