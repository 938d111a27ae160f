"""The entries whose sketches are nearest to a target's: what is worth comparing by rows."""

from __future__ import annotations

import numpy as np
import torch

from pyattrx.errors import ZooDamaged
from pyattrx.zoo.catalog import SKETCH, Located
from pyattrx.zoo.store import Store, StoredMethod

__all__ = ["Candidates"]


class Candidates:
    """Sketches of a zoo's entries under one method, searched by inner product."""

    def __init__(self, store: Store, method: StoredMethod) -> None:
        self._store = store
        self._method = method
        self._ids = np.empty(0, np.int64)
        self._vectors = torch.empty(0, store.sketch_size)
        self._last = 0
        self.damaged: dict[int, str] = {}

    def search(
        self, sketch: np.ndarray, count: int, allowed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The entries with the largest inner products, (scores, numbers), best first."""
        self._refresh()
        scores = (self._vectors @ torch.from_numpy(sketch)).numpy()
        ids = self._ids
        if allowed is not None:
            there = np.isin(ids, allowed)
            scores, ids = scores[there], ids[there]
        order = np.argsort(-scores, kind="stable")[:count]
        return scores[order], ids[order]

    def _refresh(self) -> None:
        if self._store.catalog.last_id() <= self._last:
            return
        ids: list[int] = []
        vectors: list[np.ndarray] = []
        groups: dict[int, list[Located]] = {}
        for located in self._store.catalog.each_record(self._method.id, SKETCH, self._last):
            if isinstance(located, int):
                self.damaged[located] = "its record is damaged"
            else:
                groups.setdefault(located.entry, []).append(located)
        for number, parts in groups.items():
            try:
                vectors.append(self._store.sketch(parts))
                ids.append(number)
            except ZooDamaged as error:
                self.damaged[number] = str(error)
            self._last = max(self._last, number)
        self._ids = np.concatenate([self._ids, np.array(ids, np.int64)])
        if vectors:
            self._vectors = torch.cat([self._vectors, torch.from_numpy(np.stack(vectors))])
