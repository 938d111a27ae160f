"""What the demo prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from pyattrx.cli._output import affinity_table, console, nearest_table

if TYPE_CHECKING:
    from pyattrx.demo.run import Demo

__all__ = ["print_demo"]


def print_demo(demo: Demo) -> None:
    """Tell people what was compared, how near the networks are, and where the pictures are."""
    out = console()
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
        out.print(f"Ask it yourself: pyattrx query {demo.zoo} {matches[-1].name} -k 3\n")
    times = ", ".join(f"{name}: {seconds:.1f} s" for name, seconds in demo.seconds.items())
    out.print(f"Time: {times}; {sum(demo.seconds.values()):.1f} s in all")
    for path in demo.files:
        out.print(f"wrote {path}")
