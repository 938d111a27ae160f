"""Encoders for new tasks: small ones, trained in minutes from a few labelled images."""

from pyattrx.fitting.encoder import FitReport, FittedEncoder
from pyattrx.fitting.fit import fit_target
from pyattrx.fitting.labels import Kind
from pyattrx.fitting.networks import SmallEncoder
from pyattrx.fitting.saving import read_fitted

__all__ = [
    "FitReport",
    "FittedEncoder",
    "Kind",
    "SmallEncoder",
    "fit_target",
    "read_fitted",
]
