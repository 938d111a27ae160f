"""Affinities between networks: the run, its result and its statistics."""

from pyattrx.affinities.result import Affinity, Match
from pyattrx.affinities.run import affinity

__all__ = ["Affinity", "Match", "affinity"]
