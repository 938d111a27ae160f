"""More probes for a zoo: networks see the new ones only, and all probes count from one moment on.

Rows of the new probes are staged: each network's are durable when its turn is over, and nobody sees
them, since records beyond a zoo's probes are not read. The last transaction says which probes there
are from now on. Until then the zoo is the one that it was, and the same call goes on where it
stopped.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pyattrx._checks import flag
from pyattrx._progress import progress
from pyattrx.encoders import Encoder
from pyattrx.errors import InvalidTypeError, InvalidValueError, ZooDamagedError, ZooWarning
from pyattrx.methods import AttributionMaps
from pyattrx.probes import Probes
from pyattrx.running import (
    Described,
    Description,
    Source,
    check_precision,
    encoders_of,
    one_by_one,
)
from pyattrx.storage import (
    EntryRow,
    Report,
    Run,
    Store,
    check_encoders,
    facts_of,
    note_failure,
)
from pyattrx.workers import (
    DescribedElsewhere,
    Engine,
    Job,
    Shared,
    Workers,
    check_sendable,
    described,
    engine_of,
)
from pyattrx.zoo.loading import load_entry
from pyattrx.zoo.sameness import check_same

__all__ = ["Growth", "grow"]

_CALLER = 4  # of `Zoo.add_probes`, from where it is warned


def grow(
    store: Store,
    probes: Probes,
    encoders: Any,
    run: Run,
    *,
    drop: bool,
    trust: bool,
    wait: float,
    workers: Workers = None,
) -> Report:
    """Let every network see more probes, the zoo's followed by new ones; see `Zoo.add_probes`."""
    flag("drop", drop)
    given = check_encoders(encoders)
    engine = engine_of(workers, run.device, any_device=run.any_device)
    if engine is not None:
        check_sendable(engine, "encoders", given)
    with store.writing(wait):
        store.refresh()
        _check_extension(store.probes, probes)
        growth = Growth(store, probes, run, trust, engine)
        report = growth.stage(given)
        if drop or not report.failed:
            growth.finish(report.failed)
            return report
        before = len(store.probes)
    name, why = next(iter(report.failed.items()))
    warnings.warn(
        f"the zoo stays at its {before} probes: {len(report.failed)} of its networks cannot be "
        f"run on the new ones, such as {name!r} ({why}); drop=True removes them",
        ZooWarning,
        stacklevel=_CALLER,
    )
    return report


def _check_extension(old: Probes, probes: Any) -> None:
    """Refuse what is not some probes followed by others."""
    if not isinstance(probes, Probes):
        raise InvalidTypeError("probes", probes, "pyattrx.Probes")
    if probes.size != old.size:
        raise InvalidValueError(
            "probes.size", probes.size, f"{old.size}, the size of the zoo's probes"
        )
    if len(probes) <= len(old) or probes.head(len(old)).hash != old.hash:
        raise InvalidValueError(
            "probes",
            probes,
            f"the zoo's {len(old)} probes, groups and all, followed by new ones: for example the "
            "same Probes.from_folder(...) with a larger limit",
        )


@dataclass
class Growth:
    """Networks of a zoo on their way to more probes; the writer's lock is held by the caller.

    Attributes
    ----------
    store : Store
    probes : Probes
        The zoo's, followed by new ones; see `grow`.
    run : Run
        Batch size and device; precision and compilation are those that a network was added with.
    trust : bool
        Load exported programs.
    engine : Engine, optional
        What runs networks; this process if left out.
    """

    store: Store
    probes: Probes
    run: Run
    trust: bool = False
    engine: Engine | None = None

    def stage(self, given: Sequence[Source]) -> Report:
        """Run every network on the new probes, unless that was done before.

        Parameters
        ----------
        given : list of Encoder, str or callable
            Networks that cannot be loaded by what the zoo knows of them.

        Returns
        -------
        Report
            Those that are ready are added or skipped, the others failed: damaged ones, too.
        """
        self.store.begin_growth(self.probes)
        report = Report()
        waiting = self._entries(report)
        ready = self.store.staged_entries()
        for name, entry in list(waiting.items()):
            if entry.id in ready:
                report.skipped.append(name)
                del waiting[name]
        if self.engine is not None:
            self._elsewhere(self.engine, given, waiting, report)
            return report
        for encoder in encoders_of(given):
            if encoder.name in waiting:
                self._one(waiting.pop(encoder.name), encoder, report)
        for done, entry in enumerate(waiting.values(), 1):
            self._one(entry, None, report, f" ({done} of {len(waiting)})")
        return report

    def finish(self, drop: Iterable[str]) -> None:
        """Make all probes count; networks that are not ready go."""
        numbers = [self.store.catalog.id_of(name) for name in drop]
        self.store.finish_growth(self.probes, [number for number in numbers if number is not None])

    def _entries(self, report: Report) -> dict[str, EntryRow]:
        """Entries by name; those whose description is damaged have failed."""
        catalog = self.store.catalog
        found = {}
        for number, name in catalog.names_of(catalog.ids()).items():
            try:
                found[name] = catalog.entry(number)
            except ZooDamagedError as error:
                report.failed[name] = str(error)
        return found

    def _one(self, entry: EntryRow, encoder: Encoder | None, report: Report, of: str = "") -> None:
        try:
            if encoder is None:
                encoder = load_entry(self.store.probes, entry, trust=self.trust, run=self.run)
            else:
                check_same(self.store.probes, entry, encoder, self.run)
            network = _network(
                encoder, self.probes, len(self.store.probes), _maps(self.store), entry, self.run, of
            )
            self._stage(entry, network)
            report.added.append(entry.name)
        except Exception as error:  # one network does not stop the rest
            note_failure(report, entry.name, error)

    def _elsewhere(
        self, engine: Engine, given: Sequence[Source], waiting: dict[str, EntryRow], report: Report
    ) -> None:
        """Let workers run networks, those that are given first."""
        features = self.store.features
        sets = [] if features is None else [features.method]
        options = {"batch_size": self.run.batch_size, "precision": "float32"}
        old = len(self.store.probes)
        shared = Shared(self.probes, (old, _maps(self.store), sets, options, self.trust))
        with (
            closing(engine.run(_run, shared, _jobs(given, waiting))) as outcomes,
            progress(f"networks, by {engine.count} workers", len(waiting)) as step,
        ):
            for outcome in outcomes:
                try:
                    self._stage(waiting[outcome.name], outcome.get())
                    report.added.append(outcome.name)
                except Exception as error:  # one network does not stop the rest
                    note_failure(report, outcome.name, error)
                step(1)

    def _stage(self, entry: EntryRow, network: Described) -> None:
        """Write what the network answers to the new probes."""
        store = self.store
        first, count = len(store.probes), len(self.probes) - len(store.probes)
        with store.addition(entry.key) as addition, network as described:
            batches = described.rows(np.arange(first, first + count), on_host=True)
            addition.feed(
                store.methods, batches, first, count, groups=np.asarray(self.probes.groups)
            )
            names = [stored.name for stored in store.methods]
            zeros = dict(zip(names, [checks.zero for checks in described.checks], strict=True))
            kept = None
            if store.features is not None:  # of all probes together: anew
                summary = described.summary(store.features.method)
                addition.put_summary(store.features, summary, first)
                kept = facts_of(summary)
            addition.stage(entry.id, zeros, kept)


def _maps(store: Store) -> list[AttributionMaps]:
    return [stored.descriptor for stored in store.methods]


def _network(
    encoder: Encoder,
    probes: Probes,
    old: int,
    maps: Sequence[AttributionMaps],
    entry: EntryRow,
    run: Run,
    of: str = "",
) -> Description:
    """Return a network that is to see new probes, run as it was when it was added."""
    precision = entry.facts.get("precision", "float32")
    check_precision(precision, run.device)
    as_added = {"precision": precision, "compile": bool(entry.facts.get("compile", False))}
    return Description(
        encoder,
        probes,
        maps,
        label=entry.name + of,
        count=len(probes) - old,
        **{**run.description_options(), **as_added},
    )


def _jobs(given: Sequence[Source], waiting: dict[str, EntryRow]) -> Iterator[Job]:
    """Entries for workers, each with what loads its network, if that is given."""
    left = dict(waiting)
    for label, load in one_by_one(given):
        # What a function returns may have another name than the function.
        name = label if label in left else load().name
        if name in left:
            yield Job(name, (load, left.pop(name)))
    for name, entry in left.items():
        yield Job(name, (None, entry))


def _run(
    shared: Shared, what: tuple[Callable[[], Encoder] | None, EntryRow], device: torch.device
) -> tuple[str, Callable[[], DescribedElsewhere]]:
    """Run a network of a zoo on new probes, in a worker."""
    load, entry = what
    old, maps, sets, options, trust = shared.what
    run, probes = Run(device=device, **options), shared.probes

    def made() -> DescribedElsewhere:
        seen = probes.head(old)
        if load is None:
            encoder = load_entry(seen, entry, trust=trust, run=run)
        else:
            encoder = load()
            check_same(seen, entry, encoder, run)
        network = _network(encoder, probes, old, maps, entry, run)
        return described(network, sets, np.arange(old, len(probes)))

    return entry.name, made
