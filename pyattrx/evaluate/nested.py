"""Numbers in mappings of names to mappings of names, as single accuracies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyattrx.evaluate.cells import Cell
from pyattrx.evaluate.columns import names_datasets
from pyattrx.evaluate.records import Found, number

__all__ = ["by_kind", "cells_of_mapping", "depth"]


def depth(content: Any) -> int | None:
    """Count the mappings around numbers, or lists of them; None where that differs.

    Examples
    --------
    >>> from pyattrx.evaluate.nested import depth
    >>> depth({"pets": {"resnet18": 0.9, "vgg11": [0.8, 0.7]}}), depth({"pets": "many"})
    (2, None)
    """
    if isinstance(content, Mapping):
        inner = {depth(value) for value in content.values()}
        one = inner.pop() if len(inner) == 1 else None
        return None if one is None or not all(isinstance(n, str) for n in content) else one + 1
    values = content if isinstance(content, (list, tuple)) else [content]
    known = all(
        value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))
        for value in values
    )
    return 0 if known else None


def by_kind(content: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return mappings of depth 2 by kind, of mappings by name that may have several kinds each.

    Examples
    --------
    >>> from pyattrx.evaluate.nested import by_kind
    >>> by_kind({"": {"head": {"pets": {"vgg11": 0.7}}, "full": {"pets": {"vgg11": 0.8}}}})
    {'head': {'pets': {'vgg11': 0.7}}, 'full': {'pets': {'vgg11': 0.8}}}
    """
    kinds: dict[str, Mapping[str, Any]] = {}
    for name, inside in content.items():
        if depth(inside) == 3:
            kinds |= {f"{name}.{part}".strip("."): found for part, found in inside.items()}
        else:
            kinds[name] = inside
    return kinds


def cells_of_mapping(kinds: Mapping[str, Mapping[str, Any]], rows: str | None) -> Found:
    """Return the accuracies of every kind; `rows` says what the outer names are, if it is given.

    Raises
    ------
    InvalidValueError
        The names do not tell.
    """
    cells: list[Cell] = []
    notes = []
    for name, found in kinds.items():
        inner = list(dict.fromkeys(n for inside in found.values() for n in inside))
        datasets = names_datasets(list(found), inner, rows)
        if rows is None:
            notes.append(f"the outer names are {'data sets' if datasets else 'models'}")
        for first, inside in found.items():
            for second, value in inside.items():
                place = f"{first!r}, {second!r}"
                dataset, model = (first, second) if datasets else (second, first)
                cells += [
                    Cell(dataset, model, number(one, place), name, place=place)
                    for one in (value if isinstance(value, (list, tuple)) else [value])
                ]
    return cells, list(dict.fromkeys(notes))
