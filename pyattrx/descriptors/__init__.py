"""Descriptors: what a network becomes before it is compared."""

from pyattrx.descriptors.maps import AttributionMaps, choose_pixels
from pyattrx.descriptors.method import Method, resolve_method
from pyattrx.descriptors.precision import PRECISIONS, arithmetic, check_precision, map_cosines
from pyattrx.descriptors.storage import STORAGES, quantise

__all__ = [
    "PRECISIONS",
    "STORAGES",
    "AttributionMaps",
    "Method",
    "arithmetic",
    "check_precision",
    "choose_pixels",
    "map_cosines",
    "quantise",
    "resolve_method",
]
