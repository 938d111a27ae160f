"""What a zoo says: entries, what happened when many were added, and what was verified."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pyattrx.errors import PyattrxError, ZooError, ZooMismatchError

__all__ = ["Entry", "Report", "Verification", "note_failure"]


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
        return {**vars(self), "tags": list(self.tags), "zero_maps": dict(self.zero_maps)}


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
        return dict(vars(self))


def note_failure(report: Report, label: str, error: Exception) -> None:
    """Note that one network failed; an error of the zoo itself (a full disk, ...) is raised."""
    if isinstance(error, ZooError) and not isinstance(error, ZooMismatchError):
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
        return {"ok": self.ok, **vars(self)}
