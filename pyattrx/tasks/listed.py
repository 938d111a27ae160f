"""Image files that a user lists, each opened when its turn comes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from pyattrx.errors import InvalidValueError
from pyattrx.photos import open_photo

__all__ = ["Listed", "as_paths"]


class Listed:
    """A data set of files and their labels.

    Parameters
    ----------
    paths : list of str
    labels : sequence or None
        One for every file.

    Raises
    ------
    InvalidValueError
        There are more labels than files, or fewer.
    """

    def __init__(self, paths: list[str], labels: Any) -> None:
        listed = labels.tolist() if hasattr(labels, "tolist") else labels
        self.targets: Sequence[Any] = [None] * len(paths) if listed is None else list(listed)
        if len(self.targets) != len(paths):
            expected = f"{len(paths)} labels, one for every image"
            raise InvalidValueError("labels", f"{len(self.targets)} labels", expected)
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Image.Image, Any]:
        return open_photo(Path(self.paths[index])), self.targets[index]


def as_paths(images: Any) -> list[str] | None:
    """Return what is a list of paths (also an array or column of them) as strings, or else None."""
    if getattr(getattr(images, "dtype", None), "kind", None) in ("O", "U"):
        images = images.tolist()
    if not isinstance(images, (list, tuple)) or not images:
        return None
    if not all(isinstance(one, (str, os.PathLike)) for one in images):
        return None
    return [os.fspath(one) for one in images]
