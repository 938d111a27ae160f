"""How well an affinity ranks the sources of every target, against a ground truth of transfers.

The measures take two tables of one shape: rows are targets, columns are sources, larger is
better. A table is an array, a nested list, a pandas frame, a `Table` or anything with an array
`values` (such as an `Affinity`). For every target the candidates are ranked, and a source is **no**
candidate

- where the ground truth is NaN (whatever the affinity says there), and
- where it is the target itself: the same name, if one of the tables names both its rows and its
  columns with strings (a frame, a `Table`, or an object with `names`); the diagonal, if no table
  has names and the tables are square.

Tables that both have names must have the same ones in the same order; `align` brings them there.
"""

from pyattrx.evaluate.accuracies import Accuracies
from pyattrx.evaluate.agreement import adjusted_rand_index, cophenetic_correlation
from pyattrx.evaluate.alike import RankAgreement, rank_agreement
from pyattrx.evaluate.baselines import (
    baseline_scores,
    family_scores,
    popularity_scores,
    random_scores,
    retest_scores,
    static_scores,
    symmetrised_scores,
)
from pyattrx.evaluate.csvs import read_curves, read_names
from pyattrx.evaluate.intervals import (
    Difference,
    Estimate,
    bootstrap,
    interval,
    paired_difference,
)
from pyattrx.evaluate.judging import Judgement, judge_scores
from pyattrx.evaluate.measures import (
    kendall,
    precision_at_k,
    recall_at_k,
    regret_at_k,
    spearman,
    weighted_kendall,
)
from pyattrx.evaluate.published import read_accuracies, read_all_accuracies
from pyattrx.evaluate.rankings import spearman as row_spearman
from pyattrx.evaluate.rankings import weighted_kendall as row_weighted_kendall
from pyattrx.evaluate.reading import read_table, write_table
from pyattrx.evaluate.redrawing import ProbeParts
from pyattrx.evaluate.repeating import Reliability, reliability
from pyattrx.evaluate.summary import precision_curve, recall_of, summarize
from pyattrx.evaluate.tables import Table, align, as_table, mean_ranks
from pyattrx.evaluate.transfers import transfer_affinities
from pyattrx.evaluate.usual import random_precision, usual_counts, usual_relevant

__all__ = [
    "Accuracies",
    "Difference",
    "Estimate",
    "Judgement",
    "ProbeParts",
    "RankAgreement",
    "Reliability",
    "Table",
    "adjusted_rand_index",
    "align",
    "as_table",
    "baseline_scores",
    "bootstrap",
    "cophenetic_correlation",
    "family_scores",
    "interval",
    "judge_scores",
    "kendall",
    "mean_ranks",
    "paired_difference",
    "popularity_scores",
    "precision_at_k",
    "precision_curve",
    "random_precision",
    "random_scores",
    "rank_agreement",
    "read_accuracies",
    "read_all_accuracies",
    "read_curves",
    "read_names",
    "read_table",
    "recall_at_k",
    "recall_of",
    "regret_at_k",
    "reliability",
    "retest_scores",
    "row_spearman",
    "row_weighted_kendall",
    "spearman",
    "static_scores",
    "summarize",
    "symmetrised_scores",
    "transfer_affinities",
    "usual_counts",
    "usual_relevant",
    "weighted_kendall",
    "write_table",
]

# Written into files as part of a method, a function is named by the place where users find it.
for _measure in (
    kendall, precision_at_k, random_precision, recall_at_k, regret_at_k, spearman,
    weighted_kendall,
):  # fmt: skip
    _measure.__module__ = __name__
