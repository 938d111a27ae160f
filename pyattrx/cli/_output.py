"""What commands print: JSON on standard output if asked for, otherwise text for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pyattrx.affinities import Affinity, Match
from pyattrx.cli._streams import put_document
from pyattrx.probes import Probes

__all__ = ["affinity_table", "console", "nearest_table", "print_json", "said_of_probes"]

_WIDEST_TABLE = 16  # networks; larger affinities are shown as nearest sources only


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to the command line, which knows its exit codes."""
        raise  # noqa: PLE0704, called where the error is handled


def console(*, stderr: bool = False) -> Console:
    """Return a console on the current standard output (or error); wide where nobody watches."""
    stream = sys.stderr if stderr else sys.stdout
    return _Console(
        stderr=stderr,
        width=None if stream.isatty() else 160,
        highlight=False,
        markup=False,
        emoji=False,  # a network may be called :x:
    )


def print_json(value: Any) -> None:
    """Print one JSON document."""
    put_document(json.dumps(value, indent=2, allow_nan=False))


def said_of_probes(probes: Probes) -> list[str]:
    """What is to be known of probes, a line each: copies, and files that were left out."""
    lines = [f"left out {skipped.path}: {skipped.reason}" for skipped in probes.skipped]
    if probes.duplicates:
        lines.insert(
            0,
            f"{probes.duplicates} of the {len(probes)} probes are exact copies of earlier ones and "
            f"in their groups, which are {probes.n_groups}",
        )
    return lines


def affinity_table(result: Affinity, title: str) -> Table | Text:
    """Draw the affinities with their standard errors, rows targets and columns sources."""
    if len(result) > _WIDEST_TABLE:
        return Text(f"{title}: {len(result)} networks, too many for a table; use --save or --json")
    table = Table(title=title, title_justify="left", show_lines=False)
    table.add_column("target \\ source", no_wrap=True)
    for name in result.names:
        table.add_column(Text(name), justify="right", no_wrap=len(result) <= 8)
    for i, name in enumerate(result.names):
        cells = [_cell(result, i, j) for j in range(len(result))]
        table.add_row(Text(name), *cells)
    return table


def nearest_table(
    rankings: Sequence[tuple[str, Sequence[Match]]], title: str, level: float = 0.95
) -> Table:
    """Draw every target's nearest sources with intervals, of some confidence, and ties."""
    table = Table(title=title, title_justify="left")
    table.add_column("target", no_wrap=True)
    table.add_column("nearest source", no_wrap=True)
    table.add_column("affinity", justify="right")
    table.add_column(f"{100 * level:g} % interval", justify="right")
    table.add_column("cannot be told apart from")
    for target, matches in rankings:
        for rank, match in enumerate(matches):
            table.add_row(
                Text(target if rank == 0 else ""),
                Text(match.name),
                f"{match.affinity:.3f}",
                f"{match.low:.3f} .. {match.high:.3f}",
                Text(_listed(match.ties)),
                end_section=rank == len(matches) - 1,
            )
    return table


def _cell(result: Affinity, i: int, j: int) -> Text:
    if i == j:
        return Text("-", style="dim")
    value, stderr = result.values[i, j], result.stderr[i, j]
    strong = abs(value) > 3 * stderr
    return Text(f"{value:.3f} ±{stderr:.3f}", style="bold" if strong else "")


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:4])
    return shown + (f" and {len(names) - 4} more" if len(names) > 4 else "")
