"""Errors, intervals, paired tests, the jackknife, and rankings with what can be told apart."""

from pyattrx.statistics.clustered import (
    PairMoments,
    Residuals,
    clustered_stderr,
    degrees_of_freedom,
    paired_p_values,
    reach,
)
from pyattrx.statistics.jackknife import jackknife_blocks, jackknife_residuals
from pyattrx.statistics.ranking import Match, check_level, check_ranking, interval, jsonable, rank

__all__ = [
    "Match",
    "PairMoments",
    "Residuals",
    "check_level",
    "check_ranking",
    "clustered_stderr",
    "degrees_of_freedom",
    "interval",
    "jackknife_blocks",
    "jackknife_residuals",
    "jsonable",
    "paired_p_values",
    "rank",
    "reach",
]
