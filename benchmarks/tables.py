"""Results as tables for people."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["show_comparison", "show_results", "show_zoos"]


def show_zoos(document: dict[str, Any]) -> None:
    """Print what zoos of several sizes cost."""
    columns = {
        "networks": ("n", "{:,}"),
        "index": ("kind", "{}"),
        "p50, ms": ("p50_ms", "{:.2f}"),
        "p99, ms": ("p99_ms", "{:.2f}"),
        "recall@1": ("recall_at_1", "{:.3f}"),
        "recall@5": ("recall_at_5", "{:.3f}"),
        "open, ms": ("open_ms", "{:.0f}"),
        "first query, ms": ("first_query_ms", "{:.0f}"),
        "index built, s": ("build_s", "{:.1f}"),
        "resident, MiB": ("resident_mib", "{:.0f}"),
        "on disk, bytes each": ("disk_each", "{:.0f}"),
        "add_maps, ms": ("add_maps_last_ms", "{:.1f}"),
    }
    table = new_table(*[f">{name}" for name in columns])
    for case in document["cases"]:
        facts = {**case, "disk_each": case["disk_bytes"] / case["n"]}
        table.add_row(*[text.format(facts[key]) for key, text in columns.values()])
    out = console()
    out.print(table)
    kinds = new_table(
        ">networks", "index alone", ">p50, ms", ">p99, ms", ">offers of 5", ">built, s"
    )
    for case in document["cases"]:
        for kind, found in case["kinds"].items():
            texts = (f"{found['p50_ms']:.2f}", f"{found['p99_ms']:.2f}")
            share, built = f"{found['recall_at_5']:.3f}", f"{found['build_s']:.1f}"
            kinds.add_row(f"{case['n']:,}", kind, *texts, share, built)
    out.print(kinds)
    rows = document["rows"]
    out.print(
        f"{rows['n']:,} networks with rows: {rows['p50_ms']:.0f} ms a query "
        f"({rows['exact_p50_ms']:.0f} comparing all); of the nearest 5 it finds "
        f"{rows['recall_at_5']:.3f}, sketches alone {rows['recall_at_5_by_sketches']:.3f}"
    )


def show_results(document: dict[str, Any]) -> None:
    """Print every case with its candidates, and the sweeps as ratios.

    Parameters
    ----------
    document : dict
        What a benchmark returned.
    """
    out = console()
    machine = document["machine"]
    ceilings = ", ".join(f"{key} {rate:.1f}" for key, rate in machine["ceilings"].items())
    out.print(f"{machine['cpu']}, threads: {machine['threads']}, torch {machine['torch']}")
    out.print(f"ops: {machine['ops']['cpu']}; GPUs: {', '.join(machine['gpus']) or 'none'}")
    if ceilings:
        out.print(f"ceilings: {ceilings}")
    table = new_table("case", "candidate", ">ms", ">x ours", ">quartiles", ">error", ">memory, MiB")
    for case in document["cases"]:
        _add_case(table, case)
    out.print(table)
    for case in document["cases"]:
        if "fraction_of_floor" in case:
            out.print(
                f"{case['name']}: at best {case['floor_ms']:.3g} ms ({case['bound']}); "
                f"ours reaches {case['fraction_of_floor']:.0%} of that speed"
            )
        for name, reason in case["left_out"].items():
            out.print(f"{case['name']}: without {name}: {reason}")
    for name, cases in document.get("sweeps", {}).items():
        out.print(_sweep(name, cases))
    if document["benchmark"] == "pipeline":
        _show_pipeline(out, document)
    if "pass" in document:
        _show_pass(out, document["pass"])


def _add_case(table: Table, case: dict[str, Any]) -> None:
    last = len(case["candidates"]) - 1
    for row, (name, candidate) in enumerate(case["candidates"].items()):
        low, high = candidate["ratio_quartiles"]
        error, peak = candidate.get("error"), candidate.get("peak_memory_bytes")
        table.add_row(
            Text(case["name"] if row == 0 else f"  rounds: {case['rounds']}" if row == 1 else ""),
            Text(name),
            f"{candidate['ms']:.4g}",
            f"{candidate['ratio']:.2f}",
            "" if row == 0 else f"{low:.2f} .. {high:.2f}",
            "" if error is None else f"{error:.1e}",
            "" if peak is None else f"{peak / 2**20:.1f}",
            end_section=row == last,
        )


def _sweep(name: str, cases: list[dict[str, Any]]) -> Table:
    rivals = list(dict.fromkeys(c for case in cases for c in list(case["candidates"])[1:]))
    table = new_table(f">{name}", ">ours, ms", *(f">{rival}, x ours" for rival in rivals))
    for case in cases:
        ours = next(iter(case["candidates"].values()))
        ratios = [case["candidates"].get(rival, {}).get("ratio") for rival in rivals]
        table.add_row(
            str(case["shape"][name]),
            f"{ours['ms']:.4g}",
            *("" if ratio is None else f"{ratio:.2f}" for ratio in ratios),
        )
    return table


def _show_pipeline(out: Console, document: dict[str, Any]) -> None:
    for name, milliseconds in document["ms_an_image"].items():
        out.print(f"{name}: {milliseconds:.1f} ms an image")
    difference = max(document["largest_difference_of_a_pair"].values())
    out.print(f"largest difference of a pair's affinity: {difference:.1e}")
    own = max(document["loops_error_on_the_diagonal"].values())
    out.print(f"the loops' own error on the diagonal: {own:.1e}")
    for probes, peak in document["peak_memory_mib"].items():
        out.print(f"peak memory for {probes} probes: {peak:.0f} MiB")


def _show_pass(out: Console, whole: dict[str, Any]) -> None:
    job = whole["job"]
    table = new_table(
        f"{job['networks']} {job['network']}s, {job['probes']} probes of {job['side']}",
        *(">s", ">images/s", ">passes and maps", ">two at first, s", ">least cosine"),
    )
    for name, found in whole["variants"].items():
        cosines = found["least_cosines"].values()
        table.add_row(
            name,
            f"{found['seconds']:.1f}",
            f"{found['images_per_second']:.0f}",
            f"{found['share_of_passes_and_maps']:.0%}",
            f"{found['seconds_of_two']:.1f}",
            f"{min(cosines):.6f}" if cosines else "",
        )
    out.print(table)
    for name, reason in whole["left_out"].items():
        out.print(f"without {name}: {reason}")
    each = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in whole["seconds_of"].items())
    out.print(f"beside its passes a network costs: {each}")


def show_comparison(found: dict[str, Any]) -> None:
    """Print two files side by side.

    Parameters
    ----------
    found : dict
        What `benchmarks.results.compare` returned.
    """
    out = console()
    out.print(f"A: {found['a']}\nB: {found['b']}")
    for part in ("machine", "settings"):
        for key, (a, b) in found[part].items():
            out.print(f"{part} differs in {key}: {a} and {b}")
    for key, rates in found["ceilings"].items():
        a, b = ("none" if rate is None else f"{rate:.1f}" for rate in rates)
        out.print(f"{key}: {a} and {b}")
    table = new_table("case", "candidate", ">A, ms", ">B, ms", ">B / A")
    for row in found["rows"]:
        ratio = row["b_over_a"]
        table.add_row(
            Text(row["case"]),
            Text(row["candidate"]),
            f"{row['a_ms']:.4g}",
            f"{row['b_ms']:.4g}",
            "" if ratio is None else f"{ratio:.2f}",
        )
    out.print(table)
    for side in ("a", "b"):
        for case, candidate in found[f"only_in_{side}"]:
            out.print(f"only in {side.upper()}: {case}, {candidate}")


def console() -> Console:
    """Return where tables are printed."""
    width = None if sys.stdout.isatty() else 160
    return Console(width=width, highlight=False, markup=False)


def new_table(*columns: str) -> Table:
    """Make a table; names of columns with numbers begin with ``>``."""
    table = Table()
    for column in columns:
        table.add_column(
            column.removeprefix(">"),
            justify="right" if column[0] == ">" else "left",
            overflow="fold",  # long names may differ at their ends
        )
    return table
