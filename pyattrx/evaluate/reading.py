"""Tables in files: CSV, and Taskonomy's published pickles."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pyattrx._files import atomic_write
from pyattrx.errors import InvalidTypeError, InvalidValueError, PyattrxError
from pyattrx.evaluate.csvs import MISSING, csv_lines, csv_number
from pyattrx.evaluate.pickles import read_pickle
from pyattrx.evaluate.tables import Table, as_table

__all__ = ["read_table", "write_table"]

_PICKLES = (".pkl", ".pickle", ".p")
_SEPARATOR = "__"  # between the tasks of a transfer, in the published pickles


def read_table(path: str | Path, *, sources: Sequence[str] | None = None) -> Table:
    r"""Read a table of scores with the names of its targets and sources.

    Parameters
    ----------
    path : path
        ``.csv``: a header of an arbitrary word (``target``) or nothing and the names of the
        sources, then a row for every target, its name first. Also without the first word, and a
        square matrix whose rows have no names: they are those of the header. Empty cells and
        ``nan`` are missing values.

        ``.pkl``, ``.pickle``, ``.p``: a pickle, never executed, of a mapping of targets to mappings
        of sources to numbers, or to arrays; or of transfers ``SOURCE__TARGET`` to numbers, which is
        how Taskonomy's affinities and win rates are published (those with several sources are left
        out).
    sources : sequence of str, optional
        Names of the columns where a pickle has arrays. If left out, they are the names of the
        targets, in the order of the file.

    Returns
    -------
    Table
        NaN where the file has no value.

    Raises
    ------
    InvalidValueError
        Another suffix, or `sources` that do not fit.
    UntrustedError
        A pickle wants to import something; the message names it.
    PyattrxError
        The file is damaged or holds no table; the message says where.
    OSError
        It cannot be opened.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "table.csv"
    >>> _ = path.write_text("target,depth,edges\ndepth,,0.25\n")
    >>> read_table(path).values
    array([[ nan, 0.25]])
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".csv":
        if sources is not None:
            raise InvalidValueError(
                "sources", sources, "None for a CSV file, which names them itself"
            )
        return _from_csv(path)
    if suffix in _PICKLES:
        try:
            return _from_mapping(read_pickle(path), sources)
        except (InvalidValueError, InvalidTypeError) as error:
            raise PyattrxError(f"{path}: {error}") from error
    raise InvalidValueError("path", str(path), f"a file that ends in .csv, {', '.join(_PICKLES)}")


def write_table(table: Any, path: str | Path) -> Path:
    """Write a table as CSV, to be read by `read_table`; missing values are left empty.

    Parameters
    ----------
    table : table, [T, S]
        With names.
    path : path
        A name that ends in ``.csv``; a file that is there is replaced in one step.

    Returns
    -------
    Path

    Raises
    ------
    InvalidValueError
        Another suffix, or a name that UTF-8 cannot hold.
    OSError
        The folder does not exist or cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "table.csv"
    >>> print(write_table(Table([[0.5, np.nan]], ["a"], ["b", "c"]), path).read_text())
    target,b,c
    a,0.5,
    <BLANKLINE>
    """
    path = Path(path)
    if path.suffix.lower() != ".csv":
        raise InvalidValueError("path", str(path), "a file name that ends in .csv")
    checked = as_table(table)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["target", *checked.sources])
    for name, row in zip(checked.targets, checked.values.tolist(), strict=True):
        writer.writerow([name, *["" if math.isnan(value) else repr(value) for value in row]])
    try:
        data = text.getvalue().encode()
    except UnicodeEncodeError as error:  # names of files need not be text
        name = next(n for n in [*checked.targets, *checked.sources] if not _is_text(n))
        raise InvalidValueError("table", name, "names that UTF-8 can hold") from error
    with atomic_write(path) as out:
        out.write(data)
    return path


def _is_text(name: str) -> bool:
    return not any("\ud800" <= one <= "\udfff" for one in name)


def _from_csv(path: Path) -> Table:
    (_, header), *rows = csv_lines(path)
    width = len(rows[0][1])
    for number, row in rows:
        if len(row) != width:
            raise PyattrxError(f"{path}, line {number}: {len(row)} cells, expected {width}")
    if len(header) not in (width, width - 1):
        raise PyattrxError(f"{path}: {len(header)} names in the header, and rows of {width} cells")
    named = len(header) == width - 1 or not header[0] or not all(_is_number(r[0]) for _, r in rows)
    if named:
        names = header[-(width - 1) :] if width > 1 else []
        targets, rows = [row[0] for _, row in rows], [(n, row[1:]) for n, row in rows]
    elif len(rows) == width:
        names = targets = header
    else:
        raise PyattrxError(
            f"{path}: {len(rows)} rows without names; only a square matrix can do without them"
        )
    values = [[csv_number(path, n, cell) for cell in row] for n, row in rows]
    return _checked(path, values, targets, names)


def _checked(path: Path, values: Any, targets: Sequence[str], names: Sequence[str]) -> Table:
    try:
        return Table(values, tuple(targets), tuple(names))
    except (InvalidValueError, InvalidTypeError) as error:
        raise PyattrxError(f"{path}: {error}") from error


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell.lower() in MISSING
    return True


def _from_mapping(content: Any, sources: Sequence[str] | None) -> Table:
    expected = "a mapping of targets to their sources, or of SOURCE__TARGET to numbers"
    if not isinstance(content, Mapping):
        raise InvalidTypeError("content", content, expected)
    if not content or not all(isinstance(name, str) for name in content):
        raise InvalidValueError("content", list(content), expected)
    if all(isinstance(row, Mapping) for row in content.values()):
        rows = {target: dict(row) for target, row in content.items()}
    elif any(np.ndim(row) for row in content.values()):
        names = list(content) if sources is None else list(sources)
        rows = {}
        for target, row in content.items():
            if np.shape(row) != (len(names),):
                raise InvalidValueError(target, row, f"an array of {len(names)} sources, {names}")
            rows[target] = dict(zip(names, np.asarray(row).tolist(), strict=True))
    else:
        rows = {}
        for transfer, value in content.items():
            tasks = transfer.split(_SEPARATOR)
            if len(tasks) < 2:
                raise InvalidValueError("transfer", transfer, "SOURCE__TARGET")
            if len(tasks) == 2:
                rows.setdefault(tasks[1], {})[tasks[0]] = value
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    values = [[_scalar(target, row.get(name)) for name in names] for target, row in rows.items()]
    return Table(np.array(values, dtype=np.float64), tuple(rows), tuple(names))


def _scalar(target: str, value: Any) -> float:
    if value is None:
        return math.nan
    if isinstance(value, (str, bytes, Mapping)) or np.size(value) != 1:
        raise InvalidTypeError(target, value, "a number for every source")
    return float(np.asarray(value).item())
