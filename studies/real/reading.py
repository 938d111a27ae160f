"""Features of all networks for all images: one pass an image, kept in the work folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyattrx.errors import PyattrxError
from pyattrx.features import FeatureCache, Features, extract

from .entrants import Entrant
from .tasks import RealTask

__all__ = ["GRID", "Seen", "read"]

GRID = 4  # rows and columns of maps


@dataclass(frozen=True, eq=False)
class Seen:
    """What one network sees in all images of a task.

    Attributes
    ----------
    name : str
    features : Features
        Maps are of `GRID` x `GRID` at most.
    """

    name: str
    features: Features

    @property
    def pooled(self) -> NDArray[np.float32]:
        """One vector an image, [N, D]."""
        return self.features.pooled

    @property
    def maps(self) -> NDArray[np.float32]:
        """Maps [N, C, H, W]; the vector, in one place, where there are none."""
        maps = self.features.maps
        return self.features.pooled[:, :, None, None] if maps is None else maps

    @property
    def coarse(self) -> NDArray[np.float32]:
        """The same at 2 x 2 places, or at those that there are."""
        maps = self.maps
        n, c, h, w = maps.shape
        if h % 2 or w % 2:
            return maps if h * w == 1 else maps.mean((2, 3), keepdims=True)
        return np.asarray(maps.reshape(n, c, 2, h // 2, 2, w // 2).mean((3, 5)))


def read(
    entrants: Sequence[Entrant], task: RealTask, work: Path, say: Callable[[str], None]
) -> list[Seen]:
    """Read features.

    Parameters
    ----------
    entrants : sequence of Entrant
    task : RealTask
    work : Path
        Keeps features; what is there is not computed again.
    say : callable
        Is told who is read, and who cannot be.

    Returns
    -------
    list of Seen
        Without who fails.
    """
    cache = FeatureCache(work / "features", limit=100)
    found = []
    for entrant in entrants:
        try:
            features = extract(entrant.load(), task.task.probes, grid=GRID, cache=cache)
        except PyattrxError as error:
            say(f"{task.name}: {entrant.name} cannot be read: {error}")
            continue
        if features.computed:
            say(f"{task.name}: {entrant.name} read at {features.place}")
        found.append(Seen(entrant.name, features))
    return found
