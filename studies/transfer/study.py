"""From tables of scores and transfers to a choice, and to how far it can be trusted.

The criterion was fixed before any result was seen: on nine of the eighteen targets, encoder seed 0,
the mean over both probe sets of Spearman's correlation and P@5, added, less 0.02 for every term of
a sum beyond the first. Everything else is reported on targets, and encoder seeds, that had no say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyattrx import evaluate
from pyattrx.errors import PyattrxError
from pyattrx.evaluate import Difference, Estimate, Table

from ..minitaskonomy.tasks import TARGETS, TASKS
from .methods import BASE, CANDIDATES, JUDGED, Candidate
from .networks import Networks, one_architecture
from .probes import PROBE_SETS
from .scores import Blocks, blocks_file, fitted_run, read_blocks, read_scores, score_file
from .truth import Truth, read_truth, truth_folder

__all__ = [
    "CHOSEN_ON",
    "COSTS",
    "HELD_OUT",
    "MEASURES",
    "Run",
    "Study",
    "blocks_of",
    "choose",
    "criterion",
    "differences",
    "judge",
    "rerank",
    "table_of",
]

Run = tuple[Table, Table]

MEASURES = ("spearman", "P@1", "P@3", "P@5")  # in the tables
COSTS = ("regret@1", "regret@3", "regret@5")
_SPLIT_SEED = 2019
_SELECTION_SEED = 0  # of the encoders
_A_TERM = 0.02


def _halves() -> tuple[tuple[str, ...], tuple[str, ...]]:
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(TARGETS))
    chosen = set(order[: len(TARGETS) // 2].tolist())
    first = tuple(t for i, t in enumerate(TARGETS) if i in chosen)
    return first, tuple(t for t in TARGETS if t not in first)


CHOSEN_ON, HELD_OUT = _halves()


@dataclass(frozen=True)
class Study:
    """The committed tables.

    Parameters
    ----------
    root : Path
        With ``truth`` and ``scores``.
    """

    root: Path

    @cached_property
    def seeds(self) -> list[int]:
        """Encoder seeds whose transfers are there, and all scores."""
        found = []
        for folder in sorted((self.root / "truth").glob("residual-seed*")):
            run = folder.name
            complete = truth_folder(self.root, run).joinpath("losses.csv").is_file() and all(
                score_file(self.root, run, probes, name).is_file()
                for probes in PROBE_SETS
                for name in BASE
            )
            if complete:
                found.append(int(run.removeprefix("residual-seed")))
        if _SELECTION_SEED not in found:
            raise PyattrxError(
                f"{self.root} has no seed {_SELECTION_SEED} with transfers and all scores, by "
                "which the method is chosen: gather and score it first (--gather, --scores), from "
                "the sources of this package"
            )
        return found

    @cached_property
    def truths(self) -> dict[int, Truth]:
        """Transfers of every seed; the untrained control is no source."""
        return {
            seed: read_truth(self.root, f"residual-seed{seed}").select(TARGETS, tuple(TASKS))
            for seed in self.seeds
        }

    @cached_property
    def _scores(self) -> dict[tuple[int, str], dict[str, NDArray[np.float64]]]:
        return {
            (seed, probes): {
                name: read_scores(
                    score_file(self.root, f"residual-seed{seed}", probes, name), tuple(TASKS)
                )
                for name in BASE
            }
            for seed in self.seeds
            for probes in PROBE_SETS
        }

    @cached_property
    def _blocks(self) -> dict[tuple[int, str], dict[str, Blocks]]:
        return {
            (seed, probes): blocks_of(self.root, one_architecture(seed), probes, tuple(TASKS))
            for seed in self.seeds
            for probes in PROBE_SETS
        }

    def affinity(self, candidate: Candidate, seed: int, probes: str) -> Table:
        """Scores of all networks by a method, also without blocks of probes where they are kept."""
        return table_of(
            candidate, self._scores[seed, probes], self._blocks[seed, probes], tuple(TASKS)
        )

    def knows_probes(self, name: str) -> bool:
        """Whether intervals of a candidate are over probes, too."""
        return all(set(CANDIDATES[name].terms) <= set(of_run) for of_run in self._blocks.values())

    def runs(
        self,
        name: str,
        probes: str,
        targets: Sequence[str] = TARGETS,
        seeds: Sequence[int] | None = None,
    ) -> list[Run]:
        """Scores by a candidate beside the truth, a pair for every seed."""
        return [
            (
                self.affinity(CANDIDATES[name], seed, probes).select(targets, tuple(TASKS)),
                self.truths[seed].select(targets, tuple(TASKS)).table,
            )
            for seed in (self.seeds if seeds is None else seeds)
        ]

    def fewer(self, name: str, probes: str, count: int) -> list[Run]:
        """Scores by a method of `FEWER_PROBES` from the first few probes, beside the truth."""
        return [
            (
                evaluate.read_table(
                    score_file(self.root, f"residual-seed{seed}", probes, name, count)
                ).select(TARGETS, tuple(TASKS)),
                self.truths[seed].table,
            )
            for seed in self.seeds
        ]

    def fitted(self, name: str, probes: str) -> list[Run]:
        """Scores of targets fitted to the images of one transfer; none where they are missing."""
        candidate, found = CANDIDATES[name], []
        for seed in self.seeds:
            files = {
                term: score_file(self.root, fitted_run(seed), probes, term)
                for term in candidate.terms
            }
            if not all(file.is_file() for file in files.values()):
                continue
            square = {}
            for term, file in files.items():
                square[term] = np.zeros((len(TASKS), len(TASKS)))
                rows = [list(TASKS).index(target) for target in TARGETS]
                square[term][rows] = evaluate.read_table(file).select(TARGETS, tuple(TASKS)).values
            whole = Table(candidate.scores(square), tuple(TASKS), tuple(TASKS))
            found.append((whole.select(TARGETS, tuple(TASKS)), self.truths[seed].table))
        return found

    def baselines(
        self, targets: Sequence[str] = TARGETS, seeds: Sequence[int] | None = None
    ) -> dict[str, list[Run]]:
        """What knows no network, and what no method can beat.

        ``retest``: one decoder's transfers against the mean of the others'. ``other encoders``: the
        transfers from one seed of the encoders against those from another.
        """
        families = {name: task.family for name, task in TASKS.items()}
        found: dict[str, list[Run]] = {}
        chosen = self.seeds if seeds is None else seeds
        for seed in chosen:
            truth = self.truths[seed]
            for name, scores in evaluate.baseline_scores(truth.table, families=families).items():
                found.setdefault(name, []).append((scores, truth.table))
            decoders = range(truth.losses.shape[2])
            for one in decoders if len(decoders) > 1 else ():
                others = [d for d in decoders if d != one]
                pair = truth.of_decoders([one]), truth.of_decoders(others)
                found.setdefault("retest (ceiling)", []).append(pair)
            for other in chosen:
                if other != seed:
                    pair = self.truths[other].table, truth.table
                    found.setdefault("other encoders (ceiling)", []).append(pair)
        tasks = tuple(TASKS)
        return {
            name: [(a.select(targets, tasks), b.select(targets, tasks)) for a, b in runs]
            for name, runs in found.items()
        }

    @property
    def has_control(self) -> bool:
        """Whether transfers from an untrained network have been measured for every seed."""
        return all(
            "untrained" in read_truth(self.root, f"residual-seed{seed}").sources
            for seed in self.seeds
        )

    def control(self, name: str, probes: str) -> dict[str, float]:
        """Mean place, among 20 sources, that an untrained network gets from a method and has."""
        ranks, true_ranks = [], []
        sources = (*TASKS, "untrained")
        for seed in self.seeds:
            run = f"residual-seed{seed}"
            truth = read_truth(self.root, run)
            scores = evaluate.read_table(score_file(self.root, run, probes, name))
            measured = truth.select(TARGETS, sources).table
            for target in TARGETS:
                others = [s for s in TASKS if s != target]
                mine, real = (
                    table.select([target], [*others, "untrained"]).values[0]
                    for table in (scores, measured)
                )
                ranks.append(1 + (mine[:-1] > mine[-1]).sum())
                true_ranks.append(1 + (real[:-1] > real[-1]).sum())
        return {"score": float(np.mean(ranks)), "truth": float(np.mean(true_ranks))}


def blocks_of(
    root: Path, networks: Networks, probes: str, chosen: Sequence[str]
) -> dict[str, Blocks]:
    """Read the scores without each block of probes, of the methods that have them."""
    files = {name: blocks_file(root, networks.run, probes, name) for name in JUDGED}
    return {
        name: read_blocks(file, networks.labels, chosen)
        for name, file in files.items()
        if file.is_file()
    }


def table_of(
    candidate: Candidate,
    scores: Mapping[str, NDArray[np.float64]],
    blocks: Mapping[str, Blocks],
    names: Sequence[str],
) -> Table:
    """Put the scores of a candidate together, and what they are without each block of probes."""
    values = candidate.scores(scores)
    if not set(candidate.terms) <= set(blocks):
        return Table(values, tuple(names), tuple(names))
    without = candidate.scores({name: scores[name] - blocks[name][0] for name in candidate.terms})
    of_probe = blocks[next(iter(candidate.terms))][1]
    return Table(values, tuple(names), tuple(names), without=without, blocks=of_probe)


def rerank(near: Sequence[Run], order: Sequence[Run], finalists: int) -> list[Run]:
    """What a zoo answers: the nearest few sources by one method in the order of another.

    Parameters
    ----------
    near, order : sequence of (scores, truth)
        Runs of the two methods.
    finalists : int
        How many of the nearest candidates.

    Returns
    -------
    list of (scores, truth)
        Places; those that are no finalists come last, as the first method has them.
    """
    found = []
    for (first, truth), (then, _) in zip(near, order, strict=True):
        places = np.where(first.own | np.isnan(truth.values), -np.inf, first.values)
        last = -np.sort(-places, axis=1)[:, finalists - 1, None]
        chosen = places >= last
        # Two scales, one above the other: only the order of the sources counts.
        above = first.values.max() - then.values.min() + 1
        mixed = np.where(chosen, then.values + above, first.values)
        ranks = np.stack([evaluate.tables.mean_ranks(row) for row in mixed])
        found.append((first.with_values(ranks), truth))
    return found


def judge(runs: Sequence[Run], samples: int = 2000) -> dict[str, Estimate]:
    """Judge a method by all measures; sources with equal scores count the mean of their orders."""
    found = evaluate.summarize({"it": runs}, samples=samples)["it"]
    return {measure: found[measure] for measure in (*MEASURES, *COSTS)}


def criterion(study: Study, name: str) -> float:
    """What the choice is made by; see the module's description."""
    total = 0.0
    for probes in PROBE_SETS:
        ((scores, truth),) = study.runs(name, probes, CHOSEN_ON, [_SELECTION_SEED])
        precision = evaluate.precision_at_k(scores, truth, 5, ties="mean")
        total += (evaluate.spearman(scores, truth) + precision) / len(PROBE_SETS)
    return total - _A_TERM * (len(CANDIDATES[name].terms) - 1)


def choose(study: Study) -> list[tuple[str, float]]:
    """All candidates by the criterion, the best first."""
    values = [(name, criterion(study, name)) for name in CANDIDATES]
    return sorted(values, key=lambda pair: -pair[1])


def differences(
    study: Study, first: str, rivals: Sequence[str], probes: str, targets: Sequence[str],
    seeds: Sequence[int],
) -> dict[str, dict[str, Difference]]:  # fmt: skip
    """How much better a method is than each rival, in Spearman's correlation and P@5."""
    measures: dict[str, Any] = {
        "spearman": evaluate.spearman,
        "P@5": partial(evaluate.precision_at_k, k=5, ties="mean"),
    }
    mine = study.runs(first, probes, targets, seeds)
    return {
        rival: {
            name: evaluate.paired_difference(
                measure, mine, study.runs(rival, probes, targets, seeds)
            )
            for name, measure in measures.items()
        }
        for rival in rivals
    }
