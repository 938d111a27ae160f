"""``pyattrx explain``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from pyattrx._help import examples
from pyattrx.cli import options
from pyattrx.cli.output import console, print_json, said_of_probes
from pyattrx.cli.places import check_picture, check_specifications
from pyattrx.encoders import expand, load
from pyattrx.errors import InvalidValueError
from pyattrx.probes import Probes
from pyattrx.questions import Explanation, explain

__all__ = ["add_commands"]

_Target = Annotated[
    str, typer.Argument(metavar="TARGET", help="The target network, as for affinity.")
]
_Source = Annotated[str, typer.Argument(metavar="SOURCE", help="The source network.")]
_Method = Annotated[
    str,
    typer.Option(
        help="grad_x_input, elrp; or features: recommended, ridge, normalized_ridge, "
        "perturbation_response. The options of maps go with the first two only.",
        rich_help_panel=options.METHOD,
    ),
]
_Layer = Annotated[
    str | None,
    typer.Option(
        help="Layer whose channels are asked about, by its dotted name; of maps the last one "
        "with locations if left out.",
        rich_help_panel=options.METHOD,
    ),
]
_Of = Annotated[
    str | None,
    typer.Option(
        help="Whose layer: target, source. The source's, unless only the target has it.",
        rich_help_panel=options.METHOD,
    ),
]
_Axis = Annotated[
    int | None,
    typer.Option(
        help="Axis of the channels; the last one of tokens, else 1.",
        rich_help_panel=options.METHOD,
    ),
]
_K = Annotated[int, typer.Option("-k", help="Channels to show.", rich_help_panel=options.OUTPUT)]
_References = Annotated[
    int, typer.Option(help="Images of each in the picture.", rich_help_panel=options.OUTPUT)
]
_Picture = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--out",
        help="Draw them to this file, .png or .svg: images that each channel answers to, and "
        "where.",
        rich_help_panel=options.OUTPUT,
    ),
]


def add_commands(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(
        "explain",
        **examples(
            "pyattrx explain my.py:network timm:resnet18 --probes photos -o why.png",
            "pyattrx explain my.py:network timm:resnet18 --probes photos --layer layer3 --json",
        ),
    )(explain_command)


def explain_command(
    target: _Target,
    source: _Source,
    probes: options.ProbesFolder,
    size: options.Size = 224,
    limit: options.Limit = None,
    crops: options.Crops = 1,
    seed: options.Seed = 0,
    skip_bad: options.SkipBad = False,
    method: _Method = "grad_x_input",
    scalar: options.ScalarName = "mean",
    layer: _Layer = None,
    of: _Of = None,
    axis: _Axis = None,
    k: _K = 6,
    references: _References = 4,
    picture: _Picture = None,
    batch_size: options.BatchSize = 32,
    device: options.Device = None,
    threads: options.Threads = None,
    trust: options.Trust = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Tell why two networks are near: which channels of a layer carry their affinity."""
    options.be_quiet(quiet)
    options.set_threads(threads)
    folder = options.probes_folder(probes)
    chosen = options.method(method, scalar, "mean", None, False, None, None)
    if k < 1:
        raise InvalidValueError("k", k, "at least 1")
    for argument, given in (("TARGET", target), ("SOURCE", source)):
        if len(expand(given)) != 1:
            raise InvalidValueError(argument, given, "one network")
    check_specifications([target, source])
    check_picture("out", picture)
    images = options.read_probes(folder, size, limit, crops, seed, skip_bad)
    result = explain(
        load(target, trust=trust),
        load(source, trust=trust),
        images,
        chosen,
        layer,
        of=of,
        axis=axis,
        channels=0 if picture is None else k,
        references=references,
        batch_size=batch_size,
        device=device,
    )
    files = []
    if picture is not None:
        result.plot(picture)
        files.append(str(picture))
    if as_json:
        top = [one.to_dict() for one in result.top(k)]
        print_json({**result.to_dict(), "top": top, "files": files})
    else:
        _print(result, images, k, files)


def _print(result: Explanation, probes: Probes, k: int, files: list[str]) -> None:
    out = console()
    name = result.source if result.of == "source" else result.target
    table = Table(
        title=f"Why is {result.source} near {result.target}? Channels of {result.layer} of {name}",
        title_justify="left",
    )
    for head in ("channel", "share", "answers most to"):
        table.add_column(head, justify="left" if head.startswith("answers") else "right")
    for one in result.top(k):
        table.add_row(
            str(one.channel),
            Text(_with_error(one.share, one.stderr)),
            Text(", ".join(one.references)),
        )
    out.print(table)
    rest = "around the layer" if result.remainder_is_around else "lost with no single channel"
    lines = [
        f"affinity {_with_error(result.affinity, result.affinity_stderr)} by {result.method}",
        f"all {len(result)} channels {_with_error(result.covered, result.covered_stderr)}; "
        f"{rest} {_with_error(result.remainder, result.remainder_stderr)}",
    ]
    if result.zero_maps:
        lines.append(f"{result.zero_maps} of {len(result.groups)} probes: a map is all zero")
    for line in [*lines, *said_of_probes(probes), *(f"wrote {file}" for file in files)]:
        out.print(line)


def _with_error(value: float, error: float) -> str:
    return f"{value:.4f}" + ("" if math.isnan(error) else f" ± {error:.4f}")
