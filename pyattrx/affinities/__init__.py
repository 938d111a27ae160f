"""Affinities between networks: the run, its result and its statistics."""

from pyattrx.affinities.attributing import as_encoder, attribute
from pyattrx.affinities.comparing import compare
from pyattrx.affinities.result import Affinity
from pyattrx.affinities.rows import Place, RowStore
from pyattrx.affinities.run import affinity
from pyattrx.affinities.scoring import BlockSums, Scores, by_blocks
from pyattrx.statistics import Match

__all__ = [
    "Affinity",
    "BlockSums",
    "Match",
    "Place",
    "RowStore",
    "Scores",
    "affinity",
    "as_encoder",
    "attribute",
    "by_blocks",
    "compare",
]
