"""Tables in files, as columns of text or values."""

from __future__ import annotations

import csv
import difflib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pyattrx.errors import InvalidTypeError, InvalidValueError, MissingDependencyError, TaskError

__all__ = ["SUFFIXES", "Table", "is_frame", "read_table"]

_SEPARATED = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_PARQUET = (".parquet", ".pq")
SUFFIXES = frozenset((*_SEPARATED, *_PARQUET))


@dataclass(frozen=True)
class Table:
    """Columns of a table.

    Attributes
    ----------
    path : Path or None
        None: it is in memory.
    columns : dict
        Lists of one length. Cells are text, not empty, or None; those of a Parquet file are
        whatever it holds.
    lines : list of int or None
        Line of the file that each row begins at.
    """

    path: Path | None
    columns: dict[str, list[Any]]
    lines: list[int] | None

    def column(self, argument: str, name: Any) -> list[Any]:
        """Return the column that an argument names."""
        if not isinstance(name, str):
            raise InvalidTypeError(argument, name, "the name of a column")
        if name not in self.columns:
            near = difflib.get_close_matches(name, self.columns, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            names = ", ".join(map(repr, self.columns))
            place = self.path or "the DataFrame"
            raise InvalidValueError(argument, name, f"a column of {place}: {names}{hint}")
        return self.columns[name]

    def where(self, row: int) -> str:
        """Say where a row is."""
        return f"row {row}" if self.lines is None else f"line {self.lines[row]}"


def is_frame(given: Any) -> bool:
    """Whether this is a pandas DataFrame; pandas need not be installed to ask."""
    return hasattr(given, "columns") and hasattr(given, "to_dict")


def read_table(path: Any) -> Table:
    """Read a table, a file or a pandas DataFrame; the suffix of a file decides how."""
    if is_frame(path):
        if not len(path):
            raise InvalidValueError("path", "a DataFrame without rows", "a row for every image")
        return Table(None, _columns(path), None)
    if not isinstance(path, (str, os.PathLike)):
        expected = "the path of a table: a CSV, TSV or Parquet file; or a pandas DataFrame"
        raise InvalidTypeError("path", path, expected)
    file = Path(path)
    suffix = file.suffix.lower()
    if not file.exists():
        raise TaskError(f"{file}: no such file; expected a table of images")
    if file.is_dir():
        raise TaskError(f"{file}: a folder; Task.from_folder reads one, this expects a table")
    if suffix not in SUFFIXES:
        raise InvalidValueError(
            "path", str(file), f"a file that ends in {', '.join(sorted(SUFFIXES))}"
        )
    table = _parquet(file) if suffix in _PARQUET else _separated(file, _SEPARATED[suffix])
    if not next(iter(table.columns.values())):
        raise TaskError(f"{file}: no rows below the names of the columns")
    return table


def _separated(file: Path, delimiter: str) -> Table:
    try:
        with open(file, newline="", encoding="utf-8-sig") as text:
            reader = csv.reader(text, delimiter=delimiter, strict=True)
            return _rows(file, reader)
    except UnicodeDecodeError as error:
        raise TaskError(f"{file}: not UTF-8 text: {error}") from error
    except csv.Error as error:
        raise TaskError(f"{file}: cannot be read as a table: {error}") from error


def _rows(file: Path, reader: Any) -> Table:
    header = next(reader, None)
    if not header:
        raise TaskError(f"{file}: empty; expected a first line with the names of the columns")
    names = [name.strip() for name in header]
    if len(set(names)) < len(names):
        twice = next(name for at, name in enumerate(names) if name in names[:at])
        raise TaskError(f"{file}: two columns are called {twice!r}")
    columns: dict[str, list[Any]] = {name: [] for name in names}
    lines, line = [], reader.line_num + 1
    for row in reader:
        if row:
            if len(row) != len(names):
                raise TaskError(
                    f"{file}, line {line}: {len(row)} cells; expected {len(names)}, one for every "
                    "column"
                )
            for name, cell in zip(names, row, strict=True):
                columns[name].append(cell.strip() or None)
            lines.append(line)
        line = reader.line_num + 1
    return Table(file, columns, lines)


def _parquet(file: Path) -> Table:
    """Read a Parquet file with pyarrow, or else with pandas and what it has for that."""
    try:
        from pyarrow import parquet
    except ImportError:
        return _with_pandas(file)
    try:
        columns = parquet.read_table(file).to_pydict()
    except Exception as error:
        raise TaskError(f"{file}: cannot be read as a table: {error}") from error
    return Table(file, {str(name): _cells(cells) for name, cells in columns.items()}, None)


def _with_pandas(file: Path) -> Table:
    try:
        import pandas
    except ImportError as error:
        raise MissingDependencyError("pyarrow", "reading Parquet files", "pyarrow") from error
    try:
        frame = pandas.read_parquet(file)
    except ImportError as error:  # pandas needs an engine
        raise MissingDependencyError("pyarrow", "reading Parquet files", "pyarrow") from error
    except Exception as error:
        raise TaskError(f"{file}: cannot be read as a table: {error}") from error
    return Table(file, _columns(frame), None)


def _columns(frame: Any) -> dict[str, list[Any]]:
    """Columns of a DataFrame."""
    columns = {}
    for name in frame.columns:
        known = frame[name].notna().tolist()
        cells = frame[name].tolist()
        columns[str(name)] = _cells(
            [cell if there else None for cell, there in zip(cells, known, strict=True)]
        )
    return columns


def _cells(cells: list[Any]) -> list[Any]:
    """Empty text is no text."""
    return [
        None
        if cell is None or (isinstance(cell, str) and not cell.strip())
        else cell.item()
        if isinstance(cell, np.generic)
        else cell
        for cell in cells
    ]
