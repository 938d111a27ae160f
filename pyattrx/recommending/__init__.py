"""Which pretrained network to start from, for images that somebody has."""

from pyattrx.recommending.agreement import Consensus, consensus
from pyattrx.recommending.result import Recommendation, Standing
from pyattrx.recommending.run import recommend

__all__ = ["Consensus", "Recommendation", "Standing", "consensus", "recommend"]
