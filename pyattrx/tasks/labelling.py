"""Labels of a task once they are understood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

__all__ = ["KINDS", "Kind", "Labelling", "named_order"]

Kind = Literal[
    "classification",
    "multilabel",
    "regression",
    "dense_classification",
    "dense_regression",
    "unlabelled",
]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Labelling:
    """What is known of N images.

    Attributes
    ----------
    kind : str
    labelled : ndarray [N], bool
    values : ndarray or None
        One row for every image; rows of images without a label are fill and mean nothing.
    classes : tuple of str or None
        Every class of a classification has an image.
    targets : tuple of str or None
        Names of the numbers of a regression.
    """

    kind: Kind
    labelled: NDArray[np.bool_]
    values: NDArray[Any] | None = None
    classes: tuple[str, ...] | None = None
    targets: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        self.labelled.setflags(write=False)
        if self.values is not None:
            self.values.setflags(write=False)

    def take(self, chosen: NDArray[np.int64]) -> Labelling:
        """Return what is known of some of the images; classes without an image are dropped."""
        labelled = self.labelled[chosen]
        if self.values is None or not labelled.any():
            return Labelling("unlabelled", np.zeros(len(chosen), bool))
        values, classes = self.values[chosen], self.classes
        if self.kind == "classification":
            assert classes is not None
            present, renumbered = np.unique(values[labelled], return_inverse=True)
            values[labelled] = renumbered
            classes = tuple(classes[number] for number in present.tolist())
        return Labelling(self.kind, labelled, values, classes, self.targets)

    def counts(self) -> dict[str, int]:
        """Count the images of every class; maps have none, as one image shows several."""
        if self.classes is None or self.values is None or self.kind.startswith("dense"):
            return {}
        known = self.values[self.labelled]
        if self.kind == "multilabel":
            numbers = known.sum(0)
        else:
            numbers = np.bincount(known, minlength=len(self.classes))
        return dict(zip(self.classes, map(int, numbers), strict=True))

    def strata(self) -> list[tuple[str, ...]]:
        """Return what every image is counted under when a part is drawn; nothing: unlabelled."""
        if self.kind == "classification":
            assert self.values is not None
            assert self.classes is not None
            named = [(name,) for name in self.classes]
            pairs = zip(self.values.tolist(), self.labelled.tolist(), strict=True)
            return [named[value] if known else () for value, known in pairs]
        if self.kind == "multilabel":
            assert self.values is not None
            assert self.classes is not None
            return [
                tuple(self.classes[k] for k in np.flatnonzero(row).tolist()) or ("",)
                if known
                else ()
                for row, known in zip(self.values, self.labelled.tolist(), strict=True)
            ]
        return [("",) if known else () for known in self.labelled.tolist()]

    def row(self, index: int) -> bytes:
        """Return a label as bytes; equal labels give equal bytes."""
        assert self.values is not None
        value = self.values[index]
        if self.values.dtype.kind == "f":
            value = value + np.float32(0)  # -0 becomes 0
        return np.ascontiguousarray(value).tobytes()


def named_order(names: list[str]) -> list[str]:
    """Sort names of classes: as numbers where all of them are whole numbers."""
    numbers = all(name.removeprefix("-").isdecimal() and str(int(name)) == name for name in names)
    return sorted(names, key=int) if numbers else sorted(names)
