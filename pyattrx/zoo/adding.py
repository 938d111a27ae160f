"""Networks on their way into a zoo: run, or given as maps, and written as a whole."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from pyattrx.encoders import Encoder, load_many, refused
from pyattrx.errors import InvalidValueError, ZooDamagedError, ZooMismatchError
from pyattrx.methods import quantize
from pyattrx.running import Described, Description, check_sources, one_by_one, versions
from pyattrx.storage import (
    BESIDE,
    FACTS,
    Addition,
    Entry,
    EntryRow,
    Report,
    Run,
    Store,
    check_all_maps,
    check_facts,
    check_name,
    check_tags,
    facts_of,
    fingerprint,
    maps_hash,
    note_failure,
    now,
    row_width,
)
from pyattrx.zoo.sameness import BEHAVIOUR, differences

__all__ = ["add_all", "add_given", "add_one", "name_taken", "note", "tag", "taken_by", "written"]


def add_one(
    store: Store, encoder: Any, tags: Any, replace: bool, run: Run, *, wait: float
) -> Entry:
    """Add the one network that is given, or that a specification stands for."""
    labels = check_tags(tags)
    if not isinstance(encoder, (Encoder, str)):
        raise refused("encoder", encoder, "an Encoder, or a specification")
    found = list(load_many(encoder)) if isinstance(encoder, str) else [encoder]
    if len(found) != 1:
        raise InvalidValueError("encoder", encoder, f"one network, not {len(found)}; see add_many")
    _add_network(store, found[0], labels, replace, run, wait=wait)
    return store.entry(store.number(found[0].name))


def add_all(
    store: Store, encoders: Any, tags: Any, replace: bool, run: Run, *, wait: float
) -> Report:
    """Add networks one by one; one that fails goes into the report."""
    labels = check_tags(tags)
    sources = check_sources(encoders)
    report = Report()
    total = len(sources) if isinstance(sources, list) else None
    for index, (name, load) in enumerate(one_by_one(sources)):
        of = f" ({index + 1} of {total})" if total and index < total else ""
        label = name
        try:
            encoder = load()
            label = encoder.name
            anew = replace and label not in report.added  # what this call added stays
            note(report, label, _add_network(store, encoder, labels, anew, run, wait=wait, of=of))
        except Exception as error:  # one network does not stop the rest
            note_failure(report, label, error)
    return report


def note(report: Report, name: str, added: bool) -> None:
    """Note that a network was added, or was there."""
    names = report.added if added else report.skipped
    if name not in names:
        names.append(name)


def _add_network(
    store: Store,
    encoder: Encoder,
    tags: tuple[str, ...],
    replace: bool,
    run: Run,
    *,
    wait: float,
    of: str = "",
) -> bool:
    """Run a network and write it; False where it is there already and only gets the tags."""
    check_name(encoder.name)
    known = encoder.describe()
    identity = fingerprint(known)
    with store.writing(wait):
        store.refresh()
        taken = taken_by(
            store,
            encoder.name,
            replace,
            lambda there: differences(store.probes, there, encoder, known, run),
        )
        if taken is not None and not replace:
            tag(store, taken, tags)
            return False
        begun = time.perf_counter()
        description = Description(
            encoder,
            store.probes,
            [stored.descriptor for stored in store.methods],
            label=encoder.name + of,
            **run.description_options(),
        )
        with store.addition() as addition, description as described:
            facts = written(store, addition, encoder.name, described)
            facts["seconds"] = round(time.perf_counter() - begun, 3)
            facts = {**known, **run.facts(), **facts}
            entry = EntryRow(addition.key, encoder.name, identity, now(), facts)
            addition.commit(entry, tags, taken)
    return True


def written(store: Store, addition: Addition, name: str, network: Described) -> dict[str, Any]:
    """Write what a zoo keeps of a network; return what is to be known of it."""
    addition.feed(store.methods, _checked(store, name, network.rows(on_host=True)))
    names = [stored.name for stored in store.methods]
    zeros = dict(zip(names, [checks.zero for checks in network.checks], strict=True))
    kept: dict[str, Any] = {}
    if store.features is not None:
        summary = network.summary(store.features.method)
        addition.put_summary(store.features, summary)
        kept[FACTS] = facts_of(summary)
        zeros[store.features.name] = summary.zero_probes
    return {
        "precision": network.effects.of_maps,  # what "auto" was
        "zero_maps": zeros,
        "precision_effect": network.effects.of_precision,
        "compile_effect": network.effects.of_compile,
        "untrained": network.untrained,
        BEHAVIOUR: network.behaviour,
        **kept,
    }


def tag(store: Store, number: int, tags: tuple[str, ...]) -> None:
    """Give tags to an entry that is there."""
    with store.catalog.transaction():
        store.catalog.tag(number, tags)


def add_given(
    store: Store, name: str, maps: Any, tags: Any, replace: bool, facts: Any, *, wait: float
) -> Entry:
    """Write a network of given maps."""
    check_name(name)
    labels = check_tags(tags)
    said = check_facts(facts)
    store.refresh()
    rows = [
        quantize(some, stored.method.storage)
        for stored, some in zip(store.methods, check_all_maps(store, maps), strict=True)
    ]
    digest = "".join(maps_hash(some) for some in rows)
    known = {"specification": None, "weights_hash": None, **said, "maps": digest}
    return store.entry(_add_rows(store, name, rows, known, labels, replace, wait=wait))


def _add_rows(
    store: Store,
    name: str,
    rows: list[Tensor],
    known: Mapping[str, Any],
    tags: tuple[str, ...],
    replace: bool,
    *,
    wait: float,
) -> int:
    """Write a network of rows by method; return its number."""
    identity = fingerprint(known)
    with store.writing(wait):
        if store.refresh():
            raise ZooMismatchError(f"{name!r}: the zoo got more probes meanwhile")

        def differs(there: EntryRow) -> list[str] | None:
            if there.fingerprint == identity:
                return None
            return [
                key
                for key in known
                if key in there.facts and key not in BESIDE and there.facts[key] != known[key]
            ]

        taken = taken_by(store, name, replace, differs)
        if taken is not None and not replace:
            tag(store, taken, tags)
            return taken
        zeros = {
            stored.name: int((some == 0).all(1).sum())
            for stored, some in zip(store.methods, rows, strict=True)
        }
        everything = {**known, "zero_maps": zeros, "versions": versions()}
        with store.addition() as addition:
            batches = [(np.arange(len(store.probes)), rows)]
            addition.feed(store.methods, _checked(store, name, batches))
            entry = EntryRow(addition.key, name, identity, now(), everything)
            return addition.commit(entry, tags, taken)


def taken_by(
    store: Store,
    name: str,
    replace: bool,
    differs: Callable[[EntryRow], list[str] | None],
) -> int | None:
    """The number of an entry of this name; None where there is none.

    `differs` says in which facts it is another network than the one that is to be added.
    """
    number = store.catalog.id_of(name)
    if number is None or replace:
        return number
    try:
        there = store.catalog.entry(number)
    except ZooDamagedError as error:  # one network does not stop the rest
        raise ZooMismatchError(f"{error}; replace=True puts this network in its place") from error
    differences = differs(there)
    if differences is not None:
        raise name_taken(name, differences)
    return number


def name_taken(name: str, differences: Sequence[str]) -> InvalidValueError:
    """Make the error of a network whose name another one has."""
    return InvalidValueError(
        "name",
        name,
        "a name that is not taken: the zoo has another network of this name (it differs "
        f"in {', '.join(differences) or 'its kind'}); replace=True puts this one in its place",
    )


def _checked(store: Store, name: str, batches: Iterable[Any]) -> Iterator[Any]:
    """Let rows through that have the size of those that are there."""
    widths = [row_width(store, stored) for stored in store.methods]
    for probes, rows in batches:
        for width, some in zip(widths, rows, strict=True):
            if width not in (None, some.shape[1]):
                raise ZooMismatchError(
                    f"network {name!r}: its maps have {some.shape[1]} elements, those of the "
                    f"networks in the zoo {width}; reduce='none' needs networks whose inputs "
                    "have the same number of channels"
                )
        yield probes, rows
