"""The command line: ``pyattrx COMMAND``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

import pyattrx
from pyattrx._help import examples
from pyattrx.cli import _options as options
from pyattrx.cli._affinity import add_affinity_command
from pyattrx.cli._bench import add_bench_commands
from pyattrx.cli._demo import print_demo
from pyattrx.cli._environment import environment
from pyattrx.cli._evaluate import add_evaluate_command
from pyattrx.cli._fit import add_fit_command
from pyattrx.cli._maps import add_maps_command
from pyattrx.cli._output import console, print_json
from pyattrx.cli._recommend import add_recommend_commands
from pyattrx.cli._running import Commands, run
from pyattrx.cli._zoo import add_zoo_commands

__all__ = ["app", "main"]


app = typer.Typer(
    cls=Commands,
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


@app.command("env", **examples("pyattrx env", "pyattrx env --json"))
def env_command(as_json: options.Json = False) -> None:
    """Show versions, devices and which optional parts are installed."""
    found = environment()
    if as_json:
        print_json(found)
        return
    out = console()
    out.print(f"pyattrx {found['pyattrx']}, torch {found['torch']}, Python {found['python']}")
    out.print(f"CPU: {found['cpu']['ops']}, {found['cpu']['threads']} threads")
    cuda = found["cuda"]
    out.print(f"CUDA: {cuda['ops']}; torch's CUDA: {cuda['torch']}")
    for device in cuda["devices"]:
        out.print(f"  {device['name']}, {device['memory'] / 2**30:.0f} GiB")
    if not cuda["devices"]:
        out.print("  no CUDA device")
    for name, part in found["optional"].items():
        state = part["version"] or "not installed"
        out.print(f"{name}: {state} ({part['for']})")


@app.command(
    "demo",
    **examples("pyattrx demo", "pyattrx demo --crops 2 --size 96 --out pictures"),
)
def demo_command(
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path("demo-output"),
    crops: Annotated[int, typer.Option(help="Probes cut from each photo.")] = 6,
    size: Annotated[int, typer.Option(help="Height and width of the probes.")] = 160,
    batch_size: Annotated[int, typer.Option(help="Images in one pass.")] = 8,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, ...")] = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Which of seven real networks to start from, for real images? And what else there is."""
    from pyattrx.demo.run import run

    options.be_quiet(quiet)
    stages = console(stderr=True)

    def say(line: str) -> None:
        if not quiet:
            stages.print(f"... {line}")

    made = run(out, crops=crops, size=size, batch_size=batch_size, device=device, say=say)
    if as_json:
        print_json(made.to_dict())
    else:
        print_demo(made, out)


add_recommend_commands(app)
add_affinity_command(app)
add_maps_command(app)
add_fit_command(app)
add_zoo_commands(app)
add_evaluate_command(app)
add_bench_commands(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code.

    Parameters
    ----------
    arguments : sequence of str, optional
        ``sys.argv[1:]`` if left out.
    """
    given = sys.argv[1:] if arguments is None else arguments
    raise SystemExit(run(app, given, ends=arguments is None))
