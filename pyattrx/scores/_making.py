"""From what each image says to a `Score`."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyattrx._checks import integer, number
from pyattrx.errors import InvalidValueError
from pyattrx.scores._labels import Labels
from pyattrx.scores._result import Score
from pyattrx.statistics import Residuals

__all__ = ["check_groups", "check_number", "from_blocks", "from_terms", "r_squared"]


def from_terms(
    name: str,
    value: float,
    terms: np.ndarray,
    labels: Labels,
    options: dict[str, Any] | None = None,
    facts: dict[str, Any] | None = None,
) -> Score:
    """Make a score whose deviation is the mean of one term an image, [N].

    The terms are the images' values where the score is their mean, and otherwise its derivatives
    by the images' weights (the infinitesimal jackknife); only their differences count.
    """
    residuals = Residuals.of(terms, labels.groups)
    stderr = float(residuals.stderr())
    digest = labels.digest(labels.groups)
    return Score(
        name, float(value), stderr, residuals, labels.groups, digest, options or {}, facts or {}
    )


def from_blocks(
    name: str,
    value: float,
    residuals: Residuals,
    blocks: np.ndarray,
    labels: Labels,
    options: dict[str, Any] | None = None,
    facts: dict[str, Any] | None = None,
) -> Score:
    """Make a score whose deviation comes from a jackknife over blocks [N]."""
    stderr = float(residuals.stderr())
    digest = labels.digest(blocks)
    return Score(name, float(value), stderr, residuals, blocks, digest, options or {}, facts or {})


def r_squared(left: np.ndarray, total: np.ndarray) -> tuple[float, np.ndarray]:
    """R^2 and its derivatives by the images' weights.

    Parameters
    ----------
    left, total : ndarray [N]
        Squared errors of the prediction, and of the mean.

    Returns
    -------
    value : float
    terms : ndarray [N]
        See `from_terms`.
    """
    ratio = left.sum() / total.sum()
    return float(1 - ratio), (ratio * total - left) / total.mean()


def check_groups(labels: Labels, least: int) -> None:
    """Refuse images in too few groups.

    Raises
    ------
    InvalidValueError
    """
    count = int(labels.groups.max()) + 1
    if count < least:
        what = f"{len(labels)} images in {count} groups"
        raise InvalidValueError("groups", what, f"at least {least} groups (without groups, images)")


def check_number(argument: str, value: Any, *, whole: bool = False, least: float = 0.0) -> None:
    """Refuse what is no positive number, or no whole one of at least `least`.

    Raises
    ------
    InvalidTypeError, InvalidValueError
    """
    if whole:
        integer(argument, value, least=int(least))
    else:
        number(argument, value, above=0)
