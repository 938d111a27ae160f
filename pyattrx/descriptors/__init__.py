"""Descriptors: what a network becomes before it is compared."""

from pyattrx.descriptors.maps import AttributionMaps, choose_pixels
from pyattrx.descriptors.method import Method, resolve_method

__all__ = ["AttributionMaps", "Method", "choose_pixels", "resolve_method"]
