"""Questions about one pair of networks, or about one network."""

from pyattrx.questions.explaining import explain
from pyattrx.questions.explanation import ChannelExamples, ChannelShare, Explanation

__all__ = ["ChannelExamples", "ChannelShare", "Explanation", "explain"]
