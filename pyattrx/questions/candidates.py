"""Layers of a network that one could start from: the ends of its stages and blocks."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from typing import Any

import torch
from torch import Tensor, nn

from pyattrx._ambient import neutral
from pyattrx.encoders import (
    Encoder,
    PreparedEncoder,
    exponent_of,
    original_untouched,
    pick_tensor,
)
from pyattrx.errors import EncoderError, InvalidTypeError, InvalidValueError, PyattrxError
from pyattrx.probes import Probes
from pyattrx.running import arithmetic, examples

__all__ = ["Spot", "check_names", "find_layers"]

MOST = 24  # that are found by themselves
# Images that are tried at once: two, since one alone may lose its dimension; a network may be of a
# fixed size.
_WRAPPER = 0.9  # share of the parameters of the network
_COUNTS = (2, 1, 4, 8, 16, 32)


@dataclass(frozen=True)
class Spot:
    """A layer.

    Attributes
    ----------
    name : str
        Of the submodule.
    shape : tuple of int
        Of what it says of an image.
    exponent : int
        Of the power of two near the largest number of that.
    """

    name: str
    shape: tuple[int, ...]
    exponent: int


@dataclass(eq=False)
class _Call:
    """What a submodule was given and gave back, the first time that it was called."""

    name: str
    part: nn.Module
    given: Tensor | None
    made: Tensor | None  # None where it is no floating tensor of a row an image
    place: int
    times: int = 1


def check_names(at: Any, module: nn.Module) -> tuple[str, ...] | None:
    """Return the layers that are asked for; None where they are to be found.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        No names, one twice, or one that the network does not have.
    """
    if at is None:
        return None
    expected = "names of submodules, such as ['layer3', 'layer4'], or None"
    if isinstance(at, str) or not isinstance(at, Sequence):
        raise InvalidTypeError("at", at, expected)
    if not at:
        raise InvalidValueError("at", list(at), "at least one layer, or None")
    known = [name for name, _ in module.named_modules() if name]
    for index, name in enumerate(at):
        if not isinstance(name, str):
            raise InvalidTypeError(f"at[{index}]", name, expected)
        if name not in known:
            near = difflib.get_close_matches(name, known, n=5, cutoff=0.3) or known[:5]
            raise InvalidValueError(
                f"at[{index}]", name, f"a submodule's dotted name, such as {near}"
            )
        if name in at[:index]:
            raise InvalidValueError(f"at[{index}]", name, "each layer once")
    return tuple(at)


def find_layers(
    encoder: Encoder, probes: Probes, device: torch.device, at: Sequence[str] | None
) -> list[Spot]:
    """Find layers of a network, first to last.

    Parameters
    ----------
    encoder : Encoder
        Its module is left as it is.
    probes : Probes
    device : torch.device
    at : sequence of str, optional
        Layers that are asked for, checked by `check_names`; else the ends of stages and blocks.

    Raises
    ------
    EncoderError
        The network fails; a layer that is asked for is not called once, or answers no tensor that
        has a row for each image; or none is found.
    """
    calls = _watched(encoder, examples(probes)[0], device)
    if at is None:
        found = _Tree(encoder.module, calls).ends()
        if not found:
            raise EncoderError(
                f"network {encoder.name!r}: it has no stages or blocks that are modules called "
                "once; name layers with at="
            )
    else:
        found = [_asked_for(encoder, calls, name) for name in at]
    found.sort(key=lambda call: call.place)
    return [
        Spot(call.name, tuple(call.made.shape[1:]), exponent_of(call.made))
        for call in found
        if call.made is not None
    ]


def _asked_for(encoder: Encoder, calls: dict[str, _Call], name: str) -> _Call:
    call = calls.get(name)
    times = 0 if call is None else call.times
    if call is None or times != 1:
        often = f"{times} times" if times else "never"
        raise EncoderError(
            f"network {encoder.name!r}: layer {name!r} is called {often} in a forward pass: "
            "expected once; choose another with at="
        )
    if call.made is None:
        raise EncoderError(
            f"network {encoder.name!r}: layer {name!r} answers no floating tensor with a row for "
            "each image; choose another with at="
        )
    return call


def _watched(encoder: Encoder, images: Tensor, device: torch.device) -> dict[str, _Call]:
    """What submodules of a private copy answer to some images, by name."""
    with ExitStack() as stack:
        prepared = stack.enter_context(encoder.prepare(device, images, looked_at=False))
        stack.enter_context(original_untouched(encoder.module, encoder.name))
        for context in (
            arithmetic("float32", device), neutral(), prepared.surroundings(), torch.no_grad(),
        ):  # fmt: skip
            stack.enter_context(context)
        failed: Exception | None = None
        for count in _COUNTS:
            some = images[torch.arange(count) % len(images)]
            try:
                return _run(encoder, prepared, prepared.preprocess(some))
            except PyattrxError:
                raise
            except Exception as error:  # of any kind
                failed = failed or error
    raise EncoderError(
        f"network {encoder.name!r} failed on an input of shape {tuple(images.shape)}: "
        f"{type(failed).__name__}: {failed}"
    ) from failed


def _run(encoder: Encoder, prepared: PreparedEncoder, x: Tensor) -> dict[str, _Call]:
    calls: dict[str, _Call] = {}

    def noting(name: str) -> Any:
        def note(part: nn.Module, given: tuple[Any, ...], answer: Any) -> None:
            if name in calls:
                calls[name].times += 1
                return
            first = given[0] if given and isinstance(given[0], Tensor) else None
            calls[name] = _Call(name, part, first, _rows(answer, len(x)), len(calls))

        return note

    hooks = [
        part.register_forward_hook(noting(name))
        for name, part in prepared.module.named_modules()
        if name and not isinstance(part, torch.jit.ScriptModule)
    ]
    try:
        if callable(encoder.output):
            encoder.output(prepared.module, x)
        else:
            prepared.module(x)
    finally:
        for hook in hooks:
            hook.remove()
    return calls


def _rows(answer: Any, count: int) -> Tensor | None:
    try:
        values = pick_tensor(answer)
    except EncoderError:
        return None
    good = values.is_floating_point() and values.dim() > 1 and len(values) == count
    return values if good and values.numel() else None


class _Tree:
    """The modules of a network as they were called."""

    def __init__(self, module: nn.Module, calls: dict[str, _Call]) -> None:
        self._calls = calls
        self._modules = dict(module.named_modules())
        self._size = _parameters(module)
        self._found: list[tuple[int, _Call]] = []

    def ends(self) -> list[_Call]:
        """Ends of stages and blocks, at most `MOST`, of no two that say the same."""
        self._visit("", 0)
        learned = [call.place for call in self._calls.values() if _parameters(call.part)]
        first = min(learned, default=0)  # what comes before it is the image, padded or scaled
        outer: dict[int, tuple[int, _Call]] = {}
        for level, call in sorted(self._found, key=lambda one: one[0]):
            assert call.made is not None
            if call.place >= first and not any(
                _same(call.made, other.made) for _, other in outer.values()
            ):
                outer[call.place] = (level, call)
        return [call for _, call in _thinned([outer[place] for place in sorted(outer)])]

    def _visit(self, name: str, level: int) -> None:
        inside = self._inside(name)
        whole = self._holds_most(name)
        if not inside or not (whole or (self._is_stage(name) and self._is_chain(name, inside))):
            return
        below = level if whole else level + 1
        waiting: list[_Call] = []  # layers without any inside, one after another
        for call in inside:
            if not self._inside(call.name):
                waiting.append(call)
                continue
            self._add_run(waiting, below)
            waiting = []
            self._visit(call.name, below)
            self._add(call, below)  # after what is inside: of a wrapper the name inside is kept
        self._add_run(waiting, below)

    def _add(self, call: _Call, level: int) -> None:
        if call.times == 1 and call.made is not None:
            self._found.append((level, call))

    def _add_run(self, run: list[_Call], level: int) -> None:
        """The last layers before the size of what they say changes."""
        readable = [call for call in run if call.times == 1 and call.made is not None]
        for call, following in zip_longest(readable, readable[1:]):
            if following is None or _extent(call.made) != _extent(following.made):
                self._add(call, level)

    def _inside(self, name: str) -> list[_Call]:
        """Modules inside another that were called, but for those inside these; by their ends."""
        found = []
        for child, _ in self._modules[name].named_children():
            full = f"{name}.{child}" if name else child
            if full in self._calls:
                found.append(self._calls[full])
            elif full in self._modules:  # a list of modules
                found += self._inside(full)
        return sorted(found, key=lambda call: call.place)

    def _holds_most(self, name: str) -> bool:
        """Whether it is the network, or a wrapper of nearly all of it."""
        part = self._modules[name]
        if not name or isinstance(part, nn.Sequential):
            return not name
        return _parameters(part) > _WRAPPER * self._size > 0

    def _is_stage(self, name: str) -> bool:
        return isinstance(self._modules[name], nn.Sequential) or any(
            self._is_row_of_blocks(call.name) for call in self._inside(name)
        )

    def _is_row_of_blocks(self, name: str) -> bool:
        inside = self._inside(name)
        kinds = {type(call.part) for call in inside}
        return len(inside) > 1 and len(kinds) == 1 and bool(self._inside(inside[0].name))

    def _is_chain(self, name: str, inside: list[_Call]) -> bool:
        """Whether each was given what the one before it said, and nothing goes around them."""
        if any(call.times > 1 or call.made is None for call in inside):
            return False
        whole = self._calls[name]
        return (
            inside[0].given is whole.given
            and inside[-1].made is whole.made
            and all(after.given is before.made for before, after in pairwise(inside))
        )


def _thinned(found: list[tuple[int, _Call]]) -> list[tuple[int, _Call]]:
    """At most `MOST`: of the innermost ones, as many as there is room for, evenly."""
    while len(found) > MOST:
        innermost = max(level for level, _ in found)
        others = [one for one in found if one[0] < innermost]
        inner = [one for one in found if one[0] == innermost]
        room = max(MOST - len(others), 0)
        if not others and room:
            return [inner[round(i * (len(inner) - 1) / (room - 1))] for i in range(room)]
        step = len(inner) / room if room else 0
        kept = [inner[int((i + 0.5) * step)] for i in range(room)]
        found = sorted([*others, *kept], key=lambda one: one[1].place)
    return found


def _parameters(module: nn.Module) -> int:
    return sum(one.numel() for one in module.parameters())


def _extent(values: Tensor | None) -> tuple[int, ...]:
    """Height and width, or number of tokens; of a vector its length."""
    assert values is not None
    if values.dim() == 3:
        return (values.shape[1],)
    return tuple(values.shape[2:] if values.dim() > 2 else values.shape[1:])


def _same(one: Tensor, other: Tensor | None) -> bool:
    if one is other:
        return True
    return other is not None and one.shape == other.shape and torch.equal(one, other)
