"""From labels as they are given to labels that are understood."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyattrx._level import outside
from pyattrx.errors import InvalidTypeError, InvalidValueError, TaskWarning
from pyattrx.tasks.entries import Entries, read_entries
from pyattrx.tasks.labelling import Kind, Labelling, named_order
from pyattrx.tasks.telling import check_kind, tell_kind

__all__ = ["check_names_of_classes", "read_labels"]

# Often a mark of pixels that have no label.
_OFTEN_NONE = (-1, 255)


def read_labels(
    labels: Any,
    count: int,
    kind: Kind | None = None,
    classes: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    argument: str = "labels",
) -> Labelling:
    """Understand the labels of `count` images.

    Parameters
    ----------
    labels : array_like or None
        One for every image, None where it has none; None: no image has one.
    count : int
    kind : str, optional
        Told from type, shape and values if left out, or asked for.
    classes : sequence of str, optional
        Names that integers point to; of the columns of a multilabel task.
    targets : sequence of str, optional
        Names of the columns of a regression.
    argument : str
        What the caller calls the labels.
    """
    kind = check_kind(kind)
    names = None if classes is None else check_names_of_classes(classes)
    if labels is None or kind == "unlabelled":
        if kind not in (None, "unlabelled"):
            raise InvalidValueError(argument, labels, f"labels, for kind={kind!r}")
        if labels is not None:
            raise InvalidValueError("kind", kind, f"another kind, or None, as there are {argument}")
        return Labelling("unlabelled", np.zeros(count, bool))
    entries = read_entries(labels, count, argument)
    if not entries.labelled.any():
        if kind is not None:
            raise InvalidValueError(argument, "None for every image", f"labels, for kind={kind!r}")
        return Labelling("unlabelled", entries.labelled)
    if entries.names is not None:
        return _from_name_lists(entries, kind, names, argument)
    assert entries.array is not None
    array = entries.array
    _check_finite(array, entries, argument)
    kind = tell_kind(array, kind, argument, named=names is not None)
    if kind in ("classification", "dense_classification"):
        values, found = _classes(array, names, entries, argument, dense=kind != "classification")
        return Labelling(kind, entries.labelled, _spread(values, entries, -1), found)
    if kind == "multilabel":
        columns = names or tuple(str(k) for k in range(array.shape[1]))
        if len(columns) != array.shape[1]:
            raise InvalidValueError(
                "classes", columns, f"{array.shape[1]} names, one for every column"
            )
        return _multilabel(array.astype(bool), columns, entries, argument)
    numbers = _numbers(array, argument)
    titles = None
    if kind == "regression":
        numbers = numbers[:, None] if numbers.ndim == 1 else numbers
        titles = _titles(targets, numbers.shape[1])
    values = _spread(numbers, entries, np.float32(np.nan))
    return Labelling(kind, entries.labelled, values, None, titles)


def check_names_of_classes(classes: Any) -> tuple[str, ...]:
    """Return names of classes, all different."""
    if isinstance(classes, str) or not isinstance(classes, Iterable):
        raise InvalidTypeError("classes", classes, "a list of strings")
    names = tuple(classes)
    for index, name in enumerate(names):
        if not isinstance(name, str):
            raise InvalidTypeError(f"classes[{index}]", name, "a string")
        if name in names[:index]:
            raise InvalidValueError(f"classes[{index}]", name, "another name than those before")
    return names


def _spread(values: NDArray[Any], entries: Entries, fill: Any) -> NDArray[Any]:
    """Give every image a row."""
    out = np.full((len(entries.labelled), *values.shape[1:]), fill, values.dtype)
    out[entries.labelled] = values
    return out


def _check_finite(array: NDArray[Any], entries: Entries, argument: str) -> None:
    if array.dtype.kind != "f":
        return
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        where = ", ".join(map(str, [entries.place(int(bad[0][0])), *bad[0][1:].tolist()]))
        value = float(array[tuple(bad[0])])
        hint = "; None marks an image without a label" if array.ndim == 1 else ""
        raise InvalidValueError(f"{argument}[{where}]", value, "a finite number" + hint)


def _classes(
    array: NDArray[Any],
    names: tuple[str, ...] | None,
    entries: Entries,
    argument: str,
    *,
    dense: bool,
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    found, inverse = np.unique(array, return_inverse=True)
    inverse = inverse.reshape(array.shape)
    if array.dtype.kind == "f":
        found = found.astype(np.int64)
    present: list[Any] = found.tolist()
    if array.dtype.kind in "Ub":
        titles = [str(value) for value in present]
        if names is not None:
            unknown = next((title for title in titles if title not in names), None)
            if unknown is not None:
                raise InvalidValueError(argument, unknown, f"one of the classes {', '.join(names)}")
    elif names is None:
        titles = [str(value) for value in present]
        if dense:
            _warn_of_marks(present)
    else:
        outside = next((value for value in present if not 0 <= value < len(names)), None)
        if outside is not None:
            at = entries.place(int(np.argwhere(array == outside)[0][0]))
            raise InvalidValueError(
                f"{argument}[{at}]", outside, f"an index of classes, from 0 to {len(names) - 1}"
            )
        titles = [names[value] for value in present]
    if len(titles) < 2:
        raise InvalidValueError(
            argument, f"one class, {titles[0]!r}", "two or more classes, or no labels at all"
        )
    ordered = named_order(titles)
    number = {title: index for index, title in enumerate(ordered)}
    renumbered = np.array([number[title] for title in titles], np.int64)
    return renumbered[inverse], tuple(ordered)


def _warn_of_marks(present: list[int]) -> None:
    for mark in _OFTEN_NONE:
        stands_out = mark == -1 or mark - 1 not in present
        if mark in present and len(present) > 2 and stands_out:
            warnings.warn(
                f"labels: the value {mark} counts as a class; often it marks pixels without a "
                "label, which a task does not know",
                TaskWarning,
                stacklevel=outside(),
            )


def _from_name_lists(
    entries: Entries, kind: Kind | None, names: tuple[str, ...] | None, argument: str
) -> Labelling:
    assert entries.names is not None
    if kind not in (None, "multilabel"):
        raise InvalidValueError("kind", kind, "'multilabel', as every label is a list of names")
    columns = tuple(named_order(sorted({name for label in entries.names for name in label})))
    if names is not None:
        unknown = next((name for name in columns if name not in names), None)
        if unknown is not None:
            raise InvalidValueError(argument, unknown, f"one of the classes {', '.join(names)}")
        columns = names
    if not columns:
        raise InvalidValueError(argument, "lists without a name", "names of classes")
    number = {name: index for index, name in enumerate(columns)}
    values = np.zeros((len(entries.names), len(columns)), bool)
    for row, label in zip(values, entries.names, strict=True):
        row[[number[name] for name in label]] = True
    return _multilabel(values, columns, entries, argument)


def _multilabel(
    values: NDArray[np.bool_], columns: tuple[str, ...], entries: Entries, argument: str
) -> Labelling:
    ordered = named_order(list(columns))
    values = values[:, [columns.index(name) for name in ordered]]
    if not (values != values[0]).any():
        raise InvalidValueError(argument, "the same for every image", "labels that differ")
    return Labelling(
        "multilabel", entries.labelled, _spread(values, entries, False), tuple(ordered)
    )


def _numbers(array: NDArray[Any], argument: str) -> NDArray[np.float32]:
    if not (array != array[0]).any():
        raise InvalidValueError(argument, "the same for every image", "labels that differ")
    with np.errstate(over="ignore"):
        numbers = array.astype(np.float32)
    if not np.isfinite(numbers).all():
        raise InvalidValueError(argument, float(np.abs(array).max()), "numbers that fit float32")
    if not (numbers != numbers[0]).any():
        raise InvalidValueError(
            argument, "the same for every image", "labels that differ in float32"
        )
    return numbers


def _titles(targets: Sequence[str] | None, count: int) -> tuple[str, ...]:
    if targets is None:
        return ("target",) if count == 1 else tuple(f"target{k}" for k in range(count))
    if len(targets) != count:
        raise InvalidValueError(
            "targets", targets, f"{count} names, one for every number of a label"
        )
    return tuple(targets)
