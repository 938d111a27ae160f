"""A zoo on disk: its parts, and how networks get in and out."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from xxhash import xxh3_64_intdigest

from pyattrx._files import sync_folder
from pyattrx.errors import InvalidValue, ProbeError, UntrustedError, ZooDamaged, ZooError
from pyattrx.methods import AttributionMaps, FeatureMethod, Method, Summary
from pyattrx.probes import Probes
from pyattrx.statistics import degrees_of_freedom
from pyattrx.zoo.catalog import ROWS, SKETCH, SUMMARY, Catalog, EntryRow, Located
from pyattrx.zoo.features import FACTS, StoredFeatures, tensors_of
from pyattrx.zoo.lock import WriterLock
from pyattrx.zoo.making import make_folder
from pyattrx.zoo.segments import SEGMENT_BYTES, Appender, Record, Segments, segment_sizes
from pyattrx.zoo.sketches import BLOCKS, Sketcher, blocks_of

__all__ = ["Addition", "Store", "StoredMethod"]

CATALOG = "zoo.sqlite"
_GROWING, _GROWN = "growing", "grown "  # what the catalog knows of probes to come
_PROBES, _ROWS, _INDEX, _LOCK = "images.probes", "rows", "index", "lock"


@dataclass(frozen=True)
class StoredMethod:
    """A method of a zoo."""

    id: int
    name: str
    method: Method
    descriptor: AttributionMaps
    digest: int

    @staticmethod
    def check(method: Method, size: tuple[int, int]) -> None:
        """Refuse a method that cannot be written down, or does not fit probes of a size."""
        method.to_dict()
        AttributionMaps(method, size)


class Store:
    """The folder of a zoo.

    Parameters
    ----------
    folder : Path
    trust : bool
        Import the code that a method of one's own refers to.

    Raises
    ------
    ZooError, ZooDamaged
        It cannot be opened, or is not what was written.
    UntrustedError
        A method refers to code, and `trust` is False.
    """

    def __init__(self, folder: Path, *, trust: bool) -> None:
        self.folder = folder
        self.catalog = Catalog(folder / CATALOG)
        self.segments = Segments(folder / _ROWS)
        self.lock = WriterLock(folder / _LOCK)
        self.index_folder = folder / _INDEX
        facts = self._load_probes()
        self.uuid: str = facts["uuid"]
        self.sketch_size: int = facts["sketch_size"]
        self.sketch_seed: int = facts["sketch_seed"]
        self.keep_rows: bool = facts["keep_rows"]
        self.methods = [
            _stored_method(number, definition, self.probes.size, trust, folder)
            for number, _, definition in self.catalog.methods()
        ]
        self.features = _stored_features(facts.get("rerank"))

    def _load_probes(self) -> dict[str, Any]:
        """Open the probes; returns what is known of the zoo."""
        # The epoch first: if it is old when the rest is new, it is only looked at once more.
        self._epoch = self.catalog.meta("epoch")
        facts: dict[str, Any] = self.catalog.meta("zoo")
        path = self.folder / facts.get("probes_file", _PROBES)
        try:
            probes = Probes.load(path)
        except OSError as error:
            if self.catalog.meta("zoo") != facts:  # more of them since, and the old file is gone
                return self._load_probes()
            raise ZooDamaged(f"{path}: {error.strerror}") from error
        except ProbeError as error:
            raise ZooDamaged(str(error)) from error
        if probes.hash != facts["probes"]["hash"]:
            raise ZooDamaged(f"{path}: these are not the zoo's probes")
        self.probes = probes
        self.catalog.n_probes = len(probes)
        self.groups = np.asarray(probes.groups)
        blocks = blocks_of(self.groups)
        self.block_weights: np.ndarray = np.bincount(blocks, minlength=BLOCKS) / len(blocks)
        self.block_df = degrees_of_freedom(np.unique(blocks, return_inverse=True)[1])
        return facts

    def refresh(self) -> bool:
        """Take notice of probes that were added since; say whether there were any."""
        if self.catalog.meta("epoch") == self._epoch:
            return False
        self._load_probes()
        return True

    @staticmethod
    def create(folder: Path, probes: Probes, methods: Sequence[Method], facts: Any) -> None:
        """Make the folder of a new zoo, whole or not at all; see `make_folder`."""

        def fill(new: Path) -> None:
            (new / _ROWS).mkdir()
            probes.save(new / _PROBES)
            definitions = [(str(method), _canonical(method.to_dict())) for method in methods]
            everything = {**facts, "uuid": secrets.token_hex(16), "probes": probes.describe()}
            Catalog.create(new / CATALOG, {"zoo": everything, "epoch": 0}, definitions)

        make_folder(folder, fill, last=CATALOG)

    def close(self) -> None:
        """Close all files."""
        self.catalog.close()
        self.segments.close()

    def method(self, asked: str | Method | FeatureMethod | None) -> StoredMethod:
        """Find one of the zoo's methods: the first one, or by its name or definition."""
        if asked is None:
            return self.methods[0]
        for stored in self.methods:
            if asked in (stored.method, stored.name):
                return stored
        names = ", ".join(repr(stored.name) for stored in self.methods)
        raise InvalidValue("method", str(asked), f"one of this zoo's: {names}")

    # Writing

    @contextmanager
    def writing(self, wait: float) -> Iterator[None]:
        """Hold the right to write."""
        if not self.catalog.writable:
            raise ZooError(f"{self.folder}: cannot be written: it is open for reading only")
        with self.lock.held(wait):
            yield

    @contextmanager
    def addition(self, key: bytes | None = None) -> Iterator[Addition]:
        """Begin to add a network; the writer's lock is held by the caller."""
        with self.files_written():
            sizes = segment_sizes(self.segments.folder)
            used = self.catalog.segments()
            segment = max([1, *sizes, *used])
            lost = segment in used and segment not in sizes
            if lost or sizes.get(segment, 0) >= SEGMENT_BYTES:
                segment += 1
            appender = Appender(self.segments.folder, segment)
            try:
                yield Addition(self, appender, key or secrets.token_bytes(16))
            finally:
                appender.close()

    @contextmanager
    def files_written(self) -> Iterator[None]:
        """Failures of the file system as errors of the zoo."""
        try:
            yield
        except OSError as error:
            if isinstance(error, ZooError):
                raise
            reason = f"{error.strerror or error}"
            raise ZooError(f"{self.folder}: {reason}; nothing was added") from error

    # More probes

    def begin_growth(self, probes: Probes) -> None:
        """Keep a file of more probes; what was staged for others is forgotten."""
        name = f"images-{probes.hash[:16]}.probes"
        if self.catalog.meta(_GROWING, "") != name:
            with self.files_written():
                probes.save(self.folder / name)
                sync_folder(self.folder)
            with self.catalog.transaction():
                self.catalog.remove_records(len(self.probes))
                self.catalog.unset_meta(_GROWN)
                self.catalog.set_meta(_GROWING, name)
        self._remove_other_probes(name)

    def staged_entries(self) -> set[int]:
        """Entries that have been seen on the new probes by all methods."""
        found = self.catalog.entries_at(len(self.probes), SKETCH)
        return {number for number, count in found.items() if count == len(self.methods)}

    def finish_growth(self, probes: Probes, drop: Iterable[int]) -> None:
        """Make more probes those of the zoo, at once; some entries go."""
        catalog = self.catalog
        gone = set(drop)
        facts = catalog.meta("zoo")
        changed = []
        for number in catalog.ids():
            if number not in gone:
                entry = catalog.entry(number)
                new = catalog.meta(f"{_GROWN}{number}", {})
                zeros = dict(entry.facts.get("zero_maps", {}))
                more = new.get("zero_maps", {})
                zeros.update({name: zeros.get(name, 0) + count for name, count in more.items()})
                known = {**entry.facts, "zero_maps": zeros}
                if self.features is not None and new.get(FACTS) is not None:
                    known[FACTS] = new[FACTS]
                    zeros[self.features.name] = new[FACTS]["zero_probes"]
                changed.append((entry, known))
        name = catalog.meta(_GROWING)
        with catalog.transaction():
            for number in gone:
                catalog.remove(number)
            for entry, known in changed:
                catalog.set_facts(entry, known)
            catalog.remove_summaries(len(self.probes))
            catalog.set_meta("zoo", {**facts, "probes": probes.describe(), "probes_file": name})
            catalog.set_meta("epoch", catalog.meta("epoch") + 1)
            catalog.unset_meta(_GROWN)
            catalog.unset_meta(_GROWING)
        self._load_probes()
        self._remove_other_probes(name)

    def _remove_other_probes(self, name: str) -> None:
        kept = {name, self.catalog.meta("zoo").get("probes_file", _PROBES)}
        for path in self.folder.glob("images*.probes"):
            if path.name not in kept:
                path.unlink(missing_ok=True)

    # Reading

    def rows(self, located: Sequence[Located], probes: np.ndarray | None = None) -> Tensor:
        """Rows of one entry on some probes (rising or not), [B, D], in their stored type.

        Raises
        ------
        ZooDamaged
        """
        if not located:
            raise ZooDamaged("its records are damaged")
        if len(located) == 1:
            return self.segments.read(located[0].record, probes)
        if probes is None:
            return torch.cat([self.segments.read(part.record) for part in located])
        out: Tensor | None = None
        for part in located:
            mine = np.flatnonzero((probes >= part.first) & (probes < part.first + part.count))
            if len(mine):
                rows = self.segments.read(part.record, probes[mine] - part.first)
                if out is None:
                    out = rows.new_empty(len(probes), rows.shape[1])
                out[torch.from_numpy(mine)] = rows
        assert out is not None
        return out

    def sketch(self, located: Sequence[Located]) -> np.ndarray:
        """Sketch of one entry, of about unit length, float32 [size].

        Raises
        ------
        ZooDamaged
        """
        if not located:
            raise ZooDamaged("its sketch is damaged")
        if len(located) == 1:
            return self.segments.read(located[0].record)[0].float().numpy()
        total = sum(part.count for part in located)
        parts = [
            self.segments.read(part.record)[0].float() * (part.count / total) ** 0.5
            for part in located
        ]
        return torch.stack(parts).sum(0).numpy()


class Addition:
    """A network on its way into a zoo.

    Parameters
    ----------
    store : Store
    appender : Appender
    key : bytes
        What the entry's checksums are bound to.
    """

    def __init__(self, store: Store, appender: Appender, key: bytes) -> None:
        self._store = store
        self.appender = appender
        self.key = key
        self.records: list[Located] = []

    def feed(
        self,
        methods: Sequence[StoredMethod],
        batches: Iterable[tuple[np.ndarray, Sequence[Tensor]]],
        first: int = 0,
        count: int | None = None,
        groups: np.ndarray | None = None,
    ) -> None:
        """Write rows of consecutive probes by several methods, and their sketches.

        Parameters
        ----------
        methods : sequence of StoredMethod
        batches : iterable of (ndarray [B], list of Tensor [B, D])
            Numbers of the probes, in their order, and their rows by method.
        first, count : int
            The probes that come; all of them if left out.
        groups : ndarray of int64, optional
            Groups of all probes up to these; the store's if left out.
        """
        store = self._store
        count = len(store.probes) if count is None else count
        groups = store.groups if groups is None else groups
        sketchers = [Sketcher(groups, store.sketch_size, store.sketch_seed) for _ in methods]
        writers = None
        for probes, rows in batches:
            if writers is None and store.keep_rows:
                writers = [
                    self.appender.begin(count, like, self._identity(method, ROWS, first))
                    for method, like in zip(methods, rows, strict=True)
                ]
            for which, some in enumerate(rows):
                sketchers[which].add(probes, some)
                if writers is not None:
                    writers[which].write(int(probes[0]) - first, some)
        for which, method in enumerate(methods):
            if writers is not None:
                self._note(ROWS, method, first, count, writers[which].finish())
            unit = sketchers[which].total() / max(count, 1) ** 0.5
            self.put_sketch(method, unit.half(), first, count)

    def put_sketch(
        self, method: StoredMethod, sketch: Tensor, first: int = 0, count: int | None = None
    ) -> None:
        """Write the sketch of some probes, float16 [size]; of all if left out."""
        count = len(self._store.probes) if count is None else count
        writer = self.appender.begin(1, sketch[None], self._identity(method, SKETCH, first))
        writer.write(0, sketch[None])
        self._note(SKETCH, method, first, count, writer.finish())

    def put_summary(self, features: StoredFeatures, summary: Summary, first: int = 0) -> None:
        """Write what a feature method keeps of all probes.

        `first` is the number of the first probe that is new: what was kept before them stays valid
        until they count, see `Store.finish_growth`.
        """
        for index, (_, rows) in enumerate(tensors_of(summary)):
            kind = SUMMARY + index
            writer = self.appender.begin(len(rows), rows, self._identity(features, kind, first))
            writer.write(0, rows)
            self._note(kind, features, first, len(rows), writer.finish())

    def copy(self, located: Located, rows: Tensor, method: StoredMethod | StoredFeatures) -> None:
        """Write a record of another zoo again."""
        identity = self._identity(method, located.kind, located.first)
        writer = self.appender.begin(len(rows), rows, identity)
        writer.write(0, rows)
        self._note(located.kind, method, located.first, located.count, writer.finish())

    def commit(self, entry: EntryRow, tags: Iterable[str], replace: int | None = None) -> int:
        """Make everything durable and visible at once, in place of another entry if there is one.

        Returns
        -------
        int
            The entry's number.
        """
        catalog = self._store.catalog
        self.appender.sync()
        with catalog.transaction():
            if replace is not None:
                catalog.remove(replace)
            number = catalog.add(entry, tags, self.records)
            catalog.note_segment(self.appender.segment)
        return number

    def stage(
        self, number: int, zero_maps: dict[str, int], features: dict[str, Any] | None
    ) -> None:
        """Make rows of probes to come durable, for an entry that is there.

        With what is to be known of them: their zero maps, and the features of all probes.
        """
        catalog = self._store.catalog
        self.appender.sync()
        with catalog.transaction():
            catalog.add_records(number, self.records)
            catalog.set_meta(f"{_GROWN}{number}", {"zero_maps": zero_maps, FACTS: features})
            catalog.note_segment(self.appender.segment)

    def _identity(self, method: StoredMethod | StoredFeatures, kind: int, first: int) -> int:
        return xxh3_64_intdigest(self.key + f"{method.digest} {kind} {first}".encode())

    def _note(
        self, kind: int, method: StoredMethod | StoredFeatures, first: int, count: int, at: Record
    ) -> None:
        self.records.append(Located(kind, method.id, first, count, at))


def _stored_method(
    number: int, definition: dict[str, Any], size: tuple[int, int], trust: bool, folder: Path
) -> StoredMethod:
    outside = Method.imports(definition)
    if outside and not trust:
        raise UntrustedError(
            f"{folder}: opening this zoo would import {', '.join(outside)}; if you know "
            "where it comes from, allow that with Zoo.open(path, trust=True) (--trust in the shell)"
        )
    method = Method.from_dict(definition)
    digest = xxh3_64_intdigest(_canonical(definition).encode())
    return StoredMethod(number, str(method), method, AttributionMaps(method, size), digest)


def _stored_features(definition: dict[str, Any] | None) -> StoredFeatures | None:
    if definition is None:
        return None
    digest = xxh3_64_intdigest(_canonical(definition).encode())
    return StoredFeatures.of(FeatureMethod.from_dict(definition), digest)


def _canonical(definition: dict[str, Any]) -> str:
    return json.dumps(definition, sort_keys=True)
