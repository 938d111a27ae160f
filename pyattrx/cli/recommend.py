"""``pyattrx recommend`` and ``pyattrx cache``."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from pyattrx._help import examples
from pyattrx._wrapping import wrapped
from pyattrx.cli import options, tasks
from pyattrx.cli.output import console, print_json
from pyattrx.cli.places import (
    check_save,
    check_specifications,
    check_there,
    make_pictures_folder,
)
from pyattrx.cli.running import FAILED, INTERRUPTED
from pyattrx.cli.streams import complain, put_document
from pyattrx.errors import InvalidValueError, SkippedWarning
from pyattrx.features import FeatureCache
from pyattrx.recommending import FINALISTS, Recommendation, read_candidates, recommend
from pyattrx.tasks import Task
from pyattrx.zoo import Zoo

__all__ = ["add_commands"]

_SCORES, _ZOO = "Scores", "Candidates from a zoo"

Folder = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Where features are kept; in the user's cache folder if left out.",
        show_default=False,
        rich_help_panel=options.RUN,
    ),
]


_Data = Annotated[
    Path,
    typer.Argument(
        metavar="DATA",
        help="Folder of images, with a subfolder for each class or without labels; or a table "
        "(CSV, TSV, Parquet) of paths and labels.",
    ),
]
_Specifications = Annotated[
    list[str] | None,
    typer.Argument(metavar="SPEC...", help="Candidates, as for affinity; none with --zoo."),
]
_Zoo = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="The candidates are those of a zoo.", rich_help_panel=_ZOO),
]
_Tag = Annotated[
    list[str] | None,
    typer.Option(help="Of the zoo: only networks with this tag.", rich_help_panel=_ZOO),
]
_Finalists = Annotated[
    int, typer.Option(help="Of the zoo: run at most this many networks.", rich_help_panel=_ZOO)
]
_Target = Annotated[
    str | None,
    typer.Option(metavar="SPEC", help="A network that does the task: rank for it instead."),
]
_Unlabelled = Annotated[
    bool,
    typer.Option(
        "--unlabelled",
        help="Ignore labels and subfolders: rank without labels.",
        rich_help_panel=tasks.IMAGES,
    ),
]
_Seed = Annotated[
    int, typer.Option(help="Of the images that are drawn.", rich_help_panel=tasks.IMAGES)
]
_Score = Annotated[
    list[str] | None,
    typer.Option(
        help="Rank by this score, and show these others; `all` for every one.",
        rich_help_panel=_SCORES,
    ),
]
_ConsensusWeight = Annotated[
    float,
    typer.Option(
        help="How much the consensus counts beside the score.",
        rich_help_panel=_SCORES,
    ),
]
_Race = Annotated[
    bool,
    typer.Option(
        "--race",
        help="Stop running a candidate once it is clearly beaten.",
        rich_help_panel=options.RUN,
    ),
]
_NoCache = Annotated[
    bool, typer.Option("--no-cache", help="Keep no features.", rich_help_panel=options.RUN)
]
_Save = Annotated[
    Path | None,
    typer.Option(help="Write the answer to this .npz file.", rich_help_panel=options.OUTPUT),
]
_Pictures = Annotated[
    Path | None,
    typer.Option(help="Write recommendation.png to this folder.", rich_help_panel=options.OUTPUT),
]
_AsCsv = Annotated[
    bool,
    typer.Option(
        "--csv", help="Print a table of comma-separated values.", rich_help_panel=options.OUTPUT
    ),
]


def add_commands(app: typer.Typer) -> None:
    """Add the commands to a program."""
    app.command(
        "recommend",
        **examples(
            "pyattrx recommend my_images timm:resnet50 timm:convnext_tiny my_models.py:vit",
            "pyattrx recommend labels.csv 'timm:resnet*' --yes --limit 500 --save answer.npz",
            "pyattrx recommend my_images --zoo zoo --tag imagenet",
        ),
    )(_recommend_command)
    cache = typer.Typer(
        no_args_is_help=True, rich_markup_mode=None, help="What is kept of networks' features."
    )
    cache.command("info", **examples("pyattrx cache info", "pyattrx cache info --json"))(
        _cache_info
    )
    cache.command("clear", **examples("pyattrx cache clear", "pyattrx cache clear --cache here"))(
        _cache_clear
    )
    app.add_typer(cache, name="cache")


def _recommend_command(
    data: _Data,
    specifications: _Specifications = None,
    zoo: _Zoo = None,
    tag: _Tag = None,
    finalists: _Finalists = FINALISTS,
    target: _Target = None,
    label: tasks.LabelColumns = None,
    image: tasks.ImageColumn = None,
    kind: tasks.Kind = None,
    unlabelled: _Unlabelled = False,
    size: tasks.Size = 224,
    limit: tasks.Limit = None,
    seed: _Seed = 0,
    skip_bad: tasks.SkipBad = False,
    score: _Score = None,
    consensus_weight: _ConsensusWeight = 0.0,
    race: _Race = False,
    batch_size: options.BatchSize = 32,
    device: options.Device = None,
    threads: options.Threads = None,
    workers: options.WorkersGiven = None,
    cache: Folder = None,
    no_cache: _NoCache = False,
    save: _Save = None,
    pictures: _Pictures = None,
    trust: options.Trust = False,
    yes: options.Yes = False,
    listed: options.Listed = False,
    as_json: options.Json = False,
    as_csv: _AsCsv = False,
    quiet: options.Quiet = False,
) -> None:
    """Which of these networks to start from, for my images?

    With labels, candidates are ranked by a cross-validated linear probe on their features; without,
    by how well they predict what the other candidates see. Features are kept, so that a second run
    computes only what is new. A candidate that fails is named, the others go on, and the exit code
    is 1.
    """
    options.be_quiet(quiet)
    options.set_threads(threads)
    given: Any = specifications or []
    _check_together(given, zoo, as_json and as_csv, no_cache and cache is not None)
    check_save(save)
    make_pictures_folder("pictures", pictures)
    check_specifications([] if target is None else [target])
    check_there("zoo", zoo, "folder of a zoo")
    if zoo is None:
        given = options.networks(given, yes=yes, listed=listed, as_json=as_json)
        read_candidates(given, trust=trust)  # what is wrong with them comes out first
    else:
        given = Zoo.open(zoo, trust=trust)
    task = tasks.read_task(
        data,
        image=image,
        label=label,
        kind=kind,
        unlabelled=unlabelled,
        size=size,
        limit=limit,
        seed=seed,
        skip_bad=skip_bad,
    )
    with warnings.catch_warnings(), _said_if_interrupted(not no_cache and target is None):
        # Named in the answer, whoever reads it.
        warnings.simplefilter("ignore", SkippedWarning)
        result = recommend(
            given,
            task,
            target=target,
            scores="all" if score == ["all"] else score,
            consensus_weight=consensus_weight,
            batch_size=batch_size,
            device=device,
            cache=False if no_cache else True if cache is None else cache,
            stop="confident" if race else None,
            tags=tag or (),
            finalists=finalists,
            trust=trust,
            workers=options.workers(workers),
        )
    _show(result, task, _written(result, save, pictures), as_json, as_csv)
    if result.provenance.get("interrupted"):
        raise typer.Exit(INTERRUPTED)
    if result.failures:
        raise typer.Exit(FAILED)


@contextmanager
def _said_if_interrupted(kept: bool) -> Iterator[None]:
    """Whoever interrupts a run is told that what is done is `kept`, if it is."""
    try:
        yield
    except KeyboardInterrupt:
        if kept:
            complain("pyattrx: features that are ready are kept: the same command goes on")
        raise


def _check_together(
    given: list[str], zoo: Path | None, two_documents: bool, two_caches: bool
) -> None:
    if two_documents:
        raise InvalidValueError("csv", True, "--json or --csv, not both")
    if two_caches:
        raise InvalidValueError("no_cache", True, "--cache or --no-cache, not both")
    if zoo is not None and given:
        raise InvalidValueError("SPEC", given, "none: with --zoo the candidates are its networks")
    if zoo is None and not given:
        raise InvalidValueError("SPEC", given, "at least one network, or --zoo")


def _written(result: Recommendation, save: Path | None, pictures: Path | None) -> list[str]:
    files = [result.save(save)] if save is not None else []
    if pictures is not None:
        files.append(pictures / "recommendation.png")
        result.picture(files[-1])
    return [str(file) for file in files]


def _show(
    result: Recommendation, task: Task, files: list[str], as_json: bool, as_csv: bool
) -> None:
    if as_json:
        print_json({**result.to_dict(), "files": files})
        return
    if as_csv:
        put_document(result.as_csv().rstrip("\n"))
        return
    out = console()
    out.print(str(result), soft_wrap=True)
    for line in task.report.lines()[1:]:
        out.print(wrapped(line), soft_wrap=True)
    for file in files:
        out.print(f"wrote {file}")


def _cache_info(cache: Folder = None, as_json: options.Json = False) -> None:
    """Show where features are kept, how much room they take, and of which networks they are."""
    found = FeatureCache(cache).info()
    if as_json:
        print_json(found)
        return
    out = console()
    count = len(found["networks"])
    out.print(
        f"{found['folder']}: {count} network{'s' * (count != 1)}, {found['bytes'] / 2**20:.1f} MiB "
        f"of at most {found['limit_bytes'] / 2**20:.0f}"
    )
    for one in found["networks"]:
        out.print(f"  {one['bytes'] / 2**20:9.2f} MiB  {one['name']}")


def _cache_clear(cache: Folder = None, as_json: options.Json = False) -> None:
    """Remove all features that are kept; whatever else is in the folder stays."""
    kept = FeatureCache(cache)
    freed = kept.clear()
    if as_json:
        print_json({"folder": str(kept.folder), "freed_bytes": freed})
    else:
        console().print(f"removed {freed / 2**20:.1f} MiB from {kept.folder}")
