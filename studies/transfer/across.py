"""Rankings across architectures: the target's network is of another kind than its sources, or both
kinds are among the sources.

A target's transfers do not depend on the network that stands for it, so the truth is the same
whichever architecture that has. A network that was trained for the target's own task, by either
architecture, is no candidate: it would be the right answer without any question.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pyattrx import evaluate
from pyattrx.evaluate import Table

from ..minitaskonomy.tasks import TARGETS, TASKS
from .methods import CANDIDATES, JUDGED
from .networks import MIXERS, both_architectures, mixer
from .probes import PROBE_SETS
from .scores import Blocks, read_scores, score_file
from .study import Run, Study, blocks_of, table_of
from .truth import read_truth, truth_folder

__all__ = ["CONDITIONS", "Across", "Condition"]

_FIRST = 5


@dataclass(frozen=True)
class Condition:
    """Who stands for the targets, and who is among the sources.

    Parameters
    ----------
    targets : tuple of str
        Tasks.
    of_mixers : bool
        Whether targets are networks of the second architecture.
    sources : tuple of str
        Networks.
    """

    targets: tuple[str, ...]
    of_mixers: bool
    sources: tuple[str, ...]

    def select(self, table: Table) -> Table:
        """Return the rows and columns of this condition; rows are named by their tasks."""
        rows = [mixer(t) if self.of_mixers else t for t in self.targets]
        part = table.select(rows, self.sources)
        return Table(
            part.values, self.targets, part.sources, without=part.without, blocks=part.blocks
        )

    def truth(self, table: Table) -> Table:
        """Return the transfers, without those from networks of the target's own task."""
        part = table.select(self.targets, self.sources)
        own = np.array([[s in (t, mixer(t)) for s in self.sources] for t in self.targets])
        return part.with_values(np.where(own, np.nan, part.values))


_BOTH = (*TASKS, *(mixer(task) for task in MIXERS))
CONDITIONS = {
    "target and sources residual": Condition(MIXERS, False, tuple(TASKS)),
    "target mixer, sources residual": Condition(MIXERS, True, tuple(TASKS)),
    "target residual, sources both": Condition(TARGETS, False, _BOTH),
    "target mixer, sources both": Condition(MIXERS, True, _BOTH),
}


@dataclass(frozen=True)
class Across:
    """The committed tables of networks of both architectures.

    Parameters
    ----------
    study : Study
    """

    study: Study

    @cached_property
    def seeds(self) -> list[int]:
        """Encoder seeds that both architectures have been trained and scored for."""
        return [
            seed
            for seed in self.study.seeds
            if truth_folder(self.study.root, f"mixer-seed{seed}").joinpath("losses.csv").is_file()
            and all(
                score_file(self.study.root, both_architectures(seed).run, probes, name).is_file()
                for probes in PROBE_SETS
                for name in JUDGED
            )
        ]

    @cached_property
    def truths(self) -> dict[int, Table]:
        """Transfers from the networks of both architectures."""
        found = {}
        for seed in self.seeds:
            first = self.study.truths[seed].table
            second = read_truth(self.study.root, f"mixer-seed{seed}").select(TARGETS, MIXERS).table
            values = np.concatenate([first.values, second.values], axis=1)
            found[seed] = Table(values, TARGETS, _BOTH)
        return found

    @cached_property
    def _scores(self) -> dict[tuple[int, str], dict[str, NDArray[np.float64]]]:
        return {
            (seed, probes): {
                name: read_scores(
                    score_file(self.study.root, both_architectures(seed).run, probes, name), _BOTH
                )
                for name in JUDGED
            }
            for seed in self.seeds
            for probes in PROBE_SETS
        }

    @cached_property
    def _blocks(self) -> dict[tuple[int, str], dict[str, Blocks]]:
        return {
            (seed, probes): blocks_of(self.study.root, both_architectures(seed), probes, _BOTH)
            for seed in self.seeds
            for probes in PROBE_SETS
        }

    def runs(self, name: str, probes: str, condition: Condition) -> list[Run]:
        """Scores by a candidate beside the truth, a pair for every seed."""
        found = []
        for seed in self.seeds:
            key = seed, probes
            table = table_of(CANDIDATES[name], self._scores[key], self._blocks[key], _BOTH)
            found.append((condition.select(table), condition.truth(self.truths[seed])))
        return found

    def baselines(self, condition: Condition) -> dict[str, list[Run]]:
        """What knows no network."""
        families = {task: info.family for task, info in TASKS.items()}
        families |= {mixer(task): families[task] for task in MIXERS}
        found: dict[str, list[Run]] = {}
        for seed in self.seeds:
            truth = condition.truth(self.truths[seed])
            scores = evaluate.baseline_scores(truth, families=families)
            del scores["symmetrised truth (ceiling)"]  # mixers were no targets
            for name, table in scores.items():
                found.setdefault(name, []).append((table, truth))
        return found

    def agreement(self) -> float:
        """Mean rank correlation of the transfers from eight tasks, by one and by the other."""
        found = []
        for truth in self.truths.values():
            one, two = (
                truth.select(TARGETS, columns).renamed({mixer(t): t for t in MIXERS})
                for columns in (MIXERS, [mixer(t) for t in MIXERS])
            )
            found.append(evaluate.spearman(one, two))
        return float(np.mean(found))

    def mixers_first(self, runs: Sequence[Run]) -> Mapping[str, float]:
        """Share of the second architecture among the first five, of a method and in truth."""
        shares = {"method": [], "truth": []}  # type: dict[str, list[float]]
        for scores, truth in runs:
            second = np.array([name.endswith(mixer("")) for name in truth.sources])
            for row, measured in enumerate(truth.values):
                candidates = np.flatnonzero(~np.isnan(measured) & ~truth.own[row])
                for kind, values in (("method", scores.values[row]), ("truth", measured)):
                    first = candidates[np.argsort(-values[candidates], kind="stable")[:_FIRST]]
                    shares[kind].append(float(second[first].mean()))
        return {kind: float(np.mean(values)) for kind, values in shares.items()}
