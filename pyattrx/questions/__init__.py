"""Questions about one pair of networks, or about one network."""

from pyattrx.questions.explaining import explain
from pyattrx.questions.explanation import ChannelExamples, ChannelShare, Explanation
from pyattrx.questions.layers_result import Layer, Layers
from pyattrx.questions.scoring_layers import layers

__all__ = [
    "ChannelExamples",
    "ChannelShare",
    "Explanation",
    "Layer",
    "Layers",
    "explain",
    "layers",
]
