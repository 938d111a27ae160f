"""Probes: the unlabelled images that every network sees."""

from pyattrx.photos import Skipped
from pyattrx.probes.probes import Probes

__all__ = ["Probes", "Skipped"]
