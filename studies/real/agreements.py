"""What candidates know of each other, and ways to make one ranking of it.

The criterion, fixed before any result was seen. The consensus of `pyattrx.recommend` is the mean
over targets, of pooled features. It stays, unless another form or place has a higher weighted
Kendall outside the noise (paired bootstrap over tasks, draws and candidates, 95 %; mean over
`study.CHOOSING`, 160 images). A form that stands copies is taken if with nine copies of one
candidate among the others (the mean over who is copied) it is better than the mean outside the
noise, and without copies not worse outside the noise; of several the one that loses least.

It took "targets standardized". That was then held against MiniTaskonomy, where it is better
(`studies.recommend.agreements`), and tried with fewer candidates, where it is worse: it is the
consensus of `pyattrx.recommend` of ten candidates or more.

Penalties, fixed before they were seen here (only two target networks of one task had been asked
with 1 instead of .1, and ranked better): of .1, 1 and 10, with the form that `pyattrx.recommend`
has, pooled, the one with the highest weighted Kendall over `study.CHOOSING`, if it is ahead of .1
outside the noise, and on MiniTaskonomy not behind it outside the noise. "recommended" gets the same
penalty if with target networks (`studies.real.targets`, and MiniTaskonomy's) the same holds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyattrx.methods import standardized
from pyattrx.recommending import consensus

from .reading import Seen
from .tables import Row, read_rows, write_rows
from .tasks import RealTask

__all__ = ["FORMS", "IMAGES", "PLACES", "Between", "copied", "measure_between"]

_Vector = NDArray[np.float64]
_Table = NDArray[np.float64]
PLACES = ("pooled", "2x2", "4x4")
# Beside that of the product; of all images, at the first two places.
PENALTIES = (1.0, 10.0)
IMAGES = (10, 40, 160)


def measure_between(
    task: RealTask, seen: Sequence[Seen], work: Path, say: Callable[[str], None]
) -> list[Row]:
    """Predict what every network sees from what every other one sees, and itself; no label is used.

    Parameters
    ----------
    task : RealTask
    seen : sequence of Seen
    work : Path
        Keeps what was computed.
    say : callable

    Returns
    -------
    list of Row
        R^2; named ``PLACE: TARGET``, or ``PLACE, PENALTY: TARGET``, with a value a source.
        `Row.labels` is how many images were used.
    """
    found: list[Row] = []
    names = {one.name for one in seen}
    digests = task.task.probes.digests()
    for draw, images in enumerate(task.split().draws):
        # As `pyattrx.recommend`: in an order that knows nothing of classes.
        order = np.array(sorted(images.tolist(), key=digests.__getitem__))
        file = work / "between" / f"{task.name}-{draw}.csv"
        rows = read_rows(file)
        if {name for row in rows for name in row.values} != names:
            rows = _between(task, seen, draw, order)
            write_rows(file, rows)
            say(f"between of {task.name}-{draw}: {len(seen)} networks")
        found += rows
    return found


def _between(
    task: RealTask, seen: Sequence[Seen], draw: int, order: NDArray[np.int64]
) -> list[Row]:
    rows = []
    groups = task.task.groups[order]
    for place in PLACES:
        features = [_read_at(place, one)[order] for one in seen]
        for count in IMAGES:
            table = consensus(features, groups, most=count).between
            rows += _rows((task.name, count, draw), place, seen, table)
        for penalty in PENALTIES if place != "4x4" else ():
            count = max(IMAGES)
            table = consensus(features, groups, most=count, penalty=penalty).between
            rows += _rows((task.name, count, draw), f"{place}, {penalty:g}", seen, table)
    return rows


def _rows(key: tuple[str, int, int], place: str, seen: Sequence[Seen], table: _Table) -> list[Row]:
    """A row a target, ``PLACE: TARGET``."""
    names = [one.name for one in seen]
    return [
        Row(*key, f"{place}: {name}", dict(zip(names, values, strict=True)))
        for name, values in zip(names, table.tolist(), strict=True)
    ]


def _read_at(place: str, one: Seen) -> NDArray[np.float32]:
    """Vectors, [N, D]: maps as one long vector."""
    values = {"pooled": one.pooled, "2x2": one.coarse, "4x4": one.maps}[place]
    return values.reshape(len(values), -1)


class Between:
    """What networks know of each other, in tables.

    Parameters
    ----------
    rows : sequence of Row
        See `measure_between`.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = {row.key: row for row in rows}

    def table(
        self, names: Sequence[str], task: str, draw: int, place: str = "pooled", images: int = 160
    ) -> _Table | None:
        """R^2 of targets by sources, [S, S], of some networks; None where nobody measured it."""
        rows = [self._rows.get((task, images, draw, f"{place}: {name}")) for name in names]
        if any(row is None for row in rows):
            return None
        return np.stack([row.of(names) for row in rows if row is not None])


def copied(table: _Table, which: int, times: int) -> _Table:
    """The table of the same candidates and some copies of one, which come last."""
    order = [*range(len(table)), *[which] * times]
    return table[np.ix_(order, order)]


def _others(table: _Table) -> _Table:
    """Without what a source knows of itself, [S - 1, S]."""
    count = len(table)
    off = ~np.eye(count, dtype=bool)
    return table.T[off].reshape(count, count - 1).T


def _mean(table: _Table) -> _Vector:
    return np.asarray(_others(table).mean(0))


def _median(table: _Table) -> _Vector:
    return np.asarray(np.median(_others(table), axis=0))


def _trimmed(table: _Table) -> _Vector:
    """Without a fifth of the targets at each end."""
    values = np.sort(_others(table), axis=0)
    out = len(values) // 5
    return np.asarray(values[out : len(values) - out].mean(0))


def _eigenvector(table: _Table) -> _Vector:
    """Targets count as much as they do as sources."""
    positive = np.maximum(table, 0.0)
    np.fill_diagonal(positive, 0.0)
    weights = np.ones(len(table))
    for _ in range(100):
        values = positive.T @ weights
        size = float(values.sum())
        if size <= 0:
            return _mean(table)
        weights = values / size
    return weights


def _standardized(table: _Table) -> _Vector:
    """Every target counts the same, however well it can be predicted."""
    return _mean(standardized(table))


def _spread_out(table: _Table) -> _Vector:
    """Targets that are like many others count less: ten copies of one count as one.

    Alike are two that predict each other as well as themselves.
    """
    own = np.maximum(np.diagonal(table), 1e-12)
    both = np.maximum(table / own[:, None], 0.0)
    alike = np.minimum(np.minimum(both, both.T), 1.0)
    np.fill_diagonal(alike, 1.0)
    # Squared: half alike is no copy.
    weights = 1 / np.square(alike).sum(1)
    counted = np.where(np.eye(len(table), dtype=bool), 0.0, weights[:, None])
    return np.asarray((counted * table).sum(0) / counted.sum(0))


def _without_copies(table: _Table) -> _Vector:
    """As `_spread_out`, but who is a copy of the source itself is no target of it, either."""
    own = np.maximum(np.diagonal(table), 1e-12)
    both = np.maximum(table / own[:, None], 0.0)
    alike = np.square(np.minimum(np.minimum(both, both.T), 1.0))
    np.fill_diagonal(alike, 1.0)
    counted = (1 - alike) / alike.sum(1)[:, None]
    total = counted.sum(0)
    return np.asarray((counted * table).sum(0) / np.where(total > 0, total, 1.0))


# From R^2 of targets by sources, [S, S], to a value a source.
FORMS: dict[str, Callable[[_Table], _Vector]] = {
    "mean": _mean,
    "trimmed mean": _trimmed,
    "median": _median,
    "eigenvector": _eigenvector,
    "targets standardized": _standardized,
    "targets spread out": _spread_out,
    "without copies": _without_copies,
}
