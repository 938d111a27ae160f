"""The images that a command is given: a folder, or a table of them, and the options for that."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pyattrx.cli.places import check_there
from pyattrx.errors import InvalidValueError
from pyattrx.tasks import Task

__all__ = ["IMAGES", "read_task"]

IMAGES = "Images"  # the group of options

Size = Annotated[int, typer.Option(help="Height and width of the images.", rich_help_panel=IMAGES)]
Limit = Annotated[
    int | None,
    typer.Option(
        help="Use at most this many images, spread over the classes.", rich_help_panel=IMAGES
    ),
]
SkipBad = Annotated[
    bool,
    typer.Option(
        "--skip-bad", help="Leave out images that cannot be read.", rich_help_panel=IMAGES
    ),
]
ImageColumn = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN", help="Of a table: the paths.  [default: path]", rich_help_panel=IMAGES
    ),
]
LabelColumns = Annotated[
    list[str] | None,
    typer.Option(
        metavar="COLUMN",
        help="Of a table: the labels; several for several numbers.  [default: label]",
        rich_help_panel=IMAGES,
    ),
]
Kind = Annotated[
    str | None,
    typer.Option(
        help="Of a table: what its labels are, where they do not show it: classification, "
        "regression or multilabel.",
        rich_help_panel=IMAGES,
    ),
]


def read_task(
    data: Path,
    *,
    image: str | None = None,
    label: list[str] | None = None,
    kind: Any = None,
    groups: str | None = None,
    unlabelled: bool = False,
    size: int = 224,
    limit: int | None = None,
    seed: int = 0,
    skip_bad: bool = False,
    name: str | None = None,
) -> Task:
    """Read a task.

    Parameters
    ----------
    data : Path
        A folder or a table.
    image, groups : str, optional
    label : list of str, optional
        Columns of a table.
    kind : str, optional
        What the labels of a table are.
    unlabelled : bool
        Whether to leave out all labels.
    size, limit, seed, name
        As for `Task`.
    skip_bad : bool
        Whether to leave out images that cannot be read.

    Raises
    ------
    InvalidValueError
        There is nothing, or options of a table go with a folder.
    """
    on_error: Any = "skip" if skip_bad else "raise"
    check_there("DATA", data, "folder of images, or table of them")
    if data.is_dir():
        columns = {"image": image, "label": label, "kind": kind, "groups": groups}
        for option, value in columns.items():
            if value:
                raise InvalidValueError(option, value, "a table for DATA: a folder has no columns")
        labels: Any = None if unlabelled else "folders"
        return Task.from_folder(
            data, size, limit, labels=labels, seed=seed, on_error=on_error, name=name
        )
    if unlabelled and (label or kind):
        raise InvalidValueError("unlabelled", True, "--unlabelled, or --label and --kind, not both")
    named = label[0] if label and len(label) == 1 else label or "label"
    return Task.from_manifest(
        data,
        image or "path",
        None if unlabelled else named,
        kind=kind,
        groups=groups,
        size=size,
        limit=limit,
        seed=seed,
        on_error=on_error,
        name=name,
    )
