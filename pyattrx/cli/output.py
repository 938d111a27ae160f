"""What commands print: JSON on standard output if asked for, otherwise text for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pyattrx._names import FEWEST, shortened
from pyattrx.affinities import Affinity
from pyattrx.cli.streams import put_document
from pyattrx.probes import Probes
from pyattrx.statistics import Match

if TYPE_CHECKING:
    from pyattrx.evaluate import Difference, Estimate

__all__ = [
    "affinity_table",
    "console",
    "listed",
    "nearest_table",
    "print_json",
    "said_of_probes",
    "with_interval",
]

_FEW_PROBES = 30
_WIDEST_TABLE = 16  # networks; larger affinities are shown as nearest sources only
_CORNER = "target \\ source"
_SOURCE = "nearest source"
_TIES = "cannot be told apart from"


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
    """What is to be known of probes, a line each: copies, files left out, and how few they are."""
    lines = [f"left out {skipped.path}: {skipped.reason}" for skipped in probes.skipped]
    if probes.duplicates:
        lines.insert(
            0,
            f"{probes.duplicates} of the {len(probes)} probes are exact copies of earlier ones and "
            f"in their groups, which are {probes.n_groups}",
        )
    if probes.n_groups < _FEW_PROBES:
        lines.append(f"{probes.n_groups} probes are few; 100 or more tell more apart.")
    return lines


def affinity_table(result: Affinity, title: str, width: int | None = None) -> Table | Text:
    """Draw the affinities with their standard errors, rows targets and columns sources.

    Where they do not fit the width (the terminal's if left out), names are shortened first; then
    columns have numbers; then standard errors have lines of their own. Numbers are never cut.
    """
    count = len(result)
    width = console().width if width is None else width
    if count > _WIDEST_TABLE:
        return Text(f"{title}: {count} networks, too many for a table; use --save or --json")
    numbers = [str(place) for place in range(1, count + 1)]
    for between in (" ", "\n"):
        cells = [[_cell(result, i, j, between) for j in range(count)] for i in range(count)]
        widest = max(max(map(len, cell.plain.split("\n"))) for row in cells for cell in row)
        for numbered in (False, True):
            heads = numbers if numbered else _headings(result.names, widest, width)
            if heads is None:
                continue
            taken = sum(max(widest, len(head)) for head in heads)
            left = width - taken - _borders(count + 1) - numbered * (len(numbers[-1]) + 1)
            rows = shortened(result.names, left)
            if rows is None or left < len(_CORNER):
                continue
            if numbered:
                rows = [f"{place} {name}" for place, name in zip(numbers, rows, strict=True)]
            return _matrix(title, rows, heads, cells)
    return Text(f"{title}: {count} networks; the table is too wide for {width} columns, --save or "
                "--json give it")  # fmt: skip


def _headings(names: Sequence[str], widest: int, width: int) -> list[str] | None:
    """Names over columns: whole if the table is no wider for it, or still fits."""
    whole = sum(max(widest, len(name)) for name in names) + max(map(len, names))
    if whole + _borders(len(names) + 1) <= width:
        return list(names)
    return shortened(names, widest)


def _matrix(
    title: str, rows: Sequence[str], heads: Sequence[str], cells: Sequence[Sequence[Text]]
) -> Table:
    table = Table(title=title, title_justify="left", show_lines=False)
    table.add_column(_CORNER, no_wrap=True)
    for head in heads:
        table.add_column(Text(head), justify="right", no_wrap=True)
    for name, row in zip(rows, cells, strict=True):
        table.add_row(Text(name), *row)
    return table


def _borders(columns: int) -> int:
    """Characters of a table's lines and of the space beside them."""
    return 3 * columns + 1


def nearest_table(
    rankings: Sequence[tuple[str, Sequence[Match]]],
    title: str,
    level: float = 0.95,
    width: int | None = None,
) -> Table | Text:
    """Draw every target's nearest sources with intervals, of some confidence, and ties.

    In a width (the terminal's if left out) without space for a table it is a list. Names are
    shortened in the middle, numbers never.
    """
    width = console().width if width is None else width
    interval = f"{100 * level:g} % interval"
    values = [f"{match.affinity:.3f}" for _, matches in rankings for match in matches]
    ranges = [_range(match) for _, matches in rankings for match in matches]
    numbers = max(map(len, [*values, "affinity"])) + max(map(len, [*ranges, interval]))
    left = width - numbers - _borders(5)
    targets = [target for target, _ in rankings]
    sources = [match.name for _, matches in rankings for match in matches]
    known = list(dict.fromkeys([*targets, *sources, *(
        tie for _, matches in rankings for match in matches for tie in match.ties)]))  # fmt: skip
    longest = max(map(len, known), default=0)
    names = None
    for size in range(longest, FEWEST - 1, -1):  # two columns of a name, and one that is wrapped
        if max(size, len("target")) + max(size, len(_SOURCE)) + size + 1 <= left:
            names = shortened(known, size)
            break
    if names is None:
        return _nearest_list(rankings, title, interval, width)
    short = dict(zip(known, names, strict=True))
    table = Table(title=title, title_justify="left")
    table.add_column("target", no_wrap=True)
    table.add_column(_SOURCE, no_wrap=True)
    table.add_column("affinity", justify="right", no_wrap=True)
    table.add_column(interval, justify="right", no_wrap=True)
    table.add_column(_TIES)
    for target, matches in rankings:
        for rank, match in enumerate(matches):
            table.add_row(
                Text(short[target] if rank == 0 else ""),
                Text(short[match.name]),
                f"{match.affinity:.3f}",
                _range(match),
                Text(listed([short[tie] for tie in match.ties], 4)),
                end_section=rank == len(matches) - 1,
            )
    return table


def _nearest_list(
    rankings: Sequence[tuple[str, Sequence[Match]]], title: str, interval: str, width: int
) -> Text:
    """The same without a table: a line or two for each source."""
    lines = [f"{title} ({interval})"]
    for target, matches in rankings:
        lines.append(f"{target}:")
        places = {match.name: str(place) for place, match in enumerate(matches, start=1)}
        names = shortened(list(places), width - 34) or list(places)
        for (place, match), name in zip(enumerate(matches, start=1), names, strict=True):
            ties = [places[tie] for tie in match.ties if tie in places]
            more = len(match.ties) - len(ties)
            said = ", ".join(ties) + (f" and {more} more" if more else "")
            like = f"; cannot be told apart from {said}" if match.ties else ""
            lines.append(f"  {place} {name} {match.affinity:.3f} ({_range(match)}){like}")
    return Text("\n".join(lines))


def _range(match: Match) -> str:
    return f"{match.low:.3f} .. {match.high:.3f}"


def _cell(result: Affinity, i: int, j: int, between: str) -> Text:
    if i == j:
        return Text("-", style="dim")
    value, stderr = result.values[i, j], result.stderr[i, j]
    strong = abs(value) > 3 * stderr
    return Text(f"{value:.3f}{between}±{stderr:.3f}", style="bold" if strong else "")


def listed(names: Sequence[str], most: int = 8) -> str:
    """Join the first of some names."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def with_interval(estimate: Estimate | Difference) -> str:
    """Write a number and its interval, where there is one."""
    if estimate.low != estimate.low:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} ({estimate.low:.2f} .. {estimate.high:.2f})"
