"""A folder whose subfolders are classes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyattrx.errors import InvalidTypeError, TaskError
from pyattrx.photos import SUFFIXES
from pyattrx.tasks.report import count_of

__all__ = ["ClassFolders", "list_classes"]

# Parts of a data set, not classes of it.
_PARTS = frozenset(("train", "training", "val", "valid", "validation", "dev", "test", "testing"))
_SHOWN = 5


@dataclass(frozen=True)
class ClassFolders:
    """Image files of a folder, in the order of their classes.

    Attributes
    ----------
    folder : Path
    names : list of str
        Paths relative to the folder, with forward slashes.
    labels : list of str or None
        Subfolder of each, or None for those that lie beside the subfolders.
    empty : list of str
        Subfolders without an image.
    others : Counter
        Files that are no images, by suffix.
    """

    folder: Path
    names: list[str] = field(default_factory=list)
    labels: list[str | None] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)


def list_classes(path: Any, *, labelled: bool) -> ClassFolders:
    """Find the images of a folder and their classes.

    Links are followed, but not to a folder that they lie in; hidden files and folders are left out.
    Unless `labelled`, subfolders say nothing.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise InvalidTypeError("path", path, "the path of a folder of images")
    folder = Path(path)
    if not folder.exists():
        raise TaskError(f"{folder}: no such folder; expected a folder of images")
    if not folder.is_dir():
        raise TaskError(
            f"{folder}: this is a file; expected a folder of images. Task.from_manifest reads a "
            "table of images"
        )
    found = ClassFolders(folder)
    inner, files = _entries(folder)
    for name in inner:
        before = len(found.names)
        files_below = _walk(folder / name, name, (_identity(folder),), found.others)
        for file in sorted(files_below, key=lambda path: tuple(path.rpartition("/"))):
            found.names.append(file)
            found.labels.append(name if labelled else None)
        if len(found.names) == before and labelled:
            found.empty.append(name)
    for name in _images(files, found.others):
        found.names.append(name)
        found.labels.append(None)
    _require(found, inner)
    return found


def _walk(
    folder: Path, name: str, above: tuple[tuple[int, int], ...], others: Counter[str]
) -> Iterator[str]:
    """Yield the images of a folder, and then those of the folders in it."""
    own = _identity(folder)
    if own in above:  # a link to where it lies
        return
    inner, files = _entries(folder)
    for file in _images(files, others):
        yield f"{name}/{file}"
    for below in inner:
        yield from _walk(folder / below, f"{name}/{below}", (*above, own), others)


def _entries(folder: Path) -> tuple[list[str], list[str]]:
    """Names of the folders and of the files in a folder, sorted, without hidden ones."""
    inner: list[str] = []
    files: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.startswith("."):
                    (inner if entry.is_dir() else files).append(entry.name)
    except OSError as error:
        raise TaskError(f"{folder}: cannot read this folder: {error.strerror}") from error
    return sorted(inner), sorted(files)


def _images(files: list[str], others: Counter[str]) -> list[str]:
    found = []
    for name in files:
        suffix = os.path.splitext(name)[1].lower()
        if suffix in SUFFIXES:
            found.append(name)
        else:
            others[suffix] += 1
    return found


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _require(found: ClassFolders, inner: list[str]) -> None:
    """Refuse folders that are not what they are taken for."""
    folder = found.folder
    if not found.names:
        other = (
            f"{count_of(found.others.total(), 'other file')}" if found.others else "nothing else"
        )
        raise TaskError(
            f"{folder}: no image files, in {count_of(len(inner), 'subfolder')}; found {other}; "
            f"expected files that end in {', '.join(sorted(SUFFIXES))}"
        )
    classes = sorted({label for label in found.labels if label is not None})
    if classes and all(name.lower() in _PARTS for name in classes):
        raise TaskError(
            f"{folder}: its subfolders {', '.join(classes)} look like parts of a data set, not "
            f"like classes; expected a folder of classes, such as {folder / classes[-1]}. "
            "labels=None (--unlabelled) reads all images without labels"
        )
    if len(classes) == 1:
        within = _entries(folder / classes[0])[0]
        hint = ""
        if len(within) > 1:
            shown = ", ".join(within[:_SHOWN]) + (", ..." if len(within) > _SHOWN else "")
            hint = f" {folder / classes[0]} has subfolders ({shown}), which may be them."
        raise TaskError(
            f"{folder}: one class, {classes[0]!r}; expected subfolders of two or more classes."
            f"{hint} labels=None (--unlabelled) reads all images without labels"
        )
