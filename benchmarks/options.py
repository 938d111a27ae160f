"""Options that several commands have, and what they mean."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any

import typer

from pyattrx._help import Command

__all__ = [
    "FileOut",
    "Json",
    "Networks",
    "Probes",
    "Quick",
    "Quiet",
    "Rounds",
    "Several",
    "Threads",
]

Json = Annotated[bool, typer.Option("--json", help="Print the JSON, too, and no table.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Do not say what is running.")]
Quick = Annotated[bool, typer.Option("--quick", help="Tiny cases, to see that it works.")]
Threads = Annotated[int, typer.Option(min=1, help="CPU threads.")]
Rounds = Annotated[int | None, typer.Option(min=1, help="Repetitions; as time allows if left out.")]
Networks = Annotated[int, typer.Option(min=2, help="ResNet-18s.")]
Probes = Annotated[int, typer.Option(min=1, help="Images.")]
FileOut = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="JSON file; in the sources benchmarks/results/COMMAND.json if left out, elsewhere "
        "pyattrx-bench-COMMAND.json, and pyattrx-bench-COMMAND-quick.json of a quick run.",
    ),
]


class Several(Command):
    """A command whose list options take several values at once: ``--seeds 0 1 2``."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Parse arguments after the name of a list option is put before each of its values."""
        lists = {
            name for param in self.params if getattr(param, "multiple", False)
            for name in param.opts
        }  # fmt: skip
        return super().parse_args(ctx, _repeated(args, lists))


def _repeated(arguments: list[str], lists: Collection[str]) -> list[str]:
    """Name the option again before each value that follows the first."""
    found: list[str] = []
    current: str | None = None  # the list option whose values these may be
    first = False
    for index, argument in enumerate(arguments):
        if argument == "--":
            return found + arguments[index:]
        if first:
            first = False  # whatever it looks like, as `--seeds -1`
        elif argument in lists:
            current, first = argument, True
        elif argument.startswith("-"):
            current = None
        elif current is not None:
            found.append(current)
        found.append(argument)
    return found
