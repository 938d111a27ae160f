"""Affinities between networks: the run, its result and its statistics."""

from pyattrx.affinities.attributing import attribute
from pyattrx.affinities.result import Affinity
from pyattrx.affinities.run import affinity
from pyattrx.statistics import Match

__all__ = ["Affinity", "Match", "affinity", "attribute"]
