"""``pyattrx evaluate``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table as RichTable
from rich.text import Text

from pyattrx import report
from pyattrx._help import examples
from pyattrx._progress import progress
from pyattrx.affinities import Affinity
from pyattrx.cli import options
from pyattrx.cli.output import console, listed, print_json, with_interval
from pyattrx.cli.places import check_picture, check_there
from pyattrx.errors import InvalidValueError
from pyattrx.evaluate import (
    Difference,
    Estimate,
    ProbeParts,
    Table,
    align,
    as_table,
    baseline_scores,
    paired_difference,
    precision_curve,
    read_curves,
    read_names,
    read_table,
    recall_of,
    spearman,
    summarize,
    usual_counts,
    usual_relevant,
)

__all__ = ["add_commands"]


_Affinity = Annotated[
    Path,
    typer.Argument(metavar="AFFINITY", help="A saved affinity (.npz), or a table as CSV."),
]
_Truth = Annotated[
    Path,
    typer.Argument(
        metavar="TRUTH",
        help="How well each source (column) transfers to each target (row), larger is better: "
        "CSV, or Taskonomy's published pickle, which is not executed.",
    ),
]
_Against = Annotated[
    list[Path] | None,
    typer.Option(help="Another affinity, compared pair by pair; may be given several times."),
]
_Baselines = Annotated[
    bool, typer.Option("--baselines", help="Add the trivial baselines and the ceilings.")
]
_Families = Annotated[
    Path | None,
    typer.Option(help="CSV of name,family: adds the baseline that knows nothing else."),
]
_Retest = Annotated[
    Path | None, typer.Option(help="Another measurement of the truth: adds that ceiling.")
]
_Names = Annotated[
    Path | None,
    typer.Option(help="CSV of name,name in the truth: renames networks of the affinities."),
]
_K = Annotated[
    str | None,
    typer.Option("--k", help="Sources to take.  [default: 1,3,5, of those that there are]"),
]
_Relevant = Annotated[
    int | None,
    typer.Option(
        help="How many of the best sources are relevant.  [default: 5, or half where there are "
        "5 or fewer]"
    ),
]
_Bootstrap = Annotated[int, typer.Option(help="Draws for the intervals.")]
_Level = Annotated[float, typer.Option(help="Confidence of the intervals.")]
_Seed = Annotated[int, typer.Option(help="Seed of the draws.")]
_Picture = Annotated[Path | None, typer.Option(help="Draw P@K and R@K to this .png or .svg file.")]
_Curves = Annotated[
    Path | None,
    typer.Option(help="CSV of published precisions (words, P@1, P@2, ...) for the picture."),
]


def add_commands(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(
        "evaluate",
        **examples(
            "pyattrx evaluate affinity.npz transfers.csv",
            "pyattrx evaluate a.npz transfers.csv --against b.npz --baselines --picture p.png",
        ),
    )(evaluate_command)


def evaluate_command(
    affinity: _Affinity,
    truth: _Truth,
    against: _Against = None,
    baselines: _Baselines = False,
    families: _Families = None,
    retest: _Retest = None,
    names: _Names = None,
    k: _K = None,
    relevant: _Relevant = None,
    bootstrap: _Bootstrap = 2000,
    level: _Level = 0.95,
    seed: _Seed = 0,
    picture: _Picture = None,
    curves: _Curves = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Judge the rankings of affinities by measured transfers, with intervals."""
    options.be_quiet(quiet)
    asked = None if k is None else _counts(k)
    if curves is not None and picture is None:
        raise InvalidValueError("curves", str(curves), "a --picture to draw them in")
    check_picture("picture", picture)
    read = {"families": families, "retest": retest, "names": names, "curves": curves}
    for option, path in {"AFFINITY": affinity, "TRUTH": truth, **read}.items():
        check_there(option, path, "file")
    for path in against or ():
        check_there("against", path, "file")
    published = {} if curves is None else read_curves(curves)
    renamed = {} if names is None else read_names(names)
    groups = None if families is None else read_names(families)
    measured = _read(truth)
    tables = {path.stem: _read(path).renamed(renamed) for path in [affinity, *(against or [])]}
    if len(tables) < 1 + len(against or []):
        raise InvalidValueError(
            "against", [str(p) for p in against or []], "files of different names"
        )
    judged, found = _common(tables, measured)
    fewest = _fewest_sources(found.truth)
    counts = usual_counts(fewest) if asked is None else asked
    if relevant is None:
        relevant = usual_relevant(fewest)
    scores: dict[str, Table] = {}
    if baselines or groups is not None or retest is not None:
        again = None if retest is None else _read(retest)
        scores = baseline_scores(found.truth, families=groups, retest=again)
    settings: dict[str, Any] = {"samples": bootstrap, "level": level, "seed": seed}
    runs = {name: [(table, found.truth)] for name, table in {**judged, **scores}.items()}
    estimates = summarize(runs, k=counts, relevant=relevant, **settings)
    first, *others = judged
    differences = {
        name: paired_difference(spearman, runs[first], runs[name], **settings) for name in others
    }
    if picture is not None:
        _draw(runs, set(scores), published, relevant, counts, settings, picture)
    if as_json:
        _print_json(estimates, differences, scores, found, relevant, settings, picture)
        return
    out = console()
    out.print(_table(estimates, counts, scores, found, relevant, level))
    out.print(_costs(estimates, counts, scores))
    for line in [*found.left_out(), *_compared(first, differences)]:
        out.print(line)
    if picture is not None:
        out.print(f"wrote {picture}")


@dataclass(frozen=True)
class _Common:
    """The truth of what all tables have, and what was there."""

    truth: Table
    whole: Table
    tables: dict[str, Table]

    def missing(self) -> dict[str, dict[str, list[str]]]:
        """Targets and sources that are not judged, by the table that has them."""
        found = {}
        for name, table in {"the truth": self.whole, **self.tables}.items():
            found[name] = {
                "targets": [t for t in table.targets if t not in self.truth.targets],
                "sources": [s for s in table.sources if s not in self.truth.sources],
            }
        return found

    def left_out(self) -> list[str]:
        """Say what is not judged."""
        return [
            f"left out {kind} of {name} that others lack: {listed(names)}"
            for name, kinds in self.missing().items()
            for kind, names in kinds.items()
            # An affinity has a row for every network; those that only are sources are no loss.
            if names and not (kind == "targets" and name != "the truth")
        ]


def _common(tables: dict[str, Table], truth: Table) -> tuple[dict[str, Table], _Common]:
    shared = truth
    for table in tables.values():
        shared = align(table, shared)[1]
    judged = {name: table.select(shared.targets, shared.sources) for name, table in tables.items()}
    return judged, _Common(shared, truth, tables)


def _read(path: Path) -> Table:
    return as_table(Affinity.load(path)) if path.suffix.lower() == ".npz" else read_table(path)


def _fewest_sources(truth: Table) -> int:
    """Candidate sources of the target that has fewest."""
    return int((~(truth.missing | truth.own)).sum(1).min())


def _counts(text: str) -> list[int]:
    if re.fullmatch(r"[1-9]\d*([, ]+[1-9]\d*)*", text) is None:
        raise InvalidValueError("k", text, "numbers of sources, for example 1,3,5")
    return sorted({int(number) for number in re.split(r"[, ]+", text)})


def _draw(
    runs: dict[str, Any],
    baselines: set[str],
    published: dict[str, dict[int, float]],
    relevant: int,
    counts: list[int],
    settings: dict[str, Any],
    path: Path,
) -> None:
    truth = next(iter(runs.values()))[0][1]
    k = range(1, min(_fewest_sources(truth), max(2 * relevant, *counts)) + 1)
    precision: list[report.Curve] = []
    recall: list[report.Curve] = []
    with progress("curves", len(runs)) as advance:
        for name, run in runs.items():
            found = precision_curve(run, k=k, relevant=relevant, **settings)
            recalls = [recall_of(e, n, relevant) for n, e in zip(k, found, strict=True)]
            kind: Any = "baseline" if name in baselines else "method"
            for panel, estimates in ((precision, found), (recall, recalls)):
                values, low, high = zip(*((e.value, e.low, e.high) for e in estimates), strict=True)
                panel.append(report.Curve(name, list(k), values, low, high, kind))
            advance(1)
    for name, curve in published.items():
        if curve:
            precision.append(
                report.Curve(name, list(curve), list(curve.values()), kind="published")
            )
    title = f"{len(truth.targets)} targets, {relevant} relevant sources of each"
    report.curves_figure({"P@K": precision, "R@K": recall}, title=title, path=path)


def _table(
    estimates: dict[str, dict[str, Estimate]],
    counts: list[int],
    baselines: dict[str, Table],
    found: _Common,
    relevant: int,
    level: float,
) -> RichTable:
    targets, sources = len(found.truth.targets), len(found.truth.sources)
    title = (
        f"{targets} targets, {sources} sources, the {relevant} best of a target relevant; "
        f"{100 * level:g} % intervals over targets"
    )
    if any(ProbeParts.of(table) is not None for table in found.tables.values()):
        title += " and probes"
    return _of_measures(title, ["spearman", "kendall", *(f"P@{n}" for n in counts)], estimates,
                        baselines)  # fmt: skip


def _costs(
    estimates: dict[str, dict[str, Estimate]], counts: list[int], baselines: dict[str, Table]
) -> RichTable:
    title = "what is lost by trying only the first K sources; 1 is one picked by chance"
    return _of_measures(title, [f"regret@{n}" for n in counts], estimates, baselines)


def _of_measures(
    title: str,
    measures: list[str],
    estimates: dict[str, dict[str, Estimate]],
    baselines: dict[str, Table],
) -> RichTable:
    table = RichTable(title=title, title_justify="left")
    table.add_column("method")
    for measure in measures:
        table.add_column(measure, justify="right", no_wrap=True)
    names = list(estimates)
    for place, name in enumerate(names):
        last = place + 1 < len(names) and names[place + 1] in baselines and name not in baselines
        cells = [Text(with_interval(estimates[name][measure])) for measure in measures]
        table.add_row(Text(name), *cells, end_section=last)
    return table


def _compared(first: str, differences: dict[str, Difference]) -> list[str]:
    return [
        f"spearman of {first} less that of {name}: {with_interval(found)}, p = {found.p_value:.3f}"
        for name, found in differences.items()
    ]


def _print_json(
    estimates: dict[str, dict[str, Estimate]],
    differences: dict[str, Difference],
    baselines: dict[str, Table],
    found: _Common,
    relevant: int,
    settings: dict[str, Any],
    picture: Path | None,
) -> None:
    print_json(
        {
            "targets": list(found.truth.targets),
            "sources": list(found.truth.sources),
            "left_out": found.missing(),
            "relevant": relevant,
            **settings,
            "methods": {
                name: {measure: estimate.to_dict() for measure, estimate in measures.items()}
                for name, measures in estimates.items()
            },
            "baselines": list(baselines),
            "spearman_less_that_of": {
                name: difference.to_dict() for name, difference in differences.items()
            },
            "files": [] if picture is None else [str(picture)],
        }
    )
