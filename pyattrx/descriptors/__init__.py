"""Descriptors: what a network becomes before it is compared."""

from pyattrx.descriptors.combined import RECOMMENDED, AnyMethod, Combined, resolve_method
from pyattrx.descriptors.feature_method import FEATURE_KINDS, FeatureMethod
from pyattrx.descriptors.maps import AttributionMaps, choose_pixels
from pyattrx.descriptors.method import Method, resolve_maps_method
from pyattrx.descriptors.points import CKA, DDS, RSA, Edges, Ridge
from pyattrx.descriptors.precision import PRECISIONS, arithmetic, check_precision, map_cosines
from pyattrx.descriptors.probe_sets import ProbeSetDescriptor, Summary
from pyattrx.descriptors.regression import NormalizedRidge, PerturbationResponse
from pyattrx.descriptors.storage import STORAGES, quantise
from pyattrx.descriptors.svcca import SVCCA

__all__ = [
    "FEATURE_KINDS",
    "PRECISIONS",
    "RECOMMENDED",
    "STORAGES",
    "AnyMethod",
    "AttributionMaps",
    "Combined",
    "FeatureMethod",
    "Method",
    "ProbeSetDescriptor",
    "Summary",
    "arithmetic",
    "check_precision",
    "choose_pixels",
    "feature_descriptor",
    "map_cosines",
    "quantise",
    "resolve_maps_method",
    "resolve_method",
]

_DESCRIPTORS: dict[str, type[ProbeSetDescriptor]] = {
    "rsa": RSA,
    "cka": CKA,
    "dds": DDS,
    "edges": Edges,
    "svcca": SVCCA,
    "ridge": Ridge,
    "normalized_ridge": NormalizedRidge,
    "perturbation_response": PerturbationResponse,
}


def feature_descriptor(method: FeatureMethod) -> ProbeSetDescriptor:
    """Make the descriptor of a feature method."""
    return _DESCRIPTORS[method.kind](method)
