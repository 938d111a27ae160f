"""``pyattrx faithfulness``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from pyattrx import report
from pyattrx._checks import integer
from pyattrx._help import examples
from pyattrx.cli import options
from pyattrx.cli.output import console, print_json, said_of_probes
from pyattrx.cli.places import check_picture
from pyattrx.cli.running import FAILED
from pyattrx.cli.streams import complain
from pyattrx.encoders import load
from pyattrx.errors import InvalidValueError
from pyattrx.methods import ATTRIBUTIONS, Method
from pyattrx.questions import (
    FILLS,
    ORDERS,
    Faithfulness,
    Fill,
    Patches,
    check_fill,
    check_map_method,
    faithfulness_of_each,
    order_of,
)
from pyattrx.running import Failures, check_batch_size, resolve_device

__all__ = ["add_commands"]

_Methods = Annotated[
    list[str] | None,
    typer.Option(
        "--method",
        help=f"Maps: {', '.join(ATTRIBUTIONS)}; again for more.  [default: grad_x_input]",
        rich_help_panel=options.METHOD,
    ),
]
_Reduce = Annotated[
    str, typer.Option(help="Channels: mean, abs_mean.", rich_help_panel=options.METHOD)
]
_FillOption = Annotated[
    str,
    typer.Option(
        metavar="FILL",
        help=f"In the place of what is occluded: {', '.join(FILLS)}, or a color R,G,B of numbers "
        "from 0 to 1.",
        rich_help_panel=options.METHOD,
    ),
]
_Order = Annotated[
    str,
    typer.Option(help=f"What goes first: {', '.join(ORDERS)}.", rich_help_panel=options.METHOD),
]
_Patch = Annotated[
    int | None,
    typer.Option(
        help="Side of the patches in pixels; a sixteenth of the probes' if left out.",
        rich_help_panel=options.METHOD,
    ),
]
_Steps = Annotated[
    int,
    typer.Option(help="In how many steps all is occluded.", rich_help_panel=options.METHOD),
]
_Seed = Annotated[
    int,
    typer.Option(
        help="Seed of the probes' order and crops, and of the random order.",
        rich_help_panel=options.PROBES,
    ),
]
_Picture = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE",
        help="Draw the curves: a .png or .svg file.",
        rich_help_panel=options.OUTPUT,
    ),
]


def add_commands(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(
        "faithfulness",
        **examples(
            "pyattrx faithfulness timm:resnet18 --probes photos --method saliency -o curves.png",
            "pyattrx faithfulness timm:resnet18 my.py:network --probes photos --fill blur --json",
        ),
    )(faithfulness_command)


def faithfulness_command(
    specifications: options.Specifications,
    probes: options.ProbesFolder,
    size: options.Size = 224,
    limit: options.Limit = None,
    crops: options.Crops = 1,
    seed: _Seed = 0,
    skip_bad: options.SkipBad = False,
    method: _Methods = None,
    scalar: options.ScalarName = "mean",
    reduce: _Reduce = "mean",
    fill: _FillOption = "mean",
    order: _Order = "strongest",
    patch: _Patch = None,
    steps: _Steps = 16,
    batch_size: options.BatchSize = 32,
    device: options.Device = None,
    threads: options.Threads = None,
    picture: _Picture = None,
    trust: options.Trust = False,
    yes: options.Yes = False,
    listed: options.Listed = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Are attribution maps faithful: does an answer change where they say?

    A network that fails is left out and named; the exit code is 1 then.
    """
    options.be_quiet(quiet)
    options.set_threads(threads)
    names = options.networks(specifications, yes=yes, listed=listed, as_json=as_json)
    for index, name in enumerate(names):
        if name in names[:index]:
            raise InvalidValueError("SPEC", name, "networks with different names")
    folder = options.probes_folder(probes)
    chosen = _methods(method or ["grad_x_input"], scalar, reduce)
    check_picture("out", picture)
    common: dict[str, Any] = {
        "fill": _fill(fill), "order": order_of(order).name, "patch": patch, "seed": seed,
        "steps": integer("steps", steps, least=1), "batch_size": batch_size,
        "device": resolve_device(device),
    }  # fmt: skip
    check_batch_size(batch_size)
    Patches.of(patch, (size, size))
    images = options.read_probes(folder, size, limit, crops, seed, skip_bad)
    failures = Failures("skip")
    results: list[Faithfulness] = []
    for name in names:
        with failures.noted(name):
            results += faithfulness_of_each(load(name, trust=trust), images, chosen, **common)
    failures.check_some_are_left([one.network for one in results])
    files = []
    if picture is not None:
        report.faithfulness_figure(results, path=picture)
        files.append(str(picture))
    if as_json:
        found = [one.to_dict() for one in results]
        print_json({"results": found, "failures": failures.found, "files": files})
    else:
        lines = [*_zero(results), *said_of_probes(images), *(f"wrote {file}" for file in files)]
        _print(results, lines)
    if failures.found:
        failed = ", ".join(failures.found)
        complain(f"pyattrx: {len(failures.found)} of {len(names)} networks failed: {failed}")
        raise typer.Exit(FAILED)


def _methods(names: list[str], scalar: str, reduce: str) -> list[Method]:
    """Methods of attributions; `--scalar` and `--reduce` are those of all of them."""
    for place, name in enumerate(names):
        check_map_method(name)
        if name in names[:place]:
            raise InvalidValueError("method", name, "different methods")
    return [check_map_method(Method(name, scalar=scalar, reduce=reduce)) for name in names]


def _fill(text: str) -> Fill:
    """A fill by its name, or three numbers."""
    if re.fullmatch(r"[\d.]+(,[\d.]+)+", text) is None:
        return check_fill(text)
    try:
        return check_fill([float(part) for part in text.split(",")])
    except ValueError as error:
        expected = f"{', '.join(map(repr, FILLS))}, or R,G,B: three numbers from 0 to 1"
        raise InvalidValueError("fill", text, expected) from error


def _zero(results: list[Faithfulness]) -> list[str]:
    return [
        f"{one.network}, {one.method}: the maps of {one.zero_maps} of {len(one)} probes are all "
        "zero, and occluded in a random order"
        for one in results
        if one.zero_maps
    ]


def _print(results: list[Faithfulness], lines: list[str]) -> None:
    out = console()
    first = results[0]
    fill = first.fill if isinstance(first.fill, str) else "a color"
    table = Table(
        title=f"Does the answer change where maps say? {first.order} {first.patch} x {first.patch} "
        f"pixels first, filled by {fill}; areas, {len(first)} probes",
        title_justify="left",
    )
    for head in ("network", "maps", "followed"):
        table.add_column(head)
    for head in ("area", "random", "gain", "95 % interval"):
        table.add_column(head, justify="right")
    for one in results:
        for measure, area in one.areas.items():
            known = area.low == area.low
            table.add_row(
                Text(one.network),
                Text(one.method),
                measure,
                f"{area.area:.3f}",
                f"{area.random:.3f}",
                f"{area.gain:+.3f}",
                f"{area.low:+.3f} .. {area.high:+.3f}" if known else "",
            )
    out.print(table)
    for line in lines:
        out.print(line)
