"""The entries whose sketches are nearest to a target's: what is worth comparing by rows."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pyattrx._progress import progress
from pyattrx.errors import IndexDamagedError, PyattrxError
from pyattrx.query.limits import Limits
from pyattrx.query.sketch_index import SketchIndex
from pyattrx.storage import Store, StoredMethod, read_sketches

__all__ = ["Candidates", "Near"]

# Sketches read at once.
_BLOCK = 2048
# The newest entries of an index, by which it is told whether it belongs to a zoo.
_NEWEST = 64


@dataclass(frozen=True)
class Near:
    """Entries near to a target, best first: numbers, inner products and sketches, float32."""

    ids: np.ndarray
    scores: np.ndarray
    vectors: np.ndarray

    def without(self, number: int | None) -> Near:
        """Leave one out."""
        kept = self.ids != number
        return Near(self.ids[kept], self.scores[kept], self.vectors[kept])


class Candidates:
    """The sketches of a zoo's entries under one method, searched by inner product.

    The index is kept in a file where that saves time, and is only ever a hint: what it finds is
    read from the zoo, checksums and all, and put in order by the sketches themselves. Entries that
    were added since are appended; those that were removed are not found in the catalog any more.

    Parameters
    ----------
    store : Store
    method : StoredMethod
    limits : Limits

    Attributes
    ----------
    damaged : dict of int to str
        Entries that are not in the index because their sketches are damaged.
    """

    def __init__(self, store: Store, method: StoredMethod, limits: Limits) -> None:
        self._store = store
        self._method = method
        self._limits = limits
        self._path = store.index_folder / f"{method.digest:016x}.index"
        self._index: SketchIndex | None = None
        self._last = 0  # the newest entry that was looked at
        self._epoch: int | None = None
        self._saved = 0
        self._cached_ids = np.empty(0, np.int64)
        self._cached = np.empty((0, store.sketch_size), np.float16)
        self._lock = threading.Lock()
        self.damaged: dict[int, str] = {}

    @property
    def kind(self) -> str | None:
        """Kind of the index; None before it is needed."""
        return None if self._index is None else self._index.kind

    def search(
        self,
        sketches: Sequence[np.ndarray],
        counts: Sequence[int],
        allowed: np.ndarray | None = None,
    ) -> list[Near]:
        """Find the entries with the largest inner products, by the sketches themselves.

        A pass over the index, or over sketches in files, serves all targets.

        Parameters
        ----------
        sketches : sequence of ndarray [size], float32
            One a target.
        counts : sequence of int
            How many to find for each.
        allowed : ndarray of int64, optional
            Entries to choose from, rising.

        Returns
        -------
        list of Near
            For each target what it finds alone, as many as asked for or fewer.
        """
        if allowed is not None and len(allowed) <= self._limits.one_by_one:
            return self._ordered(sketches, [allowed] * len(sketches), counts)
        with self._lock:
            index = self._refreshed()
        wanted = {which: index.candidates(count) for which, count in enumerate(counts)}
        found: dict[int, Near] = {}
        while wanted:
            most = min(wanted.values())
            turn = [which for which, count in wanted.items() if count == most]
            offered = [ids for ids, _ in index.search(np.stack([sketches[i] for i in turn]), most)]
            if allowed is not None:
                offered = [ids[np.isin(ids, allowed, assume_unique=True)] for ids in offered]
            near = self._ordered([sketches[i] for i in turn], offered, [counts[i] for i in turn])
            for which, some in zip(turn, near, strict=True):
                if len(some.ids) >= counts[which] or most >= len(index):
                    found[which] = some
                    del wanted[which]
                else:
                    wanted[which] *= 4  # removed or filtered entries took the places
        return [found[which] for which in range(len(sketches))]

    def _ordered(
        self, sketches: Sequence[np.ndarray], ids: Sequence[np.ndarray], counts: Sequence[int]
    ) -> list[Near]:
        """Put entries in the order of their sketches; those that are gone are left out."""
        kept, vectors, places = self._sketches_of(np.unique(np.concatenate(ids)))
        found = []
        for sketch, some, count in zip(sketches, ids, counts, strict=True):
            mine = np.isin(kept, some)
            numbers, rows = kept[mine], _widened(vectors[places[mine]])
            scores = rows @ sketch
            order = np.lexsort((numbers, -scores))
            there = self._store.catalog.names_of(numbers[order[:count]].tolist())
            if len(there) < min(count, len(order)):
                there = self._store.catalog.names_of(numbers.tolist())
                order = order[[int(number) in there for number in numbers[order]]]
            order = order[:count]
            found.append(Near(numbers[order], scores[order], rows[order]))
        return found

    def _sketches_of(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Which of some entries, rising, can be read; sketches, float16, and where theirs are."""
        places = np.searchsorted(self._cached_ids, ids)
        found = places < len(self._cached_ids)
        found[found] = self._cached_ids[places[found]] == ids[found]
        if found.all():
            return ids, self._cached, places
        kept, vectors, damaged = read_sketches(self._store, self._method, ids.tolist())
        self.damaged.update(damaged)
        return kept, vectors, np.arange(len(kept))

    def _refreshed(self) -> SketchIndex:
        """The index, with all that was added since."""
        catalog = self._store.catalog
        epoch = catalog.meta("epoch")
        if epoch != self._epoch:
            self._index, self._epoch = None, epoch
            self._cached_ids, self._cached = self._cached_ids[:0], self._cached[:0]
        if self._index is None:
            self._index = self._loaded(epoch)
            self._last = int(self._index.ids.max(initial=0))
            self._saved = len(self._index)
        last = catalog.last_id()
        if self._outgrown(self._index):
            self._index, self._saved = self._built(), 0
            self._last = max(last, int(self._index.ids.max(initial=0)))
        elif last > self._last:
            for ids, vectors in self._sketches(self._last):
                self._index.add(ids, vectors)
            self._last = last
        self._fill_cache(last)
        if len(self._index) >= self._limits.worth_saving and len(self._index) > 1.1 * self._saved:
            self._save(self._index)
        return self._index

    def _outgrown(self, index: SketchIndex) -> bool:
        """Whether building it anew, for all entries, is better than adding to it."""
        count = self._store.catalog.count()
        return index.stale(count) or len(index) > 2 * count + _BLOCK

    def _fill_cache(self, last: int) -> None:
        """Keep the sketches of a small zoo in memory, their checksums compared once."""
        begun = int(self._cached_ids[-1]) if len(self._cached_ids) else 0
        if last <= begun or self._store.catalog.count() > self._limits.in_memory:
            return
        blocks = list(self._sketches(begun))
        self._cached_ids = np.concatenate([self._cached_ids, *(ids for ids, _ in blocks)])
        self._cached = np.concatenate([self._cached, *(vectors for _, vectors in blocks)])

    def _loaded(self, epoch: int) -> SketchIndex:
        with contextlib.suppress(OSError, IndexDamagedError):
            index = SketchIndex.load(self._path.with_suffix(f".{epoch}.index"))
            if index.size == self._store.sketch_size and self._is_ours(index):
                self.damaged.update({int(k): v for k, v in index.facts["damaged"].items()})
                return index
        return SketchIndex.build([], lambda: [], self._store.sketch_size)

    def _is_ours(self, index: SketchIndex) -> bool:
        """Whether an index is of this zoo, and of the entries that it has now.

        A catalog that was put back to an older state gives the numbers of newer entries to others:
        the newest entries of the index are where that shows.
        """
        if index.facts.get("zoo") != self._store.uuid:
            return False
        known = {int(number): key for number, key in index.facts["newest"].items()}
        keys = self._store.catalog.keys_of(list(known))
        newest = int(index.ids.max(initial=0))
        return newest <= self._store.catalog.last_id_ever() and all(
            known[number] == key for number, key in keys.items()
        )

    def _built(self) -> SketchIndex:
        """Build the index of everything that there is."""
        ids = self._store.catalog.ids()
        with progress("indexing sketches", 2 * len(ids)) as step:

            def blocks() -> Iterator[np.ndarray]:
                for start in range(0, len(ids), _BLOCK):
                    some = ids[start : start + _BLOCK]
                    kept, vectors, damaged = read_sketches(self._store, self._method, some)
                    self.damaged.update(damaged)
                    if len(kept) < len(some):  # what is damaged is never near to anything
                        whole = np.zeros((len(some), vectors.shape[1]), np.float16)
                        whole[np.isin(some, kept)] = vectors
                        vectors = whole
                    step(len(some))
                    yield vectors

            return SketchIndex.build(ids, blocks, self._store.sketch_size)

    def _sketches(self, after: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Go through the sketches of all entries beyond `after`, block by block."""
        ids = self._store.catalog.ids(after=after)
        for start in range(0, len(ids), _BLOCK):
            some = ids[start : start + _BLOCK]
            kept, vectors, damaged = read_sketches(self._store, self._method, some)
            self.damaged.update(damaged)
            yield kept, vectors

    def _save(self, index: SketchIndex) -> None:
        """Keep the index for the next time, where one may write."""
        folder = self._store.index_folder
        with contextlib.suppress(OSError, PyattrxError):
            folder.mkdir(exist_ok=True)
            for old in folder.glob(f"{self._path.stem}.*.index"):
                if old.name != f"{self._path.stem}.{self._epoch}.index":
                    old.unlink()
            newest = np.sort(index.ids)[-_NEWEST:].tolist()
            facts = {
                "zoo": self._store.uuid,
                "newest": self._store.catalog.keys_of(newest),
                "damaged": self.damaged,
            }
            index.save(self._path.with_suffix(f".{self._epoch}.index"), facts)
            self._saved = len(index)


def _widened(vectors: np.ndarray) -> np.ndarray:
    """As float32: PyTorch does it several times as fast."""
    wide: np.ndarray = torch.from_numpy(vectors).float().numpy()
    return wide
