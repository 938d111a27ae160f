"""Affinities between networks: the run, its result and its statistics."""

from pyattrx.affinities.attributing import attribute
from pyattrx.affinities.ranking import Match
from pyattrx.affinities.result import Affinity
from pyattrx.affinities.run import affinity

__all__ = ["Affinity", "Match", "affinity", "attribute"]
