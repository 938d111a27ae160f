"""The networks of a zoo that are worth running on a task's images, told from what the zoo keeps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from pyattrx.encoders import Encoder
from pyattrx.errors import InvalidValueError
from pyattrx.recommending.agreement import by_every_target
from pyattrx.recommending.candidates import Candidate
from pyattrx.zoo import Zoo

__all__ = ["FINALISTS", "shortlist"]

FINALISTS = 12
_TOGETHER = 100  # networks whose consensus is asked for at once: all pairs of them are compared
_SEED = 0


def shortlist(
    zoo: Zoo, target: Any, tags: str | Sequence[str], finalists: int, trust: bool
) -> tuple[list[Candidate], list[str]]:
    """Choose the entries to run.

    Parameters
    ----------
    zoo : Zoo
    target : Encoder or str, optional
        A network that does the task: its nearest entries. Without one, those that know most of the
        others on the zoo's probes, by the features that it keeps for re-ranking.
    tags : str or sequence of str
        Only entries that have all of them.
    finalists : int
        At most so many.
    trust : bool
        Whether networks may be loaded whose loading may execute code.

    Returns
    -------
    candidates : list of Candidate
    notes : list of str
        What was left out, and why.

    Raises
    ------
    InvalidValueError
        No entry can be loaded again, or there is nothing to narrow them down by.
    """
    entries = list(zoo.entries(tags))
    if not entries and tags and len(zoo):
        raise InvalidValueError("tags", tags, f"those of a network in the zoo {zoo.path}")
    names = [one.name for one in entries if one.specification and "maps" not in one.facts]
    if not names:
        raise InvalidValueError(
            "candidates", str(zoo.path), "a zoo with networks that were added by specification"
        )
    notes = []
    if len(names) < len(entries):
        notes.append(
            f"{len(entries) - len(names)} of {len(entries)} networks in the zoo cannot be loaded "
            "again: they were added without a specification, or as maps."
        )
    if len(names) > finalists:
        whole = len(names)
        if isinstance(target, Encoder):
            found = zoo.query(target, k=len(entries), tags=tags, rerank=zoo.rerank)
            loadable = set(names)
            near = [match.name for match in found]
            names = [name for name in near if name in loadable][:finalists]
            by = "nearest to the target"
        else:
            names = _by_consensus(zoo, names)[:finalists]
            by = "that know most of the others"
        notes.append(f"Of {whole} networks in the zoo the {len(names)} {by} were run.")
    load = _Opened(zoo, trust).load
    return [Candidate(name, partial(load, name)) for name in names], notes


class _Opened:
    """A zoo that a worker opens again."""

    def __init__(self, zoo: Zoo, trust: bool) -> None:
        self._zoo, self._trust = zoo, trust

    def load(self, name: str) -> Encoder:
        return self._zoo.load(name, trust=self._trust)

    def __reduce__(self) -> tuple[Any, ...]:
        return _opened, (str(self._zoo.path.absolute()), self._trust)


def _opened(path: str, trust: bool) -> _Opened:
    return _Opened(Zoo.open(path, trust=trust), trust)


def _by_consensus(zoo: Zoo, names: list[str]) -> list[str]:
    """Names, best first, each judged beside a random hundred of the others."""
    if zoo.rerank is None:
        raise InvalidValueError(
            "finalists",
            len(names),
            "at least as many as the zoo has networks, or a target: it keeps no features to "
            "narrow them down by (see Zoo.create(rerank='recommended'))",
        )
    order = np.random.default_rng(_SEED).permutation(sorted(names))
    parts = np.array_split(order, -(-len(order) // _TOGETHER))
    values: dict[str, float] = {}
    for part in parts:
        some = part.tolist()
        found = by_every_target(zoo.affinity(some, method=zoo.rerank).values)
        values.update(zip(some, found.tolist(), strict=True))
    return sorted(names, key=lambda name: -values[name])
