"""Columns of a table as labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.tasks.labelling import Kind, Labelling
from pyattrx.tasks.labels import read_labels
from pyattrx.tasks.tables import Table
from pyattrx.tasks.telling import check_kind

__all__ = ["label_columns"]


def label_columns(table: Table, label: Any, kind: Any, classes: Any) -> Labelling:
    """Return the labels in a column, or in several of numbers."""
    kind = check_kind(kind)
    if kind is not None and kind.startswith("dense"):
        raise InvalidValueError(
            "kind", kind, "another kind: cells hold no maps, Task.from_arrays does"
        )
    rows = len(next(iter(table.columns.values())))
    if label is None:
        return read_labels(None, rows, kind)
    if isinstance(label, str):
        cells = _typed(table, "label", label, kind)
        if kind == "multilabel":
            raise InvalidValueError(
                "label", label, "several columns, one a class, for kind='multilabel'"
            )
        targets = [label] if kind == "regression" or _floating(cells) else None
        return read_labels(cells, rows, kind, classes, targets, f"column {label!r}")
    if not isinstance(label, Sequence) or not label:
        raise InvalidTypeError("label", label, "the name of a column, a list of names, or None")
    if kind not in (None, "regression", "multilabel"):
        raise InvalidValueError("kind", kind, "'regression' or 'multilabel' for several columns")
    columns = [_typed(table, f"label[{at}]", name, "regression") for at, name in enumerate(label)]
    values: list[list[Any] | None] = []
    for row, numbers in enumerate(zip(*columns, strict=True)):
        empty = [number is None for number in numbers]
        if any(empty) and not all(empty):
            raise InvalidValueError(
                f"column {label[empty.index(True)]!r}, {table.where(row)}",
                None,
                "a number, as other columns of the label have one there",
            )
        values.append(None if all(empty) else list(numbers))
    names = f"columns {', '.join(label)}"
    if all(value is None for value in values):
        return read_labels(None, rows, kind)
    if kind == "multilabel":
        return read_labels(values, rows, kind, list(label), None, names)
    floats = [None if value is None else np.asarray(value, np.float64) for value in values]
    return read_labels(floats, rows, kind, None, list(label), names)


def _floating(cells: list[Any]) -> bool:
    return any(isinstance(cell, float) for cell in cells)


def _typed(table: Table, argument: str, name: Any, kind: Kind | None) -> list[Any]:
    """Cells of a column as integers, numbers or text; numbers only where all of them are."""
    cells = table.column(argument, name)
    known = [(row, cell) for row, cell in enumerate(cells) if cell is not None]
    for row, cell in known:
        if not isinstance(cell, (str, int, float)):
            raise InvalidTypeError(f"column {name!r}, {table.where(row)}", cell, "text or a number")
        if isinstance(cell, float) and math.isnan(cell):
            raise InvalidValueError(
                f"column {name!r}, {table.where(row)}", cell, "a number, or nothing without a label"
            )
    numbers = {row: _number(cell) for row, cell in known}
    texts = [row for row, number in numbers.items() if number is None]
    if kind == "classification" and (texts or _floating(list(numbers.values()))):
        return [None if cell is None else _class(cell) for cell in cells]
    if not texts:
        return [numbers.get(row) for row in range(len(cells))]
    row = texts[0]
    if kind == "regression":
        raise InvalidValueError(
            f"column {name!r}, {table.where(row)}", cells[row], "a number, for a regression"
        )
    if len(texts) < len(known):
        raise InvalidValueError(
            "kind",
            kind,
            f"'classification' if all of column {name!r} are names of classes, as it has "
            f"{cells[row]!r} in {table.where(row)} and numbers elsewhere; an empty cell marks an "
            "image without a label",
        )
    return [None if cell is None else str(cell) for cell in cells]


def _class(cell: str | float) -> str:
    return cell if isinstance(cell, str) else str(int(cell)) if cell == int(cell) else str(cell)


def _number(cell: str | float) -> int | float | None:
    """Return what a cell says if it is a number written as one; NaN is none."""
    if not isinstance(cell, str):
        return cell
    try:
        whole = int(cell)
        # Not 007, which is more of a name, nor 1_000.
        return whole if str(whole) == cell.removeprefix("+") else None
    except ValueError:
        pass
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in cell else None
