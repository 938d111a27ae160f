"""One zoo into another: entries are copied, nothing is run."""

from __future__ import annotations

from collections.abc import Iterator

from pyattrx._progress import progress
from pyattrx.errors import ZooDamagedError, ZooMismatchError
from pyattrx.methods import FeatureMethod
from pyattrx.storage import Report, Store, StoredFeatures, StoredMethod
from pyattrx.zoo.sameness import same_entries

__all__ = ["merge"]


def merge(store: Store, theirs: Store, *, wait: float) -> Report:
    """Copy all entries of another zoo that are not here; see `Zoo.merge`."""
    report = Report()
    with store.writing(wait), progress("merging", theirs.catalog.count()) as step:
        store.refresh()
        theirs.refresh()
        _check_alike(store, theirs)
        for number in theirs.catalog.ids():
            _copy_entry(store, theirs, number, report)
            step(1)
    return report


def _check_alike(mine: Store, theirs: Store) -> None:
    """Refuse to merge zoos that differ in what they keep."""
    differences = []
    if mine.probes.hash != theirs.probes.hash:
        differences.append(
            f"probes ({mine.probes.hash[:12]} here, {theirs.probes.hash[:12]} there)"
        )
    if [m.method for m in mine.methods] != [m.method for m in theirs.methods]:
        here, there = ("; ".join(m.name for m in s.methods) for s in (mine, theirs))
        differences.append(f"methods ({here!r} here, {there!r} there)")
    if _definition(mine.features) != _definition(theirs.features):
        here, there = (s.features.name if s.features else "none" for s in (mine, theirs))
        differences.append(f"methods of re-ranking ({here!r} here, {there!r} there)")
    differences += [
        f"{what} ({getattr(mine, what)} here, {getattr(theirs, what)} there)"
        for what in ("sketch_size", "sketch_seed", "keep_rows")
        if getattr(mine, what) != getattr(theirs, what)
    ]
    if differences:
        raise ZooMismatchError(
            f"{theirs.folder} cannot be merged into {mine.folder}: they differ in "
            + ", ".join(differences)
        )


def _copy_entry(store: Store, theirs: Store, number: int, report: Report) -> None:
    """Copy an entry, checksums compared; the writer's lock is held by the caller."""
    name = theirs.catalog.names_of([number]).get(number, f"entry {number}")
    try:
        entry = theirs.catalog.entry(number)
        name = entry.name
        taken = store.catalog.id_of(name)
        if taken is not None:
            if not same_entries(store.catalog.entry(taken), entry):
                raise ZooMismatchError(f"{name!r} is another network here")
            with store.catalog.transaction():
                store.catalog.tag(taken, theirs.catalog.tags_of(number))
            report.skipped.append(name)
            return
        with store.addition(entry.key) as addition:
            for located in theirs.catalog.all_records(number):
                if located is None:
                    raise ZooDamagedError("its records are damaged")
                method = next(
                    mine
                    for mine, yours in _methods_of_both(store, theirs)
                    if yours.id == located.method
                )
                addition.copy(located, theirs.segments.read(located.record), method)
            addition.commit(entry, theirs.catalog.tags_of(number))
        report.added.append(name)
    except (ZooDamagedError, ZooMismatchError) as error:
        report.failed[name] = str(error)


def _definition(features: StoredFeatures | None) -> FeatureMethod | None:
    return None if features is None else features.method


def _methods_of_both(
    mine: Store, theirs: Store
) -> Iterator[tuple[StoredMethod | StoredFeatures, StoredMethod | StoredFeatures]]:
    """Pairs of the same method in two zoos that are alike."""
    yield from zip(mine.methods, theirs.methods, strict=True)
    if mine.features is not None and theirs.features is not None:
        yield mine.features, theirs.features
