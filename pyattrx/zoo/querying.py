"""Answers: targets against the rows and sketches of a zoo."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from pyattrx import ops
from pyattrx.affinities.rows import RowStore
from pyattrx.errors import ZooDamaged, ZooMismatch, ZooWarning
from pyattrx.statistics import Match, Residuals, rank
from pyattrx.zoo.catalog import ROWS, SKETCH, Located
from pyattrx.zoo.sketches import Sketcher, block_cosines
from pyattrx.zoo.store import Store, StoredMethod

__all__ = [
    "Compared",
    "EntryRows",
    "Target",
    "compare_rows",
    "compare_sketches",
    "entry_target",
    "read_sketches",
    "row_cosines",
    "sketch_rows",
    "warn_damaged",
]

_WARNINGS = 10  # of single damaged entries
# Rows of entries in memory at once.
_BLOCK_BYTES = 64 << 20


class Target:
    """A network that is asked about: its rows on some probes, and their sketch.

    Parameters
    ----------
    store : Store
    method : StoredMethod
    rows : RowStore, list of Located or None
        Where its rows are; None where they are not kept.
    sketch : ndarray [size] or None
    """

    def __init__(
        self,
        store: Store,
        method: StoredMethod,
        rows: RowStore | Sequence[Located] | None,
        sketch: np.ndarray | None,
    ) -> None:
        self._store = store
        self._method = method
        self._rows = rows
        self.sketch = sketch

    def block(self, probes: np.ndarray) -> Tensor:
        """Rows on some probes, [1, B, D], floating."""
        if isinstance(self._rows, RowStore):
            return self._rows.block(slice(0, 1), probes)
        assert self._rows is not None
        return floating(self._store.rows(self._rows, probes))[None]


def entry_target(store: Store, method: StoredMethod, number: int, name: str) -> Target:
    """Make a target of an entry.

    Raises
    ------
    ZooDamaged
        It is damaged; the message has its name.
    """
    try:
        sketches = store.catalog.records([number], method.id, SKETCH).get(number, [])
        rows = None
        if store.keep_rows:
            rows = store.catalog.records([number], method.id, ROWS).get(number)
        return Target(store, method, rows, store.sketch(sketches))
    except ZooDamaged as error:
        raise ZooDamaged(f"entry {name!r}: {error}") from error


@dataclass
class Compared:
    """Entries compared with a target.

    Attributes
    ----------
    ids : ndarray [K], int64
    values, stderr : ndarray [K]
    residuals : Residuals [G, K]
        By groups of probes, or by blocks of a sketch.
    damaged : dict of int to str
        Entries that could not be compared, and why.
    """

    ids: np.ndarray
    values: np.ndarray
    stderr: np.ndarray
    residuals: Residuals
    damaged: dict[int, str] = field(default_factory=dict)

    def matches(self, names: dict[int, str], k: int, level: float) -> list[Match]:
        """Rank them; entries that are no longer there are left out."""
        there = np.array([int(number) in names for number in self.ids], bool)
        return rank(
            [names[int(number)] for number in self.ids[there]],
            self.values[there],
            self.stderr[there],
            self.residuals.columns(there),
            self.residuals.df,
            k=k,
            level=level,
        )


def compare_rows(
    store: Store, method: StoredMethod, target: Target, ids: Sequence[int], probes: np.ndarray
) -> Compared:
    """Compare entries with a target by their rows, as `affinity` does.

    Parameters
    ----------
    ids : sequence of int
        Entries; those that are no longer there are left out.
    probes : ndarray [n], int64
        On which probes, rising.
    """
    cosines, kept, damaged = row_cosines(store, method, target, ids, probes)
    groups = np.unique(store.groups[probes], return_inverse=True)[1]
    # Row by row, as in `affinity`: the order of the sum does not depend on how rows were batched.
    values = np.add.reduce(cosines, axis=0) / len(probes)
    residuals = Residuals.of(cosines, groups)
    return Compared(kept, values, residuals.stderr(), residuals, damaged)


def row_cosines(
    store: Store, method: StoredMethod, target: Target, ids: Sequence[int], probes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
    """Per-probe cosines [n, K] of the entries that could be read, which these are, and the rest."""
    comparison = _Comparison(store, target, probes)
    numbers = [int(number) for number in ids]
    for start in range(0, len(numbers), 256):
        some = numbers[start : start + 256]
        located = store.catalog.records(some, method.id, ROWS)
        comparison.damaged.update(without_records(store, some, located))
        batch: dict[int, list[Located]] = {}
        held = 0
        for number in [n for n in some if n in located]:
            size = sum(part.record.row_bytes * len(probes) for part in located[number])
            if batch and held + 2 * size > _BLOCK_BYTES:
                comparison.add(batch)
                batch, held = {}, 0
            batch[number] = located[number]
            held += 2 * size
        comparison.add(batch)
    return comparison.cosines(), np.array(comparison.kept, np.int64), comparison.damaged


class _Comparison:
    """A target against entries, batch by batch."""

    def __init__(self, store: Store, target: Target, probes: np.ndarray) -> None:
        self._store = store
        self._target = target
        self._probes = probes
        self._memory: Tensor | None = None
        self._columns: list[np.ndarray] = []
        self.kept: list[int] = []
        self.damaged: dict[int, str] = {}

    def cosines(self) -> np.ndarray:
        """Per-probe cosines of the entries in `kept`."""
        if not self._columns:
            return np.empty((len(self._probes), 0))
        return np.concatenate(self._columns, axis=1)

    def add(self, batch: dict[int, list[Located]]) -> None:
        """Compare some entries, by the places of their rows."""
        if not batch:
            return
        row_bytes = max((p.record.row_bytes for parts in batch.values() for p in parts), default=1)
        at_once = max(1, _BLOCK_BYTES // (2 * row_bytes * len(batch)))
        bad: dict[int, str] = {}
        pieces = []
        for start in range(0, len(self._probes), at_once):
            chosen = self._probes[start : start + at_once]
            block = self._target.block(chosen)
            rows = [self._read(n, parts, chosen, block, bad) for n, parts in batch.items()]
            wide = any(row.dtype == torch.float64 for row in (block, *rows))
            dtype = torch.float64 if wide else torch.float32
            stacked = self._workspace((len(rows), *block.shape[1:]), dtype, block.device)
            for place, some in zip(stacked, rows, strict=True):
                place.copy_(some)
            pieces.append(ops.probe_cosines(block.to(dtype), stacked)[:, 0, :].cpu().numpy())
        good = [index for index, number in enumerate(batch) if number not in bad]
        self._columns.append(np.concatenate(pieces)[:, good])
        self.kept.extend(number for number in batch if number not in bad)
        self.damaged.update(bad)

    def _read(
        self,
        number: int,
        parts: list[Located],
        probes: np.ndarray,
        like: Tensor,
        bad: dict[int, str],
    ) -> Tensor:
        """Rows of one entry as they are stored; zero from the first that are damaged on."""
        if number not in bad:
            try:
                rows = self._store.rows(parts, probes)
            except ZooDamaged as error:
                bad[number] = str(error)
            else:
                if rows.shape[1] != like.shape[2]:
                    raise ZooMismatch(
                        f"the target's maps have {like.shape[2]} elements, those of the zoo's "
                        f"networks {rows.shape[1]}"
                    )
                return rows
        return torch.zeros(like.shape[1:])

    def _workspace(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
        """Memory that batches hand on: the system's new memory takes longer than comparing."""
        count = math.prod(shape)
        if self._memory is None or self._memory.dtype != dtype or self._memory.numel() < count:
            self._memory = torch.empty(count, dtype=dtype, device=device)
        return self._memory[:count].view(*shape)


def compare_sketches(
    store: Store, sketch: np.ndarray, ids: np.ndarray, vectors: np.ndarray
) -> Compared:
    """Compare entries with a target by their sketches [K, size], block by block."""
    parts = block_cosines(sketch, vectors)
    values = parts.sum(1)
    count, weights = len(store.groups), store.block_weights
    used = weights > 0
    if used.sum() < 2:
        residuals = Residuals(np.empty((0, len(ids))), np.empty(0), count, 0.0)
    else:
        # As if every probe were the mean of its block, and blocks were the groups.
        sums = count * (parts[:, used] - weights[used] * values[:, None]).T
        residuals = Residuals(sums, 1 / (1 - weights[used]), count, store.block_df)
    return Compared(ids, values, residuals.stderr(), residuals)


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
        except ZooDamaged as error:
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


class EntryRows:
    """Rows of some entries, as `pyattrx.affinities.run.compare` wants them."""

    def __init__(
        self, store: Store, method: StoredMethod, numbers: Sequence[int], names: Sequence[str]
    ) -> None:
        self._store = store
        self._names = names
        found = store.catalog.records(numbers, method.id, ROWS)
        self._located = [found.get(number, []) for number in numbers]

    def __len__(self) -> int:
        return len(self._located)

    @property
    def row_bytes(self) -> int:
        """Bytes of the longest network's row."""
        return max((p.record.row_bytes for parts in self._located for p in parts), default=1)

    def block(self, networks: slice, probes: np.ndarray) -> Tensor:
        """Rows of some networks on some probes, [M, B, D]."""
        rows = []
        for name, parts in zip(self._names[networks], self._located[networks], strict=True):
            try:
                rows.append(floating(self._store.rows(parts, probes)))
            except ZooDamaged as error:
                raise ZooDamaged(f"entry {name!r}: {error}") from error
        wide = any(row.dtype == torch.float64 for row in rows)
        return torch.stack([row.double() for row in rows] if wide else rows)


def sketch_rows(store: Store, rows: RowStore, probes: np.ndarray) -> np.ndarray:
    """Sketch of a target, its rows on some probes in a row store; of about unit length for all."""
    sketcher = Sketcher(store.groups, store.sketch_size, store.sketch_seed)
    at_once = max(1, _BLOCK_BYTES // (4 * max(rows.row_bytes, 1)))
    for start in range(0, len(probes), at_once):
        some = probes[start : start + at_once]
        sketcher.add(some, rows.block(slice(0, 1), some)[0])
    sketch: np.ndarray = (sketcher.total() / len(store.probes) ** 0.5).numpy()
    return sketch


def warn_damaged(store: Store, damaged: dict[int, str]) -> tuple[str, ...]:
    """Warn of entries that an answer does not cover; return their names."""
    names = store.catalog.names_of(sorted(damaged))
    shown = list(names.items())[:_WARNINGS]
    for number, name in shown:
        warnings.warn(
            f"{store.folder}: entry {name!r} is damaged and was left out: {damaged[number]}",
            ZooWarning,
            stacklevel=4,
        )
    if len(names) > len(shown):
        more = len(names) - len(shown)
        warnings.warn(
            f"{store.folder}: {more} more entries are damaged and were left out; "
            "`Zoo.verify` names them",
            ZooWarning,
            stacklevel=4,
        )
    return tuple(names.values())


def floating(rows: Tensor) -> Tensor:
    """Rows in a type that they can be compared in, without loss."""
    return rows if rows.dtype in (torch.float32, torch.float64) else rows.float()
