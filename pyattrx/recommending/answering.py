"""From what was found of candidates to candidates in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pyattrx.errors import InvalidValueError
from pyattrx.recommending.finding import Finding, places
from pyattrx.recommending.notes import comparable_times, score_in_words, what_to_know, where_read
from pyattrx.recommending.options import Options
from pyattrx.recommending.ordering import Order
from pyattrx.recommending.result import Recommendation, Standing
from pyattrx.recommending.rule import CONSENSUS, TARGET, Rule
from pyattrx.running import device_name, versions
from pyattrx.tasks import Task

__all__ = ["answer"]


def answer(
    found: Sequence[Finding], task: Task, rule: Rule, options: Options, failures: dict[str, str]
) -> Recommendation:
    """Rank candidates.

    Parameters
    ----------
    found : sequence of Finding
    task : Task
        Its images are those of the features.
    rule : Rule
    options : Options
    failures : dict of str to str
        Candidates that there are no features of.

    Raises
    ------
    InvalidValueError
        No candidate can be ranked.
    """
    ranked, placed = _ranked(found, task, rule)
    p_values = placed.p_values()
    by_score = dict(zip([one.name for one in found], places(found), strict=True))
    ties = _ties(ranked, p_values, options.level)
    standings = _with_front(
        [
            _standing(one, at, placed, options.level, ties[at], by_score[one.name])
            for at, one in enumerate(ranked)
        ]
    )
    return Recommendation(
        tuple(standings),
        score_in_words(rule.main, rule.weight),
        rule.main if rule.main in (CONSENSUS, TARGET) else "labels",
        (*what_to_know(task, standings, rule.main, rule.weight), *where_read(ranked)),
        {**failures, **_unranked(found, rule)},
        p_values,
        task.as_dict(),
        _provenance(found, rule, options),
    )


def _ranked(found: Sequence[Finding], task: Task, rule: Rule) -> tuple[list[Finding], Order]:
    """Those that the rule can rank, best first."""
    able = [one for one in found if rule.main in one.scores]
    if not able:
        whys = [one.missing[rule.main] for one in found if rule.main in one.missing]
        why = f": {whys[0]}" if whys else ""
        raise InvalidValueError(
            "task", task.name, f"images that {rule.main} can be computed from{why}"
        )
    placed = rule.order([one.scores for one in able])
    # Who sees no difference between images is no place to start from, whatever chance gives others.
    by_place = np.lexsort((-placed.values, np.array([one.dead for one in able])))
    return [able[at] for at in by_place], placed.take(by_place)


def _unranked(found: Sequence[Finding], rule: Rule) -> dict[str, str]:
    """Why the rule cannot rank the others."""
    return {
        one.name: f"{rule.main} cannot be computed from its features: {one.missing[rule.main]}"
        for one in found
        if rule.main in one.missing
    }


def _ties(ranked: Sequence[Finding], p_values: np.ndarray, level: float) -> list[tuple[str, ...]]:
    """Whom the images cannot tell apart from each candidate."""
    dead = np.array([one.dead for one in ranked])
    tied = ~(p_values < 1 - level) & (dead[:, None] == dead[None, :])
    np.fill_diagonal(tied, False)
    return [tuple(ranked[other].name for other in np.flatnonzero(row).tolist()) for row in tied]


def _standing(
    one: Finding,
    at: int,
    placed: Order,
    level: float,
    ties: tuple[str, ...],
    by_score: dict[str, int],
) -> Standing:
    value, reached = float(placed.values[at]), float(placed.reach(level)[at])
    return Standing(
        name=one.name,
        place=at + 1,
        value=value,
        stderr=float(placed.stderr[at]),
        low=value - reached,
        high=value + reached,
        ties=ties,
        scores={name: score.value for name, score in one.scores.items()},
        errors={name: score.stderr for name, score in one.scores.items()},
        places=by_score,
        costs=one.features.costs,
        on_front=False,
        read_at=one.features.place,
        facts=one.facts,
        remarks=one.remarks,
    )


def _with_front(standings: list[Standing]) -> list[Standing]:
    """Mark those that nothing better is cheaper than."""
    timed = comparable_times(standings)

    def cost(one: Standing) -> float | None:
        assert one.costs is not None
        return one.costs.milliseconds if timed else one.costs.multiply_adds

    least = float("inf")
    marked = []
    for one in standings:
        costs = cost(one)
        on_front = costs is not None and costs < least
        least = min(least, costs if costs is not None else least)
        marked.append(replace(one, on_front=on_front))
    return marked


def _provenance(found: Sequence[Finding], rule: Rule, options: Options) -> dict[str, object]:
    agreed = [one.scores[CONSENSUS] for one in found if CONSENSUS in one.scores]
    return {
        "main_score": rule.main,
        "consensus_weight": rule.weight,
        "level": options.level,
        "device": device_name(options.device),
        "images_computed": {one.name: one.features.computed for one in found},
        "consensus_images": agreed[0].facts["images"] if agreed else None,
        "versions": versions(),
    }
