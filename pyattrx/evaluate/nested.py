"""Numbers in mappings of names to mappings of names, as single accuracies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyattrx.errors import InvalidValue
from pyattrx.evaluate.cells import Cell
from pyattrx.evaluate.columns import names_datasets
from pyattrx.evaluate.records import Found, number

__all__ = ["cells_of_mapping", "depth"]


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


def cells_of_mapping(
    content: Mapping[str, Mapping[str, Any]], kind: str | None, rows: str | None
) -> Found:
    """Return the accuracies in mappings, by kind or directly.

    Parameters
    ----------
    content : mapping
        From kinds to mappings of depth 2, or of depth 3, which have several kinds each.
    kind : str, optional
        The only one that is wanted.
    rows : {"datasets", "models"}, optional
        What the outer names are.

    Raises
    ------
    InvalidValue
        There is no such kind; what the outer names are is not known.
    """
    kinds: dict[str, Mapping[str, Any]] = {}
    for name, inside in content.items():
        parts = {name: inside}
        if depth(inside) == 3:
            parts = {f"{name}.{part}".strip("."): found for part, found in inside.items()}
        kinds |= parts
    if kind is not None and kind not in kinds:
        known = f"one of {list(kinds)}" if any(kinds) else "none, as there is only one"
        raise InvalidValue("kind", kind, known)
    cells: list[Cell] = []
    notes = []
    for name in kinds if kind is None else [kind]:
        found = kinds[name]
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
