"""The command line: ``pyattrx env | demo | affinity | zoo | query | evaluate | bench``.

Exit codes: 0 done; 1 a network, an image or a file failed; 2 wrong arguments; 130 interrupted; 141
nobody reads the output any more.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

import pyattrx
from pyattrx import report
from pyattrx.affinities import affinity as compute_affinity
from pyattrx.cli import _options as options
from pyattrx.cli._bench import add_bench_commands
from pyattrx.cli._demo import print_demo
from pyattrx.cli._environment import environment
from pyattrx.cli._evaluate import add_evaluate_command
from pyattrx.cli._output import (
    affinity_table,
    console,
    nearest_table,
    print_json,
    said_of_probes,
)
from pyattrx.cli._running import Commands, run
from pyattrx.cli._zoo import add_zoo_commands
from pyattrx.descriptors import Method
from pyattrx.encoders import expand, load
from pyattrx.errors import InvalidValue
from pyattrx.probes import Probes

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
    """Which pretrained network to start from, told from attribution maps."""


@app.command("env")
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


@app.command("demo")
def demo_command(
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path("demo-output"),
    crops: Annotated[int, typer.Option(help="Probes cut from each photo.")] = 6,
    size: Annotated[int, typer.Option(help="Height and width of the probes.")] = 160,
    batch_size: Annotated[int, typer.Option(help="Images in one pass.")] = 8,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, ...")] = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Compare real pretrained networks over real photos, and draw what comes out."""
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
        print_demo(made)


@app.command("affinity")
def affinity_command(
    specifications: options.Specifications,
    probes: options.ProbesFolder,
    size: options.Size = 224,
    limit: options.Limit = None,
    crops: options.Crops = 1,
    seed: options.Seed = 0,
    skip_bad: options.SkipBad = False,
    method: options.AnyMethodName = "recommended",
    scalar: options.ScalarName = "mean",
    reduce: options.Reduce = "mean",
    grid: options.Grid = None,
    centre: options.Centre = False,
    pixels: options.Pixels = None,
    storage: options.Storage = None,
    batch_size: options.BatchSize = 32,
    device: options.Device = None,
    precision: options.Precision = "float32",
    compile: options.Compile = False,
    threads: options.Threads = None,
    k: options.Sources = 5,
    save: Annotated[Path | None, typer.Option(help="Write the result to this .npz file.")] = None,
    pictures: Annotated[
        Path | None, typer.Option(help="Write affinity.png and tree.png to this folder.")
    ] = None,
    scratch: options.Scratch = None,
    trust: options.Trust = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Compute the affinities between networks over a folder of images."""
    options.be_quiet(quiet)
    options.set_threads(threads)
    if save is not None and save.suffix != ".npz":
        raise InvalidValue("save", str(save), "a file name that ends in .npz")
    if save is not None and not save.parent.is_dir():
        raise InvalidValue("save", str(save), "a file in an existing folder")
    chosen = options.method(method, scalar, reduce, grid, centre, pixels, storage)
    if k < 1:
        raise InvalidValue("k", k, "at least 1")
    names = [name for specification in specifications for name in expand(specification)]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise InvalidValue("SPEC", name, "networks with different names")
    if pictures is not None:
        report.require_matplotlib()
        pictures.mkdir(parents=True, exist_ok=True)
    images = Probes.from_folder(
        probes,
        size=size,
        limit=limit,
        seed=seed,
        crops=crops,
        on_error="skip" if skip_bad else "raise",
    )
    networks = [functools.partial(load, name, trust=trust) for name in names]
    result = compute_affinity(
        networks,
        images,
        chosen,
        batch_size=batch_size,
        device=device,
        precision=precision,
        compile=compile,
        scratch=scratch,
    )
    written = []
    if save is not None:
        written.append(result.save(save))
    if pictures is not None:
        written += _draw(result, pictures)
    rankings = [(name, result.nearest(name, k)) for name in result.names] if len(result) > 1 else []
    if as_json:
        nearest = {name: [match.to_dict() for match in matches] for name, matches in rankings}
        files = [str(path) for path in written]
        print_json({**result.to_dict(), "nearest": nearest, "files": files})
        return
    out = console()
    title = f"Affinity, {chosen}, {result.n_probes} probes in {result.n_groups} groups"
    out.print(affinity_table(result, title))
    if rankings:
        out.print(nearest_table(rankings, "Nearest sources"))
    for name, count in result.zero_maps.items():
        what = "maps are all zero" if isinstance(chosen, Method) else "probes have no say"
        out.print(f"{name}: {count} of {result.n_probes} {what}")
    for network in result.provenance["networks"]:
        if effect := network["precision"]:
            out.print(
                f"{network['name']}: maps in {precision} have cosine {effect['mean_cosine']:.4f} "
                f"to float32's (least {effect['least_cosine']:.4f}, {effect['probes']} probes)"
            )
        if effect := network["compile"]:
            out.print(
                f"{network['name']}: compiled, maps have cosine {effect['mean_cosine']:.6f} to "
                f"those of the network as it is (least {effect['least_cosine']:.6f}, "
                f"{effect['probes']} probes)"
            )
    for line in said_of_probes(images):
        out.print(line)
    for path in written:
        out.print(f"wrote {path}")


add_bench_commands(app)
add_zoo_commands(app)
add_evaluate_command(app)


def _draw(result: Any, folder: Path) -> list[Path]:
    title = f"{result.provenance['method_name']}, {result.n_probes} probes"
    paths = [folder / "affinity.png"]
    order = None
    if len(result) > 1:
        tree = result.tree()
        order = tree.order
        paths.append(folder / "tree.png")
        both = "" if result.symmetric else ", mean of both directions"
        report.tree_figure(tree, title=title + both, path=paths[1])
    report.heatmap(
        result.values,
        result.names,
        stderr=result.stderr,
        order=order,
        title=title,
        path=paths[0],
        symmetric=result.symmetric,
    )
    return paths


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code.

    Parameters
    ----------
    arguments : sequence of str, optional
        ``sys.argv[1:]`` if left out.
    """
    given = sys.argv[1:] if arguments is None else arguments
    raise SystemExit(run(app, given, ends=arguments is None))
