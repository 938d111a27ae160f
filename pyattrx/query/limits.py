"""How much a query reads, and keeps in memory, before it asks for less."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """What a zoo's queries may take: ``zoo.limits``.

    Attributes
    ----------
    all_entries, all_bytes : int
        Entries that are compared by their rows without asking their sketches first: as many, or as
        many as have so many bytes of rows.
    least_chosen, chosen_per_match : int
        Sketches choose at least the one, or the other for each match; four times as many as long as
        they cannot rule out the rest.
    most_bytes : int
        Rows that are read of those whom sketches choose.
    in_memory : int
        Entries of a zoo whose sketches stay in memory: 128 MiB.
    one_by_one : int
        Entries with the right tags that are compared without the index.
    worth_saving : int
        Entries of an index that is worth a file.
    """

    all_entries: int = 64
    all_bytes: int = 256 << 20
    least_chosen: int = 64
    chosen_per_match: int = 16
    most_bytes: int = 1 << 30
    in_memory: int = 16384
    one_by_one: int = 2000
    worth_saving: int = 2000
