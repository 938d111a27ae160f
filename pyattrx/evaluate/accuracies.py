"""How good models were on data sets, as somebody published it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.evaluate.tables import Table

__all__ = ["Accuracies", "means"]

_DIGITS = 12


@dataclass(frozen=True, eq=False)
class Accuracies:
    """Accuracies of models on data sets, of several seeds where there are; larger is better.

    Parameters
    ----------
    values : array_like, [T, S, R] or [T, S], float64
        Of R seeds of S models on T data sets, in any order. NaN where there is none.
    datasets, models : sequence of str
        T and S names, each only once; two models at least.
    kind : str
        Which truth it is, such as fine-tuned or head only, where a file has several.
    notes : sequence of str
        What was guessed or left out on reading, a sentence each.

    Raises
    ------
    InvalidTypeError
        Values that are no real numbers, names that are no strings.
    InvalidValueError
        Shapes that do not fit, an infinite value, a name that is there twice, fewer than two
        models, a data set or model without any value.

    Examples
    --------
    >>> found = Accuracies([[[0.5, 0.75], [0.25, float("nan")]]], ["pets"], ["resnet18", "vgg11"])
    >>> found
    Accuracies(1 data set, 2 models, up to 2 seeds)
    >>> found.table().values
    array([[0.625, 0.25 ]])
    """

    values: NDArray[np.float64]
    datasets: tuple[str, ...]
    models: tuple[str, ...]
    kind: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        array = np.asarray(self.values)
        if array.dtype.kind not in "biuf":
            raise InvalidTypeError("values", self.values, f"real numbers, not {array.dtype}")
        array = array.astype(np.float64)
        array = array[:, :, None] if array.ndim == 2 else array
        if array.ndim != 3 or not array.size:
            raise InvalidValueError("values", array.shape, "[data sets, models, seeds], not empty")
        if np.isinf(array).any():
            raise InvalidValueError(
                "values", float(array[np.isinf(array)][0]), "finite numbers, or NaN"
            )
        for argument, names, count in (
            ("datasets", self.datasets, array.shape[0]), ("models", self.models, array.shape[1]),
        ):  # fmt: skip
            object.__setattr__(self, argument, _checked(argument, names, count))
        if len(self.models) < 2:
            raise InvalidValueError("models", self.models, "two or more, to be ranked")
        for argument, names, axes in (
            ("datasets", self.datasets, (1, 2)), ("models", self.models, (0, 2)),
        ):  # fmt: skip
            empty = np.flatnonzero(np.isnan(array).all(axes))
            if len(empty):
                raise InvalidValueError(
                    argument, names[empty[0]], "names with an accuracy at least"
                )
        object.__setattr__(self, "values", array)
        object.__setattr__(self, "notes", tuple(self.notes))

    @property
    def seeds(self) -> NDArray[np.int64]:
        """Number of values of every model on every data set, [T, S]."""
        return np.asarray((~np.isnan(self.values)).sum(2))

    def table(self) -> Table:
        """Return means over seeds: targets are data sets, sources are models."""
        found = means(self.values, ~np.isnan(self.values))
        return Table(found, self.datasets, self.models)

    def __repr__(self) -> str:
        most, datasets = self.values.shape[2], len(self.datasets)
        return (
            f"Accuracies({datasets} data set{'s' * (datasets != 1)}, {len(self.models)} models"
            + (f", up to {most} seeds)" if most > 1 else ")")
        )


def means(values: NDArray[np.float64], counted: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return means over the last axis of what is counted, NaN where nothing is.

    They are rounded to twelve digits: models of one mean accuracy must not differ in the last bit,
    by the order or the number of their seeds.

    Examples
    --------
    >>> from pyattrx.evaluate.accuracies import means
    >>> values = np.array([[0.1, 0.1, 0.1], [0.1, 0.1, np.nan]])
    >>> one, two = means(values, ~np.isnan(values))
    >>> bool(one == two)
    True
    """
    counts = counted.sum(-1)
    with np.errstate(invalid="ignore"):
        found: NDArray[np.float64] = np.where(counted, values, 0).sum(-1) / counts
    if counts.max() > 1:
        exponent = int(np.frexp(np.nanmax(np.abs(found)))[1])
        found = np.ldexp(np.round(np.ldexp(found, -exponent), _DIGITS), exponent)
    return found


def _checked(argument: str, names: Sequence[str], count: int) -> tuple[str, ...]:
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise InvalidTypeError(argument, names, "a sequence of strings")
    checked = tuple(names)
    if len(checked) != count:
        raise InvalidValueError(argument, checked, f"{count} names")
    if len(set(checked)) < count:
        repeated = next(name for name in checked if checked.count(name) > 1)
        raise InvalidValueError(argument, repeated, "every name only once")
    return checked
