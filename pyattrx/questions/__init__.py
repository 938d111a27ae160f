"""Questions about one pair of networks, or about one: from which layer should one start?"""

from pyattrx.questions.layers import layers
from pyattrx.questions.layers_result import Layer, Layers

__all__ = ["Layer", "Layers", "layers"]
