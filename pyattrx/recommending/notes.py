"""What a reader of a recommendation should know, in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from pyattrx.features import Costs
from pyattrx.recommending.finding import Finding
from pyattrx.recommending.result import Standing
from pyattrx.tasks import Task

__all__ = ["comparable_times", "score_in_words", "what_to_know", "where_read"]

_IN_WORDS = {
    "linear_probe": "a cross-validated linear probe",
    "knn": "nearest neighbours (knn)",
    "label_ridge": "label_ridge, ridge regression from features by location",
    "consensus": "the consensus: how well its features predict those of the other candidates",
    "target": "how well its features predict those of the target network",
}
# What people go by who do not measure.
_RULES: dict[str, Callable[[Costs], int]] = {
    "most parameters": lambda cost: cost.parameters,
    "largest input": lambda cost: cost.input_size[0] * cost.input_size[1],
    "most features": lambda cost: cost.width,
}
_LOG_SHARES = ("linear_probe", "knn")
# Where what looks at no image has a value that is known: R^2, but for these two of classes.
_AGAINST_LABELS = (*_LOG_SHARES, "label_ridge", "ridge_loo")
_FEW_A_CLASS = 5
_FEW_IMAGES = 30
_FEW_CANDIDATES = 5
_MOST_NAMES = 3


def score_in_words(main: str, weight: float) -> str:
    """Say what candidates are ranked by."""
    said = _IN_WORDS.get(main, main)
    return f"{said} + {weight:.2f} x the consensus" if weight > 0 else said


def comparable_times(standings: Sequence[Standing]) -> bool:
    """Whether all were timed, on one device: times that were kept may be of another."""
    places = {None if one.costs is None else one.costs.measured_on for one in standings}
    return len(places) == 1 and None not in places


def what_to_know(task: Task, standings: Sequence[Standing], main: str, weight: float) -> list[str]:
    """Say how far the order can be trusted, and what else would have said the same."""
    return [
        *_enough(task, standings, main),
        *_guessed(task, standings[0], main, weight),
        *_undecided(standings),
        *_cheapest(standings),
        *_baselines(standings),
    ]


def where_read(found: Sequence[Finding]) -> list[str]:
    """Say where features were read, of candidates whose structure alone tells it: it may mislead.

    A projection at the end of a network without a classifier looks like one.
    """
    by_place: dict[str, list[str]] = {}
    for one in found:
        if one.features.assumed:
            by_place.setdefault(_place_in_words(one.features.place), []).append(one.name)
    if not by_place:
        return []
    told = [f"{place} ({_some(names)})" for place, names in by_place.items()]
    return [
        f"Features are read at {'; at '.join(told)}. ?features=LAYER, or Encoder(features=), reads "
        "another layer."
    ]


def _place_in_words(place: str) -> str:
    if place.startswith("input of "):
        return f"the {place}, taken for the classifier"
    if place == "output":
        return "the output, as no classifier was found"
    return f"{place}, the smallest maps"


def _some(names: Sequence[str]) -> str:
    if len(names) <= _MOST_NAMES:
        return ", ".join(names)
    return f"{', '.join(names[: _MOST_NAMES - 1])} and {len(names) - _MOST_NAMES + 1} more"


def _enough(task: Task, standings: Sequence[Standing], main: str) -> list[str]:
    said = []
    if main == "target":
        if task.probes.n_groups < _FEW_IMAGES:
            said.append(f"{task.probes.n_groups} images are few; 100 or more tell more apart.")
        return said
    if main == "consensus":
        said.append(
            "No labels: the consensus favours generalists, and is a hint, not a measurement. "
            "Even a few labels per class say more."
        )
        if len(standings) < _FEW_CANDIDATES:
            said.append(
                f"{len(standings)} candidates are few for a consensus; with five or more it says "
                "more."
            )
        if task.probes.n_groups < _FEW_IMAGES:
            said.append(f"{task.probes.n_groups} images are few; 100 or more tell more apart.")
        return said
    if task.counts and min(task.counts.values()) < _FEW_A_CLASS:
        name, count = min(task.counts.items(), key=lambda item: item[1])
        said.append(
            f"Class {name!r} has {count} labelled image{'s' * (count != 1)}; with 20 or more per "
            "class the order is much more certain."
        )
    return said


def _guessed(task: Task, first: Standing, main: str, weight: float) -> list[str]:
    """Say so where even the first is no better than who looks at no image.

    The shares of the classes are as good a guess of one, for numbers their mean.
    """
    if weight > 0 or main not in _AGAINST_LABELS:
        return []
    if main in _LOG_SHARES and task.kind == "classification":
        counts = [count for count in task.counts.values() if count]
        guess = sum(count * math.log(count / sum(counts)) for count in counts) / sum(counts)
        by, value = "the classes' shares", f"{guess:.3f}"
    else:
        guess, by, value = 0.0, "the mean label", "0"
    if first.low > guess or math.isnan(first.low):
        return []
    return [f"No candidate is clearly better than a guess by {by}, whose value is {value}."]


def _undecided(standings: Sequence[Standing]) -> list[str]:
    if len(standings) > 1 and len(standings[0].ties) == len(standings) - 1:
        return ["These images cannot tell any of the candidates apart from the first."]
    return []


def _cheapest(standings: Sequence[Standing]) -> list[str]:
    """Who costs least of those that may be the best."""
    together = [one for one in standings if one is standings[0] or one.name in standings[0].ties]
    times = [one.costs.milliseconds for one in together if one.costs is not None]
    known = [time for time in times if time is not None]
    if not comparable_times(together):
        return []
    cheapest = together[min(range(len(known)), key=known.__getitem__)]
    if cheapest is standings[0]:
        return []
    return [f"Fastest of those that cannot be told apart from the first: {cheapest.name}."]


def _baselines(standings: Sequence[Standing]) -> list[str]:
    """Whether a rule of thumb names a candidate that is as good as the first."""
    if len(standings) < 3:
        return []
    first = standings[0]
    costs = [(one, one.costs) for one in standings if one.costs is not None]
    if len(costs) < len(standings):
        return []
    rules: dict[str, Standing] = {}
    for rule, size in _RULES.items():
        sizes = [size(cost) for _, cost in costs]
        if len(set(sizes)) > 1:  # else it names nobody
            rules[rule] = costs[sizes.index(max(sizes))][0]
    known = [one for one in standings if "imagenet_top1" in one.facts]
    if len({one.facts["imagenet_top1"] for one in known}) > 1:
        all_known = len(known) == len(standings)
        rule = f"highest {'' if all_known else 'known '}ImageNet accuracy"
        rules[rule] = max(known, key=lambda one: float(one.facts["imagenet_top1"]))
    hits = [rule for rule, one in rules.items() if one is first]
    by_name: dict[str, list[str]] = {}
    for rule, one in rules.items():
        if one.name in first.ties:
            by_name.setdefault(one.name, []).append(rule)
    tied = [f"{name} ({' and '.join(found)})" for name, found in by_name.items()]
    said = []
    if hits:
        said.append(f"The first is also the candidate with the {' and the '.join(hits)}.")
    if tied:
        said.append(
            f"A rule of thumb does as well here, as far as these images tell: {', '.join(tied)}."
        )
    return said
