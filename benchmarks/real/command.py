"""``python -m benchmarks real``: which score names the network that is best for a real task?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..options import say_at
from .entrants import GROUPS, entrants
from .measuring import measure
from .reading import read
from .tables import write_rows
from .tasks import find_tasks

__all__ = ["ROOT", "real_command"]

ROOT = Path(__file__).resolve().parents[1] / "results" / "real"
# Who are candidates together, by groups.
SETS = {
    "strangers": ("strangers",),
    "one size": ("one size",),
    "with half sizes": ("strangers", "half size"),
    "with double sizes": ("strangers", "double size"),
    "with random ones": ("strangers", "random"),
}


def real_command(
    data: Annotated[Path, typer.Option(metavar="FOLDER", help="Images: TASK/CLASS/*.")],
    weights: Annotated[Path, typer.Option(metavar="FOLDER", help="Weights of networks.")],
    work: Annotated[Path, typer.Option(metavar="FOLDER", help="Keeps what was computed.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Of the tables.")] = ROOT,
    tasks: Annotated[list[str] | None, typer.Option(help="Only these.")] = None,
    groups: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(GROUPS)}.")] = None,
) -> None:
    """Measure networks and scores on real images; a run may be stopped, and goes on."""
    there, missing = entrants(weights)
    for line in missing:
        say_at(f"not there: {line}")
    wanted = [one for one in there if one.group in (groups or GROUPS)]
    sets = {
        title: [one.name for one in wanted if one.group in members]
        for title, members in SETS.items()
        if set(members) <= {one.group for one in wanted}
    }
    truths, scores = [], []
    for task in find_tasks(data):
        if tasks and task.name not in tasks:
            continue
        seen = read(wanted, task, work, say_at)
        found = measure(task, seen, sets, work, say_at)
        truths += found[0]
        scores += found[1]
        write_rows(out / "truths.csv", truths)
        write_rows(out / "scores.csv", scores)
