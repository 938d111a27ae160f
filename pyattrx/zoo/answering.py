"""Answers put together: what was found for a target, ranked, and tables of what is stored."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from pyattrx.affinities import Affinity
from pyattrx.affinities.rows import RowStore
from pyattrx.affinities.run import compare
from pyattrx.affinities.scoring import by_blocks
from pyattrx.encoders import Encoder
from pyattrx.errors import EntryGone, ZooDamaged
from pyattrx.methods import quantize
from pyattrx.running import versions
from pyattrx.zoo.arguments import Run, now
from pyattrx.zoo.catalog import EntryRow
from pyattrx.zoo.entry import Matches
from pyattrx.zoo.features import StoredFeatures
from pyattrx.zoo.given import check_maps
from pyattrx.zoo.querying import EntryRows
from pyattrx.zoo.reranking import Reranking, feature_scores
from pyattrx.zoo.search import Question, Search
from pyattrx.zoo.stopping import rounds
from pyattrx.zoo.store import Store, StoredMethod

__all__ = ["Asked", "answer", "stored_affinity"]


@dataclass(frozen=True)
class Asked:
    """What a query asks, checked.

    Attributes
    ----------
    target : Encoder, Tensor or (int, str)
        A network, maps, or the number and name of an entry.
    k, level
        As for `Zoo.query`.
    question : Question
        With as many networks to find as are to be re-ranked.
    early : bool
        Whether to stop as soon as the answer is settled.
    finalists : int or None
        How many networks to re-rank, if so.
    run : Run
    scratch : path, optional
    """

    target: Encoder | Tensor | tuple[int, str]
    k: int
    level: float
    question: Question
    early: bool
    finalists: int | None
    run: Run
    scratch: str | Path | None


def answer(
    store: Store, stored: StoredMethod, search: Search, asked: Asked
) -> tuple[Matches, dict[int, str]]:
    """Find and rank; what is damaged comes as numbers and reasons, for the caller to tell."""
    target, question = asked.target, asked.question
    raced = False
    with RowStore(len(store.probes), asked.run.device, asked.scratch) as rows:
        if isinstance(target, tuple):
            number, name = target
            found = search.of_entry(number, name, question)
        elif isinstance(target, Tensor):
            name = "maps"
            maps = check_maps(store, "target", target, stored)
            found = search.of_maps(quantize(maps, stored.method.storage), rows, question)
        else:
            name = target.name
            raced = asked.early
            found = (search.race if raced else search.of_encoder)(target, rows, question)
    compared = found.compared
    complete = found.complete
    reranked: dict[str, Any] = {}
    if asked.finalists is None:
        names = store.catalog.names_of(compared.ids.tolist())
        matches = compared.matches(names, asked.k, asked.level)
    else:
        reranking = Reranking(store, found, asked.finalists)
        network = name if isinstance(target, tuple) else target
        matches = reranking.matches(network, question, asked.k)
        complete &= reranking.all_of_them
        reranked = reranking.facts()
    answered = Matches(
        matches,
        target=name,
        method=stored.name,
        n_probes=found.n_probes,
        compared=len(compared.ids),
        searched=found.searched,
        complete=complete,
        settled=found.settled if raced else None,
        looks=len(rounds(store.groups)[1]) - 1 if raced else 0,
        **reranked,
    )
    return answered, compared.damaged


def stored_affinity(
    store: Store,
    stored: StoredMethod | StoredFeatures,
    numbers: Sequence[int],
    names: list[str],
) -> Affinity:
    """Compute the affinities between entries, as `pyattrx.affinity` does.

    Raises
    ------
    ZooDamaged
        One of them is damaged.
    EntryGone
        One of them was removed meanwhile.
    """
    begun = time.perf_counter()
    try:
        entries = [store.catalog.entry(number) for number in numbers]
        values, parts = _compared(store, stored, numbers, names)
    except ZooDamaged as error:
        there = store.catalog.names_of(numbers)
        gone = [name for number, name in zip(numbers, names, strict=True) if number not in there]
        if gone:
            raise EntryGone(f"entry {gone[0]!r} was removed meanwhile") from error
        raise
    return Affinity(
        names=names,
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
        rows = EntryRows(store, stored, numbers, names)
        values, stderr, cosines = compare(rows, store.groups)
        return values, {"symmetric": True, "stderr": stderr, "cosines": cosines}
    scores, blocks = feature_scores(store, stored, numbers, names)
    stderr, without = by_blocks(scores, blocks)
    descriptor = stored.descriptor
    parts = {"symmetric": descriptor.symmetric, "bounds": descriptor.bounds, "stderr": stderr}
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
