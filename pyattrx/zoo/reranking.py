"""Finalists of a zoo, put in order by a feature method.

A symmetric score finds the nearest of very many networks by one vector each; a directional score
says which of the nearest suits best. For it a zoo keeps what the feature method reduces every
network to, see `pyattrx.zoo.features`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from pyattrx.affinities.scoring import Scores
from pyattrx.encoders import Encoder
from pyattrx.errors import EntryGone, InvalidType, InvalidValue, ZooDamaged, ZooMismatch
from pyattrx.methods import Summary
from pyattrx.running import Description
from pyattrx.statistics import Match, jackknife_blocks, jackknife_residuals, rank
from pyattrx.zoo.arguments import not_integer
from pyattrx.zoo.catalog import SUMMARY, EntryRow, Located
from pyattrx.zoo.features import (
    FACTS,
    FEATURES_ID,
    StoredFeatures,
    arrays_of,
    resolve_features,
    summarised,
)
from pyattrx.zoo.search import Found, Question
from pyattrx.zoo.store import Store

__all__ = ["Reranking", "check_rerank", "feature_scores"]

_LEAST_FINALISTS = 20
_FINALISTS_PER_MATCH = 4


def check_rerank(
    features: StoredFeatures | None,
    rerank: Any,
    finalists: Any,
    stop: Any,
    k: int,
    target: Any,
    bare: Callable[[], bool],
) -> int | None:
    """Check what a query says of re-ranking; return how many networks to re-rank, if any.

    Where it says nothing, a zoo's features decide the order of all answers that there are features
    for: not of maps, of an entry that was added as maps (`bare` tells), or of some of the probes.
    """
    if rerank is None and (
        features is None or stop is not None or isinstance(target, Tensor) or bare()
    ):
        rerank = False
    if rerank is False:
        if finalists is not None:
            raise InvalidValue("finalists", finalists, "None: nothing is re-ranked")
        return None
    if rerank is not None:
        method = resolve_features(rerank)
        if features is None:
            raise InvalidValue(
                "rerank", str(method), "None: this zoo keeps no features; see Zoo.create"
            )
        if method != features.method:
            raise InvalidValue("rerank", str(method), f"this zoo's {features.name!r}, or False")
        if stop is not None:
            raise InvalidValue("stop", stop, "None: features are those of all probes")
        if isinstance(target, Tensor):
            raise InvalidType("target", target, "an Encoder or a name: maps have no features")
    if finalists is None:
        return max(_FINALISTS_PER_MATCH * k, _LEAST_FINALISTS)
    if not_integer(finalists) or finalists < k:
        raise InvalidValue("finalists", finalists, f"an integer of at least k={k}")
    return int(finalists)


class Reranking:
    """Puts the nearest of the networks that were found in order.

    Parameters
    ----------
    store : Store
        With features.
    found : Found
        Entries whose features turn out to be damaged are added to its damaged ones.
    count : int
        How many finalists.

    Attributes
    ----------
    all_of_them : bool
        Whether every entry that was searched is a finalist.
    """

    def __init__(self, store: Store, found: Found, count: int) -> None:
        assert store.features is not None
        self._store = store
        self._features = store.features
        self._found = found.compared
        order = np.lexsort((self._found.ids, -self._found.values))[:count]
        self._count = 0
        self._numbers: list[int] = self._found.ids[order].tolist()
        self.all_of_them = len(self._numbers) + len(self._found.damaged) >= found.searched

    def matches(self, target: Encoder | str | Tensor, question: Question, k: int) -> list[Match]:
        """Rank the finalists for a target; those that are no longer there are left out.

        Raises
        ------
        ZooMismatch
            The target, or a finalist, was added as maps: there are no features of it.
        ZooDamaged
            The target is damaged.
        """
        store, features = self._store, self._features
        if isinstance(target, Encoder):
            with Description(target, store.probes, [], **question.run) as description:
                asked = summarised(description, features)
        else:
            assert isinstance(target, str)
            asked = self._summary_of(target)
        sources, damaged = read_summaries(store, features, self._numbers)
        self._found.damaged.update(damaged)
        self._count = len(sources)
        names = store.catalog.names_of(list(sources))
        there = [number for number in sources if number in names]
        if not there:
            return []
        blocks = jackknife_blocks(store.groups)
        kept = [sources[number] for number in there]
        values, without = features.descriptor.compare([asked], kept, store.groups, blocks)
        residuals = jackknife_residuals(values[0], without[:, 0], blocks)
        return rank(
            [names[number] for number in there],
            values[0],
            residuals.stderr(),
            residuals,
            residuals.df,
            k=k,
            level=question.level,
            bounds=features.descriptor.bounds,
        )

    def facts(self) -> dict[str, Any]:
        """What an answer has to say of it."""
        return {"reranked": self._count, "reranked_by": self._features.name}

    def _summary_of(self, name: str) -> Summary:
        number = self._store.catalog.id_of(name)
        assert number is not None
        found, damaged = read_summaries(self._store, self._features, [number])
        if number in damaged:
            raise ZooDamaged(f"entry {name!r}: {damaged[number]}")
        if number not in found:
            raise EntryGone(f"entry {name!r} was removed meanwhile")
        return found[number]


def feature_scores(
    store: Store, features: StoredFeatures, numbers: Sequence[int], names: Sequence[str]
) -> tuple[Scores, np.ndarray]:
    """Scores of all pairs of some entries, and the blocks of the jackknife.

    Raises
    ------
    ZooMismatch
        An entry was added as maps.
    ZooDamaged
        An entry is damaged.
    EntryGone
        An entry was removed meanwhile.
    """
    found, damaged = read_summaries(store, features, numbers)
    for number, name in zip(numbers, names, strict=True):
        if number in damaged:
            raise ZooDamaged(f"entry {name!r}: {damaged[number]}")
        if number not in found:
            raise EntryGone(f"entry {name!r} was removed meanwhile")
    kept = [found[number] for number in numbers]
    blocks = jackknife_blocks(store.groups)
    return Scores(*features.descriptor.compare(kept, kept, store.groups, blocks)), blocks


def read_summaries(
    store: Store, features: StoredFeatures, numbers: Sequence[int]
) -> tuple[dict[int, Summary], dict[int, str]]:
    """What is kept of those entries that are there, and which are damaged and why."""
    catalog = store.catalog
    entries: dict[int, EntryRow] = {}
    damaged: dict[int, str] = {}
    for number in numbers:
        try:
            entries[number] = catalog.entry(number)
        except EntryGone:
            continue
        except ZooDamaged as error:
            damaged[number] = str(error)
    bare = [entry.name for entry in entries.values() if not arrays_of(entry)]
    if bare:
        shown = ", ".join(map(repr, bare[:5])) + (", ..." if len(bare) > 5 else "")
        raise ZooMismatch(
            f"{shown}: added as maps, without the features that {features.name!r} needs; "
            "add the networks themselves, leave them out, or compare maps (rerank=False of a "
            "query, method= of an affinity)"
        )
    most = max((len(arrays_of(entry)) for entry in entries.values()), default=0)
    kinds = range(SUMMARY, SUMMARY + most)
    located = {kind: catalog.records(list(entries), FEATURES_ID, kind) for kind in kinds}
    found: dict[int, Summary] = {}
    for number, entry in entries.items():
        try:
            found[number] = _read(
                store, entry, {kind: located[kind].get(number, []) for kind in kinds}
            )
        except ZooDamaged as error:
            damaged[number] = str(error)
    there = catalog.names_of(list(damaged))  # what was removed meanwhile is not damaged
    return found, {number: why for number, why in damaged.items() if number in there}


def _read(store: Store, entry: EntryRow, records: Mapping[int, Sequence[Located]]) -> Summary:
    arrays = {}
    shapes = arrays_of(entry)
    for index, name in enumerate(sorted(shapes)):
        parts = records[SUMMARY + index]
        if len(parts) != 1:
            raise ZooDamaged("what is kept of its features is damaged")
        rows = store.segments.read(parts[0].record).numpy()
        arrays[name] = rows.reshape(len(rows), *shapes[name])
    facts = entry.facts[FACTS]
    return Summary(arrays, facts["zero_probes"], facts["observed"])
