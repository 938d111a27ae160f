"""A zoo that is open: what is in it, and what takes no more than its catalog and files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pyattrx._closing import Closing
from pyattrx.errors import InvalidTypeError, ZooError
from pyattrx.methods import FeatureMethod, Method
from pyattrx.probes import Probes
from pyattrx.query import Candidates, Limits
from pyattrx.storage import Entry, Store, Verification, check_tags, segment_sizes, verify

__all__ = ["OpenZoo"]


class OpenZoo(Closing):
    """The part of a `Zoo` that knows nothing of networks.

    Parameters
    ----------
    store : Store
    wait : float
        Seconds to wait for other writers.
    """

    def __init__(self, store: Store, wait: float) -> None:
        if not isinstance(store, Store):
            raise InvalidTypeError("path", store, "Zoo.open(path) or Zoo.create(path, probes)")
        self._opened = store
        self._closed = False
        self._wait = wait
        self.limits = Limits()

    def close(self) -> None:
        """Close all files; the zoo cannot be used afterwards."""
        self._closed = True
        self._opened.close()

    @property
    def limits(self) -> Limits:
        """How much its queries may read at once, and keep in memory; others can be set."""
        return self._limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        if not isinstance(limits, Limits):
            raise InvalidTypeError("limits", limits, "pyattrx.query.Limits(...)")
        self._limits = limits
        self._candidates: dict[int, Candidates] = {}  # by method

    @property
    def path(self) -> Path:
        """The folder."""
        return self._opened.folder

    @property
    def probes(self) -> Probes:
        """The images that every network saw."""
        self._store.refresh()
        return self._store.probes

    @property
    def methods(self) -> list[Method]:
        """What stands for a network; the first one answers unless a query says which."""
        return [stored.method for stored in self._store.methods]

    @property
    def rerank(self) -> FeatureMethod | None:
        """The method that queries put their finalists in order by."""
        features = self._store.features
        return None if features is None else features.method

    @property
    def names(self) -> list[str]:
        """Names of all networks, in the order in which they were added."""
        return self._store.catalog.names()

    @property
    def tags(self) -> dict[str, int]:
        """All tags, and how many networks have them."""
        return self._store.catalog.tags()

    def __len__(self) -> int:
        return self._store.catalog.count()

    def __contains__(self, name: object) -> bool:
        return self._store.find(name) is not None

    def entry(self, name: str) -> Entry:
        """Return what is known of a network."""
        return self._store.entry(self._store.number(name))

    def entries(self, tags: str | Sequence[str] = ()) -> Iterator[Entry]:
        """Go through the networks that have all of some tags, in the order of their names' ages.

        Those that are removed meanwhile are left out, and damaged ones with a ZooWarning.
        """
        return self._store.entries(tags)

    def tags_of(self, name: str) -> tuple[str, ...]:
        """Return the tags of a network, sorted; also where what was written of it is damaged."""
        return self._store.catalog.tags_of(self._store.number(name))

    def describe(self) -> dict[str, Any]:
        """Return what this zoo is, as JSON types."""
        store = self._store
        known = {stored.id: stored.name for stored in store.methods}
        return {
            **store.catalog.meta("zoo"),
            "path": str(store.folder),
            "networks": len(self),
            "methods": list(known.values()),
            "bytes": sum(segment_sizes(store.segments.folder).values()),
            "index": {known[which]: found.kind for which, found in self._candidates.items()},
            "tags": self.tags,
        }

    def verify(self) -> Verification:
        """Read everything and compare every checksum."""
        self._store.refresh()
        return verify(self._store)

    # What changes nothing but the catalog

    def remove(self, name: str) -> None:
        """Remove a network; its place on disk stays taken, until a new zoo merges this one."""
        store = self._store
        store.change(name, self._wait, store.catalog.remove)

    def tag(self, name: str, *tags: str) -> None:
        """Give a network tags."""
        labels, catalog = check_tags(tags), self._store.catalog
        self._store.change(name, self._wait, lambda number: catalog.tag(number, labels))

    def untag(self, name: str, *tags: str) -> None:
        """Take tags from a network, where it has them."""
        labels, catalog = check_tags(tags), self._store.catalog
        self._store.change(name, self._wait, lambda number: catalog.untag(number, labels))

    def __repr__(self) -> str:
        if self._closed:
            return f"Zoo({str(self.path)!r}, closed)"
        methods = "; ".join(stored.name for stored in self._store.methods)
        return (
            f"Zoo({str(self.path)!r}, {len(self)} networks, {len(self.probes)} probes, "
            f"method: {methods})"
        )

    @property
    def _store(self) -> Store:
        if self._closed:
            raise ZooError(f"{self.path}: the zoo is closed")
        return self._opened
