"""More probes for a zoo: networks see the new ones only, and all probes count from one moment on.

Rows of the new probes are staged: each network's are durable when its turn is over, and nobody sees
them, since records beyond a zoo's probes are not read. The last transaction says which probes there
are from now on. Until then the zoo is the one that it was, and the same call goes on where it
stopped.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyattrx._checks import flag
from pyattrx.encoders import Encoder
from pyattrx.errors import InvalidTypeError, InvalidValueError, ZooDamagedError, ZooWarning
from pyattrx.probes import Probes
from pyattrx.running import Description, Source, check_precision, encoders_of
from pyattrx.storage import (
    EntryRow,
    Report,
    Run,
    Store,
    check_encoders,
    facts_of,
    note_failure,
    summarized,
)
from pyattrx.zoo.loading import load_entry
from pyattrx.zoo.sameness import check_same

__all__ = ["Growth", "grow"]

_CALLER = 4  # of `Zoo.add_probes`, from where it is warned


def grow(
    store: Store, probes: Probes, encoders: Any, run: Run, *, drop: bool, trust: bool, wait: float
) -> Report:
    """Let every network see more probes, the zoo's followed by new ones; see `Zoo.add_probes`."""
    flag("drop", drop)
    given = check_encoders(encoders)
    with store.writing(wait):
        store.refresh()
        _check_extension(store.probes, probes)
        growth = Growth(store, probes, run, trust)
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
    """

    store: Store
    probes: Probes
    run: Run
    trust: bool = False

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
            self._stage(entry, encoder, of)
            report.added.append(entry.name)
        except Exception as error:  # one network does not stop the rest
            note_failure(report, entry.name, error)

    def _stage(self, entry: EntryRow, encoder: Encoder, of: str) -> None:
        store = self.store
        first, count = len(store.probes), len(self.probes) - len(store.probes)
        precision = entry.facts.get("precision", "float32")
        check_precision(precision, self.run.device)
        compiled = bool(entry.facts.get("compile", False))
        with (
            store.addition(entry.key) as addition,
            Description(
                encoder,
                self.probes,
                [stored.descriptor for stored in store.methods],
                label=entry.name + of,
                count=count,
                **{
                    **self.run.description_options(),
                    "precision": precision,
                    "compile": compiled,
                },
            ) as description,
        ):
            batches = description.rows(np.arange(first, first + count), on_host=True)
            addition.feed(
                store.methods, batches, first, count, groups=np.asarray(self.probes.groups)
            )
            names = [stored.name for stored in store.methods]
            zeros = dict(zip(names, [checks.zero for checks in description.checks], strict=True))
            kept = None
            if store.features is not None:  # of all probes together: anew
                summary = summarized(description, store.features)
                addition.put_summary(store.features, summary, first)
                kept = facts_of(summary)
            addition.stage(entry.id, zeros, kept)
