"""One way through: a `Query` is answered, with `Matches` for each of its targets."""

from __future__ import annotations

import warnings

from pyattrx.affinities import RowStore
from pyattrx.encoders import Encoder
from pyattrx.errors import ZooWarning
from pyattrx.query.candidates import Candidates
from pyattrx.query.comparing import Compared
from pyattrx.query.matches import Matches
from pyattrx.query.query import Query, Target
from pyattrx.query.reranking import reranked
from pyattrx.query.searching import race, search
from pyattrx.query.stopping import rounds
from pyattrx.storage import Store

__all__ = ["answer"]

_WARNINGS = 10  # of single damaged entries
_CALLER = 5  # of `Zoo.query`, from where they are given


def answer(store: Store, candidates: Candidates, query: Query) -> list[Matches]:
    """Answer a query: candidates, their rows or summaries, ranks.

    Parameters
    ----------
    store : Store
    candidates : Candidates
        Those of the query's method.
    query : Query

    Returns
    -------
    list of Matches
        One for each target, as it is answered alone.

    Warns
    -----
    ZooWarning
        Entries are damaged and were left out.
    """
    if not query.targets:
        return []
    found = _ranked(store, candidates, query)
    if any(compared.damaged for compared, _ in found) and store.refresh():
        # Somebody gave the zoo more probes in between: what was missing is elsewhere now.
        found = _ranked(store, candidates, query)
    names = _warn_damaged(store, {n: why for one, _ in found for n, why in one.damaged.items()})
    for compared, matches in found:
        matches.damaged = tuple(name for n, name in names.items() if n in compared.damaged)
    return [matches for _, matches in found]


def _ranked(store: Store, candidates: Candidates, query: Query) -> list[tuple[Compared, Matches]]:
    """What all targets were compared with, and their matches."""
    count, device, scratch = len(store.probes), query.run.device, query.scratch
    found: dict[str, Compared] = {}
    racing = [one for one in query.targets if query.early and isinstance(one.given, Encoder)]
    for target in racing:  # in turn: each stops when it is settled, and frees its copy
        with RowStore(count, device, scratch) as rows:
            found[target.label] = race(store, candidates, query, target, rows)
    others = [target for target in query.targets if target.label not in found]
    if others:
        with RowStore(count, device, scratch) as rows:
            compared = search(store, candidates, query, others, rows)
        found.update(zip([target.label for target in others], compared, strict=True))
    return [
        (found[target.label], _matches(store, query, target, found[target.label]))
        for target in query.targets
    ]


def _matches(store: Store, query: Query, target: Target, compared: Compared) -> Matches:
    by = None
    if target.finalists is None or store.features is None:
        names = store.catalog.names_of(compared.ids.tolist())
        matches, finalists = compared.matches(names, query.k, query.level), 0
    else:
        matches, finalists = reranked(store, query, target, compared)
        by = store.features.name
    raced = compared.settled is not None
    return Matches(
        matches,
        target=target.name,
        method=query.method.name,
        n_probes=compared.n_probes,
        compared=len(compared.ids),
        searched=compared.searched,
        complete=compared.complete,
        settled=compared.settled,
        looks=len(rounds(store.groups)[1]) - 1 if raced else 0,
        reranked=finalists,
        reranked_by=by,
    )


def _warn_damaged(store: Store, damaged: dict[int, str]) -> dict[int, str]:
    """Warn of entries that an answer does not cover; return their names, by number."""
    names = store.catalog.names_of(sorted(damaged))
    shown = list(names.items())[:_WARNINGS]
    for number, name in shown:
        warnings.warn(
            f"{store.folder}: entry {name!r} is damaged and was left out: {damaged[number]}",
            ZooWarning,
            stacklevel=_CALLER,
        )
    if len(names) > len(shown):
        more = len(names) - len(shown)
        warnings.warn(
            f"{store.folder}: {more} more entries are damaged and were left out; "
            "`Zoo.verify` names them",
            ZooWarning,
            stacklevel=_CALLER,
        )
    return names
