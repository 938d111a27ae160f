"""A zoo on disk: its parts, and how networks get in and out."""

from __future__ import annotations

import json
import secrets
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from xxhash import xxh3_64_intdigest

from pyattrx import methods
from pyattrx._files import sync_folder
from pyattrx.errors import (
    InvalidTypeError,
    InvalidValueError,
    ProbeError,
    UntrustedError,
    ZooDamagedError,
    ZooError,
    ZooWarning,
)
from pyattrx.methods import AttributionMaps, FeatureMethod, Method
from pyattrx.probes import Probes
from pyattrx.statistics import degrees_of_freedom
from pyattrx.storage.addition import GROWN, Addition
from pyattrx.storage.arguments import check_tags, encodable
from pyattrx.storage.catalog import SKETCH, Catalog, Located
from pyattrx.storage.entry import Entry
from pyattrx.storage.features import FACTS, StoredFeatures
from pyattrx.storage.lock import WriterLock
from pyattrx.storage.making import make_folder
from pyattrx.storage.segments import SEGMENT_BYTES, Appender, Segments, segment_sizes
from pyattrx.storage.sketches import BLOCKS, blocks_of

__all__ = ["Store", "StoredMethod"]

CATALOG = "zoo.sqlite"
_GROWING = "growing"  # what the catalog knows of probes to come
_NAMES = 10_000  # looked through for those that are spelt like another
_PROBES, _ROWS, _INDEX, _LOCK = "images.probes", "rows", "index", "lock"


Trust = bool | frozenset[str]


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
    trust : bool or frozenset of str
        Whether methods may import code, or what they may import.
        Import the code that a method of one's own refers to.

    Raises
    ------
    ZooError, ZooDamagedError
        It cannot be opened, or is not what was written.
    UntrustedError
        A method of maps refers to code, and `trust` is False; its `features` raise it when they are
        asked for: a zoo can be listed, verified, and asked by maps without.
    """

    def __init__(self, folder: Path, *, trust: Trust) -> None:
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
            _stored_method(number, name, definition, self.probes.size, trust, folder)
            for number, name, definition in self.catalog.methods()
        ]
        self._rerank: dict[str, Any] | None = facts.get("rerank")
        self._trust = trust

    @cached_property
    def features(self) -> StoredFeatures | None:
        """What networks are re-ranked by, if it is kept."""
        return _stored_features(self._rerank, self._trust, self.folder)

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
            raise ZooDamagedError(f"{path}: {error.strerror}") from error
        except ProbeError as error:
            raise ZooDamagedError(str(error)) from error
        if probes.hash != facts["probes"]["hash"]:
            raise ZooDamagedError(f"{path}: these are not the zoo's probes")
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

    # What is there

    def find(self, name: object) -> int | None:
        """Number of an entry; None where no network has this name."""
        return self.catalog.id_of(name) if isinstance(name, str) and encodable(name) else None

    def number(self, name: Any, argument: str = "name") -> int:
        """Number of the entry of a name.

        Raises
        ------
        InvalidValueError, InvalidTypeError
            There is none; the message names some that are spelt alike.
        """
        if not isinstance(name, str):
            raise InvalidTypeError(argument, name, "the name of a network in the zoo")
        number = self.find(name)
        if number is None:
            raise InvalidValueError(argument, name, self.expected_names(name))
        return number

    def expected_names(self, given: str) -> str:
        """What a message says of a name that nothing has."""
        near = get_close_matches(given, self.catalog.names()[:_NAMES], n=3, cutoff=0.3)
        hint = f", for example {', '.join(map(repr, near))}" if near else ""
        return f"a network in the zoo ({self.catalog.count()}){hint}"

    def entry(self, number: int) -> Entry:
        """What is known of a network."""
        row = self.catalog.entry(number)
        return Entry(
            row.name,
            self.catalog.tags_of(number),
            row.facts.get("specification"),
            row.facts.get("weights_hash"),
            row.created,
            row.facts.get("zero_maps", {}),
            row.facts,
        )

    def entries(self, tags: Any = ()) -> Iterator[Entry]:
        """Go through networks; those that are damaged are left out with a warning."""
        for number in self.catalog.ids(check_tags(tags)):
            try:
                entry = self.entry(number)
            except ZooDamagedError as error:
                message = f"{self.folder}: {error}; it was left out"
                warnings.warn(message, ZooWarning, stacklevel=2)
            except ZooError:
                if self.catalog.names_of([number]):
                    raise
            else:
                yield entry

    @property
    def references(self) -> frozenset[str]:
        """What of somebody's own its methods refer to."""
        every = [definition for _, _, definition in self.catalog.methods()]
        every += [] if self._rerank is None else [self._rerank]
        return frozenset(name for definition in every for name in methods.imports(definition))

    def method(self, asked: str | Method | FeatureMethod | None) -> StoredMethod:
        """Find one of the zoo's methods: the first one, or by its name or definition."""
        if asked is None:
            return self.methods[0]
        for stored in self.methods:
            if asked in (stored.method, stored.name):
                return stored
        names = ", ".join(repr(stored.name) for stored in self.methods)
        raise InvalidValueError("method", str(asked), f"one of this zoo's: {names}")

    # Writing

    @contextmanager
    def writing(self, wait: float) -> Iterator[None]:
        """Hold the right to write."""
        if not self.catalog.writable:
            raise ZooError(f"{self.folder}: cannot be written: it is open for reading only")
        with self.lock.held(wait):
            yield

    def change(self, name: str, wait: float, what: Callable[[int], None]) -> None:
        """Do something to the entry of a name, durably."""
        with self.writing(wait):
            number = self.number(name)
            with self.catalog.transaction():
                what(number)

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
                self.catalog.unset_meta(GROWN)
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
                new = catalog.meta(f"{GROWN}{number}", {})
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
            catalog.unset_meta(GROWN)
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
        ZooDamagedError
        """
        if not located:
            raise ZooDamagedError("its records are damaged")
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
        ZooDamagedError
        """
        if not located:
            raise ZooDamagedError("its sketch is damaged")
        if len(located) == 1:
            return self.segments.read(located[0].record)[0].float().numpy()
        total = sum(part.count for part in located)
        parts = [
            self.segments.read(part.record)[0].float() * (part.count / total) ** 0.5
            for part in located
        ]
        return torch.stack(parts).sum(0).numpy()


def _stored_method(
    number: int,
    name: str,
    definition: dict[str, Any],
    size: tuple[int, int],
    trust: Trust,
    folder: Path,
) -> StoredMethod:
    method = _read_back(definition, trust, folder)
    assert isinstance(method, Method)
    digest = xxh3_64_intdigest(_canonical(definition).encode())
    return StoredMethod(number, name, method, AttributionMaps(method, size), digest)


def _stored_features(
    definition: dict[str, Any] | None, trust: Trust, folder: Path
) -> StoredFeatures | None:
    if definition is None:
        return None
    method = _read_back(definition, trust, folder)
    assert isinstance(method, FeatureMethod)
    return StoredFeatures.of(method, xxh3_64_intdigest(_canonical(definition).encode()))


def _read_back(definition: dict[str, Any], trust: Trust, folder: Path) -> methods.ComparisonMethod:
    known = trust if isinstance(trust, frozenset) else ()
    outside = [name for name in methods.imports(definition) if name not in known]
    if outside and trust is not True:
        raise UntrustedError(
            f"{folder}: a method of this zoo would import {', '.join(outside)}; if you know where "
            "it comes from, open it with trust=True"
        )
    return methods.from_dict(definition)


def _canonical(definition: dict[str, Any]) -> str:
    return json.dumps(definition, sort_keys=True)
