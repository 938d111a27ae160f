"""The command line: ``pyattrx COMMAND``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

import pyattrx
from pyattrx.cli.later import COMMANDS, LaterCommands
from pyattrx.cli.running import Commands, run
from pyattrx.cli.streams import documents

__all__ = [
    "Commands",
    "app",
    "documents",
    "main",
    "run",
]


app = typer.Typer(
    cls=LaterCommands,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"pyattrx {pyattrx.__version__}")
        raise typer.Exit


@app.callback()
def options_of_all(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Which pretrained network to start from.

    Exit codes: 0 done; 2 wrong arguments, a file that is not there among them, found before any
    network runs; 1 a network, an image or a file that is there failed; 130 interrupted; 141 nobody
    reads the output any more.
    """


for _name, (_, _help) in COMMANDS.items():
    app.command(_name, help=_help)(lambda: None)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code.

    Parameters
    ----------
    arguments : sequence of str, optional
        ``sys.argv[1:]`` if left out.
    """
    given = sys.argv[1:] if arguments is None else arguments
    raise SystemExit(run(app, given, ends=arguments is None))
