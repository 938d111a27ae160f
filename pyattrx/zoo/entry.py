"""What a zoo says: entries, what happened when many were added, what was verified, and matches."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pyattrx.errors import PyattrxError, ZooError, ZooMismatch
from pyattrx.statistics import Match

__all__ = ["Entry", "Matches", "Report", "Verification", "note_failure"]


@dataclass(frozen=True)
class Entry:
    """A network in a zoo.

    Attributes
    ----------
    name : str
    tags : tuple of str
    specification : str or None
        How it can be loaded again, see `pyattrx.load`.
    weights_hash : str or None
        See `Encoder.weights_hash`; None for maps that came without their network.
    created : str
        When it was added, ISO 8601, UTC.
    zero_maps : dict of str to int
        Probes with an all-zero map, by method.
    facts : dict
        Everything known about it, as JSON types: class, preprocessing, output, versions, device,
        time taken.
    """

    name: str
    tags: tuple[str, ...]
    specification: str | None
    weights_hash: str | None
    created: str
    zero_maps: dict[str, int]
    facts: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        return {
            "name": self.name,
            "tags": list(self.tags),
            "specification": self.specification,
            "weights_hash": self.weights_hash,
            "created": self.created,
            "zero_maps": dict(self.zero_maps),
            "facts": self.facts,
        }


@dataclass
class Report:
    """What became of many networks.

    Attributes
    ----------
    added, skipped : list of str
        Names; skipped ones were there already, with the same weights and preprocessing.
    failed : dict of str to str
        What went wrong, by name or specification.
    """

    added: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        return {"added": self.added, "skipped": self.skipped, "failed": self.failed}


def note_failure(report: Report, label: str, error: Exception) -> None:
    """Note that one network failed; an error of the zoo itself (a full disk, ...) is raised."""
    if isinstance(error, ZooError) and not isinstance(error, ZooMismatch):
        raise error
    kind = "" if isinstance(error, PyattrxError) else f"{type(error).__name__}: "
    report.failed[label] = f"{kind}{error}"


@dataclass
class Verification:
    """What `Zoo.verify` found.

    Attributes
    ----------
    entries : int
        Entries whose every checksum was compared.
    bytes : int
        Size of what was read.
    damaged : dict of str to str
        What is wrong, by the name of the entry.
    problems : list of str
        What is wrong beyond entries: with the catalog or the probes.
    """

    entries: int = 0
    bytes: int = 0
    damaged: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether everything is as it was written."""
        return not self.damaged and not self.problems

    def to_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        return {
            "ok": self.ok,
            "entries": self.entries,
            "bytes": self.bytes,
            "damaged": self.damaged,
            "problems": self.problems,
        }


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

    def __init__(
        self,
        matches: Iterable[Match],
        *,
        target: str,
        method: str,
        n_probes: int,
        compared: int,
        searched: int,
        complete: bool,
        settled: bool | None = None,
        looks: int = 0,
        damaged: tuple[str, ...] = (),
        reranked: int = 0,
        reranked_by: str | None = None,
    ) -> None:
        super().__init__(matches)
        self.target = target
        self.method = method
        self.n_probes = n_probes
        self.compared = compared
        self.searched = searched
        self.complete = complete
        self.settled = settled
        self.looks = looks
        self.damaged = damaged
        self.reranked = reranked
        self.reranked_by = reranked_by

    def to_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        facts = {name: value for name, value in vars(self).items() if name != "damaged"}
        return {
            **facts,
            "damaged": list(self.damaged),
            "matches": [match.to_dict() for match in self],
        }
