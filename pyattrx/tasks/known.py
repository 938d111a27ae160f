"""What data sets say of themselves: classes, labels and files, without reading an image."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from pyattrx.errors import InvalidTypeError, InvalidValueError

__all__ = ["Features", "known_classes", "known_labels", "known_names", "read_features"]

_LABELS = ("label", "labels", "target", "targets")


def known_classes(dataset: Any) -> list[str] | None:
    """Return the names that integers point to, also of a part of a data set."""
    for inner in _unwrapped(dataset):
        classes = getattr(inner, "classes", None)
        if isinstance(classes, (list, tuple)) and len(classes):
            if all(isinstance(name, str) for name in classes) and len(set(classes)) == len(classes):
                return list(classes)
            return None
    return None


def known_labels(dataset: Any, count: int) -> list[Any] | None:
    """Return the labels, where the data set has a list of them; used to draw a part only."""
    indices = getattr(dataset, "indices", None)
    inner = getattr(dataset, "dataset", None)
    if indices is not None and inner is not None and hasattr(inner, "__len__"):
        labels = known_labels(inner, len(inner))
        return None if labels is None else [labels[index] for index in indices]
    for attribute in ("targets", "labels"):
        labels = getattr(dataset, attribute, None)
        if isinstance(labels, (Tensor, np.ndarray)) and labels.ndim == 1:
            labels = labels.tolist()
        if isinstance(labels, (list, tuple)) and len(labels) == count:
            return list(labels) if all(isinstance(one, (int, str)) for one in labels) else None
    return None


def known_names(dataset: Any, count: int) -> list[str] | None:
    """Return the paths of images relative to the folder of the data set."""
    indices = getattr(dataset, "indices", None)
    inner = getattr(dataset, "dataset", None)
    if indices is not None and inner is not None and hasattr(inner, "__len__"):
        names = known_names(inner, len(inner))
        return None if names is None else [names[index] for index in indices]
    samples, root = getattr(dataset, "samples", None), getattr(dataset, "root", None)
    if not isinstance(samples, list) or len(samples) != count or root is None:
        return None
    paths = [sample[0] if isinstance(sample, tuple) and sample else None for sample in samples]
    known = [path for path in paths if isinstance(path, str)]
    if len(known) < count:
        return None
    return [os.path.relpath(path, root).replace(os.sep, "/") for path in known]


def _unwrapped(dataset: Any) -> list[Any]:
    found = [dataset]
    while getattr(found[-1], "dataset", None) is not None and len(found) < 20:
        found.append(found[-1].dataset)
    return found


@dataclass(frozen=True)
class Features:
    """Columns of a data set of the package `datasets`.

    Attributes
    ----------
    image : str
    label : str or None
    classes : list of str or None
        Names that integers in the column of labels point to.
    several : bool
        Whether a label is a list of such integers.
    """

    image: str
    label: str | None
    classes: list[str] | None
    several: bool

    def read(self, label: Any) -> Any:
        """Return a label with the names of its classes; None where there is none."""
        if label is None or self.classes is None:
            return label
        if self.several:
            return tuple(self.classes[int(number)] for number in label)
        number = int(label)
        return None if number == -1 else self.classes[number]  # as that package marks no label


def read_features(dataset: Any, image: Any, label: Any, kind: Any) -> Features | None:
    """Find the columns of a data set that has typed ones; None where it has not.

    Raises
    ------
    InvalidTypeError
        Several data sets in a dictionary.
    InvalidValueError
        Columns that cannot be found, or not for certain.
    """
    if isinstance(dataset, Mapping):
        parts = ", ".join(map(repr, dataset))
        raise InvalidTypeError("dataset", dataset, f"one data set; it has several: {parts}")
    features = getattr(dataset, "features", None)
    if not isinstance(features, Mapping) or not hasattr(dataset, "column_names"):
        return None
    images = [name for name, feature in features.items() if _type(feature) == "Image"]
    image_column = _choose("image", image, list(features), images, ("image",))
    if image_column is None:
        raise InvalidValueError(
            "image", None, f"the column of the images: {', '.join(map(repr, features))}"
        )
    if kind == "unlabelled":
        return Features(image_column, None, None, several=False)
    rest = [name for name in features if name != image_column]
    typed = [name for name in rest if _names(features[name])[0] is not None]
    label_column = _choose("label", label, rest, typed, _LABELS)
    if label_column is None and rest:
        raise InvalidValueError(
            "label",
            None,
            f"the column of the labels: {', '.join(map(repr, rest))}; kind='unlabelled' takes none",
        )
    classes, several = (None, False) if label_column is None else _names(features[label_column])
    return Features(image_column, label_column, classes, several)


def _choose(
    argument: str, asked: Any, columns: list[str], typed: list[str], usual: Sequence[str]
) -> str | None:
    if asked is not None:
        if asked not in columns:
            raise InvalidValueError(argument, asked, f"one of {', '.join(map(repr, columns))}")
        return str(asked)
    if len(typed) == 1:
        return typed[0]
    named = [name for name in typed or columns if name in usual]
    return named[0] if len(named) == 1 else None


def _type(feature: Any) -> str:
    return type(feature).__name__


def _names(feature: Any) -> tuple[list[str] | None, bool]:
    """Names of the classes of a column, and whether a cell holds several."""
    if _type(feature) == "ClassLabel":
        return list(feature.names), False
    inner: Any = getattr(feature, "feature", None)
    if isinstance(feature, list) and len(feature) == 1:
        inner = feature[0]
    return (list(inner.names), True) if _type(inner) == "ClassLabel" else (None, False)
