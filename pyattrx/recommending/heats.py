"""A race of networks: what is read, ranked and answered in each of its rounds."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace

from pyattrx.affinities.failing import Failures
from pyattrx.features import FeatureCache, Features
from pyattrx.recommending.agreement import Consensus
from pyattrx.recommending.answering import agreement, answer, together, weight_of
from pyattrx.recommending.candidates import Candidate
from pyattrx.recommending.gathering import read_all
from pyattrx.recommending.labelled import Labelled, score_candidate
from pyattrx.recommending.options import Options
from pyattrx.recommending.ordering import Evidence, Order, factor_of
from pyattrx.recommending.racing import part_sizes, race
from pyattrx.recommending.result import Recommendation
from pyattrx.tasks import Task

__all__ = ["raced"]


def raced(
    candidates: list[Candidate], task: Task, names: Sequence[str], options: Options, error: float
) -> Recommendation:
    """Rank candidates by a race; see `pyattrx.recommending.racing`.

    Parameters
    ----------
    candidates : list of Candidate
    task : Task
        With labels.
    names : sequence of str
        Scores, the one that ranks first.
    options : Options
    error : float
        How probable it may be that the best one is dropped.
    """
    with tempfile.TemporaryDirectory() as folder:
        if options.cache is None:  # what a part has seen is not run again for the next one
            options = replace(options, cache=FeatureCache(folder))
        heats = _Heats(candidates, names[0], options)
        found = race(task, heats.read, heats.rank, error=error)
        if not heats.begun:  # too few images for a second round
            heats.begin(found.task, found.read)
        agreed = heats.agreed_of([one.name for one in found.read])
        made = answer(
            found.read,
            found.task,
            names,
            options,
            heats.failures.found,
            agreed,
            heats.factor,
        )
    facts = {
        "passes": found.passes,
        "passes_without_race": len(found.first) * len(task),
        "rounds": len(part_sizes(len(task), len(task.classes or ()))) - 1,
        "error": error,
        "interrupted": found.interrupted,
    }
    return made.with_dropped(found.dropped, facts)


class _Heats:
    """Reads and ranks. The consensus, and how much it counts, are those of the first round."""

    def __init__(self, candidates: Sequence[Candidate], main: str, options: Options) -> None:
        self._candidates, self._main, self._options = candidates, main, options
        self._agreed: Consensus | None = None
        self._everyone: list[str] = []
        self.begun = False
        self.factor: float | None = None
        self.failures = Failures(options.on_error)

    def read(self, part: Task, wanted: Sequence[str] | None) -> list[Features]:
        """Read some candidates, or all, on a part of the images."""
        some = [one for one in self._candidates if wanted is None or one.name in wanted]
        return read_all(some, part, self._options, self.failures)

    def begin(self, part: Task, read: Sequence[Features]) -> None:
        """Let all candidates agree on the first part."""
        self.begun = True
        self._agreed, self._everyone = agreement(read, part), [one.name for one in read]

    def agreed_of(self, names: Sequence[str]) -> Consensus | None:
        """What all candidates have agreed on of some."""
        if self._agreed is None:
            return None
        return self._agreed.select([self._everyone.index(name) for name in names])

    def rank(self, part: Task, read: Sequence[Features]) -> tuple[list[str], Order | None]:
        """Rank those that have a score."""
        if not self.begun:
            self.begin(part, read)
        labelled = Labelled.of(part)
        scores = {
            one.name: score_candidate(one, labelled, part.kind, [self._main])[0].get(self._main)
            for one in read
            if not one.constant
        }
        known = {name: score for name, score in scores.items() if score is not None}
        names = list(known)
        if len(names) < 2:
            return names, None
        first = Evidence.of(list(known.values()))
        weight = weight_of(self._options, self._main, self._agreed)
        agreed = self.agreed_of(names)
        if agreed is None or weight == 0:
            return names, together(first, None, 0.0)
        others = Evidence(agreed.values, agreed.residuals)
        if self.factor is None:
            self.factor = factor_of(first, others, weight)
        return names, together(first, others, weight, self.factor)
