"""From features and scores to candidates in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pyattrx._progress import progress
from pyattrx.affinities.describing import device_name, versions
from pyattrx.errors import InvalidValue
from pyattrx.features import Features
from pyattrx.recommending.agreement import Consensus, consensus
from pyattrx.recommending.labelled import Labelled, score_candidate
from pyattrx.recommending.notes import comparable_times, score_in_words, what_to_know
from pyattrx.recommending.options import Options
from pyattrx.recommending.ordering import Evidence, Order, factor_of, order
from pyattrx.recommending.result import Recommendation, Standing
from pyattrx.scores import Score
from pyattrx.tasks import Task

__all__ = ["agreement", "answer", "together", "weight_of"]


def answer(
    read: list[Features],
    task: Task,
    names: Sequence[str],
    options: Options,
    failures: dict[str, str],
    agreed: Consensus | None,
    factor: float | None = None,
) -> Recommendation:
    """Rank candidates.

    Parameters
    ----------
    read : list of Features
    task : Task
        Its images are those of the features.
    names : sequence of str
        Scores, the one that ranks first; none without labels.
    options : Options
    failures : dict of str to str
        Candidates that there are no features of.
    agreed : Consensus, optional
        Of the same candidates.
    factor : float, optional
        By which the consensus counts, in units of the first score; by default from its weight.
    """
    found: list[dict[str, Score]] = [{} for _ in read]
    reasons: list[dict[str, str]] = [{} for _ in read]
    if names:
        labelled = Labelled.of(task)
        with progress("scores", len(read)) as step:
            for index, features in enumerate(read):
                found[index], reasons[index] = score_candidate(features, labelled, task.kind, names)
                step(1)
    main = names[0] if names else "consensus"
    ranked = [i for i in range(len(read)) if main == "consensus" or main in found[i]]
    if not ranked or (main == "consensus" and agreed is None):
        why = next((f": {one[main]}" for one in reasons if main in one), "")
        raise InvalidValue("task", task.name, f"images that {main} can be computed from{why}")
    weight = weight_of(options, main, agreed)
    others = None
    if agreed is not None:
        others = Evidence(agreed.values[ranked], agreed.residuals.columns(np.array(ranked)))
    if main == "consensus":
        assert others is not None
        placed = order([others], [1.0])
    else:
        first = Evidence.of([found[i][main] for i in ranked])
        placed = together(first, others, weight, factor)
    p_values = placed.p_values()
    # Who sees no difference between images is no place to start from, whatever chance gives others.
    dead = np.array([read[index].constant for index in ranked])
    by_place = np.lexsort((-placed.values, dead))
    places = _places(read, found, agreed)
    standings = []
    for place, at in enumerate(by_place.tolist(), 1):
        index = ranked[at]
        ties = [
            read[ranked[b]].name
            for b in by_place.tolist()
            if b != at and dead[at] == dead[b] and not p_values[at, b] < 1 - options.level
        ]
        standings.append(
            _standing(
                read[index],
                place,
                placed,
                options.level,
                at,
                ties,
                found[index],
                agreed,
                index,
                places,
            )
        )
    # What the first score has no value for is not ranked but named, with the reason.
    for index in set(range(len(read))) - set(ranked):
        why = f"{main} cannot be computed from its features: {reasons[index][main]}"
        failures = {**failures, read[index].name: why}
    standings = _with_front(standings)
    return Recommendation(
        tuple(standings),
        score_in_words(main, weight),
        "labels" if names else "consensus",
        tuple(what_to_know(task, standings, main, weight)),
        failures,
        p_values[np.ix_(by_place, by_place)],
        task.as_dict(),
        {
            "main_score": main,
            "consensus_weight": weight,
            "level": options.level,
            "device": device_name(options.device),
            "images_computed": {one.name: one.computed for one in read},
            "consensus_images": None if agreed is None else agreed.images,
            "versions": versions(),
        },
    )


def agreement(read: Sequence[Features], task: Task) -> Consensus | None:
    """Compute the consensus, where there are candidates and images enough."""
    if len(read) < 2 or task.probes.n_groups < 4:
        return None
    # In an order that knows nothing of labels: folders come class by class.
    spread = np.array(sorted(range(len(task)), key=task.probes.digests().__getitem__))
    return consensus([one.pooled[spread] for one in read], task.groups[spread])


def weight_of(options: Options, main: str, agreed: Consensus | None) -> float:
    """How much the consensus counts beside a score, both in standard deviations."""
    return 0.0 if main == "consensus" or agreed is None else options.weight


def together(
    first: Evidence, others: Evidence | None, weight: float, factor: float | None = None
) -> Order:
    """Add the consensus to a score."""
    if others is None or weight == 0:
        return order([first], [1.0])
    return order(
        [first, others], [1.0, factor_of(first, others, weight) if factor is None else factor]
    )


def _places(
    read: Sequence[Features], found: list[dict[str, Score]], agreed: Consensus | None
) -> list[dict[str, int]]:
    """Place of every candidate by every score."""
    places: list[dict[str, int]] = [{} for _ in read]
    for name in dict.fromkeys(name for one in found for name in one):
        having = [i for i, one in enumerate(found) if name in one]
        values = [found[i][name].value for i in having]
        for i, value in zip(having, values, strict=True):
            places[i][name] = 1 + sum(other > value for other in values)
    if agreed is not None:
        for i, value in enumerate(agreed.values):
            places[i]["consensus"] = 1 + int((agreed.values > value).sum())
    return places


def _standing(
    features: Features,
    place: int,
    placed: Order,
    level: float,
    at: int,
    ties: list[str],
    found: dict[str, Score],
    agreed: Consensus | None,
    index: int,
    places: list[dict[str, int]],
) -> Standing:
    values = {name: one.value for name, one in found.items()}
    errors = {name: one.stderr for name, one in found.items()}
    if agreed is not None:
        values["consensus"] = float(agreed.values[index])
        errors["consensus"] = float(agreed.stderr[index])
    facts = dict(features.facts)
    if "linear_probe" in found and "accuracy" in found["linear_probe"].facts:
        facts["accuracy"] = float(found["linear_probe"].facts["accuracy"])
    reached = placed.reach(level)[at]
    remarks = []
    if features.untrained is not None:
        remarks.append(f"looks untrained: {features.untrained}")
    if features.constant:
        remarks.append("sees no difference between the images: its features are all the same")
    return Standing(
        features.name,
        place,
        float(placed.values[at]),
        float(placed.stderr[at]),
        float(placed.values[at] - reached),
        float(placed.values[at] + reached),
        tuple(ties),
        values,
        errors,
        places[index],
        features.costs,
        False,
        features.place,
        facts,
        tuple(remarks),
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
