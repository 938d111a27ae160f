"""Which pretrained network to start from, for images that somebody has."""

from pyattrx.recommending.agreement import Consensus, by_every_target, consensus, predict
from pyattrx.recommending.candidates import read_candidates
from pyattrx.recommending.heats import Heats
from pyattrx.recommending.labelled import main_score
from pyattrx.recommending.racing import race
from pyattrx.recommending.result import Recommendation, Standing
from pyattrx.recommending.run import recommend
from pyattrx.recommending.shortlist import FINALISTS
from pyattrx.recommending.table import as_text

__all__ = [
    "FINALISTS",
    "Consensus",
    "Heats",
    "Recommendation",
    "Standing",
    "as_text",
    "by_every_target",
    "consensus",
    "main_score",
    "predict",
    "race",
    "read_candidates",
    "recommend",
]
