"""``python -m benchmarks real``: which score names the network that is best for a real task?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from pyattrx.errors import InvalidValue

from ..minitaskonomy.command import cache_folder
from ..options import Json, among, say_at
from .entrants import GROUPS, entrants
from .facts import Facts, fact_rows, read_facts, write_facts
from .measuring import fine_tune, measure
from .reading import read
from .study import CHOOSING, LABELS, MEASURES, REPORTING, Study, choose, forms
from .tables import Row, read_rows, write_rows
from .tasks import find_tasks

__all__ = ["ROOT", "SETS", "document", "real_command"]

ROOT = Path(__file__).resolve().parents[1] / "results" / "real"
# Who are candidates together, by groups.
SETS = {
    "strangers": ("strangers",),
    "one size": ("one size",),
    "with half sizes": ("strangers", "half size"),
    "with double sizes": ("strangers", "double size"),
    "with random ones": ("strangers", "random"),
}
_COSTS = ("parameters", "multiply_adds", "width", "input_size")
_TRUTH = "probe@pooled"
_OTHERS = ("probe@2x2", "decoder@4x4", "fine-tuned")
_ANEW = "Measure anew"
_MADE = "truths.csv and scores.csv, which a run with data and weights makes"


def real_command(
    results: Annotated[Path, typer.Option(metavar="FOLDER", help="Tables.")] = ROOT,
    as_json: Json = False,
    data: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Images: TASK/CLASS/*.", rich_help_panel=_ANEW),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Weights of networks.", rich_help_panel=_ANEW),
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Keeps what was computed: a run may be stopped, and goes on (default: "
            f"{cache_folder().parent / 'real'}).",
            rich_help_panel=_ANEW,
        ),
    ] = None,
    tasks: Annotated[
        list[str] | None, typer.Option(help="Only these.", rich_help_panel=_ANEW)
    ] = None,
    fine_tuning: Annotated[
        bool,
        typer.Option(
            "--fine-tune", help="Train some networks as a whole, too.", rich_help_panel=_ANEW
        ),
    ] = False,
    groups: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Of networks: {', '.join(GROUPS)}.",
            callback=among(GROUPS),
            rich_help_panel=_ANEW,
        ),
    ] = None,
) -> None:
    """Hold every score against what networks reach on real images, or measure that anew."""
    if (data is None) != (weights is None):
        missing = "data" if data is None else "weights"
        raise InvalidValue(missing, None, "a folder: images and weights are needed together")
    if data is not None and weights is not None:
        if (tasks or groups) and results == ROOT:
            # Tables of a part would stand where those of all were.
            raise InvalidValue("results", str(results), "another folder, with tasks or groups")
        kept = work or cache_folder().parent / "real"
        _measure(data, weights, kept, results, tasks, groups, fine_tuning)
        return
    found = document(results)
    if as_json:
        print(json.dumps(found, indent=2, allow_nan=False))
    else:
        show(found)


def _measure(
    data: Path,
    weights: Path,
    work: Path,
    out: Path,
    tasks: list[str] | None,
    groups: list[str] | None,
    fine_tuning: bool,
) -> None:
    there, missing = entrants(weights)
    for line in missing:
        say_at(f"not there: {line}")
    wanted = [one for one in there if one.group in (groups or GROUPS)]
    sets = {
        title: [one.name for one in wanted if one.group in members]
        for title, members in SETS.items()
        if set(members) <= {one.group for one in wanted}
    }
    truths: list[Row] = []
    scores: list[Row] = []
    facts: dict[str, Facts] = {}
    for task in find_tasks(data, tasks):
        seen = read(wanted, task, work, say_at)
        found = measure(task, seen, sets, work, say_at)
        truths += found[0]
        if fine_tuning:
            truths += fine_tune(task, wanted, work, say_at)
        scores += found[1]
        facts |= fact_rows(wanted, seen)
        write_rows(out / "truths.csv", truths)
        write_rows(out / "scores.csv", scores)
        write_facts(out / "networks.csv", facts)


def document(root: Path = ROOT, samples: int = 500) -> dict[str, Any]:
    """Judge every ranking by committed tables, as JSON types.

    Parameters
    ----------
    root : Path
    samples : int
        Of the bootstrap.

    Raises
    ------
    InvalidValue
        There are no tables.
    """
    truths, scores = read_rows(root / "truths.csv"), read_rows(root / "scores.csv")
    if not truths or not scores:
        raise InvalidValue("results", str(root), f"a folder with {_MADE}")
    facts = read_facts(root / "networks.csv")
    sets = {}
    for title, members in SETS.items():
        names = [name for name, row in facts.items() if row["group"] in members]
        if {facts[name]["group"] for name in names} == set(members):
            costs = {c: {n: float(facts[n][c] or "nan") for n in names} for c in _COSTS}
            study = Study(truths, scores, names, title, costs)
            sets[title] = _judged(study, samples)
    return {"tasks": sorted({row.task for row in truths}), "networks": facts, "sets": sets}


def _judged(study: Study, samples: int) -> dict[str, Any]:
    every = forms(study.names)
    parts = {"all": study.tasks, "chosen on": CHOOSING, "reported on": REPORTING}
    found: dict[str, Any] = {
        "tables": {},
        "agreement of truths": {k: _share(study.agreement_of_truths(_TRUTH, k)) for k in _OTHERS},
        "retest": {str(n): _share(study.retest(_TRUTH, n)) for n in LABELS[:-1]},
    }
    for title, tasks in parts.items():
        if not set(tasks) <= set(study.tasks):
            continue
        judged = {n: study.judged(every, n, tasks, samples=samples) for n in LABELS}
        found["tables"][title] = {
            str(n): {
                name: {m: _estimate(values[m]) for m in MEASURES} for name, values in rows.items()
            }
            for n, rows in judged.items()
        }
        if title == "chosen on":
            few, *more = (judged[n] for n in LABELS)
            found["chosen"] = {
                "few labels": choose([few], every).name,
                "more labels": choose(more, every).name,
            }
    return found


def _share(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _estimate(values: np.ndarray) -> list[float]:
    """A mean, and its 95 % interval."""
    low, high = np.quantile(values[1:], [0.025, 0.975])
    return [round(float(v), 4) for v in (values[0], low, high)]


def show(found: dict[str, Any]) -> None:
    """Print the tables."""
    out = Console(width=110, highlight=False)
    for title, one in found["sets"].items():
        said = ", ".join(f"{k}: {v}" for k, v in one.get("chosen", {}).items())
        for labels, rows in one["tables"].get("all", {}).items():
            table = Table(title=f"{title}, {labels} labels a class ({said})", title_justify="left")
            table.add_column("ranking", no_wrap=True)
            for heading in MEASURES:
                table.add_column(heading.replace("_", " "), justify="right", no_wrap=True)
            order = sorted(rows, key=lambda name: -rows[name]["weighted_kendall"][0])
            for name in order:
                table.add_row(name, *(_cell(rows[name][m]) for m in MEASURES))
            out.print(table)
        for what in ("agreement of truths", "retest"):
            known = {k: v for k, v in one[what].items() if v is not None}
            out.print(f"{title}, {what}: " + ", ".join(f"{k} {v:.2f}" for k, v in known.items()))


def _cell(estimate: list[float]) -> str:
    value, low, high = estimate
    return f"{value:.2f} ({low:.2f} to {high:.2f})"
