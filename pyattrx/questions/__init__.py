"""Questions about one pair of networks, or about one: from which layer should one start?"""

from pyattrx.questions.layers_result import Layer, Layers
from pyattrx.questions.scoring_layers import layers

__all__ = ["Layer", "Layers", "layers"]
