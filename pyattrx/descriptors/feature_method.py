"""Methods that compare networks by what they answer to a set of probes as a whole."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from pyattrx.errors import InvalidType, InvalidValue

__all__ = ["FEATURE_KINDS", "FeatureMethod"]

_PAIRED = {"penalty": 0.01, "largest_grid": 16, "window": 1}

# Every kind, with its options and what they are if nobody says.
FEATURE_KINDS: dict[str, dict[str, Any]] = {
    "rsa": {},
    "cka": {},
    "dds": {},
    "edges": {},
    "svcca": {"variance": 0.99},
    "ridge": {"penalty": 0.01},
    "normalized_ridge": _PAIRED,
    "perturbation_response": {**_PAIRED, "draws": 4, "strength": 0.2, "seed": 0},
}


@dataclass(frozen=True)
class FeatureMethod:
    """How networks are compared by their features: forward passes only.

    An option that is left out (None) has its kind's own value afterwards; one that a kind does not
    have cannot be given.

    Parameters
    ----------
    kind : str
        Symmetric, of the networks' outputs:

        - "rsa": Spearman correlation of the dissimilarities (1 - Pearson correlation of two probes'
          features) of all pairs of probes. Dwivedi and Roig, CVPR 2019.
        - "cka": linear centred kernel alignment. Kornblith, Norouzi, Lee, Hinton, ICML 2019.
        - "dds": the same of z-scored features: duality diagram similarity with z-scores and a
          linear kernel, its form nearest to "cka". Dwivedi, Huang, Cichy, Roig, ECCV 2020.
        - "edges": Spearman correlation of the cosines, of all pairs of probes, of centred features:
          the edges of DEPARA. Song, Chen, Ye, Wang, Shen, Mao, Song, CVPR 2020.
        - "svcca": mean canonical correlation of the leading principal components. Raghu, Gilmer,
          Yosinski, Sohl-Dickstein, NeurIPS 2017.

        Directional, how well a source's features (see `Encoder`) predict a target's output:

        - "ridge": leave-one-out R^2 of ridge regression (a group of probes is left out at once).
        - "normalized_ridge": R^2 of ridge regression on features of unit length at every location,
          fitted on one half of the probes and tested on the other, and the other way round.
        - "perturbation_response": the same of how both answer to noise that is added to the image.
    penalty : float, positive
        Of the ridge regression, in units of the mean diagonal of the Gram matrix: that of the
        probes for "ridge", otherwise the smaller one, of samples or of features.
    largest_grid : int
        Features with more rows or columns than this are area-resampled to it.
    window : int, odd
        How many rows and columns of a source's features, around a location, predict a target there;
        zeros beyond the edge. It costs that many times as many features: for narrow ones.
    draws : int
        Perturbations of each probe.
    strength : float, positive
        Root mean square of a perturbation, where pixels are in [0, 1].
    seed : int
        Of the perturbations, at least 0.
    variance : float
        Share of the variance that the components cover, in (0, 1].

    Raises
    ------
    InvalidValue, InvalidType
        For any field, naming it.

    Examples
    --------
    >>> import pyattrx
    >>> pyattrx.FeatureMethod("ridge")
    FeatureMethod(ridge, penalty=0.01)
    >>> method = pyattrx.FeatureMethod("perturbation_response", draws=2)
    >>> pyattrx.FeatureMethod.from_dict(method.to_dict()) == method
    True
    """

    kind: str
    penalty: float | None = None
    largest_grid: int | None = None
    window: int | None = None
    draws: int | None = None
    strength: float | None = None
    seed: int | None = None
    variance: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.kind, str) or self.kind not in FEATURE_KINDS:
            names = ", ".join(map(repr, FEATURE_KINDS))
            raise InvalidValue("kind", self.kind, f"one of {names}")
        defaults = FEATURE_KINDS[self.kind]
        for field in fields(self)[1:]:
            name, value = field.name, getattr(self, field.name)
            if name not in defaults:
                if value is not None:
                    raise InvalidValue(name, value, f"nothing: {self.kind!r} has no such option")
                continue
            value = defaults[name] if value is None else value
            kind = type(defaults[name])
            if kind is float and isinstance(value, int) and not isinstance(value, bool):
                value = float(value)
            if not isinstance(value, kind) or isinstance(value, bool):
                what = "an integer" if kind is int else "a number"
                raise InvalidType(name, value, f"{what}, or None")
            _check(name, value)
            object.__setattr__(self, name, value)

    def to_dict(self) -> dict[str, Any]:
        """Return the method as JSON types."""
        options = {name: getattr(self, name) for name in FEATURE_KINDS[self.kind]}
        return {"kind": self.kind, **options}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> FeatureMethod:
        """Rebuild a method from `to_dict`.

        Raises
        ------
        InvalidValue
            Unknown fields or values.
        """
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown or "kind" not in values:
            raise InvalidValue("values", sorted(values), "the fields of FeatureMethod.to_dict()")
        return cls(**values)

    def __str__(self) -> str:
        """Name and the options that are not its kind's own."""
        return ", ".join([self.kind, *self._options(beyond=FEATURE_KINDS[self.kind])])

    def __repr__(self) -> str:
        return f"FeatureMethod({', '.join([self.kind, *self._options(beyond={})])})"

    def _options(self, beyond: dict[str, Any]) -> list[str]:
        values = {name: getattr(self, name) for name in FEATURE_KINDS[self.kind]}
        return [f"{name}={value}" for name, value in values.items() if beyond.get(name) != value]


def _check(name: str, value: Any) -> None:
    if name in ("penalty", "strength") and not 0 < value < float("inf"):
        raise InvalidValue(name, value, "a positive number")
    if name == "variance" and not 0 < value <= 1:
        raise InvalidValue(name, value, "a number in (0, 1]")
    if name in ("draws", "largest_grid") and value < 1:
        raise InvalidValue(name, value, "at least 1")
    if name == "window" and (value < 1 or value % 2 == 0):
        raise InvalidValue(name, value, "an odd number of rows and columns")
    if name == "seed" and not 0 <= value < 2**63:
        raise InvalidValue(name, value, "an integer from 0 to 2**63 - 1")
