"""``python -m studies faithfulness``: do more faithful maps rank sources better?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.measure import limited_threads
from benchmarks.options import Json
from pyattrx.errors import InvalidValueError

from .. import pages
from ..options import say_at
from ..transfer.command import ROOT as TRANSFERS
from .judging import document, rank_quality
from .measuring import measure, read
from .orders import measure_orders, read_orders
from .page import TABLES
from .picture import draw

__all__ = ["ROOT", "faithfulness_command"]

_ANEW = "Make the results anew, with the demo's networks"
ROOT = Path(__file__).resolve().parents[1] / "results" / "faithfulness"


def faithfulness_command(
    results: Annotated[Path, typer.Option(metavar="FOLDER", help="Tables.")] = ROOT,
    as_json: Json = False,
    page: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Fill the tables of a page: docs/faithfulness.md."),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw the page's picture, with one of the networks."),
    ] = None,
    gains: Annotated[
        bool,
        typer.Option(
            "--gains",
            help="Measure what is missing of how faithful maps are.",
            rich_help_panel=_ANEW,
        ),
    ] = False,
    orders: Annotated[
        bool,
        typer.Option(
            "--orders",
            help="Measure both orders on a published network.",
            rich_help_panel=_ANEW,
        ),
    ] = False,
) -> None:
    """Print what the study found, or make its results anew; stopped, the same command goes on."""
    file = results / "gains.csv"
    if gains or orders:
        with limited_threads(1):
            if gains:
                measure(file, say_at)
            if orders:
                measure_orders(results / "orders.csv", say_at)
        return
    if picture is not None:
        draw(picture)
        return
    found = read(file)
    if not found:
        raise InvalidValueError("results", str(results), "a folder with gains.csv")
    judged = document(found, rank_quality(TRANSFERS), read_orders(results / "orders.csv"))
    if page is not None:
        pages.write(page, TABLES, judged)
    elif as_json:
        print(json.dumps(judged, indent=2, allow_nan=False))
    else:
        for table in TABLES.values():
            print(table(judged), end="\n\n")
        print(f"Do more faithful maps rank better? {judged['answer']}")
