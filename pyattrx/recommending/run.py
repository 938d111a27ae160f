"""From images to the network to start from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from pyattrx._ambient import neutrally
from pyattrx._checks import integer
from pyattrx.encoders import Encoder
from pyattrx.errors import InvalidTypeError, InvalidValueError
from pyattrx.features import FeatureCache
from pyattrx.recommending.answering import answer
from pyattrx.recommending.candidates import Candidate, read_candidates
from pyattrx.recommending.finding import agreement, find
from pyattrx.recommending.gathering import read_all
from pyattrx.recommending.heats import raced
from pyattrx.recommending.labelled import check_scores
from pyattrx.recommending.options import Options, check_stop
from pyattrx.recommending.result import Recommendation
from pyattrx.recommending.rule import Rule
from pyattrx.recommending.shortlist import FINALISTS, shortlist
from pyattrx.recommending.targeted import rank_for_target
from pyattrx.running import Failures, OnError
from pyattrx.tasks import Task
from pyattrx.workers import Workers, check_sendable
from pyattrx.zoo import Zoo

__all__ = ["recommend"]


@neutrally
def recommend(
    candidates: Any,
    task: Any,
    *,
    target: Any = None,
    scores: str | Sequence[str] | None = None,
    consensus_weight: float = 0.0,
    batch_size: int = 32,
    device: str | torch.device | None = None,
    cache: bool | str | os.PathLike[str] | FeatureCache = True,
    stop: str | None = None,
    error: float = 0.01,
    level: float = 0.95,
    on_error: OnError = "skip",
    tags: str | Sequence[str] = (),
    finalists: int = FINALISTS,
    trust: bool = False,
    workers: Workers = None,
) -> Recommendation:
    """Rank pretrained networks for a task, by its images.

    Every candidate sees every image once; the features are kept in a cache, and all scores are read
    from them. With labels, candidates are ranked by a cross-validated linear probe (with label maps
    by `label_ridge`), with other scores beside it; without, by the consensus: how well a
    candidate's features predict those of all the others.

    Parameters
    ----------
    candidates : sequence or Zoo
        Encoders, modules, specifications such as ``"timm:resnet50"`` (wildcards allowed), and
        functions that return an Encoder. One is in memory at a time. Of a zoo, the finalists.
    task : Task, or what `Task.of` takes
        A folder, a table, arrays, a pair of images and labels, a data set, or Probes.
    target : Encoder, module or specification, optional
        A network that does the task already: candidates are ranked by how well their features
        predict its own, and labels are not used.
    scores : str or list of str, optional
        Names in `pyattrx.scores.SCORES`, the one to rank by first; "all"; by default a handful that
        fits the labels.
    consensus_weight : float
        How much the consensus counts beside the first score, both in standard deviations over the
        candidates. With five labelled images a class 0.5 was a little better than nothing, within
        the noise; with twenty it was not.
    batch_size : int
        Images in one pass.
    device : str or torch.device, optional
        The GPU if there is one.
    cache : bool, path or FeatureCache
        Where features are kept: the user's cache folder (True), nowhere (False), or another folder.
    stop : "confident", optional
        Race: candidates are scored on growing parts of the images, and those that are beaten for
        certain are not run on the rest. For labelled tasks. Ctrl-C ends it with the standing so
        far, as `Recommendation.provenance` says under "interrupted".
    error : float
        Of a race: how probable it may be that the best candidate is dropped; see
        docs/recommend.md. A consensus counts by what it is on the first part of the images, and its
        error is part of the tests.
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
    workers : int or str, optional
        Run candidates by so many processes of this machine, or by a Ray cluster, as for
        `pyattrx.affinity`. The target runs here.

    Returns
    -------
    Recommendation

    Raises
    ------
    InvalidTypeError, InvalidValueError
        Wrong arguments; too few candidates or images for what is asked.
    TaskError, ProbeError
        Images or labels that cannot be read.
    EncoderError
        No candidate could be read; or one failed, with ``on_error="raise"``.

    Warns
    -----
    SkippedWarning
        A candidate failed and was left out.
    UntrainedWarning
        A candidate's weights look as they were initialised.
    CacheWarning
        Features cannot be kept.

    Notes
    -----
    The linear probe reads the pooled features and, beside them, their maps averaged to 2 x 2. They
    are the input of the classifier, where a network has one: `Standing.read_at` names the place,
    and a note says so where only the network's structure told.

    The default was chosen by measured transfers: docs/recommend.md. The truth behind it is a linear
    probe on frozen features; fine-tuning ranks networks otherwise (docs/evidence-details.md).

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
    options = Options.checked(consensus_weight, batch_size, device, cache, level, on_error, workers)
    _check_zoo_options(candidates, tags, finalists)
    found, notes = _found(candidates, target, tags, finalists, trust)
    if options.engine is not None:
        check_sendable(options.engine, "candidates", [one.load for one in found])
    wanted = Task.of(task)
    if target is not None:
        if scores is not None:
            raise InvalidValueError(
                "scores", scores, "None: a target network takes the labels' place"
            )
        if not isinstance(target, (str, Encoder, nn.Module)) and not callable(target):
            expected = "an encoder, a module, a specification or a function that returns an encoder"
            raise InvalidTypeError("target", target, expected)
        check_stop(stop, error, "ranked for a target", False)
        ranked = rank_for_target(target, found, wanted, options, trust=trust)
        return replace(ranked, notes=(*ranked.notes, *notes))
    names = check_scores(scores, wanted.kind)
    check_stop(stop, error, wanted.kind, bool(names))
    _check_enough(wanted, len(found), names)
    if stop is not None:
        made = raced(found, wanted, names, options, error)
    else:
        failures = Failures(options.on_error)
        read = read_all(found, wanted, options, failures)
        agreed = agreement(read, wanted)
        rule = Rule.of(names, options.weight, agreed)
        made = answer(find(read, wanted, names, agreed), wanted, rule, options, failures.found)
    return replace(made, notes=(*made.notes, *notes))


def _check_zoo_options(candidates: Any, tags: Any, finalists: Any) -> None:
    integer("finalists", finalists, least=2)
    if tags and not isinstance(candidates, Zoo):
        raise InvalidValueError("tags", tags, "none, or a Zoo as candidates")


def _found(
    candidates: Any, target: Any, tags: str | Sequence[str], finalists: int, trust: bool
) -> tuple[list[Candidate], list[str]]:
    if not isinstance(candidates, Zoo):
        return read_candidates(candidates, trust=trust), []
    wanted = None
    if target is not None:
        wanted = read_candidates([target], trust=trust)[0].load()
    return shortlist(candidates, wanted, tags, finalists, trust)


def _check_enough(task: Task, count: int, names: Sequence[str]) -> None:
    """Refuse before any network runs what would fail afterwards."""
    if names:
        groups = len(np.unique(task.groups[task.labelled]))
        if groups < 4:
            raise InvalidValueError(
                "task", f"{groups} labelled images that differ", "at least 4 of them"
            )
        return
    if count < 2:
        raise InvalidValueError(
            "candidates",
            count,
            "at least 2 networks: without labels they are ranked by what they know of each other",
        )
    if task.probes.n_groups < 4:
        raise InvalidValueError("task", f"{task.probes.n_groups} images that differ", "at least 4")
