"""Some images of a store, in any order, without a copy of their pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyattrx.photos import Pixels, PixelStore

__all__ = ["Selected", "read_runs"]


def read_runs(store: PixelStore, chosen: NDArray[np.int64], out: Pixels) -> Pixels:
    """Read images into `out`; those that follow one another at once."""
    ends = [*(np.flatnonzero(np.diff(chosen) != 1) + 1).tolist(), len(chosen)]
    first = 0
    for end in ends:
        run = chosen[first:end]
        if len(run):
            store.raw(int(run[0]), int(run[-1]) + 1, out[first:end])
        first = end
    return out


class Selected(PixelStore):
    """A view of a store, which it keeps alive.

    Parameters
    ----------
    store : PixelStore
    chosen : ndarray [n], int64
        Which of its images, in which order.
    """

    def __init__(self, store: PixelStore, chosen: NDArray[np.int64]) -> None:
        super().__init__()
        self._base: PixelStore = store
        self._chosen = chosen
        self.shape, self.dtype = store.shape, store.dtype
        if isinstance(store, Selected):  # a view of a view is a view of what is stored
            self._base, self._chosen = store._base, store._chosen[chosen]
        digests = store.digests(len(store))
        for at in chosen.tolist():
            self._digests += digests[32 * at : 32 * at + 32]

    def append(self, image: Pixels, image_digest: bytes) -> None:
        """Never: a selection does not grow."""
        raise AssertionError("a selection of probes does not grow")

    @property
    def in_memory(self) -> bool:
        """Whether no file is read."""
        return self._base.in_memory

    def raw(self, start: int, stop: int, out: Pixels | None = None) -> Pixels:
        """Pixels of some images, as they are kept."""
        assert self.shape is not None
        chosen = self._chosen[start:stop]
        if out is None:
            out = np.empty((len(chosen), *self.shape), self.dtype)
        return read_runs(self._base, chosen, out)
