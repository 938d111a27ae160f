"""Records of somebody's table, and rows of numbers, as single accuracies."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyattrx.errors import InvalidValueError, PyattrxError
from pyattrx.evaluate.cells import Cell
from pyattrx.evaluate.columns import ROLES, Columns, names_datasets, normal, roles_of
from pyattrx.evaluate.csvs import MISSING

__all__ = ["Found", "Record", "cells_of_records", "number"]

Found = tuple[list[Cell], list[str]]  # accuracies, and what was guessed and left out

_UNNAMED = re.compile(r"(unnamed: ?\d+)?", re.IGNORECASE)  # the index of a pandas frame


@dataclass(frozen=True)
class Record:
    """Values by the names of their columns, and where they are in the file."""

    values: Mapping[str, Any]
    place: str


def cells_of_records(
    records: Sequence[Record],
    columns: Columns | None,
    where: Mapping[str, Any] | None,
    rows: str | None,
) -> Found:
    """Return the accuracies of records, or of rows with a column for every data set or model.

    Raises
    ------
    InvalidValueError
        What a column is can be understood in more than one way, or `where` names none.
    PyattrxError
        A cell is no number, or a name is missing.
    """
    header = list(dict.fromkeys(name for record in records for name in record.values))
    roles = roles_of(header, columns)
    for name in where or ():
        if name not in header:
            raise InvalidValueError("where", name, f"a column, one of {header}")
    kept = [
        record
        for record in records
        if all(_alike(record.values.get(name), value) for name, value in (where or {}).items())
    ]
    if not kept:
        raise InvalidValueError("where", dict(where or {}), "values that a record has")
    if "model" in roles and "dataset" in roles:
        return _long(kept, header, roles, columns)
    return _wide(kept, header, roles, columns, where, rows)


def _long(
    records: Sequence[Record],
    header: Sequence[str],
    roles: dict[str, list[str]],
    columns: Columns | None,
) -> Found:
    if "accuracy" not in roles:
        raise InvalidValueError(
            "columns", columns, f"which is for 'accuracy', one of {list(header)}"
        )
    told = {name for names in roles.values() for name in names}
    others = [name for name in header if name not in told and not _UNNAMED.fullmatch(name)]
    cells: list[Cell] = []
    without = own = 0
    for record in records:
        numbers = {
            name: number(record.values.get(name), record.place) for name in roles["accuracy"]
        }
        there = [name for name, value in numbers.items() if not math.isnan(value)]
        if len(there) > 1:
            raise InvalidValueError(
                "columns", there, f"one for 'accuracy'; {record.place} has them all"
            )
        if not there:
            without += 1
            continue
        cell = _cell(record, roles, numbers[there[0]], {n: record.values.get(n) for n in others})
        if cell is None:
            own += 1
        else:
            cells.append(cell)
    notes = _guessed(roles, columns)
    if without:
        notes.append(f"left out {without} records without an accuracy")
    if own:
        notes.append(f"left out {own} accuracies on what the model was trained on")
    return cells, notes


def _wide(
    records: Sequence[Record],
    header: Sequence[str],
    roles: dict[str, list[str]],
    columns: Columns | None,
    where: Mapping[str, Any] | None,
    rows: str | None,
) -> Found:
    asked = "accuracy" in (columns or {})
    if "accuracy" in roles and not asked:
        missing = [role for role in ("model", "dataset") if role not in roles]
        raise InvalidValueError(
            "columns", columns,
            f"which is for {' and '.join(map(repr, missing))}, one of {list(header)}",
        )  # fmt: skip
    _names_no_numbers(records, header, roles, columns)
    labels = {name for role, found in roles.items() if role != "accuracy" for name in found}
    labels |= set(where or ())
    named = "model" in roles or "dataset" in roles
    if not named:  # the first column is called anything
        labels |= set(header[:1])
    inner = roles.get("accuracy") or [
        name for name in header if name not in labels and not _UNNAMED.fullmatch(name)
    ]
    if not inner:
        raise InvalidValueError("columns", columns, f"which have the accuracies, of {list(header)}")
    for name in inner:
        if not any(_is_number(record.values.get(name)) for record in records):
            expected = f"what the column {name!r} is, which has no numbers; one of {list(ROLES)}"
            raise InvalidValueError("columns", columns, expected)
    if not named:
        outer = [_text(record.values.get(header[0])) or "" for record in records]
        datasets = names_datasets(outer, inner, rows)
        roles = {**roles, "dataset" if datasets else "model": [header[0]]}
    role = "dataset" if "model" in roles else "model"
    if rows is not None and (rows == "models") != (role == "dataset"):
        (label,) = roles.get("model") or roles["dataset"]
        raise InvalidValueError("rows", rows, f"what the column {label!r} says, or nothing")
    cells = []
    own = 0
    there = {**roles, role: ["\0"]}  # the name of a column, in no column
    for record in records:
        said = {name: record.values.get(name) for name in (*labels, header[0])}
        for name in inner:
            value = number(record.values.get(name), f"{record.place}, {name}")
            cell = _cell(Record({**said, "\0": name}, record.place), there, value, {})
            if cell is None:
                own += 1
            else:
                cells.append(cell)
    kinds = {"dataset": "data sets", "model": "models"}
    notes = [
        f"columns are {kinds[role]}, rows {kinds['model' if role == 'dataset' else 'dataset']}"
    ]
    if own:
        notes.append(f"left out {own} accuracies on what the model was trained on")
    return cells, notes


def _names_no_numbers(
    records: Sequence[Record],
    header: Sequence[str],
    roles: Mapping[str, Sequence[str]],
    columns: Columns | None,
) -> None:
    """Refuse a guess by which a model or data set that is called "target" would name the rows.

    Raises
    ------
    InvalidValueError
        A column is taken for names because of its own, is not the first, and has numbers only.
    """
    for role in ("model", "dataset"):
        for name in roles.get(role, ()):
            if role in (columns or {}) or name == header[0]:
                continue
            if all(_is_number(record.values.get(name)) for record in records):
                raise InvalidValueError(
                    "columns", columns, f"which is for {role!r}: {name!r} has numbers, not names"
                )


def _cell(
    record: Record, roles: Mapping[str, Sequence[str]], value: float, rest: Mapping[str, Any]
) -> Cell | None:
    """Return the accuracy; None where the model was trained on this very data set."""
    said = {
        role: _text(record.values.get(roles[role][0])) if roles.get(role) else None
        for role in ROLES
        if role != "accuracy"
    }
    for role in ("model", "dataset"):
        if not said[role]:
            raise PyattrxError(f"{record.place}: no {role} in {roles[role][0]!r}")
    dataset, model, source = str(said["dataset"]), str(said["model"]), said["source"]
    if source:
        if normal(source) == normal(dataset):
            return None
        model = f"{model} ({source})"
    return Cell(dataset, model, value, said["kind"] or "", said["seed"], record.place, rest)


def _guessed(roles: Mapping[str, Sequence[str]], columns: Columns | None) -> list[str]:
    """Say which columns have been found by their names, unless they are called what they are."""
    found = [
        f"{role} is {names[0]!r}"
        for role, names in roles.items()
        if role not in (columns or {}) and normal(names[0]) != role
    ]
    return [", ".join(found)] if found else []


def number(value: Any, place: str) -> float:
    """Return a number, NaN for none.

    Raises
    ------
    PyattrxError
        It is something else.
    """
    try:
        if value is None or (isinstance(value, str) and value.strip().lower() in MISSING):
            return math.nan
        if isinstance(value, (int, float, str)) and not isinstance(value, bool):
            return float(value)
    except (ValueError, OverflowError):
        pass
    raise PyattrxError(f"{place}: {value!r} is not a number")


def _is_number(value: Any) -> bool:
    try:
        number(value, "")
    except PyattrxError:
        return False
    return True


def _text(value: Any) -> str | None:
    return None if value is None else str(value).strip()


def _alike(value: Any, wanted: Any) -> bool:
    """Whether a value is the one that is wanted: as a number, if both are, else as text."""
    if str(value) == str(wanted):
        return True
    try:
        return float(value) == float(wanted)
    except (TypeError, ValueError, OverflowError):
        return False
