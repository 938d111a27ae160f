"""Ways of comparing networks: each a small frozen dataclass, in a file of its own."""

from pyattrx.methods.adversarial_response import AdversarialResponse
from pyattrx.methods.attribution import Forward, GradXInput, InputAttribution, Saliency
from pyattrx.methods.base import ComparisonMethod
from pyattrx.methods.cka import CKA
from pyattrx.methods.combined import Combined, standardized
from pyattrx.methods.dds import DDS
from pyattrx.methods.edges import Edges
from pyattrx.methods.elrp import ELRP
from pyattrx.methods.feature_method import ROUNDINGS, FeatureMethod, Summary
from pyattrx.methods.gradient_field import GradientField
from pyattrx.methods.inner import InnerAttribution
from pyattrx.methods.map_method import (
    ATTRIBUTIONS,
    Method,
    resolve_attribution,
    resolve_maps_method,
)
from pyattrx.methods.maps import AttributionMaps, choose_pixels
from pyattrx.methods.moments import Moments, cross_fitted_r2, narrowed
from pyattrx.methods.names import FEATURE_METHODS, RECOMMENDED, from_dict, get, imports, summary
from pyattrx.methods.names import list_methods as list
from pyattrx.methods.network import Network
from pyattrx.methods.normalized_ridge import NormalizedRidge
from pyattrx.methods.perturbation_response import PerturbationResponse, perturbations
from pyattrx.methods.regression import Regression, unit_length
from pyattrx.methods.ridge import Ridge
from pyattrx.methods.rsa import RSA
from pyattrx.methods.scalars import SCALARS, Scalar, resolve_scalar
from pyattrx.methods.shares import ChannelShares, channel_shares, channels_of
from pyattrx.methods.storage import STORAGES, quantize
from pyattrx.methods.strongest_steps import enlarged
from pyattrx.methods.svcca import SVCCA

__all__ = [
    "ATTRIBUTIONS",
    "CKA",
    "DDS",
    "ELRP",
    "FEATURE_METHODS",
    "RECOMMENDED",
    "ROUNDINGS",
    "RSA",
    "SCALARS",
    "STORAGES",
    "SVCCA",
    "AdversarialResponse",
    "AttributionMaps",
    "ChannelShares",
    "Combined",
    "ComparisonMethod",
    "Edges",
    "FeatureMethod",
    "Forward",
    "GradXInput",
    "GradientField",
    "InnerAttribution",
    "InputAttribution",
    "Method",
    "Moments",
    "Network",
    "NormalizedRidge",
    "PerturbationResponse",
    "Regression",
    "Ridge",
    "Saliency",
    "Scalar",
    "Summary",
    "channel_shares",
    "channels_of",
    "choose_pixels",
    "cross_fitted_r2",
    "enlarged",
    "from_dict",
    "get",
    "imports",
    "list",
    "narrowed",
    "perturbations",
    "quantize",
    "resolve_attribution",
    "resolve_maps_method",
    "resolve_scalar",
    "standardized",
    "summary",
    "unit_length",
]
