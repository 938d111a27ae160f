"""``pyattrx layers``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pyattrx._help import examples
from pyattrx.cli import options, tasks
from pyattrx.cli.output import console, print_json, said_of_probes
from pyattrx.cli.places import check_picture, check_specifications
from pyattrx.encoders import expand, load
from pyattrx.errors import InvalidValueError
from pyattrx.methods import get as get_method
from pyattrx.questions import Layers
from pyattrx.questions import layers as compute_layers

__all__ = ["add_commands"]

_Source = Annotated[
    str, typer.Argument(metavar="SOURCE", help="The network to start from, as of affinity.")
]
_Target = Annotated[str | None, typer.Option(metavar="SPEC", help="A network that does the task.")]
_Probes = Annotated[
    Path | None,
    typer.Option(help="Folder of probe images, with --target.", rich_help_panel=options.PROBES),
]
_Labels = Annotated[
    Path | None,
    typer.Option(
        metavar="DATA",
        help="In the place of a target: a folder whose subfolders are classes, or a table of "
        "image files and their labels.",
    ),
]
_At = Annotated[
    list[str] | None,
    typer.Option(
        metavar="LAYER",
        help="A layer; again for more. The ends of stages and blocks if left out.",
    ),
]
_Method = Annotated[
    str,
    typer.Option(
        help="As of affinity; with --labels a score, such as linear_probe.",
        rich_help_panel=options.METHOD,
    ),
]
_Picture = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE",
        help="Draw score against depth: a .png or .svg file.",
        rich_help_panel=options.OUTPUT,
    ),
]


def add_commands(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(
        "layers",
        **examples(
            "pyattrx layers timm:resnet18 --target my.py:network --probes photos -o layers.png",
            "pyattrx layers timm:resnet18 --labels flowers --at layer3 --at layer4",
        ),
    )(layers_command)


def layers_command(
    source: _Source,
    target: _Target = None,
    probes: _Probes = None,
    labels: _Labels = None,
    at: _At = None,
    method: _Method = "recommended",
    size: options.Size = 224,
    limit: options.Limit = None,
    crops: options.Crops = 1,
    seed: options.Seed = 0,
    skip_bad: options.SkipBad = False,
    image: tasks.ImageColumn = None,
    label: tasks.LabelColumns = None,
    kind: tasks.Kind = None,
    batch_size: options.BatchSize = 32,
    device: options.Device = None,
    threads: options.Threads = None,
    scratch: options.Scratch = None,
    picture: _Picture = None,
    trust: options.Trust = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """From which layer of this network should a task start?"""
    options.be_quiet(quiet)
    options.set_threads(threads)
    check_picture("out", picture)
    if (target is None) == (labels is None):
        given = "neither" if target is None else "both"
        raise InvalidValueError("--target, --labels", given, "one of them")
    if labels is not None and probes is not None:
        raise InvalidValueError("--probes", str(probes), "none: --labels has images of its own")
    for name in filter(None, (source, target)):
        if len(expand(name)) != 1:
            raise InvalidValueError("SOURCE, --target", name, "one network")
    check_specifications(filter(None, (source, target)))
    common: dict[str, Any] = {"batch_size": batch_size, "device": device, "scratch": scratch}
    if labels is not None:
        task = tasks.read_task(
            labels, image=image, label=label, kind=kind, size=size, limit=limit, seed=seed,
            skip_bad=skip_bad,
        )  # fmt: skip
        found = compute_layers(
            load(source, trust=trust), labels=task, method=method, at=at or None, **common
        )
        lines = []
    else:
        assert target is not None
        get_method(method)
        folder = options.probes_folder(probes)
        images = options.read_probes(folder, size, limit, crops, seed, skip_bad)
        wanted = load(target, trust=trust)
        found = compute_layers(
            load(source, trust=trust), wanted, images, method, at or None, **common
        )
        lines = said_of_probes(images)
    if picture is not None:
        found.plot(picture)
    _print(found, picture, lines, as_json)


def _print(found: Layers, picture: Path | None, lines: list[str], as_json: bool) -> None:
    files = [] if picture is None else [str(picture)]
    if as_json:
        print_json({**found.to_dict(), "files": files})
        return
    out = console()
    for line in [*str(found).splitlines(), *lines, *(f"wrote {file}" for file in files)]:
        out.print(line, markup=False, highlight=False, soft_wrap=True)
