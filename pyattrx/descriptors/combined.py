"""Several methods together: a weighted sum of their scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyattrx.descriptors.feature_method import FEATURE_KINDS, FeatureMethod
from pyattrx.descriptors.method import Method, resolve_maps_method
from pyattrx.errors import InvalidType, InvalidValue

__all__ = ["RECOMMENDED", "AnyMethod", "Combined", "resolve_method", "standardized"]

Part = Method | FeatureMethod


@dataclass(frozen=True)
class Combined:
    """A weighted sum of the scores of several methods.

    Parameters
    ----------
    terms : sequence of (str, Method or FeatureMethod, float)
        Methods, or their names, and their weights.
    standardise : bool
        Take every method's scores for a target less their mean over the other networks, over their
        standard deviation, before they are added; where all are alike they add nothing. Scores then
        have no unit, depend on which networks take part, and are directional. Otherwise the result
        is the weighted mean.

    Raises
    ------
    InvalidValue, InvalidType
        For the terms.

    Examples
    --------
    >>> import pyattrx
    >>> maps = pyattrx.Method("saliency", scalar="half_squared_norm")
    >>> method = pyattrx.Combined([(maps, 1), ("ridge", 1)])
    >>> pyattrx.Combined.from_dict(method.to_dict()) == method
    True
    """

    terms: tuple[tuple[Part, float], ...]
    standardise: bool = True

    def __post_init__(self) -> None:
        given: Any = self.terms
        if not isinstance(given, (list, tuple)) or not given:
            raise InvalidType("terms", given, "a list of pairs of a method and a weight")
        terms = []
        for term in given:
            if not isinstance(term, (list, tuple)) or len(term) != 2:
                raise InvalidType("terms", term, "pairs of a method and a weight")
            method, weight = resolve_method(term[0]), term[1]
            if isinstance(method, Combined):
                raise InvalidType("terms", term[0], "a Method or a FeatureMethod")
            if isinstance(weight, bool) or not isinstance(weight, (int, float)):
                raise InvalidType("terms", term, "a number for a weight")
            if not np.isfinite(weight):
                raise InvalidValue("terms", term, "a finite weight")
            terms.append((method, float(weight)))
        if len({method for method, _ in terms}) < len(terms):
            raise InvalidValue("terms", given, "different methods")
        if not isinstance(self.standardise, bool):
            raise InvalidType("standardise", self.standardise, "True or False")
        if not self.standardise and not (
            all(weight >= 0 for _, weight in terms) and any(weight for _, weight in terms)
        ):
            raise InvalidValue("terms", given, "weights of a mean: none negative, one not zero")
        object.__setattr__(self, "terms", tuple(terms))

    @classmethod
    def depara(cls, maps: str | Method = "grad_x_input", weight: float = 1.0) -> Combined:
        """DEPARA (Song, Chen, Ye, Wang, Shen, Mao, Song, CVPR 2020): nodes and edges.

        Parameters
        ----------
        maps : str or Method
            Of the nodes: the mean cosine of attribution maps.
        weight : float
            Of the edges ("lambda"), at least 0; nodes have 1, and the sum is divided by both. The
            authors choose it for each set of probes.

        Examples
        --------
        >>> import pyattrx
        >>> str(pyattrx.Combined.depara("saliency", weight=0.25))
        'mean of 1 * (saliency), 0.25 * (edges)'
        """
        return cls(((maps, 1.0), (FeatureMethod("edges"), weight)), standardise=False)  # type: ignore[arg-type]

    def combine(self, scores: Sequence[np.ndarray]) -> np.ndarray:
        """Add scores.

        Parameters
        ----------
        scores : sequence of ndarray [..., M, M]
            Of each term; rows are targets.

        Returns
        -------
        ndarray [..., M, M]
        """
        weights = [weight for _, weight in self.terms]
        if self.standardise:
            scores = [standardized(some) for some in scores]
        total = sum(weight * some for weight, some in zip(weights, scores, strict=True))
        return np.asarray(total if self.standardise else total / sum(weights))

    def to_dict(self) -> dict[str, Any]:
        """Return the method as JSON types.

        Raises
        ------
        InvalidValue
            As for `Method.to_dict`.
        """
        terms = [[method.to_dict(), weight] for method, weight in self.terms]
        return {"terms": terms, "standardise": self.standardise}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Combined:
        """Rebuild a method from `to_dict`.

        Raises
        ------
        InvalidValue
            Unknown fields or values.
        """
        if set(values) != {"terms", "standardise"}:
            raise InvalidValue("values", sorted(values), "the fields of Combined.to_dict()")
        terms: list[Any] = [
            (FeatureMethod.from_dict(one) if "kind" in one else Method.from_dict(one), weight)
            for one, weight in values["terms"]
        ]
        return cls(tuple(terms), values["standardise"])

    def __str__(self) -> str:
        terms = ", ".join(f"{weight:g} * ({method})" for method, weight in self.terms)
        return f"{'sum of standardised' if self.standardise else 'mean of'} {terms}"


AnyMethod = Method | FeatureMethod | Combined


def resolve_method(method: Any) -> AnyMethod:
    """Turn a name into a method; methods are themselves.

    Parameters
    ----------
    method : str or Method, FeatureMethod or Combined
        A form of attribution, a kind of `FeatureMethod`, "depara", or "recommended": the method
        that predicted transfers best where they were measured (docs/transfer.md).

    Raises
    ------
    InvalidValue
        No method has this name.
    InvalidType
        Neither a name nor a method.
    """
    if isinstance(method, (FeatureMethod, Combined)):
        return method
    if method == "depara":
        return Combined.depara()
    if method == "recommended":
        return RECOMMENDED
    if isinstance(method, str) and method in FEATURE_KINDS:
        return FeatureMethod(method)
    return resolve_maps_method(method, others=("recommended", "depara", *FEATURE_KINDS))


def standardized(scores: np.ndarray) -> np.ndarray:
    """Scores [..., M, M] less the mean of their row, over its deviation; without the diagonal."""
    count = scores.shape[-1]
    others = np.where(np.eye(count, dtype=bool), 0.0, scores)
    mean = others.sum(-1, keepdims=True) / max(count - 1, 1)
    spread = np.where(np.eye(count, dtype=bool), 0.0, scores - mean)
    deviation = np.sqrt(np.square(spread).sum(-1, keepdims=True) / max(count - 1, 1))
    # What rounding leaves of equal scores is no difference.
    nothing = deviation <= 1e-12 * np.abs(others).max(-1, keepdims=True)
    return np.where(nothing, 0.0, (scores - mean) / np.where(nothing, 1.0, deviation))


# What "recommended" means: chosen where transfers were measured, see docs/transfer.md.
RECOMMENDED: AnyMethod = FeatureMethod("normalized_ridge", penalty=0.1)
