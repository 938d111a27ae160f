"""``pyattrx published``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table as RichTable
from rich.text import Text

from pyattrx._help import examples
from pyattrx.cli import options
from pyattrx.cli.output import console, listed, print_json, with_interval
from pyattrx.cli.places import check_there
from pyattrx.errors import InvalidValueError
from pyattrx.evaluate import (
    Accuracies,
    Judgement,
    RankAgreement,
    Reliability,
    judge_scores,
    rank_agreement,
    read_accuracies,
    read_all_accuracies,
    reliability,
)

__all__ = ["add_commands"]

_FILE = "How the file is read"
_MEASURES = ("weighted_kendall", "spearman", "P@1", "regret@1", "regret@3")


_File = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="Accuracies of models on data sets: CSV, JSON, JSON lines, or a Python program "
        "with dictionaries, which is not executed.",
    ),
]
_Scores = Annotated[
    list[Path] | None,
    typer.Option(
        help="Scores of the same models on the same data sets, larger is better, in any of "
        "these shapes; may be given several times."
    ),
]
_Kind = Annotated[str | None, typer.Option(help="Which truth, where FILE has several.")]
_Other = Annotated[
    Path | None,
    typer.Option(help="Another truth, of the same models on the same data sets."),
]
_OtherKind = Annotated[str | None, typer.Option(help="Which one, in that file, or in FILE itself.")]
_Column = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ROLE=NAME",
        help="What a column is: model, source, dataset, accuracy, seed, kind; with no name: "
        "there is none.",
        rich_help_panel=_FILE,
    ),
]
_Where = Annotated[
    list[str] | None,
    typer.Option(
        metavar="COLUMN=VALUE", help="Only records with this value.", rich_help_panel=_FILE
    ),
]
_Rows = Annotated[
    str | None,
    typer.Option(help="What rows are, or outer names: datasets or models.", rich_help_panel=_FILE),
]
_Unit = Annotated[
    str | None,
    typer.Option(help="Of the accuracies: percent, fraction, raw.", rich_help_panel=_FILE),
]
_Relevant = Annotated[
    int | None,
    typer.Option(
        help="How many of the best models are good enough for P@1.  [default: 5, or half where "
        "there are 5 or fewer]"
    ),
]
_Bootstrap = Annotated[int, typer.Option(help="Draws for the intervals.")]
_Level = Annotated[float, typer.Option(help="Confidence of the intervals.")]
_Seed = Annotated[int, typer.Option(help="Seed of the draws.")]


def add_commands(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(
        "published",
        **examples(
            "pyattrx published accuracies.csv --scores mine.csv",
            "pyattrx published accuracies.py --kind full --other-kind head_only --json",
        ),
    )(published_command)


def published_command(
    file: _File,
    scores: _Scores = None,
    kind: _Kind = None,
    other: _Other = None,
    other_kind: _OtherKind = None,
    column: _Column = None,
    where: _Where = None,
    rows: _Rows = None,
    unit: _Unit = None,
    relevant: _Relevant = None,
    bootstrap: _Bootstrap = 2000,
    level: _Level = 0.95,
    seed: _Seed = 0,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Judge scores by accuracies that others published, beside rankings without any network."""
    options.be_quiet(quiet)
    for option, path in {"FILE": file, "other": other}.items():
        check_there(option, path, "file")
    for path in scores or ():
        check_there("scores", path, "file")
    read: dict[str, Any] = {
        "columns": _columns(column), "where": _where(where), "rows": rows, "unit": unit,
    }  # fmt: skip
    truth = read_accuracies(file, kind=kind, **read)
    settings: dict[str, Any] = {"samples": bootstrap, "level": level, "seed": seed}
    judged = judge_scores(truth, _scores(scores or [], truth), relevant=relevant, **settings)
    repeated = None
    if ((truth.seeds >= 2).sum(1) >= 3).any():
        repeated = reliability(truth, **settings)
    agreed = None
    if other is not None or other_kind is not None:
        agreed = rank_agreement(
            truth, read_accuracies(other or file, kind=other_kind, **read), **settings
        )
    if as_json:
        print_json(
            {
                "kind": truth.kind,
                "notes": list(truth.notes),
                **settings,
                **judged.to_dict(),
                "reliability": None if repeated is None else repeated.to_dict(),
                "agreement": None if agreed is None else agreed.to_dict(),
            }
        )
        return
    _show(truth, judged, repeated, agreed, level)


def _columns(given: list[str] | None) -> dict[str, Any] | None:
    found: dict[str, Any] = {}
    for text in given or ():
        role, name = _halves("column", text, "ROLE=NAME")
        names = found.setdefault(role, [])
        if name:
            names.append(name)
    return {role: names or None for role, names in found.items()} or None


def _where(given: list[str] | None) -> dict[str, str] | None:
    return dict(_halves("where", text, "COLUMN=VALUE") for text in given or ()) or None


def _halves(option: str, text: str, expected: str) -> tuple[str, str]:
    first, equals, second = text.partition("=")
    if not first or not equals:
        raise InvalidValueError(option, text, expected)
    return first.strip(), second.strip()


def _scores(paths: list[Path], truth: Accuracies) -> dict[str, Accuracies]:
    found: dict[str, Accuracies] = {}
    for path in paths:
        for kind, table in _of_file(path, truth).items():
            name = f"{path.stem}: {kind}" if kind else path.stem
            if name in found:
                raise InvalidValueError("scores", str(path), "files of different names")
            found[name] = table
    return found


def _of_file(path: Path, truth: Accuracies) -> dict[str, Accuracies]:
    """Read scores; what is a model and what a data set is known from the truth."""
    try:
        return read_all_accuracies(path, unit="raw")
    except InvalidValueError as error:
        if error.argument != "rows":
            expected = f"scores whose columns and names tell what they are ({error})"
            raise InvalidValueError("scores", str(path), expected) from error
    found = read_all_accuracies(path, unit="raw", rows="datasets")
    if all(set(table.datasets) & set(truth.datasets) for table in found.values()):
        return found
    return read_all_accuracies(path, unit="raw", rows="models")


def _show(
    truth: Accuracies,
    judged: Judgement,
    repeated: Reliability | None,
    agreed: RankAgreement | None,
    level: float,
) -> None:
    out = console()
    out.print(f"{truth}: {listed(truth.datasets)}")
    for note in truth.notes:
        out.print(f"  {note}")
    where = f"{len(judged.truth.targets)} data sets, {len(judged.truth.sources)} models"
    table = RichTable(title=f"{where}; {100 * level:g} % intervals over data sets")
    table.title_justify = "left"
    table.add_column("score")
    shown = [m for m in _MEASURES if m in judged.methods["random"]]
    for measure in shown:
        table.add_column(measure.replace("_", " "), justify="right", no_wrap=True)
    for place, (name, measures) in enumerate(judged.methods.items(), 1):
        cells = [Text(with_interval(measures[measure])) for measure in shown]
        table.add_row(Text(name), *cells, end_section=place == len(judged.ahead))
    out.print(table)
    out.print(
        f"P@1: the first is one of the {judged.relevant} best; regret@K: what is lost by trying "
        "only the first K, 1 is one picked by chance"
    )
    for name, found in judged.ahead.items():
        out.print(
            f"weighted kendall of {name} less that of the static ranker: {with_interval(found)}, "
            f"p = {found.p_value:.3f}"
        )
    if len(truth.datasets) == 1:
        out.print("The static ranker and popularity need a second data set: here they are chance.")
    if judged.left_out:
        out.print(f"left out, with too few models to rank: {listed(judged.left_out)}")
    if judged.unscored:
        out.print(f"{judged.unscored} accuracies do not count, as a score lacks them")
    if repeated is not None:
        out.print(
            f"reliability on {len(repeated.datasets)} data sets: halves of the seeds agree at "
            f"{with_interval(repeated.halves)}; all seeds, by Spearman and Brown, "
            f"{with_interval(repeated.whole)}"
        )
    if agreed is not None:
        out.print(_agreement(agreed, level))


def _agreement(agreed: RankAgreement, level: float) -> RichTable:
    table = RichTable(title=f"both truths: spearman, {100 * level:g} % intervals over models")
    table.title_justify = "left"
    table.add_column("data set")
    table.add_column("models", justify="right")
    table.add_column("spearman", justify="right", no_wrap=True)
    for place, (name, found) in enumerate(agreed.per_dataset.items(), 1):
        last = place == len(agreed.per_dataset)
        table.add_row(Text(name), str(agreed.models[name]), with_interval(found), end_section=last)
    table.add_row("mean, over data sets", "", with_interval(agreed.mean))
    return table
