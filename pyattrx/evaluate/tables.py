"""Tables of scores: what counts as one, whose rows and columns they are, who is a candidate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyattrx.errors import InvalidTypeError, InvalidValueError

__all__ = ["Table", "align", "as_table", "mean_ranks", "paired"]

_Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Table:
    """Scores with the names of their targets (rows) and sources (columns); larger is better.

    Parameters
    ----------
    values : array_like, [T, S], float64
        NaN where there is no score.
    targets, sources : sequence of str
        T and S names, each only once. A target may be among the sources.
    cosines : array_like, [N, T, S], float64, optional
        Per-probe values whose mean over the N probes is `values`, for intervals over probes.
    groups : array_like, [N], int64, optional
        Probes of one group belong together; every probe is its own group if left out.
    without : array_like, [K, T, S], float64, optional
        For scores that are no mean over probes, in place of `cosines`: scores without each block.
    blocks : array_like, [N], int64, optional
        Block of each probe, 0 to K - 1; goes with `without`.

    Raises
    ------
    InvalidTypeError
        Values that are no real numbers, names that are no strings.
    InvalidValueError
        Shapes that do not fit, a name that is there twice, an empty table.

    Examples
    --------
    >>> table = Table([[0.0, 0.3, 0.1]], ["depth"], ["depth", "normals", "edges"])
    >>> table
    Table(1 targets, 3 sources)
    >>> table.select(["depth"], ["edges", "normals"]).values
    array([[0.1, 0.3]])
    """

    values: _Vector
    targets: tuple[str, ...]
    sources: tuple[str, ...]
    cosines: _Vector | None = None
    groups: NDArray[np.int64] | None = None
    without: _Vector | None = None
    blocks: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        values = _numbers("values", self.values)
        targets = _checked_names("targets", self.targets, len(values))
        sources = _checked_names("sources", self.sources, values.shape[1])
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "targets", targets)
        object.__setattr__(self, "sources", sources)
        self._check_cosines(values)
        self._check_blocks(values.shape)

    def _check_cosines(self, values: _Vector) -> None:
        shape = values.shape
        if self.cosines is None:
            if self.groups is not None:
                raise InvalidValueError("groups", self.groups, "none, as there are no cosines")
            return
        cosines = np.asarray(self.cosines, dtype=np.float64)
        if cosines.ndim != 3 or cosines.shape[1:] != shape or not len(cosines):
            expected = f"[probes, {shape[0]}, {shape[1]}]"
            raise InvalidValueError("cosines", cosines.shape, expected)
        unknown = np.argwhere(np.isfinite(values) & ~np.isfinite(cosines).all(0))
        if len(unknown):
            row, column = (int(i) for i in unknown[0])
            expected = f"finite numbers, as there is a score (row {row}, column {column})"
            raise InvalidValueError("cosines", cosines[:, row, column], expected)
        groups = np.arange(len(cosines)) if self.groups is None else np.asarray(self.groups)
        if groups.shape != (len(cosines),):
            raise InvalidValueError(
                "groups", groups.shape, f"({len(cosines)},), one for every probe"
            )
        numbered = np.unique(groups, return_inverse=True)[1].astype(np.int64)
        object.__setattr__(self, "cosines", cosines)
        object.__setattr__(self, "groups", numbered)

    def _check_blocks(self, shape: tuple[int, ...]) -> None:
        if (self.without is None) != (self.blocks is None):
            expected = "given where blocks are, and only there"
            raise InvalidValueError("without", self.without, expected)
        if self.without is None:
            return
        if self.cosines is not None:
            raise InvalidValueError("without", self.without, "none, as there are cosines")
        without, blocks = np.asarray(self.without, dtype=np.float64), np.asarray(self.blocks)
        if without.ndim != 3 or without.shape[1:] != shape or not len(without):
            expected = f"[blocks, {shape[0]}, {shape[1]}]"
            raise InvalidValueError("without", without.shape, expected)
        numbers = np.unique(blocks)
        if blocks.ndim != 1 or not np.array_equal(numbers, np.arange(len(without))):
            expected = f"the block of each probe, each of 0 to {len(without) - 1} for some"
            raise InvalidValueError("blocks", blocks, expected)
        object.__setattr__(self, "without", without)
        object.__setattr__(self, "blocks", blocks.astype(np.int64))

    @property
    def index(self) -> tuple[str, ...]:
        """The names of the rows, as in a pandas frame."""
        return self.targets

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, as in a pandas frame."""
        return self.sources

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Where there is no score, [T, S]."""
        return np.isnan(self.values)

    @property
    def own(self) -> NDArray[np.bool_]:
        """Where a source is the target itself, [T, S]."""
        return np.array([[t == s for s in self.sources] for t in self.targets])

    def select(self, targets: Sequence[str], sources: Sequence[str]) -> Table:
        """Return some rows and columns, in the order given.

        Raises
        ------
        InvalidValueError
            A name is not there, or is given twice.
        """
        rows = [_position("targets", name, self.targets) for name in targets]
        columns = [_position("sources", name, self.sources) for name in sources]
        picked = np.ix_(rows, columns)
        cosines, without = (
            None if values is None else values[:, picked[0], picked[1]]
            for values in (self.cosines, self.without)
        )
        return Table(
            self.values[picked], tuple(targets), tuple(sources), cosines, self.groups, without,
            self.blocks,
        )  # fmt: skip

    def renamed(self, names: Mapping[str, str]) -> Table:
        """Return the same scores under other names; a name that `names` has not is kept.

        Raises
        ------
        InvalidValueError
            Two targets, or two sources, get one name.
        """
        targets = tuple(names.get(name, name) for name in self.targets)
        sources = tuple(names.get(name, name) for name in self.sources)
        return replace(self, targets=targets, sources=sources)

    def with_values(self, values: _Vector) -> Table:
        """Return other scores of the same targets and sources."""
        return Table(values, self.targets, self.sources)

    def __repr__(self) -> str:
        return f"Table({len(self.targets)} targets, {len(self.sources)} sources)"


def as_table(table: Any, argument: str = "table") -> Table:
    """Make a `Table` of anything that the measures accept, under made-up names if it has none.

    Examples
    --------
    >>> as_table([[1.0, 0.2], [0.3, 1.0]]).targets
    ('0', '1')
    """
    if isinstance(table, Table):
        return table
    values, names = _read(argument, table)
    if names is not None:
        targets, sources = names
    else:
        targets = [str(i) for i in range(values.shape[0])]
        sources = [str(i) for i in range(values.shape[1])]
        if len(targets) != len(sources):  # then no row and column stand for the same thing
            targets = [f"target {name}" for name in targets]
    if hasattr(table, "columns"):  # a frame: its attributes may be its columns
        return Table(values, tuple(targets), tuple(sources))
    cosines = getattr(table, "cosines", None)
    groups = None if cosines is None else getattr(table, "groups", None)
    without = None if cosines is not None else getattr(table, "without", None)
    blocks = None if without is None else getattr(table, "blocks", None)
    return Table(values, tuple(targets), tuple(sources), cosines, groups, without, blocks)


def align(affinity: Any, truth: Any) -> tuple[Table, Table]:
    """Keep the targets and sources that both tables have, in the order of the truth.

    Parameters
    ----------
    affinity, truth : table
        With names; their order and number may differ.

    Returns
    -------
    (Table, Table)
        Of one shape.

    Raises
    ------
    InvalidValueError
        The tables have no target, or no source, in common.

    Examples
    --------
    >>> affinity = Table([[0, 3, 1]], ["a"], ["a", "b", "c"])
    >>> truth = Table([[5, 0], [0, 7]], ["b", "a"], ["c", "b"])
    >>> [table.values.tolist() for table in align(affinity, truth)]
    [[[1.0, 3.0]], [[0.0, 7.0]]]
    """
    first, second = as_table(affinity, "affinity"), as_table(truth, "truth")
    targets = [name for name in second.targets if name in first.targets]
    sources = [name for name in second.sources if name in first.sources]
    for kind, common, mine, theirs in (
        ("target", targets, first.targets, second.targets),
        ("source", sources, first.sources, second.sources),
    ):
        if not common:
            expected = f"at least one {kind} of the affinity, whose {kind}s are {list(mine)}"
            raise InvalidValueError("truth", list(theirs), expected)
    return first.select(targets, sources), second.select(targets, sources)


def mean_ranks(values: _Vector) -> _Vector:
    """Ranks from 1, smallest first; equal values share their mean rank.

    As scipy.stats.rankdata, which takes seconds to import and longer for short rows.

    Examples
    --------
    >>> mean_ranks(np.array([3.0, 1.0, 3.0]))
    array([2.5, 1. , 2.5])
    """
    ordered = np.sort(values)
    below, up_to = ordered.searchsorted(values), ordered.searchsorted(values, "right")
    ranks: _Vector = (below + up_to + 1) / 2
    return ranks


def paired(affinity: Any, truth: Any) -> tuple[_Vector, _Vector, list[NDArray[np.intp]]]:
    """Return both tables and the candidate columns of every target."""
    scores, score_names = _read("affinity", affinity)
    measured, truth_names = _read("truth", truth)
    if scores.shape != measured.shape:
        raise InvalidValueError("truth", measured.shape, f"the shape of affinity, {scores.shape}")
    if score_names is not None and truth_names is not None and score_names != truth_names:
        expected = f"the targets and sources of affinity in the same order, {score_names}"
        raise InvalidValueError("truth", truth_names, expected)
    names = score_names or truth_names
    allowed = ~np.isnan(measured)
    if names is not None:
        targets, sources = names
        allowed &= np.array([[target != source for source in sources] for target in targets])
    elif scores.shape[0] == scores.shape[1]:
        np.fill_diagonal(allowed, False)
    unknown = np.argwhere(allowed & np.isnan(scores))
    if len(unknown):
        row, column = (int(i) for i in unknown[0])
        expected = f"a number for every candidate source (row {row}, column {column})"
        raise InvalidValueError("affinity", float("nan"), expected)
    candidates = [np.flatnonzero(row) for row in allowed]
    empty = next((i for i, columns in enumerate(candidates) if len(columns) == 0), None)
    if empty is not None:
        expected = f"at least one candidate source of every target (row {empty} has none)"
        raise InvalidValueError("truth", measured[empty], expected)
    return scores, measured, candidates


def _read(argument: str, table: Any) -> tuple[_Vector, tuple[list[str], list[str]] | None]:
    values = getattr(table, "values", None)
    if values is None or callable(values):  # a dict and a torch tensor have a method `values`
        values = table
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidTypeError(argument, table, f"a table of real numbers ({error})") from error
    if array.dtype.kind not in "biuf":
        raise InvalidTypeError(argument, table, f"a table of real numbers, not {array.dtype}")
    if array.ndim != 2 or array.size == 0:
        raise InvalidValueError(argument, array.shape, "a table [targets, sources], not empty")
    return array.astype(np.float64), _names(table, array.shape)


def _names(table: Any, shape: tuple[int, ...]) -> tuple[list[str], list[str]] | None:
    if hasattr(table, "index") and hasattr(table, "columns"):
        rows, columns = list(table.index), list(table.columns)
    else:
        rows = columns = list(getattr(table, "names", None) or ())
    both = (len(rows), len(columns)) == shape
    return (rows, columns) if both and all(isinstance(n, str) for n in rows + columns) else None


def _numbers(argument: str, values: Any) -> _Vector:
    return _read(argument, values)[0]


def _checked_names(argument: str, names: Any, count: int) -> tuple[str, ...]:
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise InvalidTypeError(argument, names, "a sequence of strings")
    checked = tuple(names)
    if len(checked) != count:
        raise InvalidValueError(argument, checked, f"{count} names")
    repeated = next((name for name in checked if checked.count(name) > 1), None)
    if repeated is not None:
        raise InvalidValueError(argument, repeated, "every name only once")
    return checked


def _position(argument: str, name: str, known: tuple[str, ...]) -> int:
    if name not in known:
        raise InvalidValueError(argument, name, f"one of {list(known)}")
    return known.index(name)
