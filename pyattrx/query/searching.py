"""What targets are compared with: all entries, those that sketches choose, or those of a race."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from pyattrx.affinities import Place, RowStore
from pyattrx.encoders import Encoder
from pyattrx.methods import quantize
from pyattrx.query.candidates import Candidates, Near
from pyattrx.query.comparing import (
    Compared,
    Seen,
    compare_rows,
    compare_sketches,
    entry_seen,
    row_cosines,
    sketch_rows,
)
from pyattrx.query.query import Query, Target
from pyattrx.query.stopping import Race, rounds
from pyattrx.running import Description
from pyattrx.statistics import Residuals
from pyattrx.storage import ROWS, Store, check_maps

__all__ = ["race", "search"]

_SKETCH_ERRORS = 4.0


def search(
    store: Store, candidates: Candidates, query: Query, targets: Sequence[Target], rows: RowStore
) -> list[Compared]:
    """Compare some targets of a query, seen on all probes; they share what is read of entries.

    Parameters
    ----------
    store : Store
    candidates : Candidates
    query : Query
    targets : sequence of Target
    rows : RowStore
        For the rows of those that are no entries.

    Returns
    -------
    list of Compared
        One for each target.
    """
    allowed = query.allowed
    searched = len(allowed) if allowed is not None else store.catalog.count()
    entry_bytes = _row_bytes(store, query) * len(store.probes) if store.keep_rows else 0
    limits = query.limits
    few = searched <= limits.all_entries or searched * entry_bytes <= limits.all_bytes
    everything = store.keep_rows and (query.exact or few)
    seen = _seen(store, query, targets, rows, sketched=not everything)
    if everything:
        ids = _ids(store, query)
        others = [ids[ids != target.entry] for target in targets]
        found = compare_rows(store, query.method, seen, others, _all_probes(store))
        for one, some in zip(found, others, strict=True):
            one.searched, one.complete = len(some), True
    else:
        found = _by_sketches(store, candidates, query, targets, seen)
    for one in found:
        one.n_probes = len(store.probes)
        one.damaged.update(candidates.damaged)
    return found


def _by_sketches(
    store: Store,
    candidates: Candidates,
    query: Query,
    targets: Sequence[Target],
    seen: Sequence[Seen],
) -> list[Compared]:
    """Compare targets with the entries that their sketches choose, by rows where there are any."""
    allowed = query.allowed
    everyone = len(allowed) if allowed is not None else store.catalog.count()
    left = [
        everyone - (target.entry is not None and (allowed is None or target.entry in allowed))
        for target in targets
    ]

    sketches = [one.sketch for one in seen if one.sketch is not None]

    def nearest(chosen: Sequence[int], counts: Sequence[int]) -> list[Near]:
        near = candidates.search([sketches[i] for i in chosen], counts, allowed)
        return [some.without(targets[i].entry) for i, some in zip(chosen, near, strict=True)]

    wanted = [query.to_find(target) for target in targets]
    found: dict[int, Compared] = {}
    open_ = list(range(len(targets)))
    if not store.keep_rows:
        near = nearest(open_, [2 * k + 7 for k in wanted])
        for i, some in enumerate(near):
            found[i] = compare_sketches(store, sketches[i], some.ids, some.vectors)
        open_ = []
    limits = query.limits
    counts = [max(limits.least_chosen, limits.chosen_per_match * k) for k in wanted]
    entry_bytes = _row_bytes(store, query) * len(store.probes)
    while open_:
        near = nearest(open_, [counts[i] + 1 for i in open_])
        ids = [some.ids[: counts[i]] for i, some in zip(open_, near, strict=True)]
        some_seen = [seen[i] for i in open_]
        compared = compare_rows(store, query.method, some_seen, ids, _all_probes(store))
        for i, some, one, mine in zip(list(open_), near, compared, ids, strict=True):
            one.complete = len(mine) >= left[i] or _rules_out(
                store, one, some.scores[: counts[i]], wanted[i]
            )
            if one.complete or 4 * counts[i] * entry_bytes > limits.most_bytes:
                found[i] = one
                open_.remove(i)
            counts[i] *= 4
    for i, one in found.items():
        one.searched = left[i]
    return [found[i] for i in range(len(targets))]


def race(
    store: Store, candidates: Candidates, query: Query, target: Target, rows: RowStore
) -> Compared:
    """Compare a target that is a network, seen on as few probes as are needed.

    Parameters
    ----------
    store : Store
    candidates : Candidates
    query : Query
    target : Target
    rows : RowStore
        For its rows; there are none in it yet.
    """
    ids = everyone = _ids(store, query)
    order, looks = rounds(store.groups)
    room = int(query.limits.most_bytes // max(_row_bytes(store, query) * looks[0], 1))
    complete = len(ids) <= max(room, query.limits.all_entries)
    seen = Seen(target.label, store, rows)
    arriving = _Arriving(rows)
    running = None
    cosines = np.empty((0, 0))
    damaged: dict[int, str] = {}
    done = 0
    with _described(store, query, target) as description:
        for end in looks:
            new = order[done:end]
            for probes, (maps,) in description.rows(new, on_host=arriving.begin):
                for index, probe in enumerate(probes.tolist()):
                    arriving.place.write(probe, maps[index : index + 1])
            rising = np.sort(new)
            if running is None:
                seen.row_bytes = arriving.place.row_bytes
                if not complete:  # the entries whose sketches are nearest to one of the probes seen
                    sketch = sketch_rows(store, seen, rising)
                    ids = np.sort(candidates.search([sketch], [room], query.allowed)[0].ids)
                running = Race(store.groups, len(ids), query.k, query.level)
                cosines = np.empty((0, len(ids)))
            alive = ids[running.alive]
            ((fresh, kept, bad),) = row_cosines(store, query.method, [seen], [alive], rising)
            gone = ~np.isin(alive, kept)
            running.withdraw(gone)
            damaged.update(bad)
            fresh = fresh[np.searchsorted(rising, new)]
            cosines = np.concatenate([cosines[:, ~gone], fresh])
            before = running.alive
            running.look(cosines)
            cosines = cosines[:, np.isin(before, running.alive)]
            done = end
            if running.settled:
                break
    assert running is not None
    probes = order[:done]
    groups = np.unique(store.groups[probes], return_inverse=True)[1]
    in_order = np.argsort(probes)  # so that the sums are those of an ordinary query
    cosines, groups = cosines[in_order], groups[in_order]
    values = np.add.reduce(cosines, axis=0) / done
    residuals = Residuals.of(cosines, groups)
    return Compared(
        ids[running.alive],
        values,
        residuals.stderr(),
        residuals,
        damaged,
        searched=len(everyone),
        n_probes=done,
        complete=complete,
        settled=running.settled,
    )


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


def _seen(
    store: Store, query: Query, targets: Sequence[Target], rows: RowStore, *, sketched: bool
) -> list[Seen]:
    """Look at all targets; networks are run one after another."""
    method = query.method
    maps = {  # all are checked before a network is run
        target.label: check_maps(store, target.label, target.given, method)
        for target in targets
        if isinstance(target.given, Tensor)
    }
    found = []
    for target in targets:
        if target.entry is not None:
            found.append(entry_seen(store, method, target.entry, target))
            continue
        arriving = _Arriving(rows)
        if target.label in maps:
            given = quantize(maps[target.label], method.method.storage)
            arriving.begin([given])
            arriving.place.write(0, given)
        else:
            with _described(store, query, target) as description:
                for probes, (some,) in description.rows(on_host=arriving.begin):
                    arriving.place.write(int(probes[0]), some)
        one = Seen(target.label, store, rows, len(rows) - 1, arriving.place.row_bytes)
        if sketched:
            one.sketch = sketch_rows(store, one, _all_probes(store))
            if not store.keep_rows:  # nothing else will be asked of it
                rows.keep_first(0)
        found.append(one)
    return found


def _described(store: Store, query: Query, target: Target) -> Description:
    assert isinstance(target.given, Encoder)
    descriptors = [query.method.descriptor]
    return Description(target.given, store.probes, descriptors, **query.run.description_options())


def _rules_out(store: Store, compared: Compared, scores: np.ndarray, k: int) -> bool:
    """Whether the k-th affinity is beyond what the sketches left out can stand for."""
    if len(compared.values) < k:
        return False
    least = np.partition(compared.values, -k)[-k]
    margin = _SKETCH_ERRORS / math.sqrt(store.sketch_size)
    return bool(least >= scores[-1] + margin)


def _all_probes(store: Store) -> np.ndarray:
    return np.arange(len(store.probes))  # there may be more of them since


def _ids(store: Store, query: Query) -> np.ndarray:
    if query.allowed is not None:
        return query.allowed
    return np.array(store.catalog.ids(), np.int64)


def _row_bytes(store: Store, query: Query) -> int:
    first = store.catalog.any_record(query.method.id, ROWS)
    return first.record.row_bytes if first else 0
