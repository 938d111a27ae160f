"""A method: everything that decides what the map of a network on a probe is."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass, fields
from typing import Any

from pyattrx.attribution import (
    ATTRIBUTIONS,
    Attribution,
    Scalar,
    resolve_attribution,
    resolve_scalar,
)
from pyattrx.descriptors.storage import STORAGES
from pyattrx.errors import InvalidType, InvalidValue

__all__ = ["Method", "resolve_maps_method"]

_REDUCTIONS = ("mean", "abs_mean", "none")


@dataclass(frozen=True)
class Method:
    """How a network is described by attribution maps; two networks compare under one method only.

    Parameters
    ----------
    attribution : {"saliency", "grad_x_input", "elrp"} or Attribution
        How the output is traced back to the input.
    scalar : {"mean", "half_squared_norm"} or callable
        What is attributed: one number per image, from the output [N, ...].
    reduce : {"mean", "abs_mean", "none"}
        What becomes of the channels of the attribution.
    grid : (int, int), optional
        Height and width that every map is area-resampled to; the probes' size if left out.
    centre : bool
        Subtract each map's mean.
    pixels : int, optional
        Keep this many elements of the map, a fixed random choice; all if left out.
    pixel_seed : int
        Seed of that choice, at least 0.
    storage : {"float16", "bfloat16", "int8"}, optional
        Round maps to this type before they are compared, so that they take fewer bytes where they
        are kept; as the network computes them if left out.

    Raises
    ------
    InvalidValue, InvalidType
        For any field, naming it.

    Notes
    -----
    ``Method("saliency")``, ``Method("grad_x_input")`` and ``Method("elrp")`` are the three forms of
    Song et al., NeurIPS 2019: the mean output, the mean over channels, no centring.

    Examples
    --------
    >>> import pyattrx
    >>> method = pyattrx.Method("saliency", scalar="half_squared_norm")
    >>> pyattrx.Method.from_dict(method.to_dict()) == method
    True
    """

    attribution: str | Attribution = "grad_x_input"
    scalar: str | Scalar = "mean"
    reduce: str = "mean"
    grid: tuple[int, int] | None = None
    centre: bool = False
    pixels: int | None = None
    pixel_seed: int = 0
    storage: str | None = None

    def __post_init__(self) -> None:
        resolve_attribution(self.attribution)
        resolve_scalar(self.scalar)
        if self.reduce not in _REDUCTIONS:
            raise InvalidValue("reduce", self.reduce, "one of 'mean', 'abs_mean', 'none'")
        if self.grid is not None:
            grid = self.grid
            if not isinstance(grid, (tuple, list)) or len(grid) != 2 or not all(map(_is_int, grid)):
                raise InvalidType("grid", self.grid, "two integers, height and width, or None")
            if min(grid) < 1:
                raise InvalidValue("grid", self.grid, "a height and a width of at least 1")
            object.__setattr__(self, "grid", (int(grid[0]), int(grid[1])))
        if not isinstance(self.centre, bool):
            raise InvalidType("centre", self.centre, "True or False")
        if self.pixels is not None and not (_is_int(self.pixels) and self.pixels >= 1):
            raise InvalidValue("pixels", self.pixels, "an integer of at least 1, or None")
        if not (_is_int(self.pixel_seed) and 0 <= self.pixel_seed < 2**64):
            raise InvalidValue("pixel_seed", self.pixel_seed, "an integer from 0 to 2**64 - 1")
        if self.storage is not None and self.storage not in STORAGES:
            names = ", ".join(repr(name) for name in STORAGES)
            raise InvalidValue("storage", self.storage, f"one of {names}, or None")

    def to_dict(self) -> dict[str, Any]:
        """Return the method as JSON types.

        Raises
        ------
        InvalidValue
            A callable scalar or an attribution of one's own that cannot be imported again by its
            module and name.
        """
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        if self.grid is not None:
            values["grid"] = list(self.grid)
        if isinstance(self.attribution, Attribution):
            options = dict(vars(self.attribution))
            named = {kind: name for name, kind in ATTRIBUTIONS.items()}
            kind = type(self.attribution)
            reference = named.get(kind) or _importable("attribution", kind)
            try:
                json.dumps(options)
            except TypeError as error:
                raise InvalidValue(
                    "attribution", self.attribution, f"options that JSON can hold ({error})"
                ) from error
            values["attribution"] = {"class": reference, "options": options}
        if not isinstance(self.scalar, str):
            values["scalar"] = _importable("scalar", self.scalar)
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Method:
        """Rebuild a method from `to_dict`; imports what a method of one's own refers to.

        Raises
        ------
        InvalidValue
            Unknown fields, or a reference that cannot be imported.
        """
        values = dict(values)
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise InvalidValue("values", sorted(unknown), "the fields of Method.to_dict()")
        attribution = values.get("attribution")
        if isinstance(attribution, dict):
            name = attribution["class"]
            kind = ATTRIBUTIONS[name] if name in ATTRIBUTIONS else _imported("attribution", name)
            # Nothing else is ever called on behalf of a file.
            if not (isinstance(kind, type) and issubclass(kind, Attribution)):
                raise InvalidValue("attribution", name, "a subclass of Attribution")
            values["attribution"] = kind(**attribution["options"])
        scalar = values.get("scalar")
        if isinstance(scalar, str) and ":" in scalar:
            values["scalar"] = _imported("scalar", scalar)
        if values.get("grid") is not None:
            values["grid"] = tuple(values["grid"])
        return cls(**values)

    @staticmethod
    def imports(values: dict[str, Any]) -> list[str]:
        """List what `from_dict` would import that is not part of this package."""
        attribution, scalar = values.get("attribution"), values.get("scalar")
        outside = [attribution["class"]] if isinstance(attribution, dict) else []
        outside += [scalar] if isinstance(scalar, str) else []
        return [name for name in outside if ":" in name]

    def __str__(self) -> str:
        attribution = self.attribution
        name = attribution if isinstance(attribution, str) else attribution.name
        parts = [name]
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "attribution" and value != field.default:
                parts.append(f"{field.name}={getattr(value, '__name__', value)}")
        return ", ".join(parts)


def resolve_maps_method(method: Any, others: tuple[str, ...] = (), more: str = "") -> Method:
    """Turn the name of a published form, or a `Method`, into a `Method`.

    Parameters
    ----------
    method : str or Method
    others : tuple of str
        Names that would have been something else, for the message.
    more : str
        What the message says beside what is expected.

    Raises
    ------
    InvalidValue, InvalidType
        Unknown name, or neither.
    """
    if isinstance(method, Method):
        return method
    if not isinstance(method, str):
        names = ", ".join(map(repr, ATTRIBUTIONS))
        raise InvalidType("method", method, f"one of {names}, or a pyattrx.Method{more}")
    if method not in ATTRIBUTIONS:
        names = ", ".join(map(repr, (*ATTRIBUTIONS, *others)))
        raise InvalidValue("method", method, f"one of {names}, or a pyattrx.Method{more}")
    return Method(method)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _importable(argument: str, value: Any) -> str:
    reference = f"{getattr(value, '__module__', '')}:{getattr(value, '__qualname__', '')}"
    try:
        found = _imported(argument, reference)
    except InvalidValue:
        found = None
    if found is not value:
        raise InvalidValue(
            argument,
            value,
            "a name, or something defined at the top of an importable module: "
            "nothing else can be written down",
        )
    return reference


def _imported(argument: str, reference: str) -> Any:
    module, _, name = reference.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidValue(argument, reference, f"module:name that imports ({error})") from error
