"""What candidates are ranked by: a score, and the consensus beside it where it is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pyattrx.recommending.ordering import Evidence, Order, factor_of, order
from pyattrx.scores import Score

__all__ = ["CONSENSUS", "TARGET", "Rule"]

CONSENSUS = "consensus"
TARGET = "target"


@dataclass(frozen=True)
class Rule:
    """A score, and how much the consensus counts beside it.

    Attributes
    ----------
    main : str
        The score.
    weight : float
        Of the consensus, both in standard deviations over the candidates.
    factor : float, optional
        The same weight in units of both; told from the candidates that are ranked if left out.
    """

    main: str
    weight: float = 0.0
    factor: float | None = None

    @classmethod
    def of(cls, names: Sequence[str], weight: float, agreed: Mapping[str, Score]) -> Rule:
        """Take the first score, or the consensus alone where there is none."""
        return cls(names[0], weight if agreed else 0.0) if names else cls(CONSENSUS)

    def order(self, found: Sequence[Mapping[str, Score]]) -> Order:
        """Rank candidates, each with the scores that this takes."""
        first = self._evidence(self.main, found)
        if self.weight == 0:
            return order([first], [1.0])
        others = self._evidence(CONSENSUS, found)
        factor = factor_of(first, others, self.weight) if self.factor is None else self.factor
        return order([first, others], [1.0, factor])

    def fixed(self, found: Sequence[Mapping[str, Score]]) -> Rule:
        """Return the same rule for these candidates and for any part of them."""
        if self.weight == 0 or self.factor is not None:
            return self
        first, others = (self._evidence(name, found) for name in (self.main, CONSENSUS))
        return replace(self, factor=factor_of(first, others, self.weight))

    @staticmethod
    def _evidence(name: str, found: Sequence[Mapping[str, Score]]) -> Evidence:
        return Evidence.of([one[name] for one in found])
