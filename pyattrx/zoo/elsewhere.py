"""Networks that workers run, on their way into a zoo: this process alone writes.

What workers find is written in the order in which the networks were given, so that a zoo is the
same whoever ran them. The zoo is locked while one network is written, and not while it is run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pyattrx._progress import progress
from pyattrx.encoders import Encoder
from pyattrx.errors import ZooDamagedError, ZooMismatchError
from pyattrx.running import Description, Source, check_sources, one_by_one
from pyattrx.storage import (
    EntryRow,
    Report,
    Run,
    Store,
    check_name,
    check_tags,
    fingerprint,
    note_failure,
    now,
)
from pyattrx.workers import (
    DescribedElsewhere,
    Engine,
    Job,
    Outcome,
    Shared,
    check_sendable,
    described,
)
from pyattrx.zoo.adding import name_taken, note, tag, taken_by, written
from pyattrx.zoo.sameness import BEHAVIOUR, differences, same_entries

__all__ = ["add_elsewhere"]


@dataclass(frozen=True)
class _Ran:
    """A network that was run.

    Attributes
    ----------
    known : dict
        What its encoder says of it.
    run_facts : dict
        How it was run.
    network : DescribedElsewhere
    seconds : float
    """

    known: dict[str, Any]
    run_facts: dict[str, Any]
    network: DescribedElsewhere
    seconds: float


@dataclass(frozen=True)
class _There:
    """A network whose name is taken, and was not run.

    Attributes
    ----------
    differences : list of str or None
        In what it is another network than the one that is there; None where it is the same.
    """

    differences: list[str] | None


def add_elsewhere(
    engine: Engine,
    store: Store,
    encoders: Any,
    tags: Any,
    replace: bool,
    run: Run,
    *,
    wait: float,
) -> Report:
    """Add networks that workers run; one that fails goes into the report."""
    labels = check_tags(tags)
    sources = check_sources(encoders)
    total = None
    if isinstance(sources, list):
        check_sendable(engine, "encoders", sources)
        total = len(sources)
    report = Report()
    store.refresh()
    options = {"batch_size": run.batch_size, "precision": run.precision, "compile": run.compile}
    shared = Shared(store.probes, (_wanted(store), options))
    with (
        closing(engine.run(_run, shared, _jobs(store, sources, replace))) as outcomes,
        progress(f"networks, by {engine.count} workers", total) as step,
    ):
        for outcome in outcomes:
            try:
                anew = replace and outcome.name not in report.added
                note(report, outcome.name, _add(store, outcome, labels, anew, wait=wait))
            except Exception as error:  # one network does not stop the rest
                note_failure(report, outcome.name, error)
            step(1)
    return report


def _jobs(store: Store, sources: list[Source] | Iterator[Source], replace: bool) -> Iterator[Job]:
    """Networks, each with the entry that has its name, if it is known and not to give way."""
    for label, load in one_by_one(sources):
        there: EntryRow | None = None
        number = None if replace else store.catalog.id_of(label)
        if number is not None:
            try:
                there = store.catalog.entry(number)
            except ZooDamagedError:  # said when its turn comes
                there = None
        yield Job(label, (load, there))


def _wanted(store: Store) -> tuple[list[Any], list[Any]]:
    """What is to be made of a network: its maps, and what is kept of its features."""
    features = [] if store.features is None else [store.features.method]
    return [stored.descriptor for stored in store.methods], features


def _run(
    shared: Shared, what: tuple[Callable[[], Encoder], EntryRow | None], device: torch.device
) -> tuple[str, Callable[[], Any]]:
    """Run a network in a worker, unless it is there."""
    load, there = what
    (maps, features), options = shared.what
    encoder = load()
    run = Run(device=device, **options)

    def made() -> _Ran | _There:
        check_name(encoder.name)
        known = encoder.describe()
        if there is not None and there.name == encoder.name:
            return _There(differences(shared.probes, there, encoder, known, run))
        begun = time.perf_counter()
        network = Description(encoder, shared.probes, maps, **run.description_options())
        found = described(network, features, np.arange(len(shared.probes)))
        return _Ran(known, run.facts(), found, round(time.perf_counter() - begun, 3))

    return encoder.name, made


def _add(
    store: Store, outcome: Outcome, tags: tuple[str, ...], replace: bool, *, wait: float
) -> bool:
    """Write what a worker found; False where the network is there already."""
    found: _Ran | _There = outcome.get()
    name = outcome.name
    with store.writing(wait):
        if store.refresh():
            raise ZooMismatchError(f"{name!r}: the zoo got more probes meanwhile")
        if isinstance(found, _There):
            if found.differences is not None:
                raise name_taken(name, found.differences)
            tag(store, store.number(name), tags)
            return False
        identity = fingerprint(found.known)
        facts = {**found.known, BEHAVIOUR: found.network.behaviour}
        ours = EntryRow(b"", name, identity, now(), facts)
        # It came meanwhile, or by another name: both were run, so that both can be compared.
        taken = taken_by(store, name, replace, lambda there: _differences(there, ours))
        if taken is not None and not replace:
            tag(store, taken, tags)
            return False
        with store.addition() as addition:
            facts = written(store, addition, name, found.network)
            facts = {**found.known, **found.run_facts, **facts, "seconds": found.seconds}
            addition.commit(EntryRow(addition.key, name, identity, now(), facts), tags, taken)
    return True


def _differences(there: EntryRow, ours: EntryRow) -> list[str] | None:
    """Names of the facts in which two entries differ; None for the same network."""
    if same_entries(there, ours):
        return None
    known = {key: value for key, value in ours.facts.items() if key != BEHAVIOUR}
    differ = [key for key in known if key in there.facts and there.facts[key] != known[key]]
    return differ or [BEHAVIOUR]
