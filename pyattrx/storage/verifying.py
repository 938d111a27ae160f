"""Everything in a zoo read, and every checksum compared."""

from __future__ import annotations

from pyattrx._progress import progress
from pyattrx.errors import EntryGoneError, PyattrxError, ZooDamagedError
from pyattrx.storage.entry import Verification
from pyattrx.storage.features import arrays_of
from pyattrx.storage.store import Store

__all__ = ["verify"]


def verify(store: Store) -> Verification:
    """Say what is damaged."""
    found = Verification()
    found.problems += [f"catalog: {text}" for text in store.catalog.check()]
    ids = store.catalog.ids()
    with progress("verifying", len(ids) + len(store.probes)) as step:
        for index in range(len(store.probes)):
            try:
                store.probes.images(index, index + 1)
            except PyattrxError as error:
                found.problems.append(str(error))
            step(1)
        names = store.catalog.names_of(ids)
        for number in ids:
            wrong = _verify_entry(store, number, found)
            if wrong is None or store.catalog.names_of([number]):  # not removed meanwhile
                found.entries += 1
                if wrong is not None:
                    found.damaged[names.get(number, f"entry {number}")] = wrong
            step(1)
    return found


def _verify_entry(store: Store, number: int, found: Verification) -> str | None:
    try:
        entry = store.catalog.entry(number)
        located = store.catalog.all_records(number)
        for part in located:
            if part is None:
                return "a record of it is damaged"
            store.segments.read(part.record)
            found.bytes += part.record.length
        kinds = 2 if store.keep_rows else 1
        records = kinds * len(store.methods) + len(arrays_of(entry))
        if sum(part.count for part in located if part) != records * len(store.probes):
            return "records of it are missing"
    except (EntryGoneError, ZooDamagedError) as error:
        return str(error)
    return None
