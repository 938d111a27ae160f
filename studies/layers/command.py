"""``python -m studies layers``: from which layer of a source should one start?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.measure import limited_threads
from benchmarks.options import Json
from pyattrx.errors import InvalidValueError

from .. import pages
from ..minitaskonomy.command import cache_folder
from ..minitaskonomy.presets import find_preset
from ..options import say_at
from .judging import document
from .page import TABLES
from .scores import measure_scores, read_scores
from .truth import measure, read

__all__ = ["ROOT", "layers_command"]

ROOT = Path(__file__).resolve().parents[1] / "results" / "layers"
_ANEW = "Make the results anew, from what `minitaskonomy render` made"


def layers_command(
    results: Annotated[Path, typer.Option(metavar="FOLDER", help="Tables.")] = ROOT,
    as_json: Json = False,
    page: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Fill the tables of a page: docs/layers.md.")
    ] = None,
    truth: Annotated[
        bool,
        typer.Option("--truth", help="Train decoders on every stage.", rich_help_panel=_ANEW),
    ] = False,
    scores: Annotated[
        bool, typer.Option("--scores", help="Score every stage.", rich_help_panel=_ANEW)
    ] = False,
    folder: Annotated[
        Path | None,
        typer.Option(
            help=f"Of `minitaskonomy` (default: {cache_folder()}).", rich_help_panel=_ANEW
        ),
    ] = None,
    minutes: Annotated[
        float, typer.Option(help="Begin no pair after so many.", rich_help_panel=_ANEW)
    ] = 60.0,
) -> None:
    """Print what the study found, or make its results anew; stopped, the same command goes on."""
    if truth or scores:
        with limited_threads(1):
            if truth:
                made = folder or cache_folder()
                measure(made, find_preset("full"), results / "truth.csv", minutes, say_at)
            if scores:
                measure_scores(results / "scores.csv", say_at)
        return
    rows = read(results / "truth.csv")
    if not rows:
        raise InvalidValueError("results", str(results), "a folder with truth.csv and scores.csv")
    found = document(rows, read_scores(results / "scores.csv"))
    if page is not None:
        pages.write(page, TABLES, found)
    elif as_json:
        print(json.dumps(found, indent=2, allow_nan=False))
    else:
        for table in TABLES.values():
            print(table(found), end="\n\n")
