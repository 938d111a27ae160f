"""Task trees of methods beside the tree of the ground truth.

Scores of different kinds have different units, so all trees are made from places: the share of a
target's sources that a source beats, the mean of both directions, clustered by average linkage.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyattrx import Tree, evaluate
from pyattrx.evaluate import Table
from pyattrx.tree import build_tree

from ..minitaskonomy.tasks import TARGETS, TASKS
from .methods import CANDIDATES
from .study import Study

__all__ = ["agreement", "tree_of", "tree_of_truth"]


def tree_of(tables: Sequence[Table]) -> Tree:
    """Cluster the targets by their scores as sources for one another, the mean over tables."""
    both = [evaluate.symmetrised_scores(table.select(TARGETS, TARGETS)).values for table in tables]
    places = np.mean(both, axis=0)
    np.fill_diagonal(places, 1.0)
    return build_tree(places, TARGETS, form="affinity")


def tree_of_truth(study: Study) -> Tree:
    """The tree of the transfers."""
    return tree_of([truth.table for truth in study.truths.values()])


def tree_of_method(study: Study, name: str, probes: str) -> Tree:
    """The tree of a method."""
    return tree_of([study.affinity(CANDIDATES[name], seed, probes) for seed in study.seeds])


def agreement(tree: Tree, truth: Tree) -> dict[str, float]:
    """How well a tree agrees with that of the truth, and with the four families of tasks."""
    families = {name: TASKS[name].family for name in TARGETS}
    return {
        "cophenetic": evaluate.cophenetic_correlation(tree, truth),
        "families": evaluate.adjusted_rand_index(families, tree.cut(len(set(families.values())))),
    }
