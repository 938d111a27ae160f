"""What every way of comparing networks has: a name, properties, and a form that can be kept."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from dataclasses import MISSING, dataclass, fields
from typing import Any

import numpy as np

from pyattrx.errors import InvalidValueError

__all__ = ["ComparisonMethod", "imported", "reference_to"]


@dataclass(frozen=True)
class ComparisonMethod(ABC):
    """A way of comparing networks: a frozen dataclass whose fields are its options.

    Attributes
    ----------
    name : str
        What it is called in tables and titles.
    symmetric : bool
        Whether target and source can be swapped.
    bounds : (float, float)
        Least and largest score.
    needs : frozenset of str
        What of a network: "gradients" (backward passes), "output" (of a target; of a source, too,
        where it needs no "features"), "features" (of a source; see `Encoder`).
    invariant_to : frozenset of str
        What may be done without a change of any score: "scale" of the output, "rotation" of its
        units, "shift" of each unit by a constant, "permutation of probes".
    """

    # A method overrides these by a plain value, or by a property where its options decide.

    @property
    def name(self) -> str:  # noqa: D102
        return type(self).__name__

    @property
    def symmetric(self) -> bool:  # noqa: D102
        return True

    @property
    def bounds(self) -> tuple[float, float]:  # noqa: D102
        return -1.0, 1.0

    @property
    def needs(self) -> frozenset[str]:  # noqa: D102
        return frozenset({"output"})

    @property
    def invariant_to(self) -> frozenset[str]:  # noqa: D102
        return frozenset()

    @property
    def parts(self) -> tuple[ComparisonMethod, ...]:
        """The methods whose scores are added up; itself where there is one."""
        return (self,)

    def check_probes(self, groups: np.ndarray) -> None:  # noqa: B027 - one is enough for most
        """Raise `InvalidValueError` for probes that are too few, by the group of each."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return the method as JSON types; `pyattrx.methods.from_dict` makes it again."""

    def options(self) -> dict[str, Any]:
        """Return the options that are not as if nobody had given them, by name."""
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.default is MISSING or getattr(self, field.name) != field.default
        }

    def __str__(self) -> str:
        options = self.options()
        return ", ".join([self.name, *(f"{name}={_shown(v)}" for name, v in options.items())])


def _shown(value: Any) -> str:
    return str(getattr(value, "__name__", value))


def reference_to(argument: str, value: Any) -> str:
    """Say where something can be imported from, as ``module:name``.

    Raises
    ------
    InvalidValueError
        It cannot be.
    """
    reference = f"{getattr(value, '__module__', '')}:{getattr(value, '__qualname__', '')}"
    try:
        found = imported(argument, reference)
    except InvalidValueError:
        found = None
    if found is not value:
        raise InvalidValueError(
            argument,
            value,
            "a name, or something defined at the top of an importable module: "
            "nothing else can be written down",
        )
    return reference


def imported(argument: str, reference: str) -> Any:
    """Import ``module:name``.

    Raises
    ------
    InvalidValueError
        There is nothing.
    """
    module, colon, name = str(reference).partition(":")
    if not (module and colon and name):
        raise InvalidValueError(argument, reference, "module:name")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidValueError(
            # Without quotes: what is in them would be offered as what was meant.
            argument,
            reference,
            f"module:name that imports ({str(error).replace(chr(39), '')})",
        ) from error
