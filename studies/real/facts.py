"""What is known of the networks that take part: where they come from, and what they cost."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pyattrx._files import atomic_write

from .entrants import Entrant
from .reading import Seen
from .tasks import RealTask

__all__ = [
    "NETWORK_COLUMNS",
    "TASK_COLUMNS",
    "Facts",
    "fact_rows",
    "read_facts",
    "resemblance",
    "task_rows",
    "write_facts",
]

Facts = Mapping[str, str]
NETWORK_COLUMNS = (
    "name", "group", "trained_for", "source", "licence", "place", "parameters", "multiply_adds",
    "milliseconds", "measured_on", "width", "input_size",
)  # fmt: skip
TASK_COLUMNS = ("name", "images", "groups", "classes")


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


def task_rows(tasks: Sequence[RealTask]) -> dict[str, Facts]:
    """Put together what is known of tasks, by name."""
    return {
        one.name: {
            "name": one.name,
            "images": str(len(one.task)),
            "groups": str(len(np.unique(one.task.groups))),
            "classes": " ".join(one.task.classes or ()),
        }
        for one in tasks
    }


def resemblance(
    tasks: Mapping[str, Facts], networks: Mapping[str, Facts]
) -> dict[str, dict[str, float]]:
    """Say how much what is told of a network is like what is told of a task, by task and network.

    The share of the task's three-letter sequences, of its name and classes, that are in the
    network's name or in what it was trained for.
    """

    def sequences(*texts: str) -> set[str]:
        words = " ".join(texts).lower().replace("-", " ").split()
        return {word[at : at + 3] for word in words for at in range(max(1, len(word) - 2))}

    found: dict[str, dict[str, float]] = {}
    for task, facts in tasks.items():
        own = sequences(facts["name"], facts["classes"])
        found[task] = {
            name: len(own & sequences(row["name"], row["trained_for"])) / len(own)
            for name, row in networks.items()
        }
    return found


def write_facts(
    file: Path, facts: Mapping[str, Facts], columns: Sequence[str] = NETWORK_COLUMNS
) -> None:
    """Write a row a network, or a task."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(facts.values())
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(file) as out:
        out.write(text.getvalue().encode())


def read_facts(file: Path) -> dict[str, Facts]:
    """Read what `write_facts` wrote."""
    with file.open(newline="", encoding="utf-8") as stream:
        return {row["name"]: row for row in csv.DictReader(stream)}
