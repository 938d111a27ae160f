"""What is run, ranked and answered in the rounds of a race; `racing` says who stays in it."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from pyattrx.features import FeatureCache, Features
from pyattrx.recommending.answering import answer
from pyattrx.recommending.candidates import Candidate
from pyattrx.recommending.finding import agreement, find
from pyattrx.recommending.gathering import read_all
from pyattrx.recommending.options import Options
from pyattrx.recommending.ordering import Order
from pyattrx.recommending.racing import part_sizes, race
from pyattrx.recommending.result import Recommendation
from pyattrx.recommending.rule import Rule
from pyattrx.running import Failures
from pyattrx.scores import Score
from pyattrx.tasks import Task

__all__ = ["Heats", "raced"]

# How much wider than its standard error a score's test must be. That of a cross-validated probe
# knows what other images to score would change; other images to learn from add (images scored) /
# (images learnt from) over the share of one fold (Nadeau and Bengio 2003): of 5 folds 1 + 5 / 4 of
# the variance. Of eight equal candidates, in 30 races on 128 images at an error of .01, each left
# in 9 % without it, and in .4 % with it.
_WIDER = {"linear_probe": (1 + 5 / 4) ** 0.5}


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
    failures = Failures(options.on_error)
    computed: Counter[str] = Counter()  # images, over all rounds
    with tempfile.TemporaryDirectory() as folder:
        # What a part has seen is not run again for the next one.
        kept = options if options.cache else replace(options, cache=FeatureCache(folder))

        def read(part: Task, wanted: Sequence[str] | None) -> list[Features]:
            some = [one for one in candidates if wanted is None or one.name in wanted]
            read = read_all(some, part, kept, failures)
            computed.update({one.name: one.computed for one in read})
            return [replace(one, computed=computed[one.name]) for one in read]

        heats = Heats(read, names, options.weight)
        found = race(task, heats.read, heats.rank, error=error)
    findings = find(found.read, found.task, names, heats.agreed)
    made = answer(findings, found.task, heats.rule, options, failures.found)
    facts = {
        "passes": found.passes,
        "passes_without_race": found.candidates * len(task),
        "rounds": len(part_sizes(len(task), len(task.classes or ()))) - 1,
        "error": error,
        "interrupted": found.interrupted,
    }
    return made.with_dropped(found.dropped, facts)


class Heats:
    """Reads and ranks. The consensus, and how much it counts, are those of the first round.

    Parameters
    ----------
    read : callable
        ``read(part, names)`` returns the features of these candidates, or of all, on some images.
    names : sequence of str
        Scores, the one that ranks first.
    weight : float
        Of the consensus.

    Attributes
    ----------
    rule : Rule
        What the last round ranked by.
    agreed : dict of str to Score
        The consensus of all candidates on the first part.
    """

    def __init__(
        self,
        read: Callable[[Task, Sequence[str] | None], list[Features]],
        names: Sequence[str],
        weight: float,
    ) -> None:
        self._read, self._names, self._weight = read, names, weight
        self.rule = Rule(names[0])
        self.agreed: dict[str, Score] = {}

    def read(self, part: Task, wanted: Sequence[str] | None) -> list[Features]:
        """Read some candidates, or all, which are the first round's."""
        found = self._read(part, wanted)
        if wanted is None:
            self.agreed = agreement(found, part)
            self.rule = Rule.of(self._names, self._weight, self.agreed)
        return found

    def rank(self, part: Task, read: Sequence[Features]) -> tuple[list[str], Order | None]:
        """Rank those that have a score."""
        main = self.rule.main
        alive = [one for one in read if not one.constant]
        found = [one for one in find(alive, part, [main], self.agreed) if main in one.scores]
        names, scores = [one.name for one in found], [one.scores for one in found]
        if len(found) < 2:
            return names, None
        self.rule = self.rule.fixed(scores)
        order = self.rule.order(scores)
        return names, replace(order, differences=order.differences * _WIDER.get(main, 1.0))
