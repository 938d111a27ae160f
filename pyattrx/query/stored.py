"""Tables of what is stored: affinities between entries, without running any."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyattrx.affinities import Affinity, by_blocks, compare
from pyattrx.errors import EntryGoneError, InvalidValueError, ZooDamagedError
from pyattrx.methods import FeatureMethod, Method
from pyattrx.query.comparing import floating
from pyattrx.query.reranking import feature_scores
from pyattrx.running import versions
from pyattrx.storage import ROWS, EntryRow, Store, StoredFeatures, StoredMethod, now

__all__ = ["stored_affinity"]


def stored_affinity(
    store: Store, names: Sequence[str] | None, method: str | Method | FeatureMethod | None
) -> Affinity:
    """Compute the affinities between entries, as `pyattrx.affinity` does; see `Zoo.affinity`."""
    features = store.features
    by_features = features is not None and (method is None or features.is_meant(method))
    stored = features if by_features and features is not None else store.method(method)
    if not by_features and not store.keep_rows:
        raise InvalidValueError("keep_rows", False, "a zoo that keeps rows")
    chosen = store.catalog.names() if names is None else list(names)
    if not chosen:
        raise InvalidValueError("names", chosen, "at least one network")
    if len(set(chosen)) < len(chosen):
        raise InvalidValueError("names", chosen, "different names")
    numbers = [store.number(name, "names") for name in chosen]
    begun = time.perf_counter()
    try:
        entries = [store.catalog.entry(number) for number in numbers]
        values, parts = _compared(store, stored, numbers, chosen)
    except ZooDamagedError as error:
        there = store.catalog.names_of(numbers)
        gone = [name for number, name in zip(numbers, chosen, strict=True) if number not in there]
        if gone:
            raise EntryGoneError(f"entry {gone[0]!r} was removed meanwhile") from error
        raise
    return Affinity(
        names=chosen,
        values=values,
        groups=store.groups,
        zero_maps=_zeros(entries, stored.name),
        **parts,
        provenance={
            "method": stored.method.to_dict(),
            "method_name": stored.name,
            "grid": list(stored.descriptor.grid) if isinstance(stored, StoredMethod) else None,
            "probes": store.probes.describe(),
            "networks": [_as_of_affinity(entry) for entry in entries],
            "zoo": store.uuid,
            "seconds": {"comparison": round(time.perf_counter() - begun, 3)},
            "created": now(),
            "versions": versions(),
        },
    )


def _compared(
    store: Store,
    stored: StoredMethod | StoredFeatures,
    numbers: Sequence[int],
    names: Sequence[str],
) -> tuple[Any, dict[str, Any]]:
    """Values, and everything else of an `Affinity` that comes from comparing."""
    if isinstance(stored, StoredMethod):
        rows = _EntryRows(store, stored, numbers, names)
        values, stderr, cosines = compare(rows, store.groups)
        return values, {"symmetric": True, "stderr": stderr, "cosines": cosines}
    scores, blocks = feature_scores(store, stored, numbers, names)
    stderr, without = by_blocks(scores, blocks)
    method = stored.method
    parts = {"symmetric": method.symmetric, "bounds": method.bounds, "stderr": stderr}
    if without is not None:
        parts |= {"without": without, "blocks": blocks}
    return scores.values, parts


def _as_of_affinity(entry: EntryRow) -> dict[str, Any]:
    """What is known of an entry, in the words of `pyattrx.affinity`.

    There "precision" and "compile" are what these did to a network's maps, since a run has one of
    each; in a zoo every network has its own, which are its "run_precision" and "run_compile" here.
    """
    facts = {**entry.facts, "name": entry.name}
    for name, asked in (("precision", "run_precision"), ("compile", "run_compile")):
        if name in facts:  # not of given maps
            facts[asked] = facts[name]
        facts[name] = facts.pop(f"{name}_effect", None)
    return facts


def _zeros(entries: Sequence[EntryRow], method: str) -> dict[str, int]:
    counts = {entry.name: entry.facts.get("zero_maps", {}).get(method) for entry in entries}
    return {name: count for name, count in counts.items() if count}


class _EntryRows:
    """Rows of some entries, to be compared in pairs."""

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
            except ZooDamagedError as error:
                raise ZooDamagedError(f"entry {name!r}: {error}") from error
        wide = any(row.dtype == torch.float64 for row in rows)
        return torch.stack([row.double() for row in rows] if wide else rows)
