"""``pyattrx bench``: the commands of the benchmarks, which are imported when asked for.

They are in the installed package, or beside it in the sources.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

import pyattrx
from pyattrx.cli.streams import documents
from pyattrx.errors import MissingDependencyError

__all__ = ["add_commands", "load_benchmarks"]

_STUDIES = ("minitaskonomy", "transfer", "recommend", "real")  # commands of `bench` once


class _Benchmarks(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        return list(self._loaded().list_commands(ctx))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in _STUDIES:
            ctx.fail(f"a study: run `python -m studies {cmd_name}` in the sources")
        return self._loaded().get_command(ctx, cmd_name)

    def invoke(self, ctx: Any) -> Any:
        with contextlib.redirect_stdout(documents()):  # they print their own
            return super().invoke(ctx)

    def _loaded(self) -> Any:
        return typer.main.get_command(load_benchmarks().app)


def add_commands(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    benchmarks = typer.Typer(
        cls=_Benchmarks,
        help="Measure the kernels; every result is checked.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    app.add_typer(benchmarks, name="bench")


def load_benchmarks() -> Any:
    """Import the module whose `app` has the commands.

    Raises
    ------
    MissingDependencyError
        This installation has no benchmarks.
    """
    if importlib.util.find_spec("pyattrx.benchmarks") is not None:
        return importlib.import_module("pyattrx.benchmarks.cli")
    sources = importlib.util.find_spec("benchmarks")
    beside = Path(pyattrx.__file__).resolve().parents[1] / "benchmarks" / "__init__.py"
    # Many projects have a folder of this name: it must be the one beside this package.
    if sources is not None and Path(sources.origin or "").resolve() == beside:
        return importlib.import_module("benchmarks.cli")
    raise MissingDependencyError("pyattrx.benchmarks", "pyattrx bench", "--force-reinstall pyattrx")
