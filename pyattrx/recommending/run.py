"""From images to the network to start from."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pyattrx._ambient import neutrally
from pyattrx.affinities.describing import (
    check_batch_size,
    device_name,
    resolve_device,
    versions,
)
from pyattrx.affinities.failing import OnError
from pyattrx.errors import (
    EncoderError,
    InvalidType,
    InvalidValue,
    ProbeError,
    PyattrxError,
    UntrainedWarning,
)
from pyattrx.features import FeatureCache, Features, extract
from pyattrx.recommending.agreement import Consensus, consensus
from pyattrx.recommending.candidates import Candidate, read_candidates
from pyattrx.recommending.labelled import Labelled, check_scores, score_candidate
from pyattrx.recommending.notes import score_in_words, what_to_know
from pyattrx.recommending.ordering import Evidence, Order, order, usual_weight
from pyattrx.recommending.result import Recommendation, Standing
from pyattrx.recommending.shortlist import FINALISTS, shortlist
from pyattrx.recommending.targeted import rank_for_target
from pyattrx.scores import Score
from pyattrx.tasks import Task
from pyattrx.zoo import Zoo

__all__ = ["recommend"]

_GRID, _DENSE_GRID = 2, 8


@neutrally
def recommend(
    candidates: Any,
    task: Any,
    *,
    target: Any = None,
    scores: str | Sequence[str] | None = None,
    consensus_weight: float | None = None,
    batch_size: int = 32,
    device: str | torch.device | None = None,
    cache: bool | str | os.PathLike[str] | FeatureCache = True,
    level: float = 0.95,
    on_error: OnError = "skip",
    tags: str | Sequence[str] = (),
    finalists: int = FINALISTS,
    trust: bool = False,
) -> Recommendation:
    """Rank pretrained networks for a task, by its images.

    Every candidate sees every image once; the features are kept in a cache, and all scores are read
    from them. With labels, candidates are ranked by a cross-validated probe, plus a little of the
    consensus where labels are few. Without, by the consensus alone: how well a candidate's features
    predict those of all the others.

    Parameters
    ----------
    candidates : sequence or Zoo
        Encoders, modules, specifications such as ``"timm:resnet50"`` (wildcards allowed), and
        functions that return an Encoder. One is in memory at a time. Of a zoo, the finalists.
    task : Task, or what `Task.of` takes
        A folder, a table, arrays, a pair of images and labels, a data set, or Probes.
    target : Encoder, module or specification, optional
        A network that does the task already: candidates are ranked for it, by `recommended`, and
        labels are not used.
    scores : str or list of str, optional
        Names in `pyattrx.scores.SCORES`, the one to rank by first; "all"; by default a handful that
        fits the labels.
    consensus_weight : float, optional
        How much the consensus counts beside the first score, both in standard deviations over the
        candidates; 0 for not at all. By default ``min(0.5, 1.1 / sqrt(labels a class))``.
    batch_size : int
        Images in one pass.
    device : str or torch.device, optional
        The GPU if there is one.
    cache : bool, path or FeatureCache
        Where features are kept: the user's cache folder (True), nowhere (False), or another folder.
    level : float
        Of the confidence intervals.
    on_error : {"skip", "raise"}
        What to do with a candidate that fails: name it in `Recommendation.failures` and go on, or
        raise.
    tags : str or sequence of str
        Of a zoo: only networks that have all of these tags.
    finalists : int
        Of a zoo: at most so many are run; those nearest to the target, or, without one, those that
        predict most of what the others see on the zoo's own probes.
    trust : bool
        Load exported programs, which may execute code; see `load`.

    Returns
    -------
    Recommendation

    Raises
    ------
    InvalidType, InvalidValue
        Wrong arguments; too few candidates or images for what is asked.
    TaskError, ProbeError
        Images or labels that cannot be read.
    EncoderError
        No candidate could be read; or one failed, with ``on_error="raise"``.

    Warns
    -----
    UntrainedWarning
        A candidate's weights look as they were initialised.
    CacheWarning
        Features cannot be kept.

    Notes
    -----
    The default was chosen by measured transfers: docs/recommend.md. The truth behind it is a linear
    probe on frozen features; whether the same order holds for fine-tuning is not known from that.

    Examples
    --------
    >>> import numpy as np, torch, pyattrx, warnings
    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(40) % 2
    >>> images = rng.random((40, 3, 16, 16), np.float32) * 0.5
    >>> images[labels == 1, 0] += 0.4  # one class is redder
    >>> red, blue = (torch.nn.Conv2d(3, 1, 1, bias=False) for _ in range(2))
    >>> for network, channel in (red, 0), (blue, 2):
    ...     weight = torch.eye(3)[channel].reshape(1, 3, 1, 1)
    ...     _ = network.load_state_dict({"weight": weight})
    >>> encoders = [pyattrx.Encoder(red, name="red"), pyattrx.Encoder(blue, name="blue")]
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     result = pyattrx.recommend(encoders, (images, labels), cache=False)
    >>> result.names, result.best.facts["accuracy"]
    (('red', 'blue'), 1.0)
    """
    options = _Options.checked(consensus_weight, batch_size, device, cache, level, on_error)
    _check_zoo_options(candidates, tags, finalists)
    found, notes = _found(candidates, target, tags, finalists, trust)
    wanted = Task.of(task)
    if target is not None:
        if scores is not None:
            raise InvalidValue("scores", scores, "None: a target network takes the labels' place")
        ranked = rank_for_target(
            target,
            found,
            wanted,
            batch_size=options.batch_size,
            device=options.device,
            level=options.level,
            on_error=on_error,
            trust=trust,
        )
        return replace(ranked, notes=(*ranked.notes, *notes))
    names = check_scores(scores, wanted.kind)
    _check_enough(wanted, len(found), names)
    read, failures = _read_all(found, wanted, options)
    if not read:
        raise _nothing_left(failures)
    answer = _answer(read, wanted, names, options, failures)
    return replace(answer, notes=(*answer.notes, *notes))


def _check_zoo_options(candidates: Any, tags: Any, finalists: Any) -> None:
    if isinstance(finalists, bool) or not isinstance(finalists, int) or finalists < 2:
        raise InvalidValue("finalists", finalists, "an integer of at least 2")
    if tags and not isinstance(candidates, Zoo):
        raise InvalidValue("tags", tags, "none, or a Zoo as candidates")


def _found(
    candidates: Any, target: Any, tags: str | Sequence[str], finalists: int, trust: bool
) -> tuple[list[Candidate], list[str]]:
    if not isinstance(candidates, Zoo):
        return read_candidates(candidates, trust=trust), []
    wanted = None
    if target is not None:
        wanted = read_candidates([target], trust=trust)[0].load()
    return shortlist(candidates, wanted, tags, finalists)


@dataclass(frozen=True)
class _Options:
    weight: float | None
    batch_size: int
    device: torch.device
    cache: FeatureCache | None
    level: float
    on_error: OnError

    @classmethod
    def checked(
        cls, weight: Any, batch_size: Any, device: Any, cache: Any, level: Any, on_error: Any
    ) -> _Options:
        if weight is not None and (
            isinstance(weight, bool)
            or not isinstance(weight, (int, float))
            or not 0 <= weight < float("inf")
        ):
            raise InvalidValue("consensus_weight", weight, "a number of at least 0, or None")
        check_batch_size(batch_size)
        if isinstance(level, bool) or not isinstance(level, (int, float)) or not 0 < level < 1:
            raise InvalidValue("level", level, "a number between 0 and 1")
        if on_error not in ("skip", "raise"):
            raise InvalidValue("on_error", on_error, "'skip' or 'raise'")
        return cls(weight, batch_size, resolve_device(device), _cache(cache), level, on_error)


def _cache(given: Any) -> FeatureCache | None:
    if isinstance(given, bool):
        return FeatureCache() if given else None
    if isinstance(given, FeatureCache):
        return given
    if isinstance(given, (str, os.PathLike)):
        return FeatureCache(Path(given))
    raise InvalidType("cache", given, "True, False, a folder or a FeatureCache")


def _check_enough(task: Task, count: int, names: Sequence[str]) -> None:
    """Refuse before any network runs what would fail afterwards."""
    if names:
        groups = len(np.unique(task.groups[task.labelled]))
        if groups < 4:
            raise InvalidValue(
                "task", f"{groups} labelled images that differ", "at least 4 of them"
            )
        return
    if count < 2:
        raise InvalidValue(
            "candidates",
            count,
            "at least 2 networks: without labels they are ranked by what they know of each other",
        )
    if task.probes.n_groups < 4:
        raise InvalidValue("task", f"{task.probes.n_groups} images that differ", "at least 4")


def _read_all(
    candidates: Sequence[Candidate], task: Task, options: _Options
) -> tuple[list[Features], dict[str, str]]:
    read: list[Features] = []
    failures: dict[str, str] = {}
    grid = _DENSE_GRID if task.kind.startswith("dense") else _GRID
    for number, candidate in enumerate(candidates, 1):
        try:
            encoder = candidate.load()
            features = extract(
                encoder if encoder.name == candidate.name else encoder.read_at(name=candidate.name),
                task.probes,
                batch_size=options.batch_size,
                device=options.device,
                grid=grid,
                cache=options.cache,
                label=f"{candidate.name} ({number} of {len(candidates)})",
            )
        except ProbeError:
            raise
        except (PyattrxError, OSError, ImportError) as error:
            if options.on_error == "raise":
                raise
            failures[candidate.name] = str(error)
            warnings.warn(f"{candidate.name} failed: {error}", stacklevel=4)
            continue
        if features.untrained is not None:
            warnings.warn(
                f"network {features.name!r} looks untrained: {features.untrained}; its weights "
                "may not have been loaded",
                UntrainedWarning,
                stacklevel=4,
            )
        read.append(features)
    return read, failures


def _nothing_left(failures: dict[str, str]) -> PyattrxError:
    name, why = next(iter(failures.items()))
    more = f", and {len(failures) - 1} more failed" if len(failures) > 1 else ""
    return EncoderError(f"no candidate could be read: {name}: {why}{more}")


def _answer(
    read: list[Features],
    task: Task,
    names: Sequence[str],
    options: _Options,
    failures: dict[str, str],
) -> Recommendation:
    found: list[dict[str, Score]] = [{} for _ in read]
    if names:
        labelled = Labelled.of(task)
        for index, features in enumerate(read):
            found[index], _ = score_candidate(features, labelled, task.kind, names)
    agreed = _consensus(read, task)
    main = names[0] if names else "consensus"
    ranked = [i for i in range(len(read)) if main == "consensus" or main in found[i]]
    if not ranked or (main == "consensus" and agreed is None):
        raise InvalidValue("task", task.name, f"images that {main} can be computed of")
    weight = _weight(task, options, main, agreed)
    placed = _order(main, [found[i] for i in ranked], agreed, ranked, weight, options.level)
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
            if b != at and dead[at] == dead[b] and not placed.p_values[at, b] < 1 - options.level
        ]
        standings.append(
            _standing(read[index], place, placed, at, ties, found[index], agreed, index, places)
        )
    # What the first score has no number of is not ranked; it is said.
    for index in set(range(len(read))) - set(ranked):
        failures = {**failures, read[index].name: f"{main} cannot be computed of its features"}
    standings = _with_front(standings)
    return Recommendation(
        tuple(standings),
        score_in_words(main, weight),
        "labels" if names else "consensus",
        tuple(what_to_know(task, standings, main, weight)),
        failures,
        placed.p_values[np.ix_(by_place, by_place)],
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


def _consensus(read: Sequence[Features], task: Task) -> Consensus | None:
    if len(read) < 2 or task.probes.n_groups < 4:
        return None
    # In an order that knows nothing of labels: folders come class by class.
    spread = np.array(sorted(range(len(task)), key=task.probes.digests().__getitem__))
    return consensus([one.pooled[spread] for one in read], task.groups[spread])


def _weight(task: Task, options: _Options, main: str, agreed: Consensus | None) -> float:
    if main == "consensus" or agreed is None:
        return 0.0
    if options.weight is not None:
        return float(options.weight)
    if len(agreed.values) < 3:  # two candidates' consensus is one opinion of the other
        return 0.0
    classes = len(task.classes) if task.classes else 1
    return usual_weight(task.n_labelled / classes)


def _order(
    main: str,
    found: list[dict[str, Score]],
    agreed: Consensus | None,
    ranked: list[int],
    weight: float,
    level: float,
) -> Order:
    others = None
    if agreed is not None:
        others = Evidence(agreed.values[ranked], agreed.residuals.columns(np.array(ranked)))
    if main == "consensus":
        assert others is not None
        return order([others], [1.0], level)
    scores = [one[main] for one in found]
    first = Evidence.of(scores)
    if others is None or weight == 0:
        return order([first], [1.0], level)
    return order([first, others], [1.0, weight], level)


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
        float(placed.low[at]),
        float(placed.high[at]),
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

    def cost(one: Standing) -> float | None:
        assert one.costs is not None
        timed = all(s.costs is not None and s.costs.milliseconds is not None for s in standings)
        return one.costs.milliseconds if timed else one.costs.multiply_adds

    least = float("inf")
    marked = []
    for one in standings:
        costs = cost(one)
        on_front = costs is not None and costs < least
        least = min(least, costs if costs is not None else least)
        marked.append(replace(one, on_front=on_front))
    return marked
