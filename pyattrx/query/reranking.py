"""Finalists of a zoo, put in order by a feature method.

A symmetric score finds the nearest of very many networks by one vector each; a directional score
says which of the nearest suits best. For it a zoo keeps what the feature method reduces every
network to, see `pyattrx.storage.features`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyattrx.affinities import Scores
from pyattrx.encoders import Encoder
from pyattrx.errors import EntryGoneError, ZooDamagedError
from pyattrx.methods import Summary
from pyattrx.query.comparing import Compared
from pyattrx.query.query import Query, Target
from pyattrx.running import Description
from pyattrx.statistics import Match, jackknife_blocks, jackknife_residuals, rank
from pyattrx.storage import Store, StoredFeatures, read_summaries, summarized

__all__ = ["feature_scores", "reranked"]


def reranked(
    store: Store, query: Query, target: Target, compared: Compared
) -> tuple[list[Match], int]:
    """Put the nearest of the entries that a target was compared with in order.

    Entries whose features turn out to be damaged are added to the damaged ones; where others than
    the finalists were searched, the answer is not complete.

    Returns
    -------
    matches : list of Match
        Without finalists that are no longer there.
    count : int
        How many finalists there were.

    Raises
    ------
    ZooMismatchError
        The target, or a finalist, was added as maps: there are no features of it.
    ZooDamagedError
        The target is damaged.
    """
    features = store.features
    assert features is not None
    if isinstance(target.given, Encoder):
        options = query.run.description_options()
        with Description(target.given, store.probes, [], **options) as description:
            asked = summarized(description, features)
    else:
        assert target.entry is not None
        (asked,) = _summaries(store, features, [target.entry], [target.name])
    nearest = np.lexsort((compared.ids, -compared.values))[: target.finalists]
    numbers: list[int] = compared.ids[nearest].tolist()
    compared.complete &= len(numbers) + len(compared.damaged) >= compared.searched
    sources, damaged = read_summaries(store, features, numbers)
    compared.damaged.update(damaged)
    names = store.catalog.names_of(list(sources))
    there = [number for number in sources if number in names]
    if not there:
        return [], len(sources)
    blocks = jackknife_blocks(store.groups)
    kept = [sources[number] for number in there]
    values, without = features.method.compare([asked], kept, store.groups, blocks)
    residuals = jackknife_residuals(values[0], without[:, 0], blocks)
    matches = rank(
        [names[number] for number in there],
        values[0],
        residuals.stderr(),
        residuals,
        residuals.df,
        k=query.k,
        level=query.level,
        bounds=features.method.bounds,
    )
    return matches, len(sources)


def feature_scores(
    store: Store, features: StoredFeatures, numbers: Sequence[int], names: Sequence[str]
) -> tuple[Scores, np.ndarray]:
    """Scores of all pairs of some entries, and the blocks of the jackknife.

    Raises
    ------
    ZooMismatchError
        An entry was added as maps.
    ZooDamagedError
        An entry is damaged.
    EntryGoneError
        An entry was removed meanwhile.
    """
    kept = _summaries(store, features, numbers, names)
    blocks = jackknife_blocks(store.groups)
    return Scores(*features.method.compare(kept, kept, store.groups, blocks)), blocks


def _summaries(
    store: Store, features: StoredFeatures, numbers: Sequence[int], names: Sequence[str]
) -> list[Summary]:
    """What is kept of entries that have to be there, and whole."""
    found, damaged = read_summaries(store, features, numbers)
    for number, name in zip(numbers, names, strict=True):
        if number in damaged:
            raise ZooDamagedError(f"entry {name!r}: {damaged[number]}")
        if number not in found:
            raise EntryGoneError(f"entry {name!r} was removed meanwhile")
    return [found[number] for number in numbers]
