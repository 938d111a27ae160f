"""Arguments that are numbers: checked, and named where they are wrong."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pyattrx.errors import InvalidTypeError, InvalidValueError

__all__ = ["flag", "integer", "number"]


def integer(
    argument: str, value: Any, least: int | None = None, most: int | None = None, more: str = ""
) -> int:
    """Check an integer.

    Parameters
    ----------
    argument : str
        Its name, for the message.
    value : object
    least, most : int, optional
        Bounds; none if left out.
    more : str
        What is to be known of it, such as ", or None".

    Raises
    ------
    InvalidTypeError
        It is no integer.
    InvalidValueError
        It is out of bounds.

    Examples
    --------
    >>> from pyattrx._checks import integer
    >>> integer("k", 3, least=1)
    3
    """
    expected = f"an integer{_between(least, most)}{more}"
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise InvalidTypeError(argument, value, expected)
    if (least is not None and value < least) or (most is not None and value > most):
        raise InvalidValueError(argument, value, expected)
    return int(value)


def number(
    argument: str,
    value: Any,
    *,
    above: float | None = None,
    least: float | None = None,
    most: float | None = None,
    below: float | None = None,
    more: str = "",
) -> float:
    """Check a finite number; see `integer`.

    Parameters
    ----------
    argument : str
    value : object
    above : float, optional
        It has to be larger than this.
    least, most : float, optional
    below : float, optional
        It has to be smaller than this.
    more : str
        As for `integer`.
    """
    bounds = _between(least, most)
    if above is not None:
        bounds = f" above {above:g}" + (f", at most {most:g}" if most is not None else "")
    if above is not None and below is not None:
        bounds = f" between {above:g} and {below:g}"
    expected = ("a positive number" if bounds == " above 0" else f"a number{bounds}") + more
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise InvalidTypeError(argument, value, expected)
    given = float(value)
    too_low = (above is not None and given <= above) or (least is not None and given < least)
    too_high = (most is not None and given > most) or (below is not None and given >= below)
    if not math.isfinite(given) or too_low or too_high:
        raise InvalidValueError(argument, value, expected)
    return given


def flag(argument: str, value: Any) -> bool:
    """Check a bool; see `integer`."""
    if not isinstance(value, bool):
        raise InvalidTypeError(argument, value, "True or False")
    return value


def _between(least: float | None, most: float | None) -> str:
    if least is not None and most is not None:
        return f" from {least} to {most}"
    if least is not None:
        return f" of at least {least}"
    return "" if most is None else f" of at most {most}"
