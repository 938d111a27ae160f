"""A network's copy, watched for what still refers to the original.

Copying follows attributes, containers and closures (`rebinding`). What it cannot follow shows while
the copy is run: a part of the original is called, or one of its tensors is used. That is noticed
before anything happens to it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode

from pyattrx.encoders.copying import all_tensors, not_private, tensors_in
from pyattrx.encoders.folding import DESCRIPTIONS
from pyattrx.errors import AssumptionError

__all__ = ["original_untouched"]


@contextmanager
def original_untouched(original: nn.Module, name: str) -> Iterator[None]:
    """Refuse a copy that calls a part of its original, or uses a tensor of it, in this context.

    Raises
    ------
    AssumptionError
        Also where the network itself has caught it.
    """
    parts = {id(part): key for key, part in original.named_modules()}
    thread = threading.get_ident()
    found: list[AssumptionError] = []

    def refuse(what: str) -> None:
        found.append(not_private(name, what))
        raise found[0]

    def called(part: nn.Module, _: Any) -> None:
        if id(part) in parts and threading.get_ident() == thread:
            key = parts[id(part)]
            refuse(f"the copy calls {f'{key!r} of ' if key else ''}the original")

    hook = register_module_forward_pre_hook(called)
    try:
        with _Tensors({id(t): key for key, t in all_tensors(original).items()}, refuse):
            yield
    finally:
        hook.remove()
        if found:
            raise found[0]


class _Tensors(TorchFunctionMode):
    """Refuses function calls that take a tensor of the original, or one that can be trained."""

    def __init__(self, known: dict[int, str], refuse: Callable[[str], None]) -> None:
        super().__init__()
        self._known = known
        self._refuse = refuse

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func not in DESCRIPTIONS:
            for tensor in tensors_in((args, kwargs or {})):
                if id(tensor) in self._known:
                    self._refuse(f"the copy uses {self._known[id(tensor)]} of the original")
                if isinstance(tensor, nn.Parameter) and tensor.requires_grad:
                    self._refuse("it uses parameters beside its own, which are not frozen")
        return func(*args, **(kwargs or {}))
