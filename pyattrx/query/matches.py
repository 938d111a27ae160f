"""What a query answers: the sources of a target, nearest first, and how they were found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import InitVar, dataclass, field
from typing import Any

from pyattrx.statistics import Match

__all__ = ["Matches"]


@dataclass(eq=False, repr=False, kw_only=True)
class Matches(list[Match]):
    """Sources for a target, nearest first: a list of `Match` that knows how it was made.

    Attributes
    ----------
    target : str
    method : str
    n_probes : int
        Probes that the target was seen on; fewer than the zoo has where the query stopped early.
    compared : int
        Entries compared by their rows (or, in a zoo without rows, by their sketches).
    searched : int
        Entries that the answer was chosen from.
    complete : bool
        Whether no other entry can be among the matches: all were compared by their rows, or the
        sketches of the others are four standard errors too low. Otherwise sketches chose which
        entries were compared, and may have missed one.
    settled : bool or None
        For an encoder and ``stop="confident"``: whether the set of matches was settled before the
        probes ended. Otherwise None: of a name, or of maps, all probes are known anyway.
    looks : int
        How often it could have been settled before the probes ended: 0 where nothing is stopped, or
        where the probes have too few groups for it.
    damaged : tuple of str
        Entries that should have been compared and are damaged.
    reranked : int
        Entries, the nearest, that were put in the order of another method; 0 if that was not asked
        for.
    reranked_by : str or None
        That method: matches and their affinities are its own.
    """

    matches: InitVar[Iterable[Match]] = field(kw_only=False)
    target: str
    method: str
    n_probes: int
    compared: int
    searched: int
    complete: bool
    settled: bool | None = None
    looks: int = 0
    damaged: tuple[str, ...] = ()
    reranked: int = 0
    reranked_by: str | None = None

    def __post_init__(self, matches: Iterable[Match]) -> None:
        self.extend(matches)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        facts = {name: value for name, value in vars(self).items() if name != "damaged"}
        return {
            **facts,
            "damaged": list(self.damaged),
            "matches": [match.to_dict() for match in self],
        }
