"""Several methods together: a weighted sum of their scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyattrx._checks import flag, number
from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.methods.base import ComparisonMethod
from pyattrx.methods.edges import Edges
from pyattrx.methods.map_method import Method

__all__ = ["Combined", "standardized"]


@dataclass(frozen=True)
class Combined(ComparisonMethod):
    """A weighted sum of the scores of several methods.

    Parameters
    ----------
    terms : sequence of (str or ComparisonMethod, float)
        Methods, or their names, and their weights.
    standardize : bool
        Take every method's scores for a target less their mean over the other networks, over their
        standard deviation, before they are added; where all are alike they add nothing. Scores then
        have no unit, depend on which networks take part, and are directional. Otherwise the result
        is the weighted mean.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        For the terms.

    Examples
    --------
    >>> import pyattrx
    >>> maps = pyattrx.Method("saliency", scalar="half_squared_norm")
    >>> method = pyattrx.Combined([(maps, 1), ("ridge", 1)])
    >>> pyattrx.methods.from_dict(method.to_dict()) == method
    True
    """

    terms: tuple[tuple[ComparisonMethod, float], ...]
    standardize: bool = True

    name = "combined"

    def __post_init__(self) -> None:
        given: Any = self.terms
        if not isinstance(given, (list, tuple)) or not given:
            raise InvalidTypeError("terms", given, "a list of pairs of a method and a weight")
        terms = []
        for term in given:
            if not isinstance(term, (list, tuple)) or len(term) != 2:
                raise InvalidTypeError("terms", term, "pairs of a method and a weight")
            method = _get(term[0])
            if isinstance(method, Combined):
                raise InvalidTypeError("terms", term[0], "a method that is not combined itself")
            terms.append((method, number("terms", term[1])))
        if len({method for method, _ in terms}) < len(terms):
            raise InvalidValueError("terms", given, "different methods")
        flag("standardize", self.standardize)
        if not self.standardize and not (
            all(weight >= 0 for _, weight in terms) and any(weight for _, weight in terms)
        ):
            raise InvalidValueError(
                "terms", given, "weights of a mean: none negative, one not zero"
            )
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
        return cls(((_get(maps), 1.0), (Edges(), weight)), standardize=False)

    @property
    def parts(self) -> tuple[ComparisonMethod, ...]:
        """The methods whose scores are added up."""
        return tuple(method for method, _ in self.terms)

    @property
    def symmetric(self) -> bool:
        """Whether target and source can be swapped."""
        return not self.standardize and all(part.symmetric for part in self.parts)

    @property
    def bounds(self) -> tuple[float, float]:
        """Least and largest score."""
        if self.standardize:
            return float("-inf"), float("inf")
        lows, highs = zip(*(part.bounds for part in self.parts), strict=True)
        return min(lows), max(highs)

    @property
    def needs(self) -> frozenset[str]:
        """What of a network."""
        return frozenset().union(*(part.needs for part in self.parts))

    @property
    def invariant_to(self) -> frozenset[str]:
        """What changes no score."""
        first, *others = (part.invariant_to for part in self.parts)
        return first.intersection(*others)

    def check_probes(self, groups: np.ndarray) -> None:
        """Raise `InvalidValueError` for probes that are too few for one of the methods."""
        for part in self.parts:
            part.check_probes(groups)

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
        if self.standardize:
            scores = [standardized(some) for some in scores]
        total = sum(weight * some for weight, some in zip(weights, scores, strict=True))
        return np.asarray(total if self.standardize else total / sum(weights))

    def to_dict(self) -> dict[str, Any]:
        """Return the method as JSON types.

        Raises
        ------
        InvalidValueError
            As for `Method.to_dict`.
        """
        terms = [[method.to_dict(), weight] for method, weight in self.terms]
        return {"terms": terms, "standardize": self.standardize}

    def __str__(self) -> str:
        terms = ", ".join(f"{weight:g} * ({method})" for method, weight in self.terms)
        return f"{'sum of standardized' if self.standardize else 'mean of'} {terms}"


def _get(method: Any) -> ComparisonMethod:
    """See `pyattrx.methods.get`, which knows this class, too."""
    from pyattrx.methods.names import get

    return get(method)


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
