"""What the demo prints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from pyattrx._help import examples
from pyattrx.cli import options
from pyattrx.cli.output import affinity_table, console, nearest_table, print_json
from pyattrx.recommending import as_text

if TYPE_CHECKING:
    from pyattrx.demo.known import KnownZoo
    from pyattrx.demo.run import Demo

__all__ = ["add_commands", "print_demo"]


def add_commands(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(
        "demo", **examples("pyattrx demo", "pyattrx demo --crops 2 --size 96 --out pictures")
    )(demo_command)


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


def print_demo(demo: Demo, folder: Path) -> None:
    """Say which network to start from, and in a few lines what else was found; tables to a file."""
    out = console()
    if demo.recommendation is not None:
        out.print(as_text(demo.recommendation, 100), soft_wrap=True)
        out.print()
    if demo.matches is not None:
        matches = demo.matches
        near = ", ".join(match.name for match in matches)
        out.print(f"Nearest to {matches.target} by attribution maps, asked of a zoo: {near}.")
        out.print(f"  pyattrx query {demo.zoo} {matches[-1].name} -k 3")
    if demo.known is not None:
        known = demo.known
        right = {name for name, _ in known.best} & {match.name for match in known.predicted}
        out.print(
            f"Twenty networks whose transfers were measured: {len(right)} of the five sources "
            f"predicted for {known.target} are among its five best; {known.precision:.0%} over 18 "
            "targets."
        )
    tables = folder / "tables.txt"
    with tables.open("w") as file:
        _print_tables(demo, Console(file=file, width=160, highlight=False, markup=False))
    out.print(f"{sum(demo.seconds.values()):.0f} s. Pictures and tables:")
    for path in [*demo.files, tables]:
        out.print(f"  {path}")


def _print_tables(demo: Demo, out: Console) -> None:
    """What was compared, and how near the networks are."""
    table = Table(title="Networks", title_justify="left")
    for column in ("name", "task", "weights from the package"):
        table.add_column(column)
    for network in demo.networks:
        table.add_row(network.name, network.task, network.package)
    out.print(table)
    probes = demo.probes
    out.print(
        f"Probes: {len(probes)} crops of {probes.n_groups} photos, {probes.size[0]} x "
        f"{probes.size[1]}; errors count photos, not crops\n"
    )
    for result in demo.affinities.values():
        method = result.provenance["method_name"]
        out.print(affinity_table(result, f"Affinity ± standard error, {method}"))
        differing, pairs = result.differing_pairs()
        out.print(f"{differing} of {pairs} pairs differ from zero (95 %, Holm-corrected)")
        for name, count in result.zero_maps.items():
            out.print(f"{name}: {count} of {result.n_probes} maps are all zero")
        rankings = [(name, result.nearest(name, 3)) for name in result.names]
        out.print(nearest_table(rankings, f"Nearest sources, {method}"))
        out.print()
    if demo.matches is not None:
        matches = demo.matches
        title = f"Asked of the zoo on disk: sources for {matches.target}, {matches.method}"
        out.print(nearest_table([(matches.target, matches)], title))
    if demo.known is not None:
        _print_known(demo.known, out)
    times = ", ".join(f"{name}: {seconds:.1f} s" for name, seconds in demo.seconds.items())
    out.print(f"Time: {times}; {sum(demo.seconds.values()):.1f} s in all")


def _print_known(known: KnownZoo, out: Console) -> None:
    """What was predicted for a target, beside what is true."""
    best = {name for name, _ in known.best}
    title = f"Twenty networks whose transfers were measured: sources for {known.target}"
    table = Table(title=title, title_justify="left")
    for column in ("", "predicted", "score", "truly best", "loss"):
        table.add_column(column, justify="right" if column in ("", "score", "loss") else "left")
    for place, (match, (name, loss)) in enumerate(
        zip(known.predicted, known.best, strict=True), start=1
    ):
        mark = " ✓" if match.name in best else ""
        table.add_row(str(place), match.name + mark, f"{match.affinity:.2f}", name, f"{loss:.3f}")
    out.print(table)
    out.print(
        f"{known.affinity.provenance['method_name']}, {known.affinity.n_probes} probes; over all "
        f"18 targets {known.precision:.0%} of the five predicted are among the five best, "
        f"Spearman {known.spearman:.2f}\n"
    )
