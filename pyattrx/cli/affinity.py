"""``pyattrx affinity``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from pyattrx import report
from pyattrx._help import examples
from pyattrx.affinities import Affinity
from pyattrx.affinities import affinity as compute_affinity
from pyattrx.cli import options
from pyattrx.cli.output import (
    affinity_table,
    console,
    nearest_table,
    print_json,
    said_of_probes,
)
from pyattrx.cli.places import check_save, check_specifications, make_pictures_folder
from pyattrx.cli.running import FAILED
from pyattrx.cli.streams import complain
from pyattrx.encoders import expand, load
from pyattrx.errors import InvalidValueError
from pyattrx.methods import Method
from pyattrx.running import Source
from pyattrx.statistics import Match

__all__ = ["add_commands"]


_Save = Annotated[
    Path | None,
    typer.Option(help="Write the result to this .npz file.", rich_help_panel=options.OUTPUT),
]
_Pictures = Annotated[
    Path | None,
    typer.Option(
        help="Write affinity.png and tree.png to this folder.", rich_help_panel=options.OUTPUT
    ),
]
_Target = Annotated[
    str | None,
    typer.Option(
        metavar="SPEC", help="Put this network's sources first; it need not be among the SPECs."
    ),
]


def add_commands(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(
        "affinity",
        **examples(
            "pyattrx affinity timm:resnet18 timm:vgg11 --probes photos",
            "pyattrx affinity 'timm:resnet*' --target my.py:network --probes photos --yes",
        ),
    )(affinity_command)


def affinity_command(
    specifications: options.Specifications,
    probes: options.ProbesUnlessListed = None,
    size: options.Size = 224,
    limit: options.Limit = None,
    crops: options.Crops = 1,
    seed: options.Seed = 0,
    skip_bad: options.SkipBad = False,
    method: options.AnyMethodName = "recommended",
    scalar: options.ScalarName = "mean",
    reduce: options.Reduce = "mean",
    grid: options.Grid = None,
    center: options.Center = False,
    pixels: options.Pixels = None,
    storage: options.Storage = None,
    steps: options.Steps = None,
    batch_size: options.BatchSize = 32,
    device: options.Device = None,
    precision: options.Precision = "float32",
    compile: options.Compile = False,
    threads: options.Threads = None,
    workers: options.WorkersGiven = None,
    k: options.Sources = 5,
    save: _Save = None,
    pictures: _Pictures = None,
    target: _Target = None,
    scratch: options.Scratch = None,
    trust: options.Trust = False,
    yes: options.Yes = False,
    listed: options.Listed = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Compute the affinities between networks over a folder of images.

    A network that fails is left out and named; the exit code is 1 then.
    """
    options.be_quiet(quiet)
    options.set_threads(threads)
    names = options.networks(specifications, yes=yes, listed=listed, as_json=as_json)
    folder = options.probes_folder(probes)
    check_save(save)
    chosen = options.method(method, scalar, reduce, grid, center, pixels, storage, steps)
    if k < 1:
        raise InvalidValueError("k", k, "at least 1")
    names = _sources(names, target)
    make_pictures_folder("pictures", pictures)
    images = options.read_probes(folder, size, limit, crops, seed, skip_bad)
    # The target first, and at once: without it there is nothing to look for.
    first = None if target is None else load(target, trust=trust)
    networks: list[Source] = [] if first is None else [first]
    wanted = None if first is None else first.name
    if target is not None and workers is not None:  # not every network can be sent as it is
        networks = [options.Loader(target, trust)]
    networks += [options.Loader(name, trust) for name in names]
    result = compute_affinity(
        networks,
        images,
        chosen,
        batch_size=batch_size,
        device=device,
        precision=precision,
        compile=compile,
        scratch=scratch,
        on_error="skip",
        workers=options.workers(workers),
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
        print_json({**result.to_dict(), "target": wanted, "nearest": nearest, "files": files})
    else:
        said = [*said_of_probes(images), *(f"wrote {p}" for p in written)]
        _print(result, rankings, wanted, isinstance(chosen, Method), said)
    if result.failures:
        failed = ", ".join(result.failures)
        complain(f"pyattrx: {len(result.failures)} of {len(networks)} networks failed: {failed}")
        raise typer.Exit(FAILED)


def _sources(names: list[str], target: str | None) -> list[str]:
    """Specifications of the sources; the target, if there is one, is not among them."""
    if target is not None:
        if len(expand(target)) != 1:
            raise InvalidValueError("target", target, "one network")
        check_specifications([target])
        names = [name for name in names if name != target]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise InvalidValueError("SPEC", name, "networks with different names")
    return names


def _print(
    result: Affinity,
    rankings: list[tuple[str, list[Match]]],
    target: str | None,
    maps: bool,
    lines: list[str],
) -> None:
    out = console()
    first = [ranking for ranking in rankings if ranking[0] == target]
    others = [ranking for ranking in rankings if ranking[0] != target]
    if first:
        out.print(nearest_table(first, f"Nearest sources for {target}"))
    method = result.provenance["method_name"]
    title = f"Affinity, {method}, {result.n_probes} probes in {result.n_groups} groups"
    out.print(affinity_table(result, title))
    if others:
        out.print(nearest_table(others, "Nearest sources" + " for the others" * bool(first)))
    for line in [*_facts(result, maps), *lines]:
        out.print(line)


def _facts(result: Affinity, maps: bool) -> Iterator[str]:
    """What is to be known of the networks, a line each."""
    what = "maps are all zero" if maps else "probes have no say"
    for name, count in result.zero_maps.items():
        yield f"{name}: {count} of {result.n_probes} {what}"
    for network in result.provenance["networks"]:
        yield from _effect(network["name"], network["precision"] or {})
        if effect := network["compile"]:
            yield (
                f"{network['name']}: compiled, maps have cosine {effect['mean_cosine']:.6f} to "
                f"those of the network as it is (least {effect['least_cosine']:.6f}, "
                f"{effect['probes']} probes)"
            )


def _effect(name: str, effect: Mapping[str, Any]) -> Iterator[str]:
    """What a cheaper arithmetic does to a network's maps or features, or would do."""
    if "mean_cosine" in effect:
        used = effect["arithmetic"]
        which = f"maps in {used}" if used != "float32" else "made in float32: cheaper maps"
        yield (
            f"{name}: {which} have cosine {effect['mean_cosine']:.4f} to float32's (least "
            f"{effect['least_cosine']:.4f}, {effect['probes']} probes)"
        )
    if "features_kept" in effect:
        used = effect["feature_arithmetic"]
        which = f"features in {used}" if used != "float32" else "read in float32: cheaper features"
        yield (
            f"{name}: {which} keep {100 * effect['features_kept']:.2f} % of their variance "
            f"({effect['feature_probes']} probes)"
        )


def _draw(result: Affinity, folder: Path) -> list[Path]:
    title = f"{result.provenance['method_name']}, {result.n_probes} probes"
    paths = [folder / "affinity.png"]
    order = None
    if len(result) > 1:
        tree = result.tree()
        order = tree.order
        paths.append(folder / "tree.png")
        both = "" if result.symmetric else ", mean of both directions"
        report.tree_figure(tree, title=title + both, path=paths[1])
    report.heatmap(result, order=order, title=title, path=paths[0])
    return paths
