"""``python -m studies recommend``: which score names the source that transfers best?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.options import Json
from pyattrx.errors import InvalidValueError
from pyattrx.evaluate import interval

from .. import pages
from ..minitaskonomy.command import cache_folder
from ..minitaskonomy.tasks import TARGETS, TASKS
from ..options import say_at
from ..transfer.command import ROOT as TRANSFERS
from .agreements import Agreements, judge_forms, judge_targets, measure_agreements
from .page import TABLES
from .races import measure_races, read_races, summary
from .scores import COUNTS, Scores, compute, read
from .study import (
    BASELINES,
    FORMS,
    MEASURES,
    Form,
    Result,
    apart,
    baseline,
    choose,
    difference,
    image_targets,
    judge,
    measured,
)

__all__ = ["ROOT", "agreements", "document", "judged_scores", "recommend_command"]

ROOT = Path(__file__).resolve().parents[1] / "results" / "recommend"
_CHOSEN_ON = 0  # the seed of the encoders
_DENSE = {"one label an image": False, "a label a location": True}
_LABELS = {5: "5 labels", 20: "20 labels", None: "all labels"}
_MAIN = "weighted_kendall"
_ANEW = "Make the results anew, from what `minitaskonomy` made"


def recommend_command(
    results: Annotated[Path, typer.Option(metavar="FOLDER", help="Scores.")] = ROOT,
    as_json: Json = False,
    page: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Fill the tables of a page: docs/recommend.md."),
    ] = None,
    scores: Annotated[
        bool, typer.Option("--scores", help="Score all sources.", rich_help_panel=_ANEW)
    ] = False,
    races: Annotated[
        bool, typer.Option("--races", help="Race all sources.", rich_help_panel=_ANEW)
    ] = False,
    between: Annotated[
        bool,
        typer.Option("--agreements", help="Ask all sources of each other.", rich_help_panel=_ANEW),
    ] = False,
    folder: Annotated[
        Path | None,
        typer.Option(
            help=f"Of `minitaskonomy` (default: {cache_folder()}).", rich_help_panel=_ANEW
        ),
    ] = None,
    seeds: Annotated[
        list[int] | None, typer.Option(help="Of the encoders (0).", rich_help_panel=_ANEW)
    ] = None,
) -> None:
    """Hold every score, and what a race saves, against measured transfers, or compute them anew."""
    if scores or races or between:
        results.mkdir(parents=True, exist_ok=True)
        for seed in seeds or [_CHOSEN_ON]:
            made = folder or cache_folder()
            if scores:
                compute(made, seed, score_file(results, seed), say_at)
            if races:
                measure_races(made, seed, TRANSFERS, race_file(results, seed), say_at)
            if between:
                measure_agreements(made, seed, agreement_file(results, seed), say_at)
        return
    found = document(results)
    if page is not None:
        pages.write(page, TABLES, found)
    elif as_json:
        print(json.dumps(found, indent=2, allow_nan=False))
    else:
        show(found)


def score_file(root: Path, seed: int) -> Path:
    """Return where the scores of a set of encoders are."""
    return root / f"residual-seed{seed}.npz"


def race_file(root: Path, seed: int) -> Path:
    """Return where the races of a set of encoders are."""
    return root / f"races-seed{seed}.json"


def agreement_file(root: Path, seed: int) -> Path:
    """Return where what a set of encoders knows of each other is."""
    return root / f"agreements-seed{seed}.npz"


def document(root: Path = ROOT, truths: Path = TRANSFERS) -> dict[str, Any]:
    """Judge every form and baseline, as JSON types.

    Parameters
    ----------
    root : Path
        Of the scores.
    truths : Path
        Where measured transfers are.

    Raises
    ------
    InvalidValueError
        There are no scores.
    """
    seeds = [seed for seed in range(10) if score_file(root, seed).is_file()]
    if _CHOSEN_ON not in seeds:
        raise InvalidValueError("results", str(root), "a folder with residual-seed0.npz")
    every = {seed: _results(read(score_file(root, seed)), seed, truths) for seed in seeds}
    first = read(score_file(root, _CHOSEN_ON))
    of_images = image_targets(first)
    forms = {f: every[_CHOSEN_ON][f.name] for f in FORMS if f.name in every[_CHOSEN_ON]}
    kinds = {kind: of_images != dense for kind, dense in _DENSE.items()}
    return {
        "seeds": seeds,
        "chosen": {kind: choose(forms, which).name for kind, which in kinds.items()},
        "seconds": dict(zip(first.names, np.round(first.seconds, 4).tolist(), strict=True)),
        "kinds": {
            kind: _rows({seed: every[seed] for seed in seeds}, which)
            for kind, which in kinds.items()
        },
        "other seeds": apart(every, of_images),
        "races": _races(root),
        "agreements": agreements(root, truths),
    }


def agreements(root: Path = ROOT, truths: Path = TRANSFERS) -> dict[str, Any]:
    """Judge forms of the consensus, by all seeds that there are; see `judge_forms`."""
    files = {seed: agreement_file(root, seed) for seed in range(10)}
    found = {seed: Agreements.read(file) for seed, file in files.items() if file.is_file()}
    dense = np.array([TASKS[target].dense for target in TARGETS])
    kinds = {kind: dense == which for kind, which in _DENSE.items()}
    every = {**kinds, "all": np.ones(len(TARGETS), bool)}
    if not found:
        return {"seeds": [], "kinds": {}, "targets": {}}
    judged = judge_forms(found, truths, every)
    return {"seeds": list(found), "kinds": judged, "targets": judge_targets(found, truths)}


def judged_scores(
    names: Sequence[str], root: Path = ROOT, truths: Path = TRANSFERS
) -> list[dict[str, Any]]:
    """Judge some forms and baselines by targets with one label an image, as `document` does.

    Parameters
    ----------
    names : sequence of str
        Those that are not there are left out.
    root, truths : Path
    """
    found = {seed: read(score_file(root, seed)) for seed in range(10)
             if score_file(root, seed).is_file()}  # fmt: skip
    if _CHOSEN_ON not in found:
        return []
    every = {seed: _results(one, seed, truths, names) for seed, one in found.items()}
    return _rows(every, image_targets(found[_CHOSEN_ON]))


def _races(root: Path) -> dict[str, Any]:
    """Sum up the races of all seeds that there are."""
    seeds = [seed for seed in range(10) if race_file(root, seed).is_file()]
    every = [read_races(race_file(root, seed)) for seed in seeds]
    if not every:
        return {"seeds": [], "kinds": {}}
    kinds = {kind: summary(every, dense) for kind, dense in _DENSE.items()}
    return {"seeds": seeds, "kinds": kinds}


def _results(
    found: Scores, seed: int, truths: Path, only: Sequence[str] | None = None
) -> dict[str, Result]:
    truth = measured(truths, seed, found)
    made: dict[str, Result] = {}
    for form in FORMS:
        if only is not None and form.name not in only:
            continue
        if f"{form.score}@{form.place}" in found.names:
            made[form.name] = judge(_rank(form, found), found, truth)
    others = [n for n in found.names if "consensus" not in n and n not in made]
    for name in (*others, *BASELINES):
        if only is not None and name not in (*only, "consensus@pooled"):
            continue  # the consensus is what others are held against
        made[name] = judge(baseline(name, found, truth), found, truth)
    return made


def _rank(form: Form, found: Scores) -> Any:
    return lambda t, c, d, n: form.rank(found, t, c, d, n)


def _rows(every: dict[int, dict[str, Result]], which: np.ndarray) -> list[dict[str, Any]]:
    rows = []
    for name in every[_CHOSEN_ON]:
        values = np.stack([found[name][:, which] for found in every.values()])
        if np.isnan(values).all(axis=(0, 1, 3)).any():
            continue  # of other labels
        # A number only where it is there for all targets: others would be of easier ones.
        means = values.mean(axis=(0, 2))  # [measures, counts]
        row: dict[str, Any] = {"name": name, "intervals": {}}
        for c, count in enumerate(COUNTS):
            row[str(count or "all")] = {
                measure: _number(float(means[m, c])) for m, measure in enumerate(MEASURES)
            }
            row["intervals"][str(count or "all")] = {
                measure: _interval(values[:, m, :, c]) for m, measure in enumerate(MEASURES)
            }
        row["over consensus"] = [
            _number(v)
            for v in difference(
                every[_CHOSEN_ON][name], every[_CHOSEN_ON]["consensus@pooled"], which
            )
        ]
        rows.append(row)
    return sorted(rows, key=lambda row: -_mean(row))


def _mean(row: dict[str, Any]) -> float:
    """Mean weighted Kendall over the counts of labels at which there is one."""
    values = [row[str(count or "all")]["weighted_kendall"] for count in COUNTS]
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else -1.0


def _interval(values: np.ndarray) -> list[float] | None:
    """95 % interval of a mean [seeds, T], by a bootstrap over targets and seeds."""
    if np.isnan(values).any():
        return None
    found = interval(values)
    return [round(found.low, 4), round(found.high, 4)]


def _number(value: float) -> float | None:
    return round(value, 4) if np.isfinite(value) else None


def show(found: dict[str, Any]) -> None:
    """Print the tables; s is seconds a candidate, its features not included."""
    out = Console(width=120, highlight=False)
    for kind, rows in found["kinds"].items():
        for count in COUNTS:
            title = f"{kind}, {_LABELS[count]}: {_said(found, kind)}"
            out.print(_table(title, rows, count, found["seconds"]))
    out.print("s: seconds a candidate, its features not included")
    for kind, row in found["races"]["kinds"].items():
        out.print(
            f"races, {kind} (encoder seeds {found['races']['seeds']}): {row['passes']:.0%} of the "
            f"passes ({row['least']:.0%} to {row['most']:.0%}), regret@1 {row['regret']:.3f} "
            f"(full runs {row['regret of all']:.3f}), first of the full run dropped in "
            f"{row['lost']} of {row['races']}"
        )
    for case, forms in found["agreements"]["kinds"].get("all", {}).items():
        out.print(
            f"weighted Kendall of the consensus, all targets, candidates {case}: "
            + ", ".join(f"{name} {row['weighted_kendall']:.2f}" for name, row in forms.items())
        )


def _said(found: dict[str, Any], kind: str) -> str:
    return f"chosen {found['chosen'][kind]} (encoder seeds {found['seeds']})"


def _table(
    title: str, rows: list[dict[str, Any]], count: int | None, seconds: dict[str, float]
) -> Table:
    """All rankings by a number of labels, the best by weighted Kendall first."""
    table = Table(title=title, title_justify="left")
    table.add_column("score", no_wrap=True)
    for measure in MEASURES:
        table.add_column(measure.replace("_", " "), justify="right")
        if measure == _MAIN:
            table.add_column("95 %", justify="right", no_wrap=True)
    table.add_column("s", justify="right")
    key = str(count or "all")
    for row in sorted(rows, key=lambda row: -(row[key][_MAIN] or -1.0)):
        cells = ["-" if value is None else f"{value:.2f}" for value in row[key].values()]
        within = row["intervals"][key][_MAIN]
        between = "" if within is None else f"{within[0]:.2f} to {within[1]:.2f}"
        at = list(MEASURES).index(_MAIN) + 1
        # The consensus is computed once for all scores that it is added to.
        own = seconds.get(row["name"].partition(" ")[0])
        took = "" if own is None else f"{own:.3f}"
        table.add_row(row["name"], *cells[:at], between, *cells[at:], took)
    return table
