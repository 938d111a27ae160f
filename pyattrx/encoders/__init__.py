"""Encoders: networks with their preprocessing and output, and the copies that are run."""

from pyattrx.encoders.affine import Affine
from pyattrx.encoders.encoder import Encoder
from pyattrx.encoders.loading import expand, load, load_many
from pyattrx.encoders.outputs import pick_tensor
from pyattrx.encoders.prepared import PreparedEncoder
from pyattrx.encoders.taskonomy import TASKS, TaskonomyEncoder, load_taskonomy
from pyattrx.encoders.transforms import Normalize, check_geometry
from pyattrx.encoders.weights import load_weights, read_weights

__all__ = [
    "TASKS",
    "Affine",
    "Encoder",
    "Normalize",
    "PreparedEncoder",
    "TaskonomyEncoder",
    "check_geometry",
    "expand",
    "load",
    "load_many",
    "load_taskonomy",
    "load_weights",
    "pick_tensor",
    "read_weights",
]
