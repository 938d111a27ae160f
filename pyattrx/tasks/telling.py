"""What kind of task labels make; where that is not certain, the caller is asked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyattrx.errors import InvalidValueError
from pyattrx.tasks.labelling import KINDS, Kind

__all__ = ["check_kind", "tell_kind"]

# So many different values may be classes without anything else that speaks for it.
_FEW = 20

_SHAPES = {
    "classification": "one integer or string for every image",
    "multilabel": "booleans, or zeros and ones, [N, K], or a list of names for every image",
    "regression": "numbers [N] or [N, K]",
    "dense_classification": "integers [N, h, w]",
    "dense_regression": "numbers [N, C, h, w]",
}


def check_kind(kind: Any) -> Kind | None:
    """Return a kind of task, or None for one to be told from the labels."""
    if kind is not None and kind not in KINDS:
        raise InvalidValueError("kind", kind, f"one of {', '.join(KINDS)}; or None")
    chosen: Kind | None = kind
    return chosen


def tell_kind(array: NDArray[Any], kind: Kind | None, argument: str, *, named: bool) -> Kind:
    """Return the kind that labels [n, ...] are of, or check that they can be of the one given.

    Parameters
    ----------
    array : ndarray
        Of bool, integers, floating numbers or strings; finite.
    kind : str, optional
    argument : str
        Where the labels come from.
    named : bool
        Whether there are names of classes, which integers point to.
    """
    if kind is None:
        return _told(array, argument, named)
    if not _possible(array, kind):
        raise InvalidValueError(argument, _what(array), f"{_SHAPES[kind]}, for kind={kind!r}")
    return kind


def _possible(array: NDArray[Any], kind: Kind) -> bool:
    letter, numeric = array.dtype.kind, array.dtype.kind != "U"
    if kind == "classification":
        return array.ndim == 1 and (letter != "f" or _whole(array))
    if kind == "multilabel":
        return array.ndim == 2 and numeric and _binary(array)
    if kind == "regression":
        return array.ndim in (1, 2) and numeric
    if kind == "dense_classification":
        return array.ndim == 3 and numeric and (letter != "f" or _whole(array))
    return kind == "dense_regression" and array.ndim == 4 and numeric


def _told(array: NDArray[Any], argument: str, named: bool) -> Kind:
    letter = array.dtype.kind
    if array.ndim == 1:
        if letter in "bU" or (letter in "iu" and named):
            if letter == "U":
                _ask_about_many(array, "strings")
            return "classification"
        if letter in "iu":
            _ask_about_integers(array)
            return "classification"
        if _whole(array) and len(np.unique(array)) <= _FEW:
            raise _ask(
                f"'classification' or 'regression', as the labels are {len(np.unique(array))} "
                "different whole numbers in a floating type, which may be either"
            )
        return "regression"
    if array.ndim == 2 and letter == "b":
        return "multilabel"
    if array.ndim == 2 and letter in "iuf" and array.shape[1] > 1 and _binary(array):
        one = bool((array.sum(1) == 1).all())
        hint = "; labels.argmax(1) gives classes if each row has its one" if one else ""
        raise _ask(f"'multilabel' or 'regression', as the labels are zeros and ones{hint}")
    if array.ndim == 2 and letter == "f":
        return "regression"
    if array.ndim == 2 and letter in "iu":
        raise _ask(
            "'regression' for several numbers an image; labels[:, 0] are classes of one column"
        )
    if array.ndim == 3 and letter in "biu":
        return "dense_classification"
    if array.ndim == 4 and letter == "f":
        return "dense_regression"
    hint = ""
    if array.ndim == 3 and letter == "f":
        hint = "; labels[:, None] makes maps of one channel"
    elif array.ndim == 4 and array.shape[1] == 1 and letter != "U":
        hint = "; labels[:, 0] makes maps of classes, labels.astype(float) maps of numbers"
    shapes = "; ".join(f"{name}: {shape}" for name, shape in _SHAPES.items())
    raise InvalidValueError(argument, _what(array), shapes + hint)


def _ask_about_integers(array: NDArray[Any]) -> None:
    values = np.unique(array)
    if len(values) > 2 and values[0] == -1:
        raise InvalidValueError(
            "labels",
            "-1 among other integers",
            "None for an image without a label; or names of classes, or kind=, if -1 is a class",
        )
    _ask_about_many(array, "integers")
    gaps = int(values[-1]) - int(values[0]) + 1 > len(values)
    if len(values) > _FEW and gaps:
        raise _ask(
            f"'classification' or 'regression', as the labels are {len(values)} integers from "
            f"{values[0]} to {values[-1]}, which may be either"
        )


def _ask_about_many(array: NDArray[Any], what: str) -> None:
    different = len(np.unique(array))
    if different > _FEW and different > len(array) / 2:
        raise _ask(
            f"'classification' or another, as the labels are {different} different {what} in "
            f"{len(array)} images, which hardly are classes"
        )


def _ask(expected: str) -> InvalidValueError:
    where = "say which by kind= of Task.from_arrays, from_manifest or from_dataset, or by --kind"
    return InvalidValueError("kind", None, f"{expected}; {where}")


def _what(array: NDArray[Any]) -> str:
    return f"{array.dtype} {array.shape}" if array.dtype.kind != "U" else f"strings {array.shape}"


def _whole(array: NDArray[Any]) -> bool:
    return bool((array == np.floor(array)).all())


def _binary(array: NDArray[Any]) -> bool:
    return bool(((array == 0) | (array == 1)).all())
