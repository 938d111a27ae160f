"""Functions inside a copied network, made to refer to the copy.

``copy.deepcopy`` takes functions as they are. A replaced ``forward``, or a hook, that closes over
the network (or over something that belongs to it) would go on using the original. So would weak
references, and views of its tensors that a function holds.
"""

from __future__ import annotations

import copy
import functools
import types
import weakref
from collections import deque
from collections.abc import Iterator, MutableMapping
from typing import Any

import numpy as np
from torch import Tensor, nn

__all__ = ["rebind", "stored_at"]

# Objects that are looked at, when it is asked whether something refers to a network.
_MOST_VISITS = 2000
_ATOMS = (type(None), bool, int, float, complex, str, bytes, type, types.ModuleType, Tensor)
# What deepcopy takes as it is, and may refer to the original.
_REFERRING = (types.FunctionType, types.MethodType, functools.partial, weakref.ReferenceType)


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


def stored_at(tensor: Tensor) -> int | None:
    """Where the values of a tensor, and of all its views, lie; None where that is unknown."""
    try:
        return tensor.untyped_storage().data_ptr() or None
    except Exception:  # of any kind: sparse tensors and wrappers have no storage
        return None


class _Rebinding:
    def __init__(self, memo: dict[int, Any]) -> None:
        self._memo = memo
        self._done: dict[int, types.FunctionType] = {}
        self._cells: dict[int, types.CellType] = {}
        self._seen: set[int] = set()
        self._copies = set(map(id, memo.values()))
        # Copies by where the values of their originals lie.
        self._stored = {
            storage: memo[id(held)]
            for held in memo.get(id(memo), ())  # deepcopy keeps there what it has copied
            if isinstance(held, Tensor) and (storage := stored_at(held)) is not None
        }

    def walk(self, value: Any) -> None:
        """Go through what a copy holds, and replace functions where they are kept."""
        waiting = [value]
        while waiting:
            one = waiting.pop()
            if isinstance(one, _ATOMS) or id(one) in self._seen:
                continue
            self._seen.add(id(one))
            if isinstance(one, types.MethodType):
                waiting.append(one.__self__)
            for place, key, held in list(_places(one)):
                new = self._tuple(held) if isinstance(held, tuple) else held
                if isinstance(held, _REFERRING):
                    new = self._value(held)
                # What a class says is not to be copied is the caller's.
                if new is not held and id(one) in self._copies and not isinstance(place, tuple):
                    place[key] = new
                if not isinstance(new, (*_ATOMS, types.FunctionType)):
                    waiting.append(new)

    def _tuple(self, value: tuple[Any, ...]) -> tuple[Any, ...]:
        """The same tuple, with functions that refer to copies."""
        new = [
            self._tuple(held)
            if isinstance(held, tuple)
            else (self._value(held) if isinstance(held, _REFERRING) else held)
            for held in value
        ]
        if all(after is before for after, before in zip(new, value, strict=True)):
            return value
        make: Any = getattr(type(value), "_make", type(value))  # a named one takes no list
        made: tuple[Any, ...] = make(new)
        return made

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
            # Functions that share a variable go on sharing it.
            cell if new is old else self._cells.setdefault(id(cell), types.CellType(new))
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
            run, owner = self._value(value.__func__), self._value(value.__self__)
            same = run is value.__func__ and owner is value.__self__
            return value if same else types.MethodType(run, owner)
        if isinstance(value, weakref.ReferenceType):
            there = self._memo.get(id(value()))
            return value if there is None else weakref.ref(there)
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
        if isinstance(value, (Tensor, np.ndarray)):
            return self._view(value)
        if id(value) in self._copies or isinstance(value, _ATOMS) or not self._refers(value):
            return value
        try:  # an object beside the network that refers to it
            made = copy.deepcopy(value, self._memo)
        except Exception:
            return value  # calls of the original are noticed when the network is looked at
        self._copies.update(map(id, self._memo.values()))
        self.walk(made)
        return self._tuple(made) if isinstance(made, tuple) else made

    def _view(self, value: Any) -> Any:
        """The same view of a copy, where it is one of a tensor that was copied."""
        if isinstance(value, np.ndarray):
            base: Any = value.base
            there = self._value(base) if isinstance(base, Tensor) else base
            return value if there is base else there.detach().numpy()
        whole = self._stored.get(stored_at(value) or 0)
        if whole is None or value.dtype != whole.dtype:
            return value
        return whole.detach().as_strided(value.shape, value.stride(), value.storage_offset())

    def _refers(self, value: Any) -> bool:
        """Tell whether an object that was not copied holds one that was."""
        waiting, seen = [value], {id(value)}
        while waiting and len(seen) < _MOST_VISITS:
            for held in _held(waiting.pop()):
                if isinstance(held, _ATOMS) or id(held) in seen:
                    continue
                if self._memo.get(id(held), held) is not held:
                    return True
                seen.add(id(held))
                waiting.append(held)
        return False


_Place = tuple[Any, Any, Any]


def _held(value: Any) -> Iterator[Any]:
    """What an object holds, or a function refers to."""
    if isinstance(value, types.FunctionType):
        yield from map(_contents, value.__closure__ or ())
        yield from value.__defaults__ or ()
        yield from (value.__kwdefaults__ or {}).values()
    if isinstance(value, types.MethodType):
        yield value.__self__
        yield value.__func__
    yield from (held for _, _, held in _places(value))


def _places(value: Any) -> Iterator[_Place]:
    """Where an object holds others: a container, a key in it, and what is there."""
    if isinstance(value, MutableMapping):
        yield from ((value, key, held) for key, held in list(value.items()))
    elif isinstance(value, (list, tuple, deque)):
        yield from ((value, key, held) for key, held in enumerate(list(value)))
    attributes = getattr(value, "__dict__", None)
    if isinstance(attributes, dict) and not isinstance(value, (types.FunctionType, type)):
        yield from ((attributes, key, held) for key, held in list(attributes.items()))


def _contents(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # an empty cell
        return None
