"""Encoders: networks with their preprocessing and output, and the copies that are run."""

from pyattrx.encoders.affine import Affine
from pyattrx.encoders.copying import random_state_kept
from pyattrx.encoders.encoder import Encoder, refused
from pyattrx.encoders.identity import behaves_alike, behaviour_of
from pyattrx.encoders.imagenet import imagenet_top1
from pyattrx.encoders.loading import expand, load, load_many
from pyattrx.encoders.originals import original_untouched
from pyattrx.encoders.outputs import Output, pick_tensor, put_tensor, run_until
from pyattrx.encoders.passes import Pass
from pyattrx.encoders.prepared import PreparedEncoder
from pyattrx.encoders.saved import SUFFIX, register
from pyattrx.encoders.specifications import FORMS, Parts, is_file
from pyattrx.encoders.taps import Taps, exponent_of
from pyattrx.encoders.taskonomy import TASKS, TaskonomyEncoder, load_taskonomy
from pyattrx.encoders.transforms import Normalize, check_geometry
from pyattrx.encoders.untrained import looks_untrained, say_untrained
from pyattrx.encoders.weights import load_weights, read_weights

__all__ = [
    "FORMS",
    "SUFFIX",
    "TASKS",
    "Affine",
    "Encoder",
    "Normalize",
    "Output",
    "Parts",
    "Pass",
    "PreparedEncoder",
    "Taps",
    "TaskonomyEncoder",
    "behaves_alike",
    "behaviour_of",
    "check_geometry",
    "expand",
    "exponent_of",
    "imagenet_top1",
    "is_file",
    "load",
    "load_many",
    "load_taskonomy",
    "load_weights",
    "looks_untrained",
    "original_untouched",
    "pick_tensor",
    "put_tensor",
    "random_state_kept",
    "read_weights",
    "refused",
    "register",
    "run_until",
    "say_untrained",
]
