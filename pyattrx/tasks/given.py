"""A task of whatever a user has."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from torch import Tensor

from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.probes import Probes
from pyattrx.tasks.listed import Listed, as_paths
from pyattrx.tasks.tables import SUFFIXES, is_frame

if TYPE_CHECKING:
    from pyattrx.tasks.task import Task

__all__ = ["given_task"]

_EXPECTED = (
    "a folder or a table of images, images or their paths or a pair (images, labels), a Dataset or "
    "DataLoader, Probes or a Task"
)


def given_task(
    cls: type[Task], source: Any, size: Any, limit: int | None, seed: int, name: str | None
) -> Task:
    """Return a task of what there is; see `Task.of`."""
    named: dict[str, Any] = {} if name is None else {"name": name}
    if isinstance(source, cls):
        for argument, value in (("size", size), ("name", name)):
            if value is not None:
                raise InvalidValueError(argument, value, "None, as the task has its own")
        return _part(source, limit, seed)
    if isinstance(source, (str, os.PathLike)) or is_frame(source):
        sized: dict[str, Any] = {} if size is None else {"size": size}
        read = cls.from_manifest if is_frame(source) or _is_table(source) else cls.from_folder
        return read(source, limit=limit, seed=seed, **sized, **named)
    pair = isinstance(source, tuple) and len(source) == 2 and not isinstance(source[0], str)
    paths = as_paths(source[0] if pair else source)
    if paths is not None:
        labels = source[1] if pair else None
        kind: Any = "unlabelled" if labels is None else None
        return cls.from_dataset(
            Listed(paths, labels),
            names=paths,
            kind=kind,
            size=size,
            limit=limit,
            seed=seed,
            **named,
        )
    if _in_memory(source):
        pair = isinstance(source, tuple) and len(source) == 2 and _in_memory(source[0])
        images, labels = source if pair else (source, None)
        return _part(cls.from_arrays(images, labels, size=size, **named), limit, seed)
    if not isinstance(source, Iterable) and not hasattr(source, "__getitem__"):
        raise InvalidTypeError("source", source, _EXPECTED)
    return cls.from_dataset(source, size=size, limit=limit, seed=seed, **named)


def _part(task: Task, limit: int | None, seed: int) -> Task:
    return task if limit is None or limit >= len(task) else task.subsample(limit, seed=seed)


def _is_table(source: str | os.PathLike[str]) -> bool:
    path = Path(source)
    return path.suffix.lower() in SUFFIXES and not path.is_dir()


def _in_memory(source: Any) -> bool:
    """Whether this is images, a list of them, or a pair of either with labels."""
    if isinstance(source, (Probes, Tensor, np.ndarray)):
        return True
    if isinstance(source, tuple) and len(source) == 2:
        return _in_memory(source[0]) or isinstance(source[0], Image.Image)
    image = (Image.Image, np.ndarray, Tensor)
    return isinstance(source, (list, tuple)) and all(isinstance(one, image) for one in source)
