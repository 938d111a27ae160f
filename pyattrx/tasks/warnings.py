"""What a user should hear of before anything is computed."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from pyattrx._level import outside
from pyattrx.errors import TaskWarning
from pyattrx.tasks.report import count_of

if TYPE_CHECKING:
    from pyattrx.tasks.task import Task

__all__ = ["warn_of"]

_SHOWN = 5


def warn_of(task: Task) -> None:
    """Warn of classes with one image, of contradictions and of empty folders."""
    level = outside()
    single = _single(task)
    if single:
        warnings.warn(
            f"{task.name}: {_some(single)} with one image, or one group of images: where it is "
            "held out, nothing is left to learn such a class from",
            TaskWarning,
            stacklevel=level,
        )
    if task.contradictions:
        names = ", ".join(repr(task.probes.names[at]) for at in task.contradictions[:_SHOWN])
        more = ", ..." if len(task.contradictions) > _SHOWN else ""
        warnings.warn(
            f"{task.name}: {count_of(len(task.contradictions), 'image')} with an exact copy that "
            f"has another label ({names}{more}): no network can get both right",
            TaskWarning,
            stacklevel=level,
        )
    if task.report.empty:
        warnings.warn(
            f"{task.name}: {_some(list(task.report.empty))} without an image: left out",
            TaskWarning,
            stacklevel=level,
        )


def _single(task: Task) -> list[str]:
    if task.kind != "classification":
        return []
    assert task.classes is not None
    assert task.labels is not None
    pairs = np.stack([task.labels, task.groups])[:, task.labelled]
    groups = np.bincount(np.unique(pairs, axis=1)[0], minlength=len(task.classes))
    return [task.classes[k] for k in np.flatnonzero(groups == 1).tolist()]


def _some(names: list[str]) -> str:
    word = "class" if len(names) == 1 else "classes"
    shown = ", ".join(repr(name) for name in names[:_SHOWN])
    return f"{word} {shown}" + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
