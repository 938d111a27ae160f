"""What is known of the networks that take part: where they come from, and what they cost."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from pyattrx._files import atomic_write

from .entrants import Entrant
from .reading import Seen

__all__ = ["Facts", "fact_rows", "read_facts", "write_facts"]

Facts = Mapping[str, str]
_COLUMNS = (
    "name", "group", "trained_for", "source", "licence", "place", "parameters", "multiply_adds",
    "milliseconds", "measured_on", "width", "input_size",
)  # fmt: skip


def fact_rows(entrants: Sequence[Entrant], seen: Sequence[Seen]) -> dict[str, Facts]:
    """Put together what is known of those that were read, by name."""
    by_name = {one.name: one for one in entrants}
    found: dict[str, Facts] = {}
    for one in seen:
        entrant, costs = by_name[one.name], one.features.costs
        found[one.name] = {
            "name": one.name,
            "group": entrant.group,
            "trained_for": entrant.trained_for,
            "source": entrant.source,
            "licence": entrant.licence,
            "place": one.features.place,
            "parameters": str(costs.parameters),
            "multiply_adds": _known(costs.multiply_adds),
            "milliseconds": _known(costs.milliseconds),
            "measured_on": _known(costs.measured_on),
            "width": str(costs.width),
            "input_size": str(costs.input_size[0]),
        }
    return found


def _known(value: object) -> str:
    return "" if value is None else str(value)


def write_facts(file: Path, facts: Mapping[str, Facts]) -> None:
    """Write a row a network."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(facts.values())
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(file) as out:
        out.write(text.getvalue().encode())


def read_facts(file: Path) -> dict[str, Facts]:
    """Read what `write_facts` wrote."""
    with file.open(newline="", encoding="utf-8") as stream:
        return {row["name"]: row for row in csv.DictReader(stream)}
