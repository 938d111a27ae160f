"""What is kept of many entries, read at once; what is damaged is left out, and said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pyattrx.errors import EntryGoneError, ZooDamagedError, ZooMismatchError
from pyattrx.methods import Summary
from pyattrx.storage.catalog import SKETCH, SUMMARY, EntryRow, Located
from pyattrx.storage.features import FACTS, FEATURES_ID, StoredFeatures, arrays_of
from pyattrx.storage.store import Store, StoredMethod

__all__ = ["read_sketches", "read_summaries", "without_records"]

# Names of arrays as older zoos have them.
_RENAMED = {"latent": "output"}


def read_sketches(
    store: Store, method: StoredMethod, ids: Sequence[int]
) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
    """Which entries could be read, their sketches [K, size], float16, and what is damaged."""
    located = store.catalog.records(list(ids), method.id, SKETCH)
    kept: list[int] = []
    damaged: dict[int, str] = {}
    vectors = np.empty((len(located), store.sketch_size), np.float16)
    for number, parts in located.items():
        if len(parts) == 1:  # nearly always: no tensors, no exceptions
            row = store.segments.read_first(parts[0].record)
            if row is not None:
                vectors[len(kept)] = np.frombuffer(row, np.float16)
                kept.append(number)
                continue
        try:
            vectors[len(kept)] = store.sketch(parts)
            kept.append(number)
        except ZooDamagedError as error:
            damaged[number] = str(error)
    damaged.update(without_records(store, ids, located))
    return np.array(kept, np.int64), vectors[: len(kept)], damaged


def without_records(
    store: Store, ids: Sequence[int], located: Mapping[int, object]
) -> dict[int, str]:
    """Entries that are there and whose records are not found: the damage hides them."""
    missing = [int(number) for number in ids if int(number) not in located]
    if not missing:
        return {}
    return dict.fromkeys(store.catalog.names_of(missing), "records of it are missing")


def read_summaries(
    store: Store, features: StoredFeatures, numbers: Sequence[int]
) -> tuple[dict[int, Summary], dict[int, str]]:
    """What is kept of those entries that are there, and which are damaged and why."""
    catalog = store.catalog
    entries: dict[int, EntryRow] = {}
    damaged: dict[int, str] = {}
    for number in numbers:
        try:
            entries[number] = catalog.entry(number)
        except EntryGoneError:
            continue
        except ZooDamagedError as error:
            damaged[number] = str(error)
    bare = [entry.name for entry in entries.values() if not arrays_of(entry)]
    if bare:
        shown = ", ".join(map(repr, bare[:5])) + (", ..." if len(bare) > 5 else "")
        raise ZooMismatchError(
            f"{shown}: added as maps, without the features that {features.name!r} needs; "
            "add the networks themselves, leave them out, or compare maps (rerank=False of a "
            "query, method= of an affinity)"
        )
    most = max((len(arrays_of(entry)) for entry in entries.values()), default=0)
    kinds = range(SUMMARY, SUMMARY + most)
    located = {kind: catalog.records(list(entries), FEATURES_ID, kind) for kind in kinds}
    found: dict[int, Summary] = {}
    for number, entry in entries.items():
        try:
            found[number] = _read(
                store, entry, {kind: located[kind].get(number, []) for kind in kinds}
            )
        except ZooDamagedError as error:
            damaged[number] = str(error)
    there = catalog.names_of(list(damaged))  # what was removed meanwhile is not damaged
    return found, {number: why for number, why in damaged.items() if number in there}


def _read(store: Store, entry: EntryRow, records: Mapping[int, Sequence[Located]]) -> Summary:
    arrays = {}
    shapes = arrays_of(entry)
    for index, name in enumerate(sorted(shapes)):
        parts = records[SUMMARY + index]
        if len(parts) != 1:
            raise ZooDamagedError("what is kept of its features is damaged")
        rows = store.segments.read(parts[0].record).numpy()
        arrays[_RENAMED.get(name, name)] = rows.reshape(len(rows), *shapes[name])
    facts = entry.facts[FACTS]
    return Summary(arrays, facts["zero_probes"], facts["observed"])
