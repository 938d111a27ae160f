"""A network that was run by a worker, as the caller's process finds it: like one that runs here."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyattrx._scratch import Scratch, ScratchFile
from pyattrx.methods import FeatureMethod, Summary
from pyattrx.running import Description, Effects

__all__ = ["Counts", "DescribedElsewhere", "described"]

_MEMORY_BYTES = 64 << 20  # rows of a network that stay in a worker's memory


@dataclass(frozen=True)
class Counts:
    """How many maps were special; see `MapChecks`."""

    zero: int
    noise: int
    exact: int


@dataclass(frozen=True)
class _Rows:
    """Rows of all probes by one method, [N, D] of any type, as bytes: NumPy has no bfloat16."""

    data: np.ndarray
    dtype: torch.dtype

    def batch(self, start: int, stop: int) -> Tensor:
        # A copy: what comes from a worker may be a file, or may not be written to.
        return torch.from_numpy(np.array(self.data[start:stop])).view(self.dtype)


@dataclass
class DescribedElsewhere:
    """What a worker found of a network; it can be pickled.

    Attributes
    ----------
    numbers : ndarray of int64
        The probes that it saw.
    lengths : list of int
        Of the batches that rows came in: sums over them are those of a run in this process.
    tables : list of rows
        By method of maps.
    summaries : dict of str to Summary
        By method of features.
    checks, effects, behaviour, untrained, how, features_in
        See `Description`.
    """

    numbers: np.ndarray
    lengths: list[int]
    tables: list[_Rows]
    summaries: dict[str, Summary]
    checks: list[Counts]
    effects: Effects
    behaviour: dict[str, Any]
    untrained: str | None
    how: dict[str, Any] = field(default_factory=dict)
    features_in: str | None = None

    def __enter__(self) -> DescribedElsewhere:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    def rows(
        self,
        order: np.ndarray | None = None,
        *,
        on_host: bool | Callable[[Sequence[Tensor]], Sequence[bool]] = False,
    ) -> Iterator[tuple[np.ndarray, list[Tensor]]]:
        """Hand out the rows as `Description.rows` does; the order is the one that was run."""
        assert order is None or np.array_equal(order, self.numbers)
        start = 0
        for length in self.lengths:
            batch = [table.batch(start, start + length) for table in self.tables]
            if start == 0 and callable(on_host):
                on_host(batch)
            yield self.numbers[start : start + length], batch
            start += length

    def summary(self, method: FeatureMethod) -> Summary:
        """What a method keeps of the network."""
        return self.summaries[str(method)]


def described(
    network: Description,
    sets: Sequence[FeatureMethod],
    numbers: np.ndarray,
    scratch: Scratch | None = None,
) -> DescribedElsewhere:
    """Run a network in a worker, and keep all that the caller's process may ask for.

    Parameters
    ----------
    network : Description
    sets : sequence of FeatureMethod
    numbers : ndarray of int64
        The probes that maps are made of.
    scratch : Scratch, optional
        Where rows are beyond 64 MiB.
    """
    files = Scratch.of(scratch)
    tables: list[Tensor] = []
    lengths: list[int] = []
    with network as running:
        if running.checks:
            done = 0
            for chosen, rows in running.rows(numbers, on_host=True):
                if not tables:
                    tables = [_empty(len(numbers), some, files) for some in rows]
                for table, some in zip(tables, rows, strict=True):
                    table[done : done + len(chosen)] = some
                lengths.append(len(chosen))
                done += len(chosen)
        summaries = {str(method): _contiguous(running.summary(method)) for method in sets}
    return DescribedElsewhere(
        numbers,
        lengths,
        [_Rows(table.view(torch.uint8).numpy(), table.dtype) for table in tables],
        summaries,
        [Counts(one.zero, one.noise, one.exact) for one in running.checks],
        running.effects,
        running.behaviour,
        running.untrained,
        running.how,
        running.features_in,
    )


def _contiguous(summary: Summary) -> Summary:
    arrays = {name: np.ascontiguousarray(array) for name, array in summary.arrays.items()}
    return Summary(arrays, summary.zero_probes, summary.facts)


def _empty(count: int, like: Tensor, scratch: Scratch) -> Tensor:
    shape = (count, like.shape[1])
    size = math.prod(shape) * like.element_size()
    if size <= scratch.room(_MEMORY_BYTES):
        return torch.empty(shape, dtype=like.dtype)
    file = ScratchFile(scratch, "map rows")
    # Not a memmap any more: of those pickle would make a copy.
    data = np.asarray(file.empty((size,), np.dtype(np.uint8)))
    return torch.from_numpy(data).view(like.dtype).view(shape)
