"""CSV files line by line: pairs of names, published curves, and what tables share with them."""

from __future__ import annotations

import csv
import math
import re
from pathlib import Path

from pyattrx.errors import PyattrxError

__all__ = ["MISSING", "csv_lines", "csv_number", "read_curves", "read_names"]

MISSING = ("", "nan", "na", "null", "none")  # in lower case, what stands for no value
_PRECISION = re.compile(r"P@([1-9]\d*)$")


def read_names(path: str | Path) -> dict[str, str]:
    r"""Read pairs of a name and what belongs to it: families, or other names.

    Parameters
    ----------
    path : path
        A CSV file: a header of two words, then a pair in every line.

    Returns
    -------
    dict of str to str

    Raises
    ------
    PyattrxError
        The file holds no pairs, or a name twice; the message says where.
    OSError
        It cannot be opened.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "families.csv"
    >>> _ = path.write_text("name,family\ndepth,3D\nedges,2D\n")
    >>> read_names(path)
    {'depth': '3D', 'edges': '2D'}
    """
    path = Path(path)
    found: dict[str, str] = {}
    for number, row in csv_lines(path):
        if len(row) != 2 or not all(row):
            raise PyattrxError(f"{path}, line {number}: {row}, expected two words")
        if row[0] in found:
            raise PyattrxError(f"{path}, line {number}: {row[0]!r} is there twice")
        found[row[0]] = row[1]
    del found[next(iter(found))]  # the header
    return found


def read_curves(path: str | Path) -> dict[str, dict[int, float]]:
    r"""Read published precisions: what others report, to be drawn beside one's own.

    Parameters
    ----------
    path : path
        A CSV file: a header of words and of ``P@1``, ``P@2`` and so on; a method in every line. The
        words (such as the method and its probe set) make up its name.

    Returns
    -------
    dict of str to dict of int to float
        For every method its precision by the number of sources taken.

    Raises
    ------
    PyattrxError
        The file holds no such curves, or a number outside [0, 1]; the message says where.
    OSError
        It cannot be opened.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "curves.csv"
    >>> _ = path.write_text("method,probes,P@1,P@5\nsaliency,indoor,0.75,0.5\n")
    >>> read_curves(path)
    {'saliency, indoor': {1: 0.75, 5: 0.5}}
    """
    path = Path(path)
    (_, header), *rows = csv_lines(path)
    counts = {i: int(match[1]) for i, h in enumerate(header) if (match := _PRECISION.match(h))}
    if not counts:
        raise PyattrxError(f"{path}: no column P@1, P@2, ... in the header {header}")
    curves: dict[str, dict[int, float]] = {}
    for number, row in rows:
        if len(row) != len(header):
            raise PyattrxError(f"{path}, line {number}: {len(row)} cells, expected {len(header)}")
        name = ", ".join(cell for i, cell in enumerate(row) if i not in counts and cell)
        values = {k: csv_number(path, number, row[i]) for i, k in counts.items()}
        if not name or name in curves:
            raise PyattrxError(f"{path}, line {number}: the name {name!r} is empty or there twice")
        curves[name] = {k: value for k, value in sorted(values.items()) if not math.isnan(value)}
        if not all(0 <= value <= 1 for value in curves[name].values()):
            raise PyattrxError(f"{path}, line {number}: a precision outside [0, 1]")
    return curves


def csv_lines(path: Path) -> list[tuple[int, list[str]]]:
    """Return number and cells of every line that is not empty, two at least."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            lines = [
                (number, [cell.strip() for cell in row])
                for number, row in enumerate(csv.reader(file), 1)
                if any(cell.strip() for cell in row)
            ]
    except (UnicodeDecodeError, csv.Error) as error:
        raise PyattrxError(f"{path}: not a CSV file in UTF-8 ({error})") from error
    if len(lines) < 2:
        raise PyattrxError(f"{path}: expected a header of names and at least one row")
    return lines


def csv_number(path: Path, line: int, cell: str) -> float:
    """Read a cell, NaN where it says that a value is missing."""
    if cell.lower() in MISSING:
        return math.nan
    try:
        return float(cell)
    except ValueError:
        raise PyattrxError(f"{path}, line {line}: {cell!r} is not a number") from None
