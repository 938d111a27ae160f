"""Functions inside a copied network, made to refer to the copy.

``copy.deepcopy`` takes functions as they are. A replaced ``forward``, or a hook, that closes over
the network (or over something that belongs to it) would go on using the original.
"""

from __future__ import annotations

import copy
import functools
import types
from collections.abc import Iterator, MutableMapping
from typing import Any

from torch import Tensor, nn

__all__ = ["rebind"]

# Objects that are looked at, when it is asked whether something refers to a network.
_MOST_VISITS = 2000
_ATOMS = (type(None), bool, int, float, complex, str, bytes, type, types.ModuleType, Tensor)


def rebind(made: nn.Module, memo: dict[int, Any]) -> None:
    """Replace the functions of a copied network that refer to what was copied.

    Parameters
    ----------
    made : nn.Module
        The copy; changed in place.
    memo : dict
        What ``copy.deepcopy`` was given, and filled: copies by the id of their originals.

    Examples
    --------
    >>> import copy, torch
    >>> from pyattrx.encoders.rebinding import rebind
    >>> network = torch.nn.Linear(2, 2)
    >>> network.forward = lambda x, it=network: it.weight.sum() * x
    >>> memo = {}
    >>> made = copy.deepcopy(network, memo)
    >>> rebind(made, memo)
    >>> made.forward.__defaults__[0] is made
    True
    """
    _Rebinding(memo).walk(made)


class _Rebinding:
    def __init__(self, memo: dict[int, Any]) -> None:
        self._memo = memo
        self._done: dict[int, types.FunctionType] = {}
        self._seen: set[int] = set()

    def walk(self, value: Any) -> None:
        """Go through what a copy holds, and replace functions where they are kept."""
        waiting = [value]
        while waiting:
            one = waiting.pop()
            if isinstance(one, _ATOMS) or id(one) in self._seen:
                continue
            self._seen.add(id(one))
            for place, key, held in list(_places(one)):
                if isinstance(held, (types.FunctionType, functools.partial)):
                    new = self._value(held)
                    if new is not held and not isinstance(place, tuple):
                        place[key] = new
                elif not isinstance(held, _ATOMS):
                    waiting.append(held)

    def _function(self, function: types.FunctionType) -> types.FunctionType:
        """The same function, referring to copies; itself where it refers to none."""
        if id(function) in self._done:
            return self._done[id(function)]
        self._done[id(function)] = function  # one that refers to itself
        closure = function.__closure__ or ()
        held = [_contents(cell) for cell in closure]
        defaults = function.__defaults__ or ()
        named = function.__kwdefaults__ or {}
        new_held = [self._value(value) for value in held]
        new_defaults = tuple(self._value(value) for value in defaults)
        new_named = {name: self._value(value) for name, value in named.items()}
        before = (*held, *defaults, *named.values())
        after = (*new_held, *new_defaults, *new_named.values())
        if all(new is old for new, old in zip(after, before, strict=True)):
            return function
        cells = tuple(
            cell if new is old else types.CellType(new)
            for cell, new, old in zip(closure, new_held, held, strict=True)
        )
        made = types.FunctionType(
            function.__code__, function.__globals__, function.__name__, new_defaults, cells
        )
        made.__kwdefaults__ = new_named or None
        made.__dict__.update(function.__dict__)
        made.__qualname__, made.__module__ = function.__qualname__, function.__module__
        made.__doc__, made.__annotations__ = function.__doc__, function.__annotations__
        self._done[id(function)] = made
        return made

    def _value(self, value: Any) -> Any:
        """What stands for something that a function refers to."""
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, types.MethodType):
            owner = self._value(value.__self__)
            return value if owner is value.__self__ else types.MethodType(value.__func__, owner)
        if isinstance(value, functools.partial):
            parts = (value.func, *value.args, *value.keywords.values())
            new = [self._value(part) for part in parts]
            if all(after is before for after, before in zip(new, parts, strict=True)):
                return value
            some = len(value.args) + 1
            named = dict(zip(value.keywords, new[some:], strict=True))
            function: Any = new[0]
            return functools.partial(function, *new[1:some], **named)
        if id(value) in self._memo:
            return self._memo[id(value)]
        if isinstance(value, _ATOMS) or not self._refers(value):
            return value
        try:  # an object beside the network that refers to it
            return copy.deepcopy(value, self._memo)
        except Exception:
            return value  # calls of the original are noticed when the network is looked at

    def _refers(self, value: Any) -> bool:
        """Tell whether an object that was not copied holds one that was."""
        waiting, seen = [value], {id(value)}
        while waiting and len(seen) < _MOST_VISITS:
            for _, _, held in _places(waiting.pop()):
                if isinstance(held, _ATOMS) or id(held) in seen:
                    continue
                if self._memo.get(id(held), held) is not held:
                    return True
                seen.add(id(held))
                waiting.append(held)
        return False


_Place = tuple[Any, Any, Any]


def _places(value: Any) -> Iterator[_Place]:
    """Where an object holds others: a container, a key in it, and what is there."""
    if isinstance(value, MutableMapping):
        yield from ((value, key, held) for key, held in list(value.items()))
    elif isinstance(value, (list, tuple)):
        yield from ((value, key, held) for key, held in enumerate(list(value)))
    elif isinstance(value, types.MethodType):
        yield from _places(value.__self__)
    attributes = getattr(value, "__dict__", None)
    if isinstance(attributes, dict) and not isinstance(value, (types.FunctionType, type)):
        yield from ((attributes, key, held) for key, held in list(attributes.items()))


def _contents(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # an empty cell
        return None
