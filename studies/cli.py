"""The command line of the studies, with the messages and exit codes of ``pyattrx``."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

import typer

from benchmarks.options import Several
from pyattrx.cli import Commands, documents, run

from .cheaper import precision_command
from .faithfulness.command import faithfulness_command
from .layers.command import layers_command
from .minitaskonomy.command import minitaskonomy_command
from .real.command import real_command
from .recommend.command import recommend_command
from .transfer.command import transfer_command

__all__ = ["app", "main"]

_PROGRAM = "python -m studies"


class _Studies(Commands):
    def invoke(self, ctx: Any) -> Any:
        with contextlib.redirect_stdout(documents()):  # they print their own
            return super().invoke(ctx)


app = typer.Typer(
    cls=_Studies,
    help="What the package's claims rest on, from committed results or made anew.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _add(name: str, purpose: str, command: Callable[..., None], *examples: str) -> None:
    shown = "\n".join(f"{_PROGRAM} {name} {example}".rstrip() for example in examples)
    app.command(name, help=purpose, cls=Several, epilog=shown)(command)


_add(
    "minitaskonomy",
    "20 tasks on rendered rooms, and real transfers.",
    minitaskonomy_command,
    "all --seeds 0 1 2 --jobs 2",
    "all --preset smoke",
)
_add(
    "transfer",
    "Does the ranking predict transfer? From committed results.",
    transfer_command,
    "--pictures figures",
    "--gather --scores --seeds 0 1 2",
)
_add(
    "recommend",
    "Which score names the source that transfers best? From committed results.",
    recommend_command,
    "",
    "--scores --races --seeds 0 1 2",
)
_add(
    "real",
    "Which score names the network that is best for a real task? From tables, or anew.",
    real_command,
    "--json",
    "--data tasks/ --weights weights/ --work run/",
)
_add(
    "layers",
    "From which layer of a source should one start? From committed results.",
    layers_command,
    "",
    "--truth --scores",
)
_add(
    "precision",
    "Does a cheaper arithmetic change which source is named? From committed results.",
    precision_command,
    "",
    "--anew",
)
_add(
    "faithfulness",
    "Do more faithful maps rank sources better? From committed results.",
    faithfulness_command,
    "",
    "--gains --orders",
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a study and exit with its code; ``sys.argv[1:]`` if no arguments are given."""
    given = sys.argv[1:] if arguments is None else arguments
    raise SystemExit(run(app, given, ends=arguments is None, program=_PROGRAM))
