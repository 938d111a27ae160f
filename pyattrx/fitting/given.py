"""What is learnt from a task."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyattrx.errors import InvalidValueError
from pyattrx.fitting.labels import Kind
from pyattrx.probes import Probes
from pyattrx.tasks import Task

__all__ = ["labelled_part"]


def labelled_part(task: Task, targets: Any, kind: Any) -> tuple[Probes, NDArray[Any], Kind]:
    """Return the images of a task that have a label, their labels, and its kind.

    Raises
    ------
    InvalidValueError
        Targets or a kind beside those of the task, no labels, or labels that cannot be learnt.

    Examples
    --------
    >>> import torch
    >>> task = Task.from_arrays(torch.rand(5, 3, 8, 8), ["a", None, "b", "b", "a"])
    >>> probes, labels, kind = labelled_part(task, None, None)
    >>> probes.names, labels.tolist(), kind
    (('image0', 'image2', 'image3', 'image4'), [0, 1, 1, 0], 'classification')
    """
    if targets is not None:
        raise InvalidValueError(
            "targets", targets, "None, as the images are a task, which has labels"
        )
    if task.labels is None or task.kind == "unlabelled":
        raise InvalidValueError("images", task, "a task with labels")
    if task.kind == "multilabel":
        raise InvalidValueError(
            "images",
            task,
            "another kind of task; Task.from_arrays(task.probes, task.labels.astype(float), "
            "kind='regression') makes numbers of the classes",
        )
    if kind not in (None, task.kind):
        raise InvalidValueError("task", kind, f"None, or {task.kind!r} as the labels are")
    chosen = np.flatnonzero(task.labelled)
    return task.probes.take(chosen), task.labels[chosen], task.kind
