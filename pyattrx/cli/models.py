"""``pyattrx models``."""

from __future__ import annotations

from typing import Annotated

import typer

from pyattrx._help import examples
from pyattrx.cli import options
from pyattrx.cli.output import print_json
from pyattrx.encoders import list_models

__all__ = ["add_commands"]

_Pattern = Annotated[
    str,
    typer.Argument(
        help="timm:PATTERN or torchvision:PATTERN with the wildcards * and ?; timm:@small, "
        "timm:@base or timm:@diverse, curated lists; or a pattern alone, for both packages.",
    ),
]
_MaxParams = Annotated[
    str | None,
    typer.Option(metavar="COUNT", help="The most parameters, without the classifier: 30M, 1.5B."),
]
_InputSize = Annotated[
    int | None, typer.Option(help="Height and width of the images that the network sees.")
]
_Random = Annotated[
    bool,
    typer.Option("--random", help="List every architecture, with random weights (NAME@random)."),
]


def add_commands(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(
        "models",
        **examples(
            "pyattrx models 'timm:*resnet*' --max-params 30M --input-size 224",
            "pyattrx models timm:@small --json",
        ),
    )(models_command)


def models_command(
    pattern: _Pattern = "*",
    max_params: _MaxParams = None,
    input_size: _InputSize = None,
    random: _Random = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """List networks of timm and torchvision, by name, size and input.

    What is listed are specifications, for every command that takes networks. Nothing is downloaded.
    """
    options.be_quiet(quiet)
    names = list_models(
        pattern, pretrained=not random, max_params=max_params, input_size=input_size
    )
    if as_json:
        print_json({"networks": names})
    else:
        for name in names:
            print(name)
