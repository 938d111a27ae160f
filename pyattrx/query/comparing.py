"""Targets against the rows and sketches of a zoo: what is read serves all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from pyattrx import ops
from pyattrx.affinities import RowStore
from pyattrx.errors import ZooDamagedError, ZooMismatchError
from pyattrx.query.query import Target
from pyattrx.statistics import Match, Residuals, rank
from pyattrx.storage import (
    ROWS,
    SKETCH,
    Located,
    Sketcher,
    Store,
    StoredMethod,
    block_cosines,
    without_records,
)

__all__ = [
    "Compared",
    "Seen",
    "compare_rows",
    "compare_sketches",
    "entry_seen",
    "floating",
    "row_cosines",
    "sketch_rows",
]

# Rows of entries in memory at once.
_BLOCK_BYTES = 64 << 20


@dataclass
class Seen:
    """A target as it was seen: its rows on some probes, and their sketch.

    Attributes
    ----------
    label : str
        What errors call it.
    store : Store
    rows : RowStore, list of Located or None
        Where its rows are; None where they are not kept.
    place, row_bytes : int
        Which of the networks of a `RowStore` it is, and the length of its rows.
    sketch : ndarray [size] or None
    """

    label: str
    store: Store
    rows: RowStore | Sequence[Located] | None
    place: int = 0
    row_bytes: int = 1
    sketch: np.ndarray | None = None

    def block(self, probes: np.ndarray) -> Tensor:
        """Rows on some probes, [1, B, D], floating."""
        if isinstance(self.rows, RowStore):
            return self.rows.block(slice(self.place, self.place + 1), probes)
        assert self.rows is not None
        return floating(self.store.rows(self.rows, probes))[None]


def entry_seen(store: Store, method: StoredMethod, number: int, target: Target) -> Seen:
    """What was seen of a target that is an entry.

    Raises
    ------
    ZooDamagedError
        It is damaged; the message has its name.
    """
    try:
        sketches = store.catalog.records([number], method.id, SKETCH).get(number, [])
        rows = None
        if store.keep_rows:
            rows = store.catalog.records([number], method.id, ROWS).get(number)
        return Seen(target.label, store, rows, sketch=store.sketch(sketches))
    except ZooDamagedError as error:
        raise ZooDamagedError(f"entry {target.name!r}: {error}") from error


@dataclass
class Compared:
    """Entries compared with a target, and out of what.

    Attributes
    ----------
    ids : ndarray [K], int64
    values, stderr : ndarray [K]
    residuals : Residuals [G, K]
        By groups of probes, or by blocks of a sketch.
    damaged : dict of int to str
        Entries that could not be compared, and why.
    searched, n_probes, complete, settled
        As for `Matches`.
    """

    ids: np.ndarray
    values: np.ndarray
    stderr: np.ndarray
    residuals: Residuals
    damaged: dict[int, str] = field(default_factory=dict)
    searched: int = 0
    n_probes: int = 0
    complete: bool = False
    settled: bool | None = None

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
    store: Store,
    method: StoredMethod,
    targets: Sequence[Seen],
    wanted: Sequence[np.ndarray],
    probes: np.ndarray,
) -> list[Compared]:
    """Compare entries with targets by their rows, as `affinity` does.

    Parameters
    ----------
    targets : sequence of Seen
    wanted : sequence of ndarray of int64
        Which entries for each; those that are no longer there are left out.
    probes : ndarray [n], int64
        On which probes, rising.
    """
    groups = np.unique(store.groups[probes], return_inverse=True)[1]
    found = []
    for cosines, kept, damaged in row_cosines(store, method, targets, wanted, probes):
        # Row by row, as in `affinity`: the sum's order does not depend on how rows were batched.
        values = np.add.reduce(cosines, axis=0) / len(probes)
        residuals = Residuals.of(cosines, groups)
        found.append(Compared(kept, values, residuals.stderr(), residuals, damaged))
    return found


def row_cosines(
    store: Store,
    method: StoredMethod,
    targets: Sequence[Seen],
    wanted: Sequence[np.ndarray],
    probes: np.ndarray,
) -> list[tuple[np.ndarray, np.ndarray, dict[int, str]]]:
    """Compare entries with targets probe by probe; each entry's rows are read once.

    Returns
    -------
    list of (cosines [n, K], ids [K], damaged)
        For each target the entries that could be read, which these are, and the rest.
    """
    comparison = _Comparison(store, targets, wanted, probes)
    numbers = list(dict.fromkeys(number for some in wanted for number in some.tolist()))
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
    return comparison.found()


class _Comparison:
    """Targets against entries, batch by batch."""

    def __init__(
        self,
        store: Store,
        targets: Sequence[Seen],
        wanted: Sequence[np.ndarray],
        probes: np.ndarray,
    ) -> None:
        self._store = store
        self._targets = targets
        self._wanted = [dict.fromkeys(some.tolist()) for some in wanted]  # sets, in order
        self._probes = probes
        self._memory: dict[tuple[torch.dtype, torch.device], Tensor] = {}
        self._columns: list[list[np.ndarray]] = [[] for _ in targets]
        self._kept: list[list[int]] = [[] for _ in targets]
        self.damaged: dict[int, str] = {}

    def found(self) -> list[tuple[np.ndarray, np.ndarray, dict[int, str]]]:
        """Cosines, entries and damage by target, as if each had been alone: in its own order."""
        found = []
        for columns, kept, wanted in zip(self._columns, self._kept, self._wanted, strict=True):
            cosines = (
                np.concatenate(columns, axis=1) if columns else np.empty((len(self._probes), 0))
            )
            places = {number: place for place, number in enumerate(kept)}
            ids = [number for number in wanted if number in places]
            if ids != kept:
                cosines = np.asfortranarray(cosines[:, [places[number] for number in ids]])
            damaged = {number: why for number, why in self.damaged.items() if number in wanted}
            found.append((cosines, np.array(ids, np.int64), damaged))
        return found

    def add(self, batch: dict[int, list[Located]]) -> None:
        """Compare some entries, by the places of their rows, with the targets that want them."""
        if not batch:
            return
        numbers = list(batch)
        mine = [[i for i, n in enumerate(numbers) if n in wanted] for wanted in self._wanted]
        row_bytes = max((p.record.row_bytes for parts in batch.values() for p in parts), default=1)
        at_once = max(1, _BLOCK_BYTES // (2 * row_bytes * len(batch)))
        bad: dict[int, str] = {}
        pieces: list[list[np.ndarray]] = [[] for _ in self._targets]
        for start in range(0, len(self._probes), at_once):
            chosen = self._probes[start : start + at_once]
            rows = [self._read(number, parts, chosen, bad) for number, parts in batch.items()]
            stacked: dict[tuple[torch.dtype, torch.device], Tensor] = {}
            for target, columns, some in zip(self._targets, mine, pieces, strict=True):
                if columns:
                    some.append(self._compared(target, chosen, rows, columns, stacked))
        for which, columns in enumerate(mine):
            good = [i for i, column in enumerate(columns) if numbers[column] not in bad]
            if columns:
                self._columns[which].append(np.concatenate(pieces[which])[:, good])
                self._kept[which].extend(numbers[columns[i]] for i in good)
        self.damaged.update(bad)

    def _compared(
        self,
        target: Seen,
        chosen: np.ndarray,
        rows: list[Tensor | None],
        columns: list[int],
        stacked: dict[tuple[torch.dtype, torch.device], Tensor],
    ) -> np.ndarray:
        """Cosines [B, K] of a target on some probes to the entries in some columns."""
        block = target.block(chosen)
        width = block.shape[2]
        for some in rows:
            if some is not None and some.shape[1] != width:
                raise ZooMismatchError(
                    f"the {target.label}'s maps have {width} elements, those of the zoo's networks "
                    f"{some.shape[1]}"
                )
        read = [rows[column] for column in columns]
        wide = any(row is not None and row.dtype == torch.float64 for row in (block[0], *read))
        like = (torch.float64 if wide else torch.float32, block.device)
        if like not in stacked:
            stacked[like] = self._workspace((len(rows), *block.shape[1:]), *like)
            for place, row in zip(stacked[like], rows, strict=True):
                place.zero_() if row is None else place.copy_(row)
        entries = stacked[like] if 2 * len(columns) > len(rows) else stacked[like][columns]
        cosines: np.ndarray = ops.probe_cosines(block.to(like[0]), entries)[:, 0, :].cpu().numpy()
        if len(entries) == len(columns):
            return cosines
        return np.ascontiguousarray(cosines[:, columns])

    def _read(
        self, number: int, parts: list[Located], probes: np.ndarray, bad: dict[int, str]
    ) -> Tensor | None:
        """Rows of one entry as they are stored; None from the first that are damaged on."""
        if number not in bad:
            try:
                return self._store.rows(parts, probes)
            except ZooDamagedError as error:
                bad[number] = str(error)
        return None

    def _workspace(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
        """Memory that batches hand on: the system's new memory takes longer than comparing."""
        count = math.prod(shape)
        memory = self._memory.get((dtype, device))
        if memory is None or memory.numel() < count:
            memory = self._memory[dtype, device] = torch.empty(count, dtype=dtype, device=device)
        return memory[:count].view(*shape)


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


def sketch_rows(store: Store, seen: Seen, probes: np.ndarray) -> np.ndarray:
    """Sketch of a target's rows on some probes; of about unit length for all."""
    sketcher = Sketcher(store.groups, store.sketch_size, store.sketch_seed)
    at_once = max(1, _BLOCK_BYTES // (4 * max(seen.row_bytes, 1)))
    for start in range(0, len(probes), at_once):
        some = probes[start : start + at_once]
        sketcher.add(some, seen.block(some)[0])
    sketch: np.ndarray = (sketcher.total() / len(store.probes) ** 0.5).numpy()
    return sketch


def floating(rows: Tensor) -> Tensor:
    """Rows in a type that they can be compared in, without loss."""
    return rows if rows.dtype in (torch.float32, torch.float64) else rows.float()
