"""From what lies in files to images with labels."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pyattrx.errors import InvalidTypeError, InvalidValueError, TaskError
from pyattrx.photos import Cuts, group_of_path
from pyattrx.probes import Probes
from pyattrx.tasks.columns import label_columns
from pyattrx.tasks.folders import ClassFolders, list_classes
from pyattrx.tasks.gathering import Gathered, Offer, Sizes, gather
from pyattrx.tasks.labelling import Labelling
from pyattrx.tasks.labels import read_labels
from pyattrx.tasks.paths import check_on_error, file_reader
from pyattrx.tasks.report import TaskReport, count_of
from pyattrx.tasks.tables import read_table

__all__ = ["from_class_folders", "from_table", "kept"]


def from_class_folders(
    path: Any,
    cuts: Cuts,
    limit: int | None,
    *,
    labels: Any,
    on_error: Any,
    groups: Any,
    workers: int | None,
    scratch: Any,
) -> tuple[Probes, Labelling, TaskReport]:
    """Read a folder of class folders; see `Task.from_folder`."""
    skip = check_on_error(on_error)
    if labels not in ("folders", None):
        raise InvalidValueError(
            "labels", labels, "'folders' or None; Task.from_arrays takes labels"
        )
    if groups is not None and not callable(groups):
        raise InvalidTypeError("groups", groups, "a function of a path, or None")
    found = list_classes(path, labelled=labels is not None)
    names = found.names
    known = any(label is not None for label in found.labels)
    labelling = read_labels(found.labels if known else None, len(names))
    keys = names if groups is None else [group_of_path(groups, name) for name in names]
    sizes = Sizes()
    read = file_reader(names, found.folder, cuts, sizes, skip=skip)
    source = {"kind": "folder", "path": str(found.folder), "image_files": len(names)}
    offer = Offer(names, keys, labelling.strata(), read)
    gathered = gather(offer, cuts, {**source, **cuts.to_dict()}, limit, scratch, workers)
    report = TaskReport(
        source="folder",
        place=str(found.folder),
        available=len(names),
        smallest=sizes.smallest,
        largest=sizes.largest,
        skipped=gathered.probes.skipped,
        ignored={suffix: found.others[suffix] for suffix in sorted(found.others)},
        empty=tuple(found.empty),
        notes=_notes(found),
    )
    return gathered.probes, kept(labelling, gathered), report


def from_table(
    path: Any,
    cuts: Cuts,
    limit: int | None,
    *,
    image: Any,
    label: Any,
    kind: Any,
    classes: Any,
    groups: Any,
    root: Any,
    on_error: Any,
    workers: int | None,
    scratch: Any,
) -> tuple[Probes, Labelling, TaskReport]:
    """Read a table of images; see `Task.from_manifest`."""
    skip = check_on_error(on_error)
    if root is not None and not isinstance(root, (str, os.PathLike)):
        raise InvalidTypeError("root", root, "the path of a folder")
    table = read_table(path)
    here = Path() if table.path is None else table.path.parent
    folder = here if root is None else Path(root)
    place = None if table.path is None else str(table.path)
    names = [
        os.fspath(name) if isinstance(name, os.PathLike) else name
        for name in table.column("image", image)
    ]
    for row, name in enumerate(names):
        if not isinstance(name, str):
            raise InvalidValueError(
                f"column {image!r}, {table.where(row)}", name, "the path of an image"
            )
    keys: list[Any] = list(range(len(names)))
    if groups is not None:
        keys = table.column("groups", groups)
        if None in keys:
            missing = table.where(keys.index(None))
            raise InvalidValueError(f"column {groups!r}, {missing}", None, "the group of the image")
    labelling = label_columns(table, label, kind, classes)
    sizes = Sizes()
    read = file_reader(names, folder, cuts, sizes, skip=skip)
    source = {"kind": "manifest", "path": place, "image_files": len(names)}
    offer = Offer(names, keys, labelling.strata(), read)
    gathered = gather(offer, cuts, {**source, **cuts.to_dict()}, limit, scratch, workers)
    report = TaskReport(
        source="manifest",
        place=place,
        available=len(names),
        smallest=sizes.smallest,
        largest=sizes.largest,
        skipped=gathered.probes.skipped,
    )
    return gathered.probes, kept(labelling, gathered), report


def kept(labelling: Labelling, gathered: Gathered) -> Labelling:
    """Return the labels of the images that were read."""
    left = labelling.take(gathered.chosen)
    if labelling.kind == "classification" and len(left.classes or ()) < 2:
        names = ", ".join(left.classes or ()) or "none"
        count = count_of(len(gathered.chosen), "image")
        raise TaskError(
            f"{count} read, of one class ({names}): expected two or more classes; a larger limit= "
            "takes images of others, and on_error='raise' names one that cannot be read"
        )
    return left


def _notes(found: ClassFolders) -> tuple[str, ...]:
    beside = sum(label is None for label in found.labels)
    if beside in (0, len(found.labels)):
        return ()
    return (f"{count_of(beside, 'image')} beside the class folders, without a label",)
