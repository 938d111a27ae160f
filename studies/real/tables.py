"""What was measured, as CSV: a row a task, labels, draw and score, and a column a network."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyattrx._files import atomic_write
from pyattrx.errors import InvalidValueError

__all__ = ["Row", "read_rows", "write_rows"]

_KEYS = ("task", "labels", "draw", "name")


@dataclass(frozen=True, eq=False)
class Row:
    """One score, or one kind of truth, of all networks.

    Attributes
    ----------
    task : str
    labels : int
        Labelled images a class.
    draw : int
    name : str
        Of the score, or of the truth.
    values : dict of str to float
        By network; without those that have none.
    """

    task: str
    labels: int
    draw: int
    name: str
    values: Mapping[str, float]

    @property
    def key(self) -> tuple[str, int, int, str]:
        """What tells it from other rows."""
        return self.task, self.labels, self.draw, self.name

    def of(self, networks: Sequence[str]) -> NDArray[np.float64]:
        """Values of some networks; NaN where there is none."""
        return np.array([self.values.get(name, np.nan) for name in networks])


def write_rows(file: Path, rows: Iterable[Row]) -> None:
    """Write rows in their order, networks in that of the first rows that have them."""
    rows = list(rows)
    networks = list(dict.fromkeys(name for row in rows for name in row.values))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_KEYS, *networks])
    for row in rows:
        cells = [f"{row.values[n]:.6g}" if n in row.values else "" for n in networks]
        writer.writerow([*row.key, *cells])
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(file) as out:
        out.write(text.getvalue().encode())


def read_rows(file: Path) -> list[Row]:
    """Read what `write_rows` wrote; nothing where there is no file.

    Raises
    ------
    InvalidValueError
        It is another table.
    """
    if not file.is_file():
        return []
    with file.open(newline="", encoding="utf-8") as stream:
        reader = csv.reader(stream)
        head = next(reader, [])
        if tuple(head[: len(_KEYS)]) != _KEYS:
            raise InvalidValueError(
                "file", str(file), f"a table with the columns {', '.join(_KEYS)}"
            )
        networks = head[len(_KEYS) :]
        return [
            Row(cells[0], int(cells[1]), int(cells[2]), cells[3], _values(networks, cells))
            for cells in reader
        ]


def _values(networks: Sequence[str], cells: Sequence[str]) -> dict[str, float]:
    given = zip(networks, cells[len(_KEYS) :], strict=True)
    return {name: float(cell) for name, cell in given if cell}
