"""How a zoo is asked: one `Query` in, one list of `Matches` out.

A target's sketch chooses candidates, these are compared by their rows, and by summaries of features
where the zoo keeps them, and then ranked. Whoever is outside imports from here (a test keeps it).
"""

from pyattrx.query.answering import answer
from pyattrx.query.candidates import Candidates
from pyattrx.query.limits import Limits
from pyattrx.query.matches import Matches
from pyattrx.query.query import Asked, Options, Query, Several, Target
from pyattrx.query.sketch_index import KINDS, SketchIndex, faiss_or_none
from pyattrx.query.stored import stored_affinity

__all__ = [
    "KINDS",
    "Asked",
    "Candidates",
    "Limits",
    "Matches",
    "Options",
    "Query",
    "Several",
    "SketchIndex",
    "Target",
    "answer",
    "faiss_or_none",
    "stored_affinity",
]
