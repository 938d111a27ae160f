"""A network's copy, watched for what still refers to the original.

Copying follows attributes, containers and closures (`rebinding`). What it cannot follow shows while
the copy is run: a part of the original is called, or one of its tensors is used. That is noticed
before anything happens to it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from pyattrx._modes import Arguments, Function, FunctionMode, Named
from pyattrx.encoders.copying import all_tensors, not_private, tensors_in
from pyattrx.encoders.folding import DESCRIPTIONS
from pyattrx.encoders.rebinding import stored_at
from pyattrx.errors import AssumptionError

__all__ = ["ALL_MODULES", "original_untouched"]


# Held by who hooks the calls of all modules, and by who calls the compiler: its programs depend on
# such hooks, those of another thread, too, and it fails where one goes while it looks at them.
ALL_MODULES = threading.RLock()


@contextmanager
def original_untouched(
    original: nn.Module, name: str, *, who: str = "the copy", reads: bool = False
) -> Iterator[None]:
    """Refuse a copy that calls a part of its original, or uses a tensor of it, in this context.

    Parameters
    ----------
    original : nn.Module
    name : str
        For messages.
    who : str
        What runs, for messages.
    reads : bool
        Whether it may call and read the original, and only not change it: a transform may know
        the network's own mean.

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
            refuse(f"{who} calls {f'{key!r} of ' if key else ''}the original")

    attributes = _Attributes(original)
    buffers = [(key, it, it.detach().clone()) for key, it in original.named_buffers() if reads]
    with ExitStack() as watched:
        if not reads:
            watched.enter_context(ALL_MODULES)
            watched.callback(register_module_forward_pre_hook(called).remove)
            watched.enter_context(_Tensors(all_tensors(original), refuse))
        try:
            yield
        finally:
            written = attributes.put_back()
            for key, now, before in buffers:
                # By values: batch norm writes behind the back of version counters.
                if not _equal(now, before):
                    now.detach().copy_(before)
                    written = written or key
            if found:
                raise found[0]
            if written is not None:
                raise not_private(name, f"{who} writes to {written} of the original")


class _Attributes:
    """The attributes of all parts of a module, and of what they hold in lists and dictionaries."""

    def __init__(self, module: nn.Module) -> None:
        self._known: list[tuple[str, Any, Any]] = []
        for name, part in module.named_modules():
            held = vars(part)
            self._known.append((name, held, held.copy()))
            self._known += [
                (f"{name}.{key}" if name else key, value, value.copy())
                for key, value in held.items()
                if isinstance(value, (list, dict, set, deque))
            ]

    def put_back(self) -> str | None:
        """Undo what was written, and name the first such place."""
        written = None
        for name, now, before in self._known:
            if _identical(now, before):
                continue
            written = written or name or "attributes"
            now.clear()
            (now.extend if isinstance(now, (list, deque)) else now.update)(before)
        return written


def _equal(now: Tensor, before: Tensor) -> bool:
    if now.layout != torch.strided or now.is_quantized:
        return True
    return bool(((now == before) | (now.isnan() & before.isnan())).all())


def _identical(now: Any, before: Any) -> bool:
    if len(now) != len(before):
        return False
    if isinstance(now, set):
        return bool(now == before)
    if isinstance(now, dict):
        return all(key in now and now[key] is value for key, value in before.items())
    return all(one is other for one, other in zip(now, before, strict=True))


class _Tensors(FunctionMode):
    """Refuses function calls that take a tensor of the original, or one that can be trained."""

    def __init__(self, known: dict[str, Tensor], refuse: Callable[[str], None]) -> None:
        super().__init__()
        self._known = {id(tensor): name for name, tensor in known.items()}
        self._stored = {
            storage: name
            for name, tensor in known.items()
            if (storage := stored_at(tensor)) is not None
        }
        self._refuse = refuse

    def call(self, function: Function, arguments: Arguments, named: Named) -> Any:
        if function not in DESCRIPTIONS:
            for tensor in tensors_in((arguments, named)):
                name = self._known.get(id(tensor)) or self._stored.get(stored_at(tensor) or 0)
                if name is not None:
                    self._refuse(f"the copy uses {name} of the original")
                if isinstance(tensor, nn.Parameter) and tensor.requires_grad:
                    self._refuse("it uses parameters beside its own, which are not frozen")
        return function(*arguments, **named)
