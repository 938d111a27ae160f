"""``python -m studies real``: which score names the network that is best for a real task?"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.options import Json
from pyattrx.errors import InvalidValueError

from .. import pages
from ..minitaskonomy.command import cache_folder
from ..options import among, say_at
from ..recommend.command import agreements as of_rooms
from .agreements import measure_between
from .consensus_study import by_copies, by_forms, by_images, by_size, choose_form
from .entrants import GROUPS, entrants
from .evidence import TABLES
from .facts import (
    TASK_COLUMNS,
    Facts,
    fact_rows,
    read_facts,
    resemblance,
    task_rows,
    write_facts,
)
from .fitted import measure_fitted
from .measuring import fine_tune, measure
from .mixed import LABELS as MIXED_LABELS
from .mixed import MIXED, measure_mixed
from .mixed import TRUTH as MIXED_TRUTH
from .reading import Seen, read
from .study import CHOOSING, LABELS, MEASURES, REPORTING, SEEN, Study, choose, forms
from .tables import Row, read_rows, write_rows
from .targets import measure_targets
from .tasks import find_tasks

__all__ = ["ROOT", "SETS", "document", "estimate", "judged_file", "real_command", "take_up"]

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
_DEFAULT = "linear_probe@both"  # of `pyattrx.recommend`
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
    page: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Fill the tables of a page, such as docs/evidence.md, and keep what they are "
            "made of beside the results.",
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
    if page is not None:
        pages.write(page, TABLES, found)
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
        # What was trained before stays, whoever trains anew or not.
        tuned = work / "tuned" / f"{task.name}.csv"
        truths += fine_tune(task, wanted, work, say_at) if fine_tuning else read_rows(tuned)
        facts |= fact_rows(wanted, seen[task.name])
        write_rows(out / "truths.csv", truths)
        write_rows(out / "scores.csv", scores)
        write_rows(out / "between.csv", between)
        write_rows(out / "fitted.csv", fitted)
        write_rows(out / "targets.csv", targets)
        write_facts(out / "networks.csv", facts)
        write_facts(out / "tasks.csv", task_rows(found), TASK_COLUMNS)
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
    for file, rows in files.items():
        if not file.exists():
            write_rows(file, rows)


def judged_file(root: Path = ROOT) -> Path:
    """Where all that tables of a page are made of is kept."""
    return root / "judged.json"


def document(root: Path = ROOT, samples: int = 500) -> dict[str, Any]:
    """Judge every ranking by committed tables, as JSON types.

    Parameters
    ----------
    root : Path
    samples : int
        Of the bootstrap.

    Raises
    ------
    InvalidValueError
        There are no tables.
    """
    truths, scores = read_rows(root / "truths.csv"), read_rows(root / "scores.csv")
    if not truths or not scores:
        raise InvalidValueError("results", str(root), f"a folder with {_MADE}")
    facts, tasks = read_facts(root / "networks.csv"), read_facts(root / "tasks.csv")
    scores += read_rows(root / "fitted.csv")
    between, resembles = read_rows(root / "between.csv"), resemblance(tasks, facts)
    sets: dict[str, Any] = {}
    found = {"tasks": tasks, "networks": facts, "sets": sets}
    for title, members in SETS.items():
        names = [name for name, row in facts.items() if row["group"] in members]
        if {facts[name]["group"] for name in names} != set(members):
            continue
        costs = {c: {n: float(facts[n][c] or "nan") for n in names} for c in _COSTS}
        study = Study(truths, scores, names, title, costs, between, resembles)
        sets[title] = _judged(study, samples)
        if members == ("strangers",):
            found["consensus"] = _of_consensus(study, samples)
            rooms = of_rooms()
            found["rendered rooms"] = rooms["kinds"].get("all", {})
            found["targets, rendered rooms"] = rooms["targets"]
            mixed = [read_rows(root / f"mixed-{kind}.csv") for kind in ("truths", "scores")]
            if all(mixed):
                own = Study(mixed[0], mixed[1], names, MIXED, costs, full=MIXED_TRUTH)
                found["many classes"] = _estimated(
                    own.judged(forms(own.names), MIXED_LABELS, [MIXED], samples=samples)
                )
            found["seen images"] = _of_seen(study, samples)
            asked = read_rows(root / "targets.csv")
            found["target networks"] = _of_targets(study, asked, samples)
    return found


def _of_seen(study: Study, samples: int) -> dict[str, Any]:
    """What changes where networks that were trained on a task's images are candidates, too."""
    tasks = [task for task in SEEN if task in study.tasks]
    every = forms(study.names)
    with_them = study.with_seen()
    return {
        str(n): {
            "without": _estimated(study.judged(every, n, tasks, samples=samples)),
            "with": _estimated(with_them.judged(every, n, tasks, samples=samples)),
        }
        for n in (LABELS if tasks else ())
    }


def _of_targets(study: Study, asked: Sequence[Row], samples: int) -> dict[str, Any]:
    """Rank by networks of a task itself, where there are any: no label is used.

    The mean over them, by what is read of both and the penalty.
    """
    tasks = [task for task in SEEN if any(row.task == task for row in asked)]
    if not tasks:
        return {}

    def rankings(task: str, draw: int) -> dict[str, np.ndarray]:
        here = [row for row in asked if (row.task, row.draw) == (task, draw)]
        return {row.name: row.of(study.networks) for row in here}

    judged = study.judge(rankings, tasks, samples=samples)
    by_way: dict[str, list[Mapping[str, np.ndarray]]] = {}
    for name, rows in judged.items():
        by_way.setdefault(name.partition(":")[0], []).append(rows)
    means = {
        way: {m: np.mean([one[m] for one in every], axis=0) for m in MEASURES}
        for way, every in by_way.items()
    }
    return _estimated(means)


def _of_consensus(study: Study, samples: int) -> dict[str, Any]:
    parts = {"all": study.tasks, "chosen on": CHOOSING, "reported on": REPORTING}
    made: dict[str, Any] = {}
    for title, tasks in parts.items():
        if not set(tasks) <= set(study.tasks):
            continue
        by = {
            "forms": by_forms(study, tasks, samples),
            "copies": by_copies(study, tasks, samples),
            "images": by_images(study, tasks, samples),
            "candidates": by_size(study, tasks, samples),
        }
        made[title] = {name: _estimated(judged) for name, judged in by.items()}
        if title == "chosen on" and by["forms"] and by["copies"]:
            made["chosen"] = choose_form(by["forms"], by["copies"])
    return made


def _judged(study: Study, samples: int) -> dict[str, Any]:
    every = forms(study.names)
    parts: dict[str, Sequence[str]] = {"all": study.tasks}
    if study.title == "strangers":
        parts |= {"chosen on": CHOOSING, "reported on": REPORTING}
    found: dict[str, Any] = {
        "tables": {},
        "agreement of truths": {k: _share(study.agreement_of_truths(_TRUTH, k)) for k in _OTHERS},
        "retest": {str(n): _share(study.retest(_TRUTH, n)) for n in LABELS[:-1]},
    }
    for title, tasks in parts.items():
        if not set(tasks) <= set(study.tasks):
            continue
        judged = {n: study.judged(every, n, tasks, samples=samples) for n in LABELS}
        found["tables"][title] = {str(n): _estimated(rows) for n, rows in judged.items()}
        if title == "all":
            found["ahead of the default"] = {str(n): _ahead(rows) for n, rows in judged.items()}
        if title == "chosen on":
            few, *more = (judged[n] for n in LABELS)
            found["chosen"] = {
                "few labels": choose([few], every).name,
                "more labels": choose(more, every).name,
            }
    return found


def _ahead(judged: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, list[float]]:
    """How much more weighted Kendall a ranking has than the default, by the same samples."""
    if _DEFAULT not in judged:
        return {}
    default = judged[_DEFAULT]["weighted_kendall"]
    return {name: estimate(rows["weighted_kendall"] - default) for name, rows in judged.items()}


def _share(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _estimated(judged: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, Any]:
    return {name: {m: estimate(values[m]) for m in MEASURES} for name, values in judged.items()}


def estimate(values: np.ndarray) -> list[float]:
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
