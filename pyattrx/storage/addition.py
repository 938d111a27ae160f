"""A network on its way into a zoo: rows, sketches and summaries, seen when all are durable."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor
from xxhash import xxh3_64_intdigest

from pyattrx.methods import Summary
from pyattrx.storage.catalog import ROWS, SKETCH, SUMMARY, EntryRow, Located
from pyattrx.storage.features import FACTS, StoredFeatures, tensors_of
from pyattrx.storage.segments import Appender, Record
from pyattrx.storage.sketches import Sketcher

if TYPE_CHECKING:
    from pyattrx.storage.store import Store, StoredMethod

__all__ = ["GROWN", "Addition"]

GROWN = "grown "  # followed by an entry's number: what the catalog knows of it on probes to come


class Addition:
    """A network on its way into a zoo.

    Parameters
    ----------
    store : Store
    appender : Appender
    key : bytes
        What the entry's checksums are bound to.
    """

    def __init__(self, store: Store, appender: Appender, key: bytes) -> None:
        self._store = store
        self.appender = appender
        self.key = key
        self.records: list[Located] = []

    def feed(
        self,
        methods: Sequence[StoredMethod],
        batches: Iterable[tuple[np.ndarray, Sequence[Tensor]]],
        first: int = 0,
        count: int | None = None,
        groups: np.ndarray | None = None,
    ) -> None:
        """Write rows of consecutive probes by several methods, and their sketches.

        Parameters
        ----------
        methods : sequence of StoredMethod
        batches : iterable of (ndarray [B], list of Tensor [B, D])
            Numbers of the probes, in their order, and their rows by method.
        first, count : int
            The probes that come; all of them if left out.
        groups : ndarray of int64, optional
            Groups of all probes up to these; the store's if left out.
        """
        store = self._store
        count = len(store.probes) if count is None else count
        groups = store.groups if groups is None else groups
        sketchers = [Sketcher(groups, store.sketch_size, store.sketch_seed) for _ in methods]
        writers = None
        for probes, rows in batches:
            if writers is None and store.keep_rows:
                writers = [
                    self.appender.begin(count, like, self._identity(method, ROWS, first))
                    for method, like in zip(methods, rows, strict=True)
                ]
            for which, some in enumerate(rows):
                sketchers[which].add(probes, some)
                if writers is not None:
                    writers[which].write(int(probes[0]) - first, some)
        for which, method in enumerate(methods):
            if writers is not None:
                self._note(ROWS, method, first, count, writers[which].finish())
            unit = sketchers[which].total() / max(count, 1) ** 0.5
            self.put_sketch(method, unit.half(), first, count)

    def put_sketch(
        self, method: StoredMethod, sketch: Tensor, first: int = 0, count: int | None = None
    ) -> None:
        """Write the sketch of some probes, float16 [size]; of all if left out."""
        count = len(self._store.probes) if count is None else count
        writer = self.appender.begin(1, sketch[None], self._identity(method, SKETCH, first))
        writer.write(0, sketch[None])
        self._note(SKETCH, method, first, count, writer.finish())

    def put_summary(self, features: StoredFeatures, summary: Summary, first: int = 0) -> None:
        """Write what a feature method keeps of all probes.

        `first` is the number of the first probe that is new: what was kept before them stays valid
        until they count, see `Store.finish_growth`.
        """
        for index, (_, rows) in enumerate(tensors_of(summary)):
            kind = SUMMARY + index
            writer = self.appender.begin(len(rows), rows, self._identity(features, kind, first))
            writer.write(0, rows)
            self._note(kind, features, first, len(rows), writer.finish())

    def copy(self, located: Located, rows: Tensor, method: StoredMethod | StoredFeatures) -> None:
        """Write a record of another zoo again."""
        identity = self._identity(method, located.kind, located.first)
        writer = self.appender.begin(len(rows), rows, identity)
        writer.write(0, rows)
        self._note(located.kind, method, located.first, located.count, writer.finish())

    def commit(self, entry: EntryRow, tags: Iterable[str], replace: int | None = None) -> int:
        """Make everything durable and visible at once, in place of another entry if there is one.

        Returns
        -------
        int
            The entry's number.
        """
        catalog = self._store.catalog
        self.appender.sync()
        with catalog.transaction():
            if replace is not None:
                catalog.remove(replace)
            number = catalog.add(entry, tags, self.records)
            catalog.note_segment(self.appender.segment)
        return number

    def stage(
        self, number: int, zero_maps: dict[str, int], features: dict[str, Any] | None
    ) -> None:
        """Make rows of probes to come durable, for an entry that is there.

        With what is to be known of them: their zero maps, and the features of all probes.
        """
        catalog = self._store.catalog
        self.appender.sync()
        with catalog.transaction():
            catalog.add_records(number, self.records)
            catalog.set_meta(f"{GROWN}{number}", {"zero_maps": zero_maps, FACTS: features})
            catalog.note_segment(self.appender.segment)

    def _identity(self, method: StoredMethod | StoredFeatures, kind: int, first: int) -> int:
        return xxh3_64_intdigest(self.key + f"{method.digest} {kind} {first}".encode())

    def _note(
        self, kind: int, method: StoredMethod | StoredFeatures, first: int, count: int, at: Record
    ) -> None:
        self.records.append(Located(kind, method.id, first, count, at))
