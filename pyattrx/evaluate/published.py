"""Accuracies of models on data sets, in the shapes in which others publish them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyattrx.errors import InvalidTypeError, InvalidValueError, PyattrxError
from pyattrx.evaluate.accuracies import Accuracies
from pyattrx.evaluate.cells import UNITS, chosen, collect
from pyattrx.evaluate.columns import Columns
from pyattrx.evaluate.csvs import csv_lines
from pyattrx.evaluate.literals import read_literals
from pyattrx.evaluate.nested import by_kind, cells_of_mapping, depth
from pyattrx.evaluate.records import Record, cells_of_records

__all__ = ["read_accuracies", "read_all_accuracies"]

_EXPECTED = "numbers in mappings of names to mappings of names"
_SUFFIXES = (".csv", ".json", ".jsonl", ".ndjson", ".py")


def read_accuracies(
    path: str | Path,
    *,
    kind: str | None = None,
    columns: Columns | None = None,
    where: Mapping[str, Any] | None = None,
    rows: str | None = None,
    unit: str | None = None,
) -> Accuracies:
    r"""Read a table of accuracies as somebody published it.

    Parameters
    ----------
    path : path
        ``.csv``: a record a line, with columns for the model, the data set and the accuracy; or a
        row a model and a column a data set, or the other way round. ``.json``: a list of records,
        ``{data set: {model: accuracy}}``, ``{model: {data set: accuracy}}``, or one of these two
        for each of several kinds. ``.jsonl``, ``.ndjson``: a record a line. ``.py``: dictionaries
        that are assigned to names, as in JSON; the program is not executed. Several values of a
        model on a data set are seeds; in JSON and Python they may be a list.
    kind : str, optional
        Which truth, where the file has several: a value of the column for it, or the name of a
        dictionary.
    columns : mapping, optional
        Names of the columns for ``model``, ``source`` (what a model was trained on, which becomes
        part of its name), ``dataset``, ``accuracy``, ``seed`` and ``kind``; None for no such
        column. Those left out are found by the names they usually have. In records of JSON
        ``metrics.top1`` is `top1` of `metrics`. Several names for ``accuracy`` are those of
        different records; in a table with a column a data set, they are the data sets.
    where : mapping of str to object, optional
        Only records with these values in these columns count.
    rows : {"datasets", "models"}, optional
        What the rows of a table are, or the outer names in JSON and Python, where their names do
        not tell.
    unit : {"percent", "fraction", "raw"}, optional
        Told apart by the values if left out. ``"raw"`` is not limited to accuracies, and kept as it
        is.

    Returns
    -------
    Accuracies
        Fractions, but for ``"raw"``. Its `notes` say what was guessed and left out.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        An argument does not fit; or it is left out, and what it would say can be understood in
        more than one way.
    PyattrxError
        The file is damaged or holds no such table; the message says where.
    OSError
        It cannot be opened.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "published.csv"
    >>> _ = path.write_text("model,Target,acc\nresnet18,pets,88\nvgg11,pets,80\nvgg11,dtd,50")
    >>> found = read_accuracies(path)
    >>> found.table().values
    array([[0.88, 0.8 ],
           [ nan, 0.5 ]])
    >>> found.notes
    ("dataset is 'Target', accuracy is 'acc'", 'values are percent')
    """
    (found,) = _read(Path(path), columns, where, rows, unit, kind=kind, single=True).values()
    return found


def read_all_accuracies(
    path: str | Path,
    *,
    columns: Columns | None = None,
    where: Mapping[str, Any] | None = None,
    rows: str | None = None,
    unit: str | None = None,
) -> dict[str, Accuracies]:
    r"""Read every kind of accuracies in a file, or every score.

    Parameters
    ----------
    path, columns, where, rows, unit
        As for `read_accuracies`.

    Returns
    -------
    dict of str to Accuracies
        By kind, ``""`` where the file has no names for them.

    Raises
    ------
    InvalidTypeError, InvalidValueError, PyattrxError, OSError
        As `read_accuracies`.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "published.py"
    >>> _ = path.write_text('''
    ... head = {"pets": {"resnet18": 0.8, "vgg11": 0.7}}
    ... full = {"pets": {"resnet18": 0.9, "vgg11": 0.8}}
    ... ''')
    >>> list(read_all_accuracies(path))
    ['head', 'full']
    """
    return _read(Path(path), columns, where, rows, unit)


def _read(
    path: Path,
    columns: Columns | None,
    where: Mapping[str, Any] | None,
    rows: str | None,
    unit: str | None,
    *,
    kind: str | None = None,
    single: bool = False,
) -> dict[str, Accuracies]:
    """Read all kinds, or the one that is wanted."""
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        raise InvalidValueError("path", str(path), f"a file that ends in {', '.join(_SUFFIXES)}")
    for argument, word, words in (("rows", rows, ("datasets", "models")), ("unit", unit, UNITS)):
        if word is not None and word not in words:
            raise InvalidValueError(argument, word, f"one of {list(words)}")
    if where is not None and not isinstance(where, Mapping):
        raise InvalidTypeError("where", where, "a mapping of columns to values")
    try:
        content = _content(path, suffix)
        if isinstance(content, list):
            cells, notes = cells_of_records(content, columns, where, rows)
            if single and cells:
                kinds = dict.fromkeys(cell.kind for cell in cells)
                wanted = chosen(list(kinds), kind)
                cells = [cell for cell in cells if cell.kind == wanted]
        else:
            if columns or where:
                argument = "columns" if columns else "where"
                raise InvalidValueError(
                    argument, columns or where, "none, for a file without columns"
                )
            found = by_kind(content)
            if single:
                wanted = chosen(list(found), kind)
                found = {wanted: found[wanted]}
            cells, notes = cells_of_mapping(found, rows)
        return collect(cells, notes, unit)
    except RecursionError:
        raise PyattrxError(f"{path}: nested too deeply for such a table") from None
    except PyattrxError as error:
        if isinstance(error, (InvalidValueError, InvalidTypeError)) or str(error).startswith(
            str(path)
        ):
            raise
        raise PyattrxError(f"{path}: {error}") from error


def _content(path: Path, suffix: str) -> list[Record] | dict[str, Any]:
    """Return records, or mappings of depth 2 or 3 by name."""
    if suffix == ".csv":
        return _csv_records(path)
    if suffix == ".py":
        # A program has other dictionaries, too.
        named = {n: found for n, found in read_literals(path).items() if depth(found) in (2, 3)}
        if not named:
            raise PyattrxError(f"no name is assigned {_EXPECTED}, all of them constants")
        return named
    content = _json(path, lines=suffix != ".json")
    if isinstance(content, list):
        if not content or not all(isinstance(record, dict) for record in content):
            raise PyattrxError("no records, or a list of something else")
        return [Record(_flat(record), f"record {at}") for at, record in enumerate(content, 1)]
    if depth(content) not in (2, 3):
        raise PyattrxError(f"neither records nor {_EXPECTED}")
    return {"": content}


def _csv_records(path: Path) -> list[Record]:
    (_, header), *lines = csv_lines(path)
    if len(set(header)) < len(header):
        raise PyattrxError(f"the column {_repeated(header)!r} is there twice")
    for number, row in lines:
        if len(row) != len(header):
            raise PyattrxError(f"line {number}: {len(row)} cells, expected {len(header)}")
    return [Record(dict(zip(header, row, strict=True)), f"line {n}") for n, row in lines]


def _json(path: Path, *, lines: bool) -> Any:
    try:
        text = path.read_bytes().decode("utf-8-sig")
        parts = [line for line in text.splitlines() if line.strip()] if lines else [text]
        found = [json.loads(part, object_pairs_hook=_once) for part in parts]
    except (ValueError, RecursionError) as error:
        raise PyattrxError(f"not JSON in UTF-8 ({error})") from error
    return found if lines else found[0]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a name that is there twice, of which the first would be lost."""
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise PyattrxError(f"{_repeated(names)!r} is there twice")
    return dict(pairs)


def _repeated(names: list[str]) -> str:
    return next(name for name in names if names.count(name) > 1)


def _flat(record: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Return the values in a record of records, by names with points."""
    found: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{before}{name}.")
        else:
            found[before + name] = value
    return found
