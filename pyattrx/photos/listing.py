"""The image files of a folder, in an order that only their names and a seed decide."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from pyattrx.errors import InvalidTypeError, ProbeError
from pyattrx.photos.seeded import seeded_hash

__all__ = ["SUFFIXES", "GroupOf", "Listing", "group_of_path", "in_order", "list_images"]

SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif")
)

# From a file's path, relative to the folder, to its group.
GroupOf = Callable[[PurePosixPath], "str | int | PurePath"]

_SUFFIXES_SHOWN = 5


@dataclass(frozen=True)
class Listing:
    """Image files of a folder, as sorted relative paths with forward slashes, and what else."""

    folder: Path
    names: list[str]
    others: Counter[str]  # files without an image suffix, by suffix
    folders_left_out: int  # where only the folder itself was to be read

    def require_images(self) -> None:
        """Raise an error that says what was found if no image file was."""
        if self.names:
            return
        found = "nothing"
        if self.others:
            ranked = sorted((-count, suffix) for suffix, count in self.others.items())
            shown = [f"{-n} {suffix or 'without suffix'}" for n, suffix in ranked[:_SUFFIXES_SHOWN]]
            kinds = ", ".join(shown)
            more = ", ..." if len(ranked) > len(shown) else ""
            found = f"{self.others.total()} other files ({kinds}{more})"
        if self.folders_left_out:
            found += f" and {self.folders_left_out} folders, which recursive=False leaves out"
        raise ProbeError(
            f"{self.folder}: no image files: found {found}; "
            f"expected files that end in {', '.join(sorted(SUFFIXES))}"
        )


def list_images(path: Any, recursive: bool) -> Listing:
    """Find the image files of a folder.

    Hidden files and folders are left out, and links to folders are not followed.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise InvalidTypeError("path", path, "the path of a folder of images")
    folder = Path(path)
    if not folder.exists():
        raise ProbeError(f"{folder}: no such folder; expected a folder of images")
    if not folder.is_dir():
        raise ProbeError(f"{folder}: this is a file; expected a folder of images")

    names: list[str] = []
    others: Counter[str] = Counter()
    left_out = 0
    for here, inner, files in os.walk(folder, onerror=_unreadable):
        inner[:] = [name for name in inner if not name.startswith(".")]
        for name in files:
            suffix = os.path.splitext(name)[1].lower()
            if name.startswith("."):
                continue
            if suffix in SUFFIXES:
                names.append(Path(here, name).relative_to(folder).as_posix())
            else:
                others[suffix] += 1
        if not recursive:
            left_out = len(inner)
            break
    return Listing(folder, sorted(names), others, left_out)


def in_order(names: list[str], seed: int, group_of: GroupOf | None) -> list[tuple[str, str]]:
    """Return (name, group) in seeded order, the files of a group side by side.

    Files are ranked by a hash of the seed and their names, and groups by one of the seed and their
    keys: nothing but these decides, and a group's size does not. Without `group_of`, every file is
    a group.
    """
    ranked = []
    for name in names:
        rank = seeded_hash(seed, "file", name)
        if group_of is None:
            ranked.append((rank, "", rank, name, name))
        else:
            group = group_of_path(group_of, name)
            ranked.append((seeded_hash(seed, "group", group), group, rank, name, group))
    return [(name, group) for *_, name, group in sorted(ranked)]


def group_of_path(group_of: GroupOf, name: str) -> str:
    """Return what the caller's function says of a relative path, as a string."""
    group = group_of(PurePosixPath(name))
    if isinstance(group, bool) or not isinstance(group, (str, int, PurePath)):
        raise InvalidTypeError(f"groups({name!r})", group, "a string, an integer or a path")
    return str(group)


def _unreadable(error: OSError) -> None:
    raise ProbeError(f"{error.filename}: cannot read this folder: {error.strerror}") from error
