"""The zoo: networks added once, asked about for ever."""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from xxhash import xxh3_128_hexdigest

from pyattrx._progress import progress
from pyattrx.affinities import Affinity
from pyattrx.affinities.describing import (
    Description,
    Source,
    check_batch_size,
    check_sources,
    device_name,
    encoders_of,
    resolve_device,
    versions,
)
from pyattrx.affinities.ranking import check_ranking
from pyattrx.affinities.rows import RowStore
from pyattrx.affinities.run import compare
from pyattrx.descriptors import Method, check_precision, quantise, resolve_method
from pyattrx.encoders import Encoder, load_many
from pyattrx.errors import (
    InvalidType,
    InvalidValue,
    NonFiniteError,
    PyattrxError,
    ZooDamaged,
    ZooError,
    ZooMismatch,
)
from pyattrx.probes import Probes
from pyattrx.zoo.candidates import Candidates
from pyattrx.zoo.catalog import ROWS, EntryRow
from pyattrx.zoo.entry import Entry, Matches, Report, Verification
from pyattrx.zoo.querying import (
    Compared,
    EntryRows,
    Target,
    compare_rows,
    compare_sketches,
    entry_target,
    sketch_rows,
    warn_damaged,
)
from pyattrx.zoo.store import Store, StoredMethod

__all__ = ["Zoo"]

# Entries that are compared by their rows without asking their sketches first: as many, or as much.
_ALL_ENTRIES = 64
_ALL_BYTES = 256 << 20
# Sketches choose at least this many, or so many for each match; four times as many as long as they
# cannot rule out the rest, up to so many bytes of rows.
_LEAST_CANDIDATES = 64
_CANDIDATES_PER_MATCH = 16
_MOST_BYTES = 1 << 30
_SKETCH_ERRORS = 4.0
_LONGEST_NAME = 1000


class Zoo:
    """Networks on disk, as their attribution maps over one set of probes.

    Made by `create` or `open`. A network is added once; afterwards a query costs one network's
    backward passes. Many processes may read a zoo while one writes to it.

    Examples
    --------
    >>> import tempfile, torch, pyattrx
    >>> _ = torch.manual_seed(0)
    >>> probes = pyattrx.Probes.from_tensor(torch.rand(8, 3, 16, 16))
    >>> nets = {name: torch.nn.Conv2d(3, 4, 3) for name in ("a", "b", "c")}
    >>> folder = tempfile.TemporaryDirectory()
    >>> zoo = pyattrx.Zoo.create(f"{folder.name}/zoo", probes, method="grad_x_input")
    >>> report = zoo.add_many(pyattrx.Encoder(net, name=name) for name, net in nets.items())
    >>> zoo.names
    ['a', 'b', 'c']
    >>> sorted(match.name for match in zoo.query("a", k=2))
    ['b', 'c']
    >>> zoo.verify().ok
    True
    >>> zoo.close(); folder.cleanup()
    """

    def __init__(self, store: Store, wait: float) -> None:
        if not isinstance(store, Store):
            raise InvalidType("path", store, "Zoo.open(path) or Zoo.create(path, probes)")
        self._store = store
        self._wait = wait
        self._candidates: dict[int, Candidates] = {}

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        probes: Probes,
        method: str | Method | Sequence[str | Method] = "grad_x_input",
        *,
        keep_rows: bool = True,
        sketch_size: int = 4096,
        seed: int = 0,
        wait: bool | float = False,
    ) -> Zoo:
        """Make a new zoo.

        Parameters
        ----------
        path : path
            A new or empty folder.
        probes : Probes
            Images that every network sees; they are kept in the zoo, without loss.
        method : str, Method or a list of them
            What stands for a network; of several, all are computed for every network, and the first
            one answers unless a query says which.
        keep_rows : bool
            Keep every map, so that answers are those of `affinity`. False keeps sketches only:
            8 KiB a network, and answers with the sketches' error (see `Match.stderr`).
        sketch_size : int
            Numbers in a sketch, a multiple of 1024, up to 65536. Its error is about
            ``1 / sqrt(sketch_size)``.
        seed : int
            Of the sketches, at least 0.
        wait : bool or float
            See `open`.

        Returns
        -------
        Zoo

        Raises
        ------
        InvalidValue, InvalidType
            Wrong arguments; the folder is not empty.
        ZooError
            The folder cannot be written.
        """
        folder = _check_path(path)
        if not isinstance(probes, Probes):
            raise InvalidType("probes", probes, "pyattrx.Probes")
        given: Sequence[Any] = method if isinstance(method, (list, tuple)) else [method]
        methods = [resolve_method(one) for one in given]
        names = [str(one) for one in methods]
        if not methods or len(set(names)) < len(names):
            raise InvalidValue("method", names, "one method, or several different ones")
        if not isinstance(keep_rows, bool):
            raise InvalidType("keep_rows", keep_rows, "True or False")
        if _not_integer(sketch_size) or sketch_size % 1024 or not 1024 <= sketch_size <= 65536:
            raise InvalidValue("sketch_size", sketch_size, "a multiple of 1024, up to 65536")
        if _not_integer(seed) or not 0 <= seed < 2**63:
            raise InvalidValue("seed", seed, "an integer from 0 to 2**63 - 1")
        facts = {
            "created": _now(),
            "versions": versions(),
            "keep_rows": keep_rows,
            "sketch_size": sketch_size,
            "sketch_seed": seed,
        }
        for one in methods:
            StoredMethod.check(one, probes.size)
        waiting = _check_wait(wait)
        Store.create(folder, probes, methods, facts)
        return cls(Store(folder, trust=True), waiting)

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], *, wait: bool | float = False, trust: bool = False
    ) -> Zoo:
        """Open a zoo; for reading only where one may not write.

        Parameters
        ----------
        path : path
        wait : bool or float
            When another process is writing and this one wants to: raise (False), wait (True), or
            wait for so many seconds at most.
        trust : bool
            Import the code that a method of one's own refers to.

        Returns
        -------
        Zoo

        Raises
        ------
        ZooError
            There is no zoo, or one of another format.
        ZooDamaged
            It is not what was written.
        UntrustedError
            Opening it would import code.
        """
        return cls(Store(_check_path(path), trust=trust), _check_wait(wait))

    def close(self) -> None:
        """Close all files; the zoo cannot be used afterwards."""
        self._store.close()

    def __enter__(self) -> Zoo:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # What is there

    @property
    def path(self) -> Path:
        """The folder."""
        return self._store.folder

    @property
    def probes(self) -> Probes:
        """The images that every network saw."""
        return self._store.probes

    @property
    def methods(self) -> list[Method]:
        """What stands for a network; the first one answers unless a query says which."""
        return [stored.method for stored in self._store.methods]

    @property
    def names(self) -> list[str]:
        """Names of all networks, in the order in which they were added."""
        return self._store.catalog.names()

    @property
    def tags(self) -> dict[str, int]:
        """All tags, and how many networks have them."""
        return self._store.catalog.tags()

    @property
    def keeps_rows(self) -> bool:
        """Whether maps are kept, and not sketches only."""
        return self._store.keep_rows

    def __len__(self) -> int:
        return self._store.catalog.count()

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._store.catalog.id_of(name) is not None

    def entry(self, name: str) -> Entry:
        """Return what is known of a network.

        Raises
        ------
        InvalidValue
            No network has this name.
        ZooDamaged
            What was written of it is damaged.
        """
        return self._entry(self._id(name))

    def entries(self, tags: str | Sequence[str] = ()) -> Iterator[Entry]:
        """Go through the networks that have all of some tags, in the order of their names' ages."""
        for number in self._store.catalog.ids(_check_tags(tags)):
            yield self._entry(number)

    def describe(self) -> dict[str, Any]:
        """Return what this zoo is, as JSON types."""
        store = self._store
        return {
            **store.catalog.meta("zoo"),
            "path": str(store.folder),
            "networks": len(self),
            "methods": [stored.name for stored in store.methods],
            "bytes": sum(store.catalog.segments().values()),
            "tags": self.tags,
        }

    # Growing

    def add(
        self,
        encoder: Encoder | str,
        *,
        tags: str | Sequence[str] = (),
        replace: bool = False,
        batch_size: int = 32,
        device: str | torch.device | None = None,
        precision: str = "float32",
    ) -> Entry:
        """Add a network; it is on disk when this returns.

        Parameters
        ----------
        encoder : Encoder or str
            A network, or the specification of one, see `pyattrx.load`.
        tags : str or list of str
        replace : bool
            Whether a network of the same name gives way. Without it the same network is left as it
            is (and gets the tags), and another one of this name is an error.
        batch_size, device, precision
            As for `pyattrx.affinity`.

        Returns
        -------
        Entry

        Raises
        ------
        InvalidValue, InvalidType
            Wrong arguments; the name is taken by another network.
        EncoderError, NonFiniteError
            As for `pyattrx.affinity`; nothing was added.
        ZooLocked
            Another process is writing.
        ZooError
            The zoo cannot be written, the disk is full, ...; nothing was added.
        """
        run = _Run(batch_size, device, precision)
        labels = _check_tags(tags)
        if not isinstance(encoder, (Encoder, str)):
            raise InvalidType("encoder", encoder, "an Encoder, or a specification")
        found = list(load_many(encoder)) if isinstance(encoder, str) else [encoder]
        if len(found) != 1:
            raise InvalidValue("encoder", encoder, f"one network, not {len(found)}; see add_many")
        self._add(found[0], labels, replace, run)
        return self.entry(found[0].name)

    def add_many(
        self,
        encoders: Iterable[Source],
        *,
        tags: str | Sequence[str] = (),
        batch_size: int = 32,
        device: str | torch.device | None = None,
        precision: str = "float32",
    ) -> Report:
        """Add networks one by one; each is on disk before the next one begins.

        Those that are there already are skipped, so that the same call after an interruption goes
        on where it stopped. One that fails is reported and does not stop the rest.

        Parameters
        ----------
        encoders : iterable of Encoder, str or callable
            As for `pyattrx.affinity`.
        tags : str or list of str
            For all of them.
        batch_size, device, precision
            As for `pyattrx.affinity`.

        Returns
        -------
        Report

        Raises
        ------
        InvalidValue, InvalidType
            Wrong arguments.
        ZooLocked, ZooError
            The zoo cannot be written: nothing more can be added.
        """
        run = _Run(batch_size, device, precision)
        labels = _check_tags(tags)
        sources = check_sources(encoders)
        report = Report()
        total = len(sources) if isinstance(sources, list) else None
        for index, source in enumerate(sources):
            of = f" ({index + 1} of {total})" if total else ""
            self._add_source(source, labels, run, report, of)
        return report

    def _add_source(
        self, source: Source, tags: tuple[str, ...], run: _Run, report: Report, of: str
    ) -> None:
        label = source if isinstance(source, str) else getattr(source, "name", repr(source))
        networks = encoders_of([source])
        while True:
            try:
                encoder = next(networks)
                label = encoder.name
                if encoder.name in report.added:
                    raise InvalidValue("encoders", encoder.name, "networks of different names")
                added = self._add(encoder, tags, False, run, of)
                (report.added if added else report.skipped).append(encoder.name)
            except StopIteration:
                return
            except ZooError as error:
                if not isinstance(error, ZooMismatch):
                    raise
                report.failed[label] = str(error)
            except Exception as error:
                kind = "" if isinstance(error, PyattrxError) else f"{type(error).__name__}: "
                report.failed[label] = f"{kind}{error}"

    def _add(
        self, encoder: Encoder, tags: tuple[str, ...], replace: bool, run: _Run, of: str = ""
    ) -> bool:
        store = self._store
        _check_name(encoder.name)
        known = encoder.describe()
        fingerprint = _fingerprint(known)
        with store.writing(self._wait):
            taken = self._taken(encoder.name, fingerprint, replace, known)
            if taken is not None and not replace:
                with store.catalog.transaction():
                    store.catalog.tag(taken, tags)
                return False
            begun = time.perf_counter()
            with (
                store.addition() as addition,
                Description(
                    encoder,
                    store.probes,
                    [stored.descriptor for stored in store.methods],
                    batch_size=run.batch_size,
                    device=run.device,
                    precision=run.precision,
                    label=encoder.name + of,
                ) as description,
            ):
                batches = self._checked(encoder.name, description.rows())
                addition.feed(store.methods, batches)
                facts = {
                    **known,
                    **run.facts(),
                    "zero_maps": dict(
                        zip(
                            [stored.name for stored in store.methods],
                            description.zero_maps,
                            strict=True,
                        )
                    ),
                    "precision_effect": description.effect,
                    "seconds": round(time.perf_counter() - begun, 3),
                }
                entry = EntryRow(addition.key, encoder.name, fingerprint, _now(), facts)
                addition.commit(entry, tags, taken)
        return True

    def add_maps(
        self,
        name: str,
        maps: Tensor | Mapping[str, Tensor],
        *,
        tags: str | Sequence[str] = (),
        replace: bool = False,
        facts: Mapping[str, Any] | None = None,
    ) -> Entry:
        """Add a network whose maps were computed elsewhere.

        Parameters
        ----------
        name : str
        maps : Tensor [N, D], or a mapping of one to every method's name
            One row for each of the zoo's probes, of any scale, before they are rounded for storage:
            what the method leaves of a map, pixel subset and all.
        tags, replace
            As for `add`.
        facts : mapping, optional
            What is to be known about the network, as JSON types. ``specification`` says how it can
            be loaded.

        Returns
        -------
        Entry

        Raises
        ------
        InvalidValue, InvalidType
            Wrong arguments: number of probes, of elements, dtype, ...
        NonFiniteError
            A map holds NaN or Inf.
        ZooLocked, ZooError
            As for `add`.
        """
        store = self._store
        _check_name(name)
        labels = _check_tags(tags)
        rows = [
            quantise(some, stored.method.storage)
            for stored, some in zip(store.methods, self._given(maps), strict=True)
        ]
        digest = "".join(_maps_hash(some) for some in rows)
        known = {"specification": None, "weights_hash": None, **(facts or {}), "maps": digest}
        try:
            json.dumps(known)
        except (TypeError, ValueError) as error:
            raise InvalidValue("facts", facts, f"JSON types ({error})") from error
        fingerprint = _fingerprint(known)
        with store.writing(self._wait):
            taken = self._taken(name, fingerprint, replace, known)
            if taken is not None and not replace:
                with store.catalog.transaction():
                    store.catalog.tag(taken, labels)
                return self._entry(taken)
            zeros = {
                stored.name: int((some == 0).all(1).sum())
                for stored, some in zip(store.methods, rows, strict=True)
            }
            everything = {**known, "zero_maps": zeros, "versions": versions()}
            with store.addition() as addition:
                batches = [(np.arange(len(store.probes)), rows)]
                addition.feed(store.methods, self._checked(name, batches))
                entry = EntryRow(addition.key, name, fingerprint, _now(), everything)
                number = addition.commit(entry, labels, taken)
        return self._entry(number)

    def remove(self, name: str) -> None:
        """Remove a network. Its place on disk is given back by `compact`.

        Raises
        ------
        InvalidValue
            No network has this name.
        ZooLocked, ZooError
            The zoo cannot be written.
        """
        store = self._store
        with store.writing(self._wait):
            number = self._id(name)
            with store.catalog.transaction():
                store.catalog.remove(number)

    def tag(self, name: str, *tags: str) -> None:
        """Give a network tags.

        Raises
        ------
        InvalidValue, InvalidType
            No network has this name; a tag is empty.
        """
        self._tag(name, tags, add=True)

    def untag(self, name: str, *tags: str) -> None:
        """Take tags from a network, where it has them.

        Raises
        ------
        InvalidValue, InvalidType
            No network has this name; a tag is empty.
        """
        self._tag(name, tags, add=False)

    def _tag(self, name: str, tags: Sequence[str], *, add: bool) -> None:
        labels = _check_tags(tags)
        store = self._store
        with store.writing(self._wait):
            number = self._id(name)
            with store.catalog.transaction():
                (store.catalog.tag if add else store.catalog.untag)(number, labels)

    def merge(self, other: Zoo | str | os.PathLike[str]) -> Report:
        """Add all networks of another zoo, without running any.

        Parameters
        ----------
        other : Zoo or path
            With the same probes, methods and kind of sketches.

        Returns
        -------
        Report
            Networks that are damaged there, or that have the name of another network here, are
            among the failed.

        Raises
        ------
        ZooMismatch
            It differs; the message says in what.
        ZooLocked, ZooError
            This zoo cannot be written.
        """
        if not isinstance(other, Zoo):
            with Zoo.open(other, trust=bool(self._outside())) as opened:
                return self.merge(opened)
        mine, theirs = self._store, other._store
        self._check_alike(theirs)
        report = Report()
        with mine.writing(self._wait), progress("merging", len(other)) as step:
            for number in theirs.catalog.ids():
                self._merge_entry(theirs, number, report)
                step(1)
        return report

    def _merge_entry(self, theirs: Store, number: int, report: Report) -> None:
        store = self._store
        name = theirs.catalog.names_of([number]).get(number, f"entry {number}")
        try:
            entry = theirs.catalog.entry(number)
            name = entry.name
            taken = store.catalog.id_of(name)
            if taken is not None:
                if store.catalog.entry(taken).fingerprint != entry.fingerprint:
                    raise ZooMismatch(f"{name!r} is another network here")
                report.skipped.append(name)
                return
            with store.addition(entry.key) as addition:
                for located in theirs.catalog.all_records(number):
                    if located is None:
                        raise ZooDamaged("its records are damaged")
                    method = next(
                        mine
                        for mine, yours in zip(store.methods, theirs.methods, strict=True)
                        if yours.id == located.method
                    )
                    addition.copy(located, theirs.segments.read(located.record), method)
                addition.commit(entry, theirs.catalog.tags_of(number))
            report.added.append(name)
        except (ZooDamaged, ZooMismatch) as error:
            report.failed[name] = str(error)

    def verify(self) -> Verification:
        """Read everything and compare every checksum.

        Returns
        -------
        Verification
        """
        store = self._store
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
                wrong = self._verify_entry(number, found)
                if wrong is not None:
                    found.damaged[names.get(number, f"entry {number}")] = wrong
                found.entries += 1
                step(1)
        return found

    def _verify_entry(self, number: int, found: Verification) -> str | None:
        store = self._store
        try:
            store.catalog.entry(number)
            located = store.catalog.all_records(number)
            for part in located:
                if part is None:
                    return "a record of it is damaged"
                store.segments.read(part.record)
                found.bytes += part.record.length
            kinds = 2 if store.keep_rows else 1
            if sum(p.count for p in located if p) != kinds * len(store.methods) * len(store.probes):
                return "records of it are missing"
        except ZooDamaged as error:
            return str(error)
        return None

    # Asking

    def query(
        self,
        target: Encoder | str | Tensor,
        k: int = 5,
        *,
        method: str | Method | None = None,
        tags: str | Sequence[str] = (),
        level: float = 0.95,
        exact: bool = False,
        batch_size: int = 32,
        device: str | torch.device | None = None,
        precision: str = "float32",
        scratch: str | Path | None = None,
    ) -> Matches:
        """Find the nearest sources of a target.

        Parameters
        ----------
        target : Encoder, str or Tensor [N, D]
            A network; the name of one in the zoo, which is not among its own matches; or maps, as
            for `add_maps`.
        k : int
            How many at most.
        method : str or Method, optional
            One of the zoo's; the first one if left out.
        tags : str or list of str
            Only networks that have all of these.
        level : float
            Confidence of the intervals and of the paired test.
        exact : bool
            Compare every network by its rows, however many there are. Otherwise sketches choose
            which, where there are many.
        batch_size, device, precision, scratch
            As for `pyattrx.affinity`.

        Returns
        -------
        Matches
            A list of `Match`.

        Raises
        ------
        InvalidValue, InvalidType
            Wrong arguments; no network has this name.
        ZooMismatch
            The target's maps have another size than the zoo's.
        EncoderError, NonFiniteError
            As for `pyattrx.affinity`.

        Warns
        -----
        ZooWarning
            An entry is damaged and was left out.
        """
        run = _Run(batch_size, device, precision)
        check_ranking(k, level)
        labels = _check_tags(tags)
        stored = self._store.method(method)
        if exact and not self._store.keep_rows:
            raise InvalidValue("exact", exact, "False: this zoo keeps sketches only")
        allowed = np.array(self._store.catalog.ids(labels), np.int64) if labels else None
        with RowStore(len(self.probes), run.device, scratch) as rows:
            name, itself, described = self._target(target, stored, rows, run)
            found, searched, complete = self._search(described, stored, k, allowed, itself, exact)
        damaged = warn_damaged(self._store, found.damaged)
        names = self._store.catalog.names_of(found.ids.tolist())
        return Matches(
            found.matches(names, k, level),
            target=name,
            method=stored.name,
            n_probes=len(self.probes),
            compared=len(found.ids),
            searched=searched,
            complete=complete,
            damaged=damaged,
        )

    def _target(
        self, target: Any, stored: StoredMethod, rows: RowStore, run: _Run
    ) -> tuple[str, int | None, Target]:
        """Name, number in the zoo, and rows of a target."""
        store = self._store
        if isinstance(target, str):
            number = self._id(target, "target")
            return target, number, entry_target(store, stored, number, target)
        if isinstance(target, Tensor):
            name = "maps"
            maps = quantise(self._checked_maps("target", target, stored), stored.method.storage)
            rows.begin(maps).write(0, maps)
        elif isinstance(target, Encoder):
            name = target.name
            with Description(
                target,
                store.probes,
                [stored.descriptor],
                batch_size=run.batch_size,
                device=run.device,
                precision=run.precision,
            ) as description:
                place = None
                for probes, (some,) in description.rows():
                    place = place or rows.begin(some)
                    place.write(int(probes[0]), some)
        else:
            raise InvalidType(
                "target", target, "an Encoder, the name of a network in the zoo, or maps"
            )
        sketch = sketch_rows(store, rows, len(store.probes))
        return name, None, Target(store, stored, rows, sketch)

    def _search(
        self,
        target: Target,
        stored: StoredMethod,
        k: int,
        allowed: np.ndarray | None,
        itself: int | None,
        exact: bool,
    ) -> tuple[Compared, int, bool]:
        """Compare with what may be nearest: (compared, number searched, whether complete)."""
        store = self._store
        searched = len(allowed) if allowed is not None else len(self)
        probes = np.arange(len(store.probes))
        entry_bytes = self._entry_bytes(stored)
        few = searched <= _ALL_ENTRIES or searched * entry_bytes <= _ALL_BYTES
        if store.keep_rows and (exact or few):
            ids = allowed.tolist() if allowed is not None else store.catalog.ids()
            ids = [number for number in ids if number != itself]
            return compare_rows(store, stored, target, ids, probes), len(ids), True
        if stored.id not in self._candidates:
            self._candidates[stored.id] = Candidates(store, stored)
        candidates = self._candidates[stored.id]
        count = max(_LEAST_CANDIDATES, _CANDIDATES_PER_MATCH * k)
        while True:
            scores, ids = candidates.search(target.sketch, count + 1, allowed)
            others = ids != itself
            scores, ids = scores[others], ids[others]
            if not store.keep_rows:
                found = compare_sketches(store, stored, target.sketch, ids.tolist())
                found.damaged.update(candidates.damaged)
                return found, searched, False
            found = compare_rows(store, stored, target, ids.tolist(), probes)
            found.damaged.update(candidates.damaged)
            if len(ids) < count or len(ids) >= searched - (itself is not None):
                return found, searched, True
            best = np.sort(found.values)[::-1]
            margin = _SKETCH_ERRORS / math.sqrt(store.sketch_size)
            if len(best) >= k and best[k - 1] >= scores[-1] + margin:
                return found, searched, True
            if 4 * count * entry_bytes > _MOST_BYTES:
                return found, searched, False
            count *= 4

    def affinity(
        self, names: Sequence[str] | None = None, *, method: str | Method | None = None
    ) -> Affinity:
        """Compute the affinities between networks of the zoo, as `pyattrx.affinity` does.

        Parameters
        ----------
        names : list of str, optional
            Which networks; all of them if left out.
        method : str or Method, optional
            One of the zoo's; the first one if left out.

        Returns
        -------
        Affinity

        Raises
        ------
        InvalidValue
            No network has one of the names; the zoo is empty, or keeps sketches only.
        ZooDamaged
            One of the networks is damaged.
        """
        store = self._store
        stored = store.method(method)
        if not store.keep_rows:
            raise InvalidValue("keep_rows", False, "a zoo that keeps rows")
        chosen = self.names if names is None else list(names)
        if not chosen:
            raise InvalidValue("names", chosen, "at least one network")
        if len(set(chosen)) < len(chosen):
            raise InvalidValue("names", chosen, "different names")
        numbers = [self._id(name, "names") for name in chosen]
        entries = [self._entry(number) for number in numbers]
        rows = EntryRows(store, stored, numbers, chosen)
        begun = time.perf_counter()
        values, stderr, cosines = compare(rows, store.groups)
        zeros = {e.name: e.zero_maps[stored.name] for e in entries if e.zero_maps.get(stored.name)}
        return Affinity(
            names=chosen,
            values=values,
            stderr=stderr,
            symmetric=True,
            groups=store.groups,
            cosines=cosines,
            zero_maps=zeros,
            provenance={
                "method": stored.method.to_dict(),
                "method_name": stored.name,
                "grid": list(stored.descriptor.grid),
                "probes": store.probes.describe(),
                "networks": [{**entry.facts, "name": entry.name} for entry in entries],
                "zoo": store.uuid,
                "seconds": {"comparison": round(time.perf_counter() - begun, 3)},
                "created": _now(),
                "versions": versions(),
            },
        )

    def __repr__(self) -> str:
        methods = "; ".join(stored.name for stored in self._store.methods)
        return (
            f"Zoo({str(self.path)!r}, {len(self)} networks, {len(self.probes)} probes, "
            f"method: {methods})"
        )

    # Inside

    def _entry(self, number: int) -> Entry:
        row = self._store.catalog.entry(number)
        return Entry(
            row.name,
            self._store.catalog.tags_of(number),
            row.facts.get("specification"),
            row.facts.get("weights_hash"),
            row.created,
            row.facts.get("zero_maps", {}),
            row.facts,
        )

    def _id(self, name: Any, argument: str = "name") -> int:
        if not isinstance(name, str):
            raise InvalidType(argument, name, "the name of a network in the zoo")
        number = self._store.catalog.id_of(name)
        if number is None:
            near = difflib.get_close_matches(name, self.names[:10000], n=3, cutoff=0.3)
            hint = f", for example {', '.join(map(repr, near))}" if near else ""
            raise InvalidValue(argument, name, f"a network in the zoo ({len(self)}){hint}")
        return number

    def _taken(
        self, name: str, fingerprint: str, replace: bool, known: Mapping[str, Any]
    ) -> int | None:
        """The number of an entry of this name; None where there is none."""
        number = self._store.catalog.id_of(name)
        if number is None or replace:
            return number
        there = self._store.catalog.entry(number)
        if there.fingerprint != fingerprint:
            differs = [
                key
                for key in known
                if key in there.facts and key not in _BESIDE and there.facts[key] != known[key]
            ]
            raise InvalidValue(
                "name",
                name,
                "a name that is not taken: the zoo has another network of this name (it differs "
                f"in {', '.join(differs) or 'its kind'}); replace=True puts this one in its place",
            )
        return number

    def _checked(self, name: str, batches: Iterable[Any]) -> Iterator[Any]:
        """Let rows through that have the size of those that are there."""
        store = self._store
        widths = [self._width(stored) for stored in store.methods]
        for probes, rows in batches:
            for width, some in zip(widths, rows, strict=True):
                if width not in (None, some.shape[1]):
                    raise ZooMismatch(
                        f"network {name!r}: its maps have {some.shape[1]} elements, those of the "
                        f"networks in the zoo {width}; reduce='none' needs networks whose inputs "
                        "have the same number of channels"
                    )
            yield probes, rows

    def _width(self, stored: StoredMethod) -> int | None:
        """Elements of a row; None where any will do."""
        method = stored.method
        if method.pixels is not None:
            return method.pixels
        if method.reduce != "none":
            return stored.descriptor.grid[0] * stored.descriptor.grid[1]
        first = self._store.catalog.any_record(stored.id, ROWS)
        return first.record.width if first else None

    def _entry_bytes(self, stored: StoredMethod) -> int:
        first = self._store.catalog.any_record(stored.id, ROWS)
        return first.record.row_bytes * len(self.probes) if first else 0

    def _given(self, maps: Any) -> list[Tensor]:
        """Maps for every method of the zoo, checked."""
        methods = self._store.methods
        if isinstance(maps, Tensor):
            if len(methods) > 1:
                names = ", ".join(repr(stored.name) for stored in methods)
                raise InvalidType("maps", maps, f"maps for each of the zoo's methods: {names}")
            return [self._checked_maps("maps", maps, methods[0])]
        if not isinstance(maps, Mapping) or set(maps) != {stored.name for stored in methods}:
            names = ", ".join(repr(stored.name) for stored in methods)
            raise InvalidType("maps", maps, f"a tensor, or a mapping of one to each of {names}")
        return [
            self._checked_maps(f"maps[{stored.name!r}]", maps[stored.name], stored)
            for stored in methods
        ]

    def _checked_maps(self, argument: str, given: Any, stored: StoredMethod) -> Tensor:
        maps: Any = given
        if not isinstance(maps, Tensor):
            raise InvalidType(argument, maps, "a tensor [N, D]")
        if maps.dtype not in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
            raise InvalidType(f"{argument}.dtype", maps.dtype, "a floating type")
        width = self._width(stored)
        count = len(self.probes)
        shape = (count, "D" if width is None else width)
        if maps.dim() != 2 or maps.shape[0] != count or width not in (None, maps.shape[1]):
            raise InvalidValue(f"{argument}.shape", tuple(maps.shape), f"{shape}")
        rows: Tensor = maps.detach()
        finite = rows.isfinite().all(1)
        if not bool(finite.all()):
            probe = int((~finite).nonzero()[0, 0])
            raise NonFiniteError(f"{argument}[{probe}] holds NaN or Inf")
        return rows if rows.dtype in (torch.float32, torch.float64) else rows.float()

    def _outside(self) -> list[str]:
        return [name for m in self._store.methods for name in Method.imports(m.method.to_dict())]

    def _check_alike(self, theirs: Store) -> None:
        mine = self._store
        differences = []
        if mine.probes.hash != theirs.probes.hash:
            differences.append(
                f"probes ({mine.probes.hash[:12]} here, {theirs.probes.hash[:12]} there)"
            )
        if [m.method for m in mine.methods] != [m.method for m in theirs.methods]:
            here, there = ("; ".join(m.name for m in s.methods) for s in (mine, theirs))
            differences.append(f"methods ({here!r} here, {there!r} there)")
        differences += [
            f"{what} ({getattr(mine, what)} here, {getattr(theirs, what)} there)"
            for what in ("sketch_size", "sketch_seed", "keep_rows")
            if getattr(mine, what) != getattr(theirs, what)
        ]
        if differences:
            raise ZooMismatch(
                f"{theirs.folder} cannot be merged into {mine.folder}: they differ in "
                + ", ".join(differences)
            )


# Facts that do not make a network another one.
_BESIDE = frozenset(("name", "specification", "versions", "parameters"))


class _Run:
    """How networks are run, checked."""

    def __init__(self, batch_size: Any, device: Any, precision: Any) -> None:
        check_batch_size(batch_size)
        self.batch_size: int = batch_size
        self.device = resolve_device(device)
        check_precision(precision, self.device)
        self.precision: str = precision

    def facts(self) -> dict[str, Any]:
        return {
            "batch_size": self.batch_size,
            "device": device_name(self.device),
            "precision": self.precision,
            "threads": torch.get_num_threads(),
            "run_versions": versions(),
        }


def _fingerprint(facts: Mapping[str, Any]) -> str:
    """Hash of what makes a network this one: weights, preprocessing, output."""
    kept = {key: value for key, value in facts.items() if key not in _BESIDE}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def _maps_hash(rows: Tensor) -> str:
    data = rows.cpu().contiguous().view(torch.uint8).numpy().data
    return xxh3_128_hexdigest(data)


def _check_path(path: Any) -> Path:
    if not isinstance(path, (str, os.PathLike)):
        raise InvalidType("path", path, "the path of a folder")
    return Path(path)


def _check_wait(wait: Any) -> float:
    if isinstance(wait, bool):
        return math.inf if wait else 0.0
    if not isinstance(wait, (int, float)) or not wait >= 0:
        raise InvalidValue("wait", wait, "True, False or a number of seconds")
    return float(wait)


def _check_name(name: Any) -> None:
    if not isinstance(name, str):
        raise InvalidType("name", name, "a str")
    if not name.strip() or len(name) > _LONGEST_NAME:
        raise InvalidValue("name", name, f"a name of 1 to {_LONGEST_NAME} characters")


def _check_tags(tags: Any) -> tuple[str, ...]:
    given = (tags,) if isinstance(tags, str) else tags
    if not isinstance(given, (list, tuple, set, frozenset)):
        raise InvalidType("tags", tags, "a string, or a list of them")
    for tag in given:
        if not isinstance(tag, str):
            raise InvalidType("tags", tag, "a string")
        if not tag.strip() or len(tag) > _LONGEST_NAME:
            raise InvalidValue("tags", tag, "a tag that is not empty")
    return tuple(given)


def _not_integer(value: Any) -> bool:
    return isinstance(value, bool) or not isinstance(value, int)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
