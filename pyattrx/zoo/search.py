"""From a target to what is compared with it: all entries, those that sketches choose, or a race."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from pyattrx.affinities.rows import Place, RowStore
from pyattrx.encoders import Encoder
from pyattrx.running import Description
from pyattrx.statistics import Residuals
from pyattrx.zoo.candidates import Candidates
from pyattrx.zoo.catalog import ROWS
from pyattrx.zoo.querying import (
    Compared,
    Target,
    compare_rows,
    compare_sketches,
    entry_target,
    row_cosines,
    sketch_rows,
)
from pyattrx.zoo.stopping import Race, rounds
from pyattrx.zoo.store import Store, StoredMethod

__all__ = ["Found", "Question", "Search"]

# Entries that are compared by their rows without asking their sketches first: as many, or as much.
_ALL_ENTRIES = 64
_ALL_BYTES = 256 << 20
# Sketches choose at least this many, or so many for each match; four times as many as long as they
# cannot rule out the rest, up to so many bytes of rows.
_LEAST_CANDIDATES = 64
_CANDIDATES_PER_MATCH = 16
_MOST_BYTES = 1 << 30
_SKETCH_ERRORS = 4.0


@dataclass(frozen=True)
class Question:
    """What is asked, whatever the target."""

    k: int
    level: float
    allowed: np.ndarray | None  # entries, rising; None for all
    exact: bool
    run: dict[str, Any] = field(default_factory=dict)  # how encoders are run


@dataclass(frozen=True)
class Found:
    """What was compared, and out of what."""

    compared: Compared
    searched: int
    n_probes: int
    complete: bool
    settled: bool = False


class _Arriving:
    """Where the rows of the network asked about go, known when its first are on their way."""

    def __init__(self, rows: RowStore) -> None:
        self._rows = rows
        self._place: Place | None = None

    def begin(self, batch: Sequence[Tensor]) -> list[bool]:
        """Make place, once; return whether rows are wanted on the host."""
        if self._place is None:
            self._place = self._rows.begin(batch[0])
        return [self._place.on_host]

    @property
    def place(self) -> Place:
        assert self._place is not None
        return self._place


class Search:
    """Answers questions under one method of a zoo.

    Parameters
    ----------
    store : Store
    method : StoredMethod
    """

    def __init__(self, store: Store, method: StoredMethod) -> None:
        self._store = store
        self._method = method
        self._candidates = Candidates(store, method)

    @property
    def _all_probes(self) -> np.ndarray:
        return np.arange(len(self._store.probes))  # there may be more of them since

    @property
    def index_kind(self) -> str | None:
        """What sketches are searched by; None before they are."""
        return self._candidates.kind

    def of_entry(self, number: int, name: str, question: Question) -> Found:
        """Ask about an entry, which is not compared with itself."""
        target = entry_target(self._store, self._method, number, name)
        return self._search(target, question, itself=number)

    def of_maps(self, maps: Tensor, rows: RowStore, question: Question) -> Found:
        """Ask about maps, in the type that they would be stored in."""
        rows.begin(maps).write(0, maps)
        return self._of_rows(rows, question)

    def of_encoder(self, encoder: Encoder, rows: RowStore, question: Question) -> Found:
        """Ask about a network, seen on all probes."""
        target = _Arriving(rows)
        with self._described(encoder, question) as description:
            for probes, (maps,) in description.rows(on_host=target.begin):
                target.place.write(int(probes[0]), maps)
        return self._of_rows(rows, question)

    def race(self, encoder: Encoder, rows: RowStore, question: Question) -> Found:
        """Ask about a network, seen on as few probes as are needed."""
        store = self._store
        ids = self._ids(question)
        order, looks = rounds(store.groups)
        room = _MOST_BYTES // max(self._row_bytes() * looks[0], 1)
        target = Target(store, self._method, rows, None)
        arriving = _Arriving(rows)
        race = None
        cosines = np.empty((0, 0))
        damaged: dict[int, str] = {}
        seen = 0
        with self._described(encoder, question) as description:
            for end in looks:
                new = order[seen:end]
                for probes, (maps,) in description.rows(new, on_host=arriving.begin):
                    for index, probe in enumerate(probes.tolist()):
                        arriving.place.write(probe, maps[index : index + 1])
                rising = np.sort(new)
                if race is None:
                    complete = len(ids) <= max(room, _ALL_ENTRIES)
                    if not complete:
                        ids = self._nearest_so_far(rows, rising, int(room), question)
                    race = Race(store.groups, len(ids), question.k, question.level)
                    cosines = np.empty((0, len(ids)))
                alive = race.alive
                fresh, kept, bad = row_cosines(
                    store, self._method, target, ids[alive].tolist(), rising
                )
                gone = ~np.isin(ids[alive], kept)
                race.withdraw(gone)
                damaged.update(bad)
                fresh = fresh[np.searchsorted(rising, new)]
                cosines = np.concatenate([cosines[:, ~gone], fresh])
                alive = race.alive
                race.look(cosines)
                cosines = cosines[:, np.isin(alive, race.alive)]
                seen = end
                if race.settled:
                    break
        assert race is not None
        probes = order[:seen]
        groups = np.unique(store.groups[probes], return_inverse=True)[1]
        in_order = np.argsort(probes)  # so that the sums are those of an ordinary query
        cosines, groups = cosines[in_order], groups[in_order]
        values = np.add.reduce(cosines, axis=0) / seen
        residuals = Residuals.of(cosines, groups)
        compared = Compared(ids[race.alive], values, residuals.stderr(), residuals, damaged)
        return Found(compared, len(self._ids(question)), seen, complete, race.settled)

    def _described(self, encoder: Encoder, question: Question) -> Description:
        store, method = self._store, self._method
        return Description(encoder, store.probes, [method.descriptor], **question.run)

    def _of_rows(self, rows: RowStore, question: Question) -> Found:
        sketch = sketch_rows(self._store, rows, self._all_probes)
        return self._search(Target(self._store, self._method, rows, sketch), question)

    def _search(self, target: Target, question: Question, itself: int | None = None) -> Found:
        store = self._store
        allowed = question.allowed
        searched = len(allowed) if allowed is not None else store.catalog.count()
        entry_bytes = self._row_bytes() * len(self._all_probes) if store.keep_rows else 0
        few = searched <= _ALL_ENTRIES or searched * entry_bytes <= _ALL_BYTES
        if store.keep_rows and (question.exact or few):
            ids = self._ids(question)
            ids = ids[ids != itself]
            compared = compare_rows(store, self._method, target, ids.tolist(), self._all_probes)
            return self._found(compared, len(ids), complete=True)
        searched -= itself is not None and (allowed is None or itself in allowed)
        assert target.sketch is not None
        if not store.keep_rows:
            near = self._candidates.search(target.sketch, 2 * question.k + 7, allowed)
            near = near.without(itself)
            compared = compare_sketches(store, target.sketch, near.ids, near.vectors)
            return self._found(compared, searched, complete=False)
        count = max(_LEAST_CANDIDATES, _CANDIDATES_PER_MATCH * question.k)
        while True:
            near = self._candidates.search(target.sketch, count + 1, allowed).without(itself)
            ids, scores = near.ids[:count], near.scores[:count]
            compared = compare_rows(store, self._method, target, ids.tolist(), self._all_probes)
            if len(ids) >= searched or self._rules_out(compared, scores, question.k):
                return self._found(compared, searched, complete=True)
            if 4 * count * entry_bytes > _MOST_BYTES:
                return self._found(compared, searched, complete=False)
            count *= 4

    def _rules_out(self, compared: Compared, scores: np.ndarray, k: int) -> bool:
        """Whether the k-th affinity is beyond what the sketches left out can stand for."""
        if len(compared.values) < k:
            return False
        least = np.partition(compared.values, -k)[-k]
        margin = _SKETCH_ERRORS / math.sqrt(self._store.sketch_size)
        return bool(least >= scores[-1] + margin)

    def _nearest_so_far(
        self, rows: RowStore, seen: np.ndarray, count: int, question: Question
    ) -> np.ndarray:
        """The entries whose sketches are nearest to one of the probes seen."""
        sketch = sketch_rows(self._store, rows, seen)
        return np.sort(self._candidates.search(sketch, count, question.allowed).ids)

    def _found(self, compared: Compared, searched: int, *, complete: bool) -> Found:
        compared.damaged.update(self._candidates.damaged)
        return Found(compared, searched, len(self._all_probes), complete)

    def _ids(self, question: Question) -> np.ndarray:
        if question.allowed is not None:
            return question.allowed
        return np.array(self._store.catalog.ids(), np.int64)

    def _row_bytes(self) -> int:
        first = self._store.catalog.any_record(self._method.id, ROWS)
        return first.record.row_bytes if first else 0
