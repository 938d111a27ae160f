"""``pyattrx zoo ...``."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from pyattrx._help import examples
from pyattrx.cli import merging, options
from pyattrx.cli.output import console, print_json, said_of_probes
from pyattrx.cli.places import check_specifications
from pyattrx.cli.running import FAILED
from pyattrx.cli.sharing import Part
from pyattrx.cli.zoos import Tags, Wait, ZooPath, open_zoo, tell
from pyattrx.encoders import expand
from pyattrx.errors import InvalidValueError
from pyattrx.methods import FEATURE_METHODS, resolve_maps_method
from pyattrx.storage import FEATURES_RERANK, NEAREST
from pyattrx.zoo import Entry, Report, Zoo

__all__ = ["add_commands"]

Shard = Annotated[
    str | None,
    typer.Option(
        metavar="I/N", help="Only the I-th of N shares of the networks; the first one is 1."
    ),
]

zoo_app = typer.Typer(
    help="Networks on disk, added once and asked about for ever.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def add_commands(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    merging.add_commands(zoo_app)
    app.add_typer(zoo_app, name="zoo")


@zoo_app.command(
    "create",
    **examples(
        "pyattrx zoo create zoo --probes photos",
        "pyattrx zoo create zoo --probes photos --method saliency --sketches-only",
    ),
)
def create_command(
    zoo: ZooPath,
    probes: options.ProbesFolder,
    size: options.Size = 224,
    limit: options.Limit = None,
    crops: options.Crops = 1,
    seed: options.Seed = 0,
    skip_bad: options.SkipBad = False,
    method: options.ZooMethodName = "recommended",
    scalar: options.ScalarName = "mean",
    reduce: options.Reduce = "mean",
    grid: options.Grid = None,
    center: options.Center = False,
    pixels: options.Pixels = None,
    storage: options.Storage = None,
    steps: options.Steps = None,
    sketches_only: Annotated[
        bool, typer.Option("--sketches-only", help="Keep 8 KiB a network, and no maps.")
    ] = False,
    rerank: Annotated[
        str | None,
        typer.Option(help=f"Keep features, too, to re-rank by: {', '.join(FEATURE_METHODS)}."),
    ] = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Make an empty zoo over the images of a folder."""
    options.be_quiet(quiet)
    if method == "recommended":
        if scalar != "mean":
            raise InvalidValueError("scalar", scalar, f"nothing: recommended has {NEAREST.scalar}")
        if steps is not None:
            raise InvalidValueError("steps", steps, "nothing: recommended follows no path")
        rerank = rerank or "recommended"
        size_of_maps = options.parse_grid(grid)
        chosen = replace(
            NEAREST, reduce=reduce, grid=size_of_maps, center=center, pixels=pixels, storage=storage
        )
    else:
        named = options.method(method, scalar, reduce, grid, center, pixels, storage, steps)
        chosen = resolve_maps_method(named, more=FEATURES_RERANK)
    folder = options.probes_folder(probes)
    images = options.read_probes(folder, size, limit, crops, seed, skip_bad)
    with Zoo.create(zoo, images, chosen, keep_rows=not sketches_only, rerank=rerank) as made:
        if as_json:
            print_json(made.describe())
            return
        out = console()
        out.print(f"made {made!r}")
        for line in said_of_probes(images):
            out.print(line)


@zoo_app.command(
    "add",
    **examples(
        "pyattrx zoo add zoo timm:resnet18 my.py:network --tag mine",
        "pyattrx zoo add zoo 'timm:resnet*' --yes",
        "pyattrx zoo add zoo-3 'timm:resnet*' --yes --shard 3/16",
    ),
)
def add_command(
    zoo: ZooPath,
    specifications: options.Specifications,
    tags: Tags = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Let networks of the same names give way.")
    ] = False,
    batch_size: options.BatchSize = 32,
    device: options.Device = None,
    precision: options.Precision = "float32",
    compile: options.Compile = False,
    threads: options.Threads = None,
    workers: options.WorkersGiven = None,
    shard: Shard = None,
    wait: Wait = False,
    trust: options.Trust = False,
    yes: options.Yes = False,
    listed: options.Listed = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Add networks; those that are there already are skipped, those that fail are reported."""
    options.be_quiet(quiet)
    options.set_threads(threads)
    part = Part.of(shard)
    names = options.networks(
        specifications, yes=yes, listed=listed, as_json=as_json, only=part.names
    )
    sources = [options.Loader(name, trust) for name in names]
    with open_zoo(zoo, wait=wait, trust=trust) as opened:
        # A share may be empty.
        report = (
            Report()
            if not sources
            else opened.add_many(
                sources,
                tags=tags or (),
                replace=replace,
                batch_size=batch_size,
                device=device,
                precision=precision,
                compile=compile,
                workers=options.workers(workers),
            )
        )
        total = len(opened)
    tell(report, total, as_json)


@zoo_app.command(
    "add-probes",
    **examples(
        "pyattrx zoo add-probes zoo --probes photos --limit 512",
        "pyattrx zoo add-probes zoo --probes photos --limit 512 --drop",
    ),
)
def add_probes_command(
    zoo: ZooPath,
    probes: options.ProbesFolder,
    limit: options.Limit = None,
    crops: options.Crops = 1,
    seed: options.Seed = 0,
    skip_bad: options.SkipBad = False,
    drop: Annotated[
        bool, typer.Option("--drop", help="Remove networks that cannot be run again.")
    ] = False,
    batch_size: options.BatchSize = 32,
    device: options.Device = None,
    threads: options.Threads = None,
    workers: options.WorkersGiven = None,
    wait: Wait = False,
    trust: options.Trust = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Let all networks see more images; options are those of create, with a larger limit."""
    options.be_quiet(quiet)
    options.set_threads(threads)
    folder = options.probes_folder(probes)
    with open_zoo(zoo, wait=wait, trust=trust) as opened:
        images = options.read_probes(folder, opened.probes.size, limit, crops, seed, skip_bad)
        report = opened.add_probes(
            images,
            drop=drop,
            batch_size=batch_size,
            device=device,
            trust=trust,
            workers=options.workers(workers),
        )
        total, seen = len(opened), len(opened.probes)
    if not as_json:
        out = console()
        out.print(f"the zoo has {seen} probes")
        for line in said_of_probes(images):
            out.print(line)
    tell(report, total, as_json, probes=seen)


@zoo_app.command(
    "fidelity",
    **examples(
        "pyattrx zoo fidelity zoo",
        "pyattrx zoo fidelity zoo timm:resnet18 timm:vgg11 --probes 32",
    ),
)
def fidelity_command(
    zoo: ZooPath,
    specifications: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SPEC...]", help="Networks to use; some of the zoo's if left out."),
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="One of the zoo's methods; its first if left out.")
    ] = None,
    networks: Annotated[int, typer.Option(help="Networks of the zoo to load.")] = 8,
    probes: Annotated[int, typer.Option(help="Probes to use, at most.")] = 64,
    batch_size: options.BatchSize = 32,
    device: options.Device = None,
    threads: options.Threads = None,
    trust: options.Trust = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure what the zoo's pixel subset and storage do to affinities, against whole maps."""
    options.be_quiet(quiet)
    options.set_threads(threads)
    names = [name for given in specifications or () for name in expand(given)]
    check_specifications(names)
    with open_zoo(zoo, trust=trust) as opened:
        found = opened.fidelity(
            [options.Loader(name, trust) for name in names],
            method=method,
            networks=networks,
            probes=probes,
            batch_size=batch_size,
            device=device,
            trust=trust,
        )
    if as_json:
        print_json(found.to_dict())
        return
    out = console()
    out.print(f"{found.method}   against   {found.whole}")
    out.print(f"{len(found.networks)} networks, {found.n_probes} probes")
    out.print(
        f"affinities differ by {found.rms:.4f} (root mean square), at most {found.largest:.4f}; "
        f"the choice of probes alone makes {found.sampling:.4f}"
    )
    out.print(
        f"the nearest source is the same for {found.nearest_kept:.0%}, of the {found.k} nearest "
        f"{found.top_kept:.0%}"
    )


@zoo_app.command(
    "list",
    **examples(
        "pyattrx zoo list zoo",
        "pyattrx zoo list zoo --tag mine --json",
    ),
)
def list_command(
    zoo: ZooPath,
    tags: Tags = None,
    trust: options.Trust = False,
    as_json: options.Json = False,
) -> None:
    """List the networks of a zoo."""
    with open_zoo(zoo, trust=trust) as opened:
        entries = list(opened.entries(tags or ()))
        if as_json:
            print_json({**opened.describe(), "entries": [_brief(entry) for entry in entries]})
            return
        out = console()
        out.print(repr(opened))
    table = Table()
    for column in ("name", "tags", "added", "loads as"):
        table.add_column(column)
    for entry in entries:
        cells = (entry.name, ", ".join(entry.tags), entry.created, entry.specification or "-")
        table.add_row(*map(Text, cells))
    out.print(table)


@zoo_app.command(
    "show",
    **examples(
        "pyattrx zoo show zoo timm:resnet18",
        "pyattrx zoo show zoo timm:resnet18 --json",
    ),
)
def show_command(
    zoo: ZooPath,
    name: Annotated[str, typer.Argument(help="Name of the network.")],
    trust: options.Trust = False,
    as_json: options.Json = False,
) -> None:
    """Show what is known of a network."""
    with open_zoo(zoo, trust=trust) as opened:
        entry = opened.entry(name)
    if as_json:
        print_json(entry.to_dict())
        return
    table = Table(show_header=False)
    facts = {"name": entry.name, "tags": ", ".join(entry.tags), "added": entry.created}
    for key, value in {**facts, **entry.facts}.items():
        if value is not None:
            table.add_row(Text(key), Text(str(value)))
    console().print(table)


@zoo_app.command(
    "remove",
    **examples(
        "pyattrx zoo remove zoo timm:resnet18",
        "pyattrx zoo remove zoo timm:resnet18 timm:vgg11 --wait",
    ),
)
def remove_command(
    zoo: ZooPath,
    names: Annotated[list[str], typer.Argument(help="Names of networks.")],
    wait: Wait = False,
    trust: options.Trust = False,
    as_json: options.Json = False,
) -> None:
    """Remove networks."""
    with open_zoo(zoo, wait=wait, trust=trust) as opened:
        for name in names:
            opened.tags_of(name)  # all are there, before one is removed
        for name in dict.fromkeys(names):
            opened.remove(name)
        total = len(opened)
    if as_json:
        print_json({"removed": names, "networks": total})
    else:
        console().print(f"removed {', '.join(names)}; {total} networks are left")


@zoo_app.command(
    "tag",
    **examples(
        "pyattrx zoo tag zoo timm:resnet18 small fast",
        "pyattrx zoo tag zoo timm:resnet18 -- -fast",
    ),
)
def tag_command(
    zoo: ZooPath,
    name: Annotated[str, typer.Argument(help="Name of the network.")],
    tags: Annotated[list[str], typer.Argument(help="Tags to give it; -TAG takes one away.")],
    wait: Wait = False,
    trust: options.Trust = False,
    as_json: options.Json = False,
) -> None:
    """Give a network tags, or take them away (after --: pyattrx zoo tag ZOO NAME -- -TAG)."""
    with open_zoo(zoo, wait=wait, trust=trust) as opened:
        opened.tag(name, *[tag for tag in tags if not tag.startswith("-")])
        opened.untag(name, *[tag[1:] for tag in tags if tag.startswith("-")])
        left = opened.tags_of(name)
    if as_json:
        print_json({"name": name, "tags": list(left)})
    else:
        console().print(f"{name}: {', '.join(left) or 'no tags'}")


@zoo_app.command(
    "verify",
    **examples(
        "pyattrx zoo verify zoo",
        "pyattrx zoo verify zoo --json",
    ),
)
def verify_command(
    zoo: ZooPath,
    trust: options.Trust = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Read everything and compare every checksum; exit code 1 if something is damaged."""
    options.be_quiet(quiet)
    with open_zoo(zoo, trust=trust) as opened:
        found = opened.verify()
    if as_json:
        print_json(found.to_dict())
    else:
        out = console()
        for problem in found.problems:
            out.print(problem)
        for name, what in found.damaged.items():
            out.print(f"{name}: {what}")
        state = "everything is as it was written" if found.ok else "damaged"
        out.print(f"{found.entries} networks, {found.bytes / 2**20:.1f} MiB: {state}")
    if not found.ok:
        raise typer.Exit(FAILED)


def _brief(entry: Entry) -> dict[str, object]:
    return {key: value for key, value in entry.to_dict().items() if key != "facts"}
