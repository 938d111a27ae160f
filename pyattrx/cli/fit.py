"""``pyattrx fit``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pyattrx._help import examples
from pyattrx.cli import options, tasks
from pyattrx.cli.output import console, print_json
from pyattrx.cli.places import check_save
from pyattrx.fitting import FittedEncoder, fit_target

__all__ = ["add_commands"]

_TRAINING = "Training"


_Data = Annotated[
    Path,
    typer.Argument(
        metavar="DATA",
        help="A folder whose subfolders are classes, or a table (CSV, TSV, Parquet) of image "
        "files and their labels.",
    ),
]
_Save = Annotated[
    Path, typer.Option(metavar="FILE", help="Write the network to this .safetensors file.")
]
_Name = Annotated[
    str | None, typer.Option(help="Name of the network; that of the data if left out.")
]
_Groups = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="Of a table: what images have in common, such as the patient: groups are never "
        "divided between learning and testing.",
        rich_help_panel=tasks.IMAGES,
    ),
]
_InputSize = Annotated[
    int, typer.Option(help="Size that the network sees.", rich_help_panel=_TRAINING)
]
_Holdout = Annotated[
    float,
    typer.Option(help="Share of images that are not learnt from.", rich_help_panel=_TRAINING),
]
_Steps = Annotated[int, typer.Option(help="Most steps of training.", rich_help_panel=_TRAINING)]
_BatchSize = Annotated[int, typer.Option(help="Images in a step.", rich_help_panel=_TRAINING)]
_LearningRate = Annotated[float, typer.Option(rich_help_panel=_TRAINING)]
_Seed = Annotated[
    int,
    typer.Option(
        help="Of weights, split and batches, and of the draw of --limit.",
        rich_help_panel=_TRAINING,
    ),
]


def add_commands(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(
        "fit",
        **examples(
            "pyattrx fit flowers --save flowers.safetensors",
            "pyattrx fit ages.csv --label age --groups patient --save ages.safetensors",
        ),
    )(fit_command)


def fit_command(
    data: _Data,
    save: _Save,
    name: _Name = None,
    size: tasks.Size = 224,
    limit: tasks.Limit = None,
    skip_bad: tasks.SkipBad = False,
    image: tasks.ImageColumn = None,
    label: tasks.LabelColumns = None,
    kind: tasks.Kind = None,
    groups: _Groups = None,
    input_size: _InputSize = 64,
    holdout: _Holdout = 0.2,
    steps: _Steps = 600,
    batch_size: _BatchSize = 32,
    learning_rate: _LearningRate = 2e-3,
    seed: _Seed = 0,
    device: options.Device = None,
    threads: options.Threads = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a small network for a task that has none yet, to look for its nearest sources.

    The file it writes is a SPEC for every other command.
    """
    options.be_quiet(quiet)
    options.set_threads(threads)
    check_save(save, ".safetensors")
    task = tasks.read_task(
        data,
        image=image,
        label=label,
        kind=kind,
        groups=groups,
        size=size,
        limit=limit,
        seed=seed,
        skip_bad=skip_bad,
        name=name,
    )
    fitted = fit_target(
        task,
        input_size=input_size,
        holdout=holdout,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        device=device,
    )
    _tell(fitted, fitted.save(save), as_json)


def _tell(fitted: FittedEncoder, file: Path, as_json: bool) -> None:
    report = fitted.report
    if as_json:
        print_json({"name": fitted.name, "report": report.to_dict(), "files": [str(file)]})
        return
    out = console()
    out.print(
        f"{fitted.name}: {report.task}, {report.n_train} images learnt from, {report.n_validation} "
        f"to stop by, {report.n_test} to test; step {report.best_step} of {report.steps} kept"
    )
    rightly = "" if report.accuracy is None else f"; {report.accuracy:.0%} right"
    out.print(
        f"loss {report.loss:.3f}, without looking at the image {report.trivial_loss:.3f} "
        f"(difference ±{report.stderr:.3f}){rightly}"
    )
    out.print(f"wrote {file}")
