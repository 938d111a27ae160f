"""A method: everything that decides what the map of a network on a probe is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

from pyattrx._checks import flag, integer
from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.methods.attribution import GradXInput, InputAttribution, Saliency
from pyattrx.methods.base import ComparisonMethod, imported, reference_to
from pyattrx.methods.elrp import ELRP
from pyattrx.methods.gradient_field import GradientField
from pyattrx.methods.inner import INNER, InnerAttribution
from pyattrx.methods.scalars import Scalar, resolve_scalar
from pyattrx.methods.storage import STORAGES

__all__ = ["ATTRIBUTIONS", "Method", "resolve_attribution", "resolve_maps_method"]

#: The attributions that `Method` knows by name: ``"saliency"`` and so on.
ATTRIBUTIONS: dict[str, Callable[..., InputAttribution]] = {
    "saliency": Saliency,
    "grad_x_input": GradXInput,
    "elrp": ELRP,
    "gradient_field": GradientField,
    **{name: partial(InnerAttribution, name=name) for name in INNER},
}
_OWN = (Saliency, GradXInput, ELRP, GradientField, InnerAttribution)
_REDUCTIONS = ("mean", "abs_mean", "none")


@dataclass(frozen=True)
class Method(ComparisonMethod):
    """How a network is described by attribution maps; two networks compare under one method only.

    Parameters
    ----------
    attribution : str or InputAttribution
        How the output is traced back to the input: "saliency", "grad_x_input", "elrp",
        "gradient_field"; or to the layer that ``Encoder(features=...)`` names: "conductance",
        "naa", "layer_ig".
    scalar : {"mean", "half_squared_norm"} or callable
        What is attributed: one number per image, from the output [N, ...].
    reduce : {"mean", "abs_mean", "none"}
        What becomes of the channels of the attribution.
    grid : (int, int), optional
        Height and width that every map is area-resampled to; the probes' size if left out.
    center : bool
        Subtract each map's mean.
    pixels : int, optional
        Keep this many elements of the map, a fixed random choice; all if left out.
    pixel_seed : int
        Seed of that choice, at least 0.
    storage : {"float16", "bfloat16", "int8"}, optional
        Round maps to this type before they are compared, so that they take fewer bytes where they
        are kept; as the network computes them if left out.
    steps : int, optional
        Points on the path of an attribution that is named and follows one; as many as it takes by
        itself if left out.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        For any field, naming it.

    Notes
    -----
    ``Method("saliency")``, ``Method("grad_x_input")`` and ``Method("elrp")`` are the three forms of
    Song et al., NeurIPS 2019: the mean output, the mean over channels, no centering.

    Examples
    --------
    >>> import pyattrx
    >>> method = pyattrx.Method("saliency", scalar="half_squared_norm")
    >>> pyattrx.Method.from_dict(method.to_dict()) == method
    True
    """

    attribution: str | InputAttribution = "grad_x_input"
    scalar: str | Scalar = "mean"
    reduce: str = "mean"
    grid: tuple[int, int] | None = None
    center: bool = False
    pixels: int | None = None
    pixel_seed: int = 0
    storage: str | None = None
    steps: int | None = None

    invariant_to = frozenset({"scale", "permutation of probes"})

    def __post_init__(self) -> None:
        resolve_attribution(self.attribution)
        if self.steps is not None:
            steps = integer("steps", self.steps, least=1, more=", or None")
            object.__setattr__(self, "steps", steps)
            self._check_path()
        resolve_scalar(self.scalar)
        if self.reduce not in _REDUCTIONS:
            raise InvalidValueError("reduce", self.reduce, "one of 'mean', 'abs_mean', 'none'")
        if self.grid is not None:
            grid = self.grid
            if not isinstance(grid, (tuple, list)) or len(grid) != 2:
                raise InvalidTypeError("grid", self.grid, "two integers, height and width, or None")
            object.__setattr__(self, "grid", tuple(integer("grid", n, least=1) for n in grid))
        flag("center", self.center)
        if self.pixels is not None:
            pixels = integer("pixels", self.pixels, least=1, more=", or None")
            object.__setattr__(self, "pixels", pixels)
        seed = integer("pixel_seed", self.pixel_seed, least=0, most=2**64 - 1)
        object.__setattr__(self, "pixel_seed", seed)
        if self.storage is not None and self.storage not in STORAGES:
            names = ", ".join(repr(name) for name in STORAGES)
            raise InvalidValueError("storage", self.storage, f"one of {names}, or None")

    def _check_path(self) -> None:
        if not isinstance(self.attribution, str):
            expected = f"None: say it to the attribution, {type(self.attribution).__name__}(steps=)"
            raise InvalidValueError("steps", self.steps, expected)
        if not hasattr(resolve_attribution(self.attribution), "steps"):
            paths = [n for n, make in ATTRIBUTIONS.items() if hasattr(make(), "steps")]
            expected = f"None: {self.attribution!r} follows no path, as {', '.join(paths)} do"
            raise InvalidValueError("steps", self.steps, expected)

    @property
    def traced(self) -> InputAttribution:
        """The attribution, with its options."""
        if isinstance(self.attribution, str) and self.steps is not None:
            return ATTRIBUTIONS[self.attribution](steps=self.steps)
        return resolve_attribution(self.attribution)

    @property
    def needs(self) -> frozenset[str]:
        """Backward passes; of an inner attribution the layer, too."""
        inner = {"features"} if resolve_attribution(self.attribution).inner else set()
        return frozenset({"gradients", *inner})

    def to_dict(self) -> dict[str, Any]:
        """Return the method as JSON types.

        Raises
        ------
        InvalidValueError
            A callable scalar or an attribution of one's own that cannot be imported again by its
            module and name.
        """
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        if self.steps is None:  # a fact more, so that methods without a path stay what they are
            del values["steps"]
        if self.grid is not None:
            values["grid"] = list(self.grid)
        if isinstance(self.attribution, InputAttribution):
            options = dict(vars(self.attribution))
            kind = type(self.attribution)
            own = self.attribution.name if kind in _OWN else None
            reference = own or reference_to("attribution", kind)
            try:
                json.dumps(options)
            except TypeError as error:
                raise InvalidValueError(
                    "attribution", self.attribution, f"options that JSON can hold ({error})"
                ) from error
            values["attribution"] = {"class": reference, "options": options}
        if not isinstance(self.scalar, str):
            values["scalar"] = reference_to("scalar", self.scalar)
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Method:
        """Rebuild a method from `to_dict`; imports what a method of one's own refers to.

        Raises
        ------
        InvalidValueError
            Unknown fields, or a reference that cannot be imported.
        """
        values = dict(values)
        if "centre" in values:  # as older zoos have it
            values["center"] = values.pop("centre")
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise InvalidValueError("values", sorted(unknown), "the fields of Method.to_dict()")
        attribution = values.get("attribution")
        if isinstance(attribution, dict):
            if set(attribution) != {"class", "options"}:
                expected = "the class and the options of an attribution"
                raise InvalidValueError("attribution", sorted(attribution), expected)
            name = attribution["class"]
            kind = ATTRIBUTIONS[name] if name in ATTRIBUTIONS else imported("attribution", name)
            # Nothing else is ever called on behalf of a file.
            ours = name in ATTRIBUTIONS
            if not (ours or (isinstance(kind, type) and issubclass(kind, InputAttribution))):
                raise InvalidValueError("attribution", name, "a subclass of InputAttribution")
            values["attribution"] = kind(**attribution["options"])
        scalar = values.get("scalar")
        if isinstance(scalar, str) and ":" in scalar:
            values["scalar"] = imported("scalar", scalar)
        if values.get("grid") is not None:
            values["grid"] = tuple(values["grid"])
        return cls(**values)

    @property
    def name(self) -> str:
        """That of the attribution."""
        return self.attribution if isinstance(self.attribution, str) else self.attribution.name

    def options(self) -> dict[str, Any]:
        """As of every method; the attribution is its name."""
        return {name: value for name, value in super().options().items() if name != "attribution"}


def resolve_attribution(attribution: str | InputAttribution | Any) -> InputAttribution:
    """Turn a name, or an `InputAttribution`, into an `InputAttribution`.

    Raises
    ------
    InvalidValueError
        Unknown name, or an attribution whose `combine` no op knows.
    InvalidTypeError
        Neither a name nor an `InputAttribution`.
    """
    if isinstance(attribution, str):
        if attribution not in ATTRIBUTIONS:
            names = ", ".join(repr(name) for name in ATTRIBUTIONS)
            raise InvalidValueError(
                "attribution", attribution, f"one of {names}, or an InputAttribution"
            )
        return ATTRIBUTIONS[attribution]()
    if not isinstance(attribution, InputAttribution):
        raise InvalidTypeError(
            "attribution", attribution, "a name or an InputAttribution (an instance)"
        )
    if attribution.combine not in ("grad_x_input", "saliency", "identity"):
        raise InvalidValueError(
            "attribution.combine",
            attribution.combine,
            "'grad_x_input', 'saliency' or 'identity'",
        )
    return attribution


def resolve_maps_method(method: Any, others: tuple[str, ...] = (), more: str = "") -> Method:
    """Turn the name of an attribution, an `InputAttribution` or a `Method` into a `Method`.

    Parameters
    ----------
    method : str, InputAttribution or Method
    others : tuple of str
        Names that would have been something else, for the message.
    more : str
        What the message says beside what is expected.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        Unknown name, or neither.
    """
    if isinstance(method, Method):
        return method
    if isinstance(method, InputAttribution):
        return Method(method)
    if not isinstance(method, str):
        names = ", ".join(map(repr, ATTRIBUTIONS))
        raise InvalidTypeError("method", method, f"one of {names}, or a pyattrx.Method{more}")
    if method not in ATTRIBUTIONS:
        names = ", ".join(map(repr, (*ATTRIBUTIONS, *others)))
        raise InvalidValueError("method", method, f"one of {names}, or a pyattrx.Method{more}")
    return Method(method)
