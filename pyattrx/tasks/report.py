"""What was read, and what was left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pyattrx.probes import Skipped

__all__ = ["TaskReport", "count_of"]

_SHOWN = 10


@dataclass(frozen=True)
class TaskReport:
    """Where a task comes from and what was met on the way.

    Attributes
    ----------
    source : str
        "folder", "manifest", "arrays", "dataset", "batches" or "probes".
    place : str or None
        Path of the folder or file.
    available : int or None
        Images that there were to choose from, where it is known.
    smallest, largest : (int, int) or None
        Height and width of the photos of fewest and of most pixels, before they were cut.
    skipped : tuple of Skipped
        Images that could not be read, and why.
    ignored : dict
        Numbers of files that are no images, by suffix.
    empty : tuple of str
        Folders of classes without an image.
    notes : tuple of str
        Whatever else is worth a look.
    """

    source: str
    place: str | None = None
    available: int | None = None
    smallest: tuple[int, int] | None = None
    largest: tuple[int, int] | None = None
    skipped: tuple[Skipped, ...] = ()
    ignored: dict[str, int] = field(default_factory=dict)
    empty: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return the report as lines of text."""
        lines = []
        if self.place is not None:
            lines.append(f"read from the {self.source} {self.place}")
        else:
            lines.append(f"read from {self.source}")
        if self.available is not None:
            lines[0] += f" with {count_of(self.available, 'image')}"
        if self.smallest is not None and self.largest is not None:
            small, large = (
                f"{height} x {width}" for height, width in (self.smallest, self.largest)
            )
            sizes = f"of {small}" if small == large else f"from {small} to {large}"
            lines.append(f"photos {sizes} pixels")
        if self.empty:
            lines.append(f"folders without an image: {_some(list(self.empty))}")
        if self.ignored:
            kinds = [f"{n} {suffix or 'without suffix'}" for suffix, n in self.ignored.items()]
            lines.append(f"files that are no images: {_some(kinds)}")
        lines += self.notes
        if self.skipped:
            lines.append(f"{count_of(len(self.skipped), 'image')} skipped:")
            lines += [f"  {one.path}: {one.reason}" for one in self.skipped[:_SHOWN]]
            if len(self.skipped) > _SHOWN:
                lines.append(f"  and {len(self.skipped) - _SHOWN} more")
        return lines

    def as_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        return {
            "source": self.source,
            "place": self.place,
            "available": self.available,
            "smallest": None if self.smallest is None else list(self.smallest),
            "largest": None if self.largest is None else list(self.largest),
            "skipped": [one.to_dict() for one in self.skipped],
            "ignored": dict(self.ignored),
            "empty": list(self.empty),
            "notes": list(self.notes),
        }


def count_of(number: int, noun: str, several: str | None = None) -> str:
    """Return a number with its noun."""
    return f"{number} {noun if number == 1 else several or noun + 's'}"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
