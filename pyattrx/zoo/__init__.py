"""Zoos: networks on disk, added once and asked about for ever."""

from pyattrx.query import Matches
from pyattrx.storage import Entry, Report, Verification
from pyattrx.zoo.fidelity import Fidelity
from pyattrx.zoo.zoo import Zoo

__all__ = ["Entry", "Fidelity", "Matches", "Report", "Verification", "Zoo"]
