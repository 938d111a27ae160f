"""Scores of a candidate's features against a task's labels."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyattrx import scores
from pyattrx.errors import InvalidTypeError, InvalidValueError, PyattrxError
from pyattrx.features import Features
from pyattrx.scores import SCORES, Score
from pyattrx.tasks import Task

__all__ = ["LABEL_SCORES", "check_scores", "main_score", "score_candidate"]

# The first one ranks; the others stand beside it.
LABEL_SCORES: dict[str, tuple[str, ...]] = {
    "classification": ("linear_probe", "knn", "label_ridge", "logme", "nearest_mean"),
    "multilabel": ("linear_probe", "knn", "label_ridge", "logme"),
    "regression": ("linear_probe", "knn", "label_ridge", "logme"),
    "dense_classification": ("label_ridge",),
    "dense_regression": ("label_ridge",),
    "unlabelled": (),
}
# They read features by location where there are any.
_OF_MAPS = ("label_ridge",)


def main_score(kind: str) -> str | None:
    """Name of the score that ranks candidates for such labels; None without labels."""
    names = LABEL_SCORES[kind]
    return names[0] if names else None


def check_scores(given: Any, kind: str) -> tuple[str, ...]:
    """Return the scores to compute, the one that ranks first.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        No such score, or none for such labels.
    """
    if given is None:
        return LABEL_SCORES[kind]
    possible = [n for n, s in SCORES.items() if kind in s.kinds and s.needs == "features"]
    if given == "all":
        first = LABEL_SCORES[kind]
        return (*first, *(name for name in possible if name not in first))
    names = (given,) if isinstance(given, str) else given
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise InvalidTypeError("scores", given, "a name, a list of names, 'all' or None")
    for name in names:
        if name not in possible:
            raise InvalidValueError(
                "scores", name, f"for {kind} labels one of {possible}, or 'all'"
            )
    if not names or len(set(names)) < len(names):
        raise InvalidValueError("scores", list(names), "at least one name, and none twice")
    return tuple(names)


@dataclass(frozen=True, eq=False)
class Labelled:
    """The labelled images of a task."""

    which: np.ndarray  # [n], int64
    labels: np.ndarray  # [n, ...]
    groups: np.ndarray  # [n]

    @classmethod
    def of(cls, task: Task) -> Labelled:
        assert task.labels is not None
        which = np.flatnonzero(task.labelled)
        labels = np.asarray(task.labels[which])
        if task.kind == "regression" and labels.shape[1] == 1:
            labels = labels[:, 0]
        groups = np.unique(task.groups[which], return_inverse=True)[1]
        return cls(which, labels, groups)


def score_candidate(
    features: Features, labelled: Labelled, kind: str, names: Sequence[str]
) -> tuple[dict[str, Score], dict[str, str]]:
    """Compute scores of one candidate.

    Returns
    -------
    found : dict of str to Score
    failed : dict of str to str
        Scores that there are none of, and why.
    """
    found: dict[str, Score] = {}
    failed: dict[str, str] = {}
    dense = kind.startswith("dense")
    together = features.pooled if dense else features.together()
    maps = features.maps if dense or not features.constant else None
    for name in names:
        if name in _OF_MAPS and maps is not None:
            values = maps
        elif dense:
            failed[name] = "the network has no features by location"
            continue
        else:
            values = together
        try:
            with _quiet():
                found[name] = scores.score(
                    name, values[labelled.which], labelled.labels, groups=labelled.groups
                )
        except PyattrxError as error:
            failed[name] = str(error)
    return found, failed


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        yield
