"""Prepared networks as programs of torch.compile: forward and backward pass, made once.

Networks of one architecture share a program: their weights are its inputs, and its guards say
whether it fits. It never does where a network's modules have classes of their own, as parametrised
ones (weight norm) have; and a network with hooks gets a program of its own.

Batches come in one size: a shorter one is filled up, since a second size would be a second
compilation, and a pass of the network as it is would round differently in the midst of a run.

Nothing falls back silently. What torch.compile cannot turn into one graph is an error, and so is a
program that was never compiled because somebody switched torch.compile off.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn

from pyattrx.encoders.originals import ALL_MODULES
from pyattrx.encoders.outputs import Part, pick_tensor
from pyattrx.errors import EncoderError

__all__ = ["CompiledNetwork"]

_BACKEND = "inductor"
# Programs that are kept for the next network of the same architecture.
_MOST_PROGRAMS = 16
# A network begins with a program that has fewer versions; every version makes finding one slower.
_MOST_VERSIONS = 6
# Versions at which torch.compile gives up, in place of its 8: a method may need one for every part
# of it, a network that is another in every pass needs ever more.
_LIMIT = 64

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class CompiledNetwork:
    """Runs a prepared network by programs.

    Parameters
    ----------
    module : nn.Module
        Frozen, in its final memory layout; not changed any more.
    output, features : None, nn.Module or callable
        Where it is read.
    layout : torch.memory_format
        Of its inputs.
    batch_size : int
        Images in a full batch.
    """

    def __init__(
        self,
        module: nn.Module,
        output: Part,
        features: Part,
        layout: torch.memory_format,
        batch_size: int,
    ) -> None:
        self._module = module
        self._parts = (output, features)
        self._layout = layout
        self._batch_size = batch_size
        self._kind = _architecture(module)
        self._programs: dict[Any, _Program] = {}
        self._sizes: dict[Any, set[int]] = {}

    def output(self, x: Tensor) -> Tensor:
        """Run on what the network sees; return the output [N, ...] that stands for it."""
        (z,) = self._run(_output, self._parts[:1], x)
        return z

    def both(self, x: Tensor) -> Sequence[Tensor]:
        """Return the output and the features, of one pass where that is possible."""
        return self._run(_both, self._parts, x)

    def _run(
        self, function: Callable[..., Any], parts: Sequence[Part], x: Tensor
    ) -> tuple[Tensor, ...]:
        count = len(x)
        which = (function, x.requires_grad, tuple(x.shape[1:]))
        sizes = self._sizes.setdefault(which, set())
        size = min((s for s in sizes if s >= count), default=max(count, self._batch_size))
        if size > count:
            more = x[-1:].detach().expand(size - count, *x.shape[1:])
            x = torch.cat([x, more])
        x = x.contiguous(memory_format=self._layout)
        if function not in self._programs:
            self._programs[function] = _program(function, self._kind, parts)
        program = self._programs[function]
        with _tapped(parts), _no_leaf(x):
            answer = program(self._module, *parts, x)
        if program.versions == 0:
            raise EncoderError("torch.compile is switched off, and compiled nothing")
        sizes.add(size)
        # A program without any output that is one entry an image shows itself in the checks.
        return tuple(z[:count] if z.dim() and len(z) == size else z for z in answer)


class _Program:
    """One function, compiled: as often as its guards say that it does not fit."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.versions = 0
        assert isinstance(function, FunctionType)
        # Versions are counted by code object, over everything that has the same.
        own = FunctionType(function.__code__.replace(), function.__globals__, function.__name__)
        self._run: Callable[..., Any] = torch.compile(
            own, backend=self._compile, fullgraph=True, dynamic=False
        )

    def __call__(self, *arguments: Any) -> Any:
        try:
            with ALL_MODULES, _more_versions():  # a call may compile
                return self._run(*arguments)
        except Exception as error:
            if self.versions < _LIMIT:
                raise
            raise EncoderError(
                f"{self.versions} versions of its program were made and none fits: "
                "something is different in every pass"
            ) from error

    def _compile(self, graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Any:
        from torch._dynamo.backends.registry import lookup_backend

        made = lookup_backend(_BACKEND)(graph, inputs)
        self.versions += 1
        return made


_programs: OrderedDict[Any, _Program] = OrderedDict()


def _program(function: Callable[..., Any], kind: Any, parts: Sequence[Part]) -> _Program:
    """A program that networks of this kind share; one of its own where it is not known who does."""
    if kind is None:
        return _Program(function)
    key = (function, kind, tuple(type(part) for part in parts), _BACKEND)
    program = _programs.pop(key, None)
    if program is None or program.versions >= _MOST_VERSIONS:
        program = _Program(function)
    _programs[key] = program
    if len(_programs) > _MOST_PROGRAMS:
        _programs.popitem(last=False)
    return program


def _architecture(module: nn.Module) -> Any:
    """What networks have in common that may share a program; None for one that must not.

    Guards find out what differs, but for hooks, which they do not look at.
    """
    for part in module.modules():
        if any(getattr(part, hooks, None) for hooks in _HOOKS):
            return None
    return type(module), repr(module)


# What is compiled. Reading is part of it, so that what an output does not need is left out.


def _output(module: nn.Module, output: Part, x: Tensor) -> tuple[Tensor]:
    return (_read(module, output, x),)


def _both(module: nn.Module, output: Part, features: Part, x: Tensor) -> tuple[Tensor, Tensor]:
    z = _read(module, output, x)
    if isinstance(features, nn.Module) and hasattr(features, "_pyattrx_seen"):
        return z, _seen(features)
    return z, _read(module, features, x)


def _read(module: nn.Module, part: Part, x: Tensor) -> Tensor:
    if isinstance(part, nn.Module):
        module(x)
        return _seen(part)
    return pick_tensor(module(x) if part is None else part(module, x))


def _seen(part: nn.Module) -> Tensor:
    seen = part._pyattrx_seen
    assert isinstance(seen, Tensor)
    return seen


def _keep(part: nn.Module, _: Any, answer: Any) -> None:
    # A copy: what follows may write into the tensor.
    part._pyattrx_seen = pick_tensor(answer).clone()


def _more_versions() -> AbstractContextManager[Any]:
    """Let torch.compile make `_LIMIT` versions of a function, in this context."""
    from torch._dynamo import config

    # The setting is each thread's own in recent releases. In earlier ones threads share it: one
    # that leaves last may leave it raised, which harms nothing.
    name = "recompile_limit" if hasattr(config, "recompile_limit") else "cache_size_limit"
    raised: AbstractContextManager[Any] = config.patch(name, max(_LIMIT, getattr(config, name)))
    return raised


@contextmanager
def _no_leaf(x: Tensor) -> Iterator[None]:
    """Be silent about an input that was computed: the compiler looks at its ``.grad``."""
    if x.is_leaf:
        yield
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"The \.grad attribute of a Tensor")
        yield


@contextmanager
def _tapped(parts: Sequence[Part]) -> Iterator[None]:
    """Let submodules keep what they answer."""
    tapped = [part for part in parts if isinstance(part, nn.Module)]
    hooks = [part.register_forward_hook(_keep) for part in tapped]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for part in tapped:
            part.__dict__.pop("_pyattrx_seen", None)
