"""``python -m studies real``: which score names the network that is best for a real task?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.options import Json
from pyattrx.errors import InvalidValueError

from .. import pages
from ..minitaskonomy.command import cache_folder
from ..options import among, say_at
from .agreements import measure_between
from .entrants import GROUPS, entrants
from .evidence import TABLES
from .facts import TASK_COLUMNS, Facts, fact_rows, read_facts, task_rows, write_facts
from .fitted import measure_fitted
from .judging import ROOT, SETS, document, estimate, judged_file
from .measuring import fine_tune, measure
from .mixed import measure_mixed
from .published import measure_published
from .reading import Seen, read
from .seconds import COLUMNS as SECONDS_COLUMNS
from .seconds import measure_seconds, seconds_file
from .study import MEASURES
from .tables import Row, read_rows, write_rows
from .targets import measure_targets
from .tasks import find_tasks

__all__ = ["ROOT", "SETS", "document", "estimate", "judged_file", "real_command", "take_up"]

_ANEW = "Measure anew"


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
    page: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE...",
            exists=True,  # said before a minute of work
            dir_okay=False,
            help="Fill tables of docs/evidence.md and docs/evidence-details.md, and keep what they "
            "are made of beside the results.",
        ),
    ] = None,
    go_on: Annotated[
        bool,
        typer.Option(
            "--go-on",
            help="Take what the tables have as measured, and measure what they lack.",
            rich_help_panel=_ANEW,
        ),
    ] = False,
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
        raise InvalidValueError(missing, None, "a folder: images and weights are needed together")
    if data is not None and weights is not None:
        if (tasks or groups) and results == ROOT:
            # Tables of a part would stand where those of all were.
            raise InvalidValueError("results", str(results), "another folder, with tasks or groups")
        kept = work or cache_folder().parent / "real"
        if go_on:
            take_up(results, kept)
        _measure(data, weights, kept, results, tasks, groups, fine_tuning)
        return
    found = document(results)
    if page:
        for file in page:
            pages.write(file, TABLES, found)
        judged_file(results).write_text(json.dumps(found, allow_nan=False) + "\n")
    elif as_json:
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
    truths: list[Row] = []
    scores: list[Row] = []
    between: list[Row] = []
    fitted: list[Row] = []
    facts: dict[str, Facts] = {}
    targets: list[Row] = []
    published: list[Row] = []
    of_group = [one for one in wanted if one.group == "strangers"]
    of_strangers = {one.name for one in of_group}
    seen: dict[str, list[Seen]] = {}
    found = find_tasks(data, tasks)
    for task in found:
        seen[task.name] = read(wanted, task, work, say_at)
        truths_, scores_ = measure(task, seen[task.name], work, say_at)
        truths, scores = truths + truths_, scores + scores_
        between += measure_between(task, seen[task.name], work, say_at)
        strangers = [one for one in seen[task.name] if one.name in of_strangers]
        fitted += measure_fitted(task, strangers, work, say_at)
        targets += measure_targets(task, strangers, of_group, work, say_at)
        published += measure_published(task, strangers, of_group, work, say_at)
        # What was trained before stays, whoever trains anew or not.
        tuned = work / "tuned" / f"{task.name}.csv"
        truths += fine_tune(task, wanted, work, say_at) if fine_tuning else read_rows(tuned)
        facts |= fact_rows(wanted, seen[task.name])
        write_rows(out / "truths.csv", truths)
        write_rows(out / "scores.csv", scores)
        write_rows(out / "between.csv", between)
        write_rows(out / "fitted.csv", fitted)
        write_rows(out / "targets.csv", targets)
        write_rows(out / "published.csv", published)
        write_facts(out / "networks.csv", facts)
        write_facts(out / "tasks.csv", task_rows(found), TASK_COLUMNS)
        if task is found[0] and strangers:
            spent = measure_seconds(task, strangers, of_group, work, say_at)
            write_facts(out / "seconds.csv", spent, SECONDS_COLUMNS)
    if len(found) > 1:
        mixed = measure_mixed(found, seen, work, say_at)
        write_rows(out / "mixed-truths.csv", mixed[0])
        write_rows(out / "mixed-scores.csv", mixed[1])


# What of a work folder stands in which table.
_KEPT = {
    "truths": ("truths.csv", "mixed-truths.csv"),
    "scores": ("scores.csv", "mixed-scores.csv"),
}


def take_up(results: Path, work: Path) -> None:
    """Put what tables have where a run looks for what it has done.

    Parameters
    ----------
    results, work : Path
        What is in `work` already stays as it is.
    """
    files: dict[Path, list[Row]] = {}
    for kind, names in _KEPT.items():
        for row in (row for name in names for row in read_rows(results / name)):
            tuned = row.name == "fine-tuned"
            stem = row.task if tuned else f"{row.task}-{row.labels}-{row.draw}"
            file = work / ("tuned" if tuned else kind) / f"{stem}.csv"
            files.setdefault(file, []).append(row)
    for kind in ("between", "fitted", "targets"):
        for row in read_rows(results / f"{kind}.csv"):
            labels = f"-{row.labels}" if kind == "fitted" else ""
            file = work / kind / f"{row.task}{labels}-{row.draw}.csv"
            files.setdefault(file, []).append(row)
    for row in read_rows(results / "published.csv"):
        files.setdefault(work / "published" / f"{row.task}.csv", []).append(row)
    seconds, spent = results / "seconds.csv", seconds_file(work)
    if seconds.is_file() and not spent.exists():
        write_facts(spent, read_facts(seconds), SECONDS_COLUMNS)
    for file, rows in files.items():
        if not file.exists():
            write_rows(file, rows)


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
