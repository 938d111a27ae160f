"""Attribution methods: saliency, gradient x input and epsilon-LRP, and a place for others."""

from __future__ import annotations

from typing import Any

from pyattrx.attribution.base import Attribution, Forward, GradXInput, Saliency
from pyattrx.attribution.elrp import ELRP
from pyattrx.attribution.scalars import SCALARS, Scalar, resolve_scalar
from pyattrx.errors import InvalidType, InvalidValue

__all__ = [
    "ATTRIBUTIONS",
    "ELRP",
    "SCALARS",
    "Attribution",
    "Forward",
    "GradXInput",
    "Saliency",
    "Scalar",
    "resolve_attribution",
    "resolve_scalar",
]

ATTRIBUTIONS: dict[str, type[Attribution]] = {
    "saliency": Saliency,
    "grad_x_input": GradXInput,
    "elrp": ELRP,
}


def resolve_attribution(attribution: str | Attribution | Any) -> Attribution:
    """Turn a name, or an `Attribution`, into an `Attribution`.

    Raises
    ------
    InvalidValue
        Unknown name, or an attribution whose `combine` no op knows.
    InvalidType
        Neither a name nor an `Attribution`.
    """
    if isinstance(attribution, str):
        if attribution not in ATTRIBUTIONS:
            names = ", ".join(repr(name) for name in ATTRIBUTIONS)
            raise InvalidValue("attribution", attribution, f"one of {names}, or an Attribution")
        return ATTRIBUTIONS[attribution]()
    if not isinstance(attribution, Attribution):
        raise InvalidType("attribution", attribution, "a name or an Attribution (an instance)")
    if attribution.combine not in ("grad_x_input", "saliency", "identity"):
        raise InvalidValue(
            "attribution.combine",
            attribution.combine,
            "'grad_x_input', 'saliency' or 'identity'",
        )
    return attribution
