"""Questions about one pair of networks, or about one network."""

from pyattrx.questions.explaining import explain
from pyattrx.questions.explanation import ChannelExamples, ChannelShare, Explanation
from pyattrx.questions.faithful import check_map_method, faithfulness, faithfulness_of_each
from pyattrx.questions.faithfulness_result import MEASURES, Faithfulness, FaithfulnessArea
from pyattrx.questions.layers_result import Layer, Layers
from pyattrx.questions.occluding import FILLS, ORDERS, Fill, Patches, check_fill, order_of
from pyattrx.questions.scoring_layers import layers

__all__ = [
    "FILLS",
    "MEASURES",
    "ORDERS",
    "ChannelExamples",
    "ChannelShare",
    "Explanation",
    "Faithfulness",
    "FaithfulnessArea",
    "Fill",
    "Layer",
    "Layers",
    "Patches",
    "check_fill",
    "check_map_method",
    "explain",
    "faithfulness",
    "faithfulness_of_each",
    "layers",
    "order_of",
]
