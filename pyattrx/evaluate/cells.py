"""Single accuracies of a file, and the tables that they make up."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pyattrx.errors import InvalidValueError, PyattrxError
from pyattrx.evaluate.accuracies import Accuracies

__all__ = ["UNITS", "Cell", "chosen", "collect"]

UNITS = ("percent", "fraction", "raw")


@dataclass(frozen=True)
class Cell:
    """One accuracy.

    Parameters
    ----------
    dataset, model : str
    value : float
        NaN where there is none.
    kind : str
    seed : str, optional
        None where the file does not say it.
    place : str
        Where it is in the file.
    rest : mapping
        What else its record says.
    """

    dataset: str
    model: str
    value: float
    kind: str = ""
    seed: str | None = None
    place: str = ""
    rest: Mapping[str, Any] = field(default_factory=dict)


def chosen(kinds: Sequence[str], kind: str | None) -> str:
    """Return the kind that is wanted, the only one if none is given.

    Raises
    ------
    InvalidValueError
        There are several, or it is not there.
    """
    if kind is None and len(kinds) == 1:
        return kinds[0]
    if kind is None or kind not in kinds:
        known = f"one of {list(kinds)}" if any(kinds) else "none, as the file tells none apart"
        raise InvalidValueError("kind", kind, known)
    return kind


def collect(cells: Sequence[Cell], notes: Sequence[str], unit: str | None) -> dict[str, Accuracies]:
    """Make a table of every kind.

    Raises
    ------
    InvalidValueError
        Percent and fractions mixed, or a seed there twice: an argument must say which.
    PyattrxError
        An infinite value, no value, fewer than two models.
    """
    kinds: dict[str, list[Cell]] = {}
    for cell in cells:
        if math.isinf(cell.value):
            raise PyattrxError(f"{cell.place}: {cell.value} for {_pair(cell)}, expected a finite "
                               "number, or none")  # fmt: skip
        if not math.isnan(cell.value):
            kinds.setdefault(cell.kind, []).append(cell)
    if not kinds:
        raise PyattrxError("no accuracy in it")
    return {kind: _collect(kind, found, list(notes), unit) for kind, found in kinds.items()}


def _collect(kind: str, cells: list[Cell], notes: list[str], unit: str | None) -> Accuracies:
    datasets = list(dict.fromkeys(cell.dataset for cell in cells))
    models = list(dict.fromkeys(cell.model for cell in cells))
    if len(models) < 2:
        of_kind = f" of {kind!r}" if kind else ""
        raise PyattrxError(f"the only model{of_kind} is {models[0]!r}; a ranking needs two or more")
    scale = _scale(cells, unit, notes)
    pairs: dict[tuple[str, str], dict[str, Cell]] = {}
    for cell in cells:
        of_pair = pairs.setdefault((cell.dataset, cell.model), {})
        seed = f"place {len(of_pair)}" if cell.seed is None else cell.seed
        if seed in of_pair:
            raise InvalidValueError("where", None, _which(of_pair[seed], cell))
        of_pair[seed] = cell
    seeds = list(dict.fromkeys(seed for of_pair in pairs.values() for seed in of_pair))
    rows, columns, depths = (
        {name: at for at, name in enumerate(names)} for names in (datasets, models, seeds)
    )
    values = np.full((len(datasets), len(models), len(seeds)), np.nan)
    for (dataset, model), of_pair in pairs.items():
        for seed, cell in of_pair.items():
            values[rows[dataset], columns[model], depths[seed]] = cell.value / scale
    several = [list(found.values()) for found in pairs.values() if len(found) > 1]
    if several and cells[0].seed is None:
        differ = sorted({name for found in several for name in _differing(found)})
        notes.append(
            f"{len(several)} pairs of a model and a data set have several values, taken for seeds"
            + (f"; their records differ in {', '.join(differ)}" if differ else "")
        )
    return Accuracies(values, tuple(datasets), tuple(models), kind, tuple(notes))


def _scale(cells: Sequence[Cell], unit: str | None, notes: list[str]) -> float:
    """Return what values are to be divided by."""
    if unit == "raw":
        return 1.0
    low, high = min(cells, key=lambda c: c.value), max(cells, key=lambda c: c.value)
    for cell in (low, high):
        if not 0 <= cell.value <= (1 if unit == "fraction" else 100):
            most = "1" if unit == "fraction" else "1, or 100 percent"
            raise InvalidValueError(
                "unit", unit,
                f"'raw' for what is no accuracy: {cell.value:g} for {_pair(cell)} is not from 0 "
                f"to {most}",
            )  # fmt: skip
    if unit is not None:
        return 100.0 if unit == "percent" else 1.0
    if high.value <= 1:
        return 1.0
    small = next((cell for cell in cells if 0 < cell.value <= 1), None)
    if small is not None:
        raise InvalidValueError(
            "unit", unit,
            f"'percent', 'fraction' or 'raw': {small.value:g} for {_pair(small)} looks like a "
            f"fraction, {high.value:g} for {_pair(high)} like percent",
        )  # fmt: skip
    notes.append("values are percent")
    return 100.0


def _which(first: Cell, second: Cell) -> str:
    seed = f" with the seed {second.seed}" if second.seed is not None else ""
    differ = _differing([first, second])
    more = f" among {', '.join(map(repr, differ))}" if differ else ""
    return (
        f"a column and its value{more}, as {_pair(second)}{seed} is there twice "
        f"({first.place}, {second.place})"
    )


def _differing(cells: Sequence[Cell]) -> list[str]:
    return [
        name
        for name in dict.fromkeys(name for cell in cells for name in cell.rest)
        if any(cell.rest.get(name) != cells[0].rest.get(name) for cell in cells)
    ]


def _pair(cell: Cell) -> str:
    return f"{cell.model} on {cell.dataset}"
