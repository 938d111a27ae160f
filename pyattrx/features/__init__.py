"""What networks see in a task's images: read in one pass, kept on disk, used by every score."""

from pyattrx.features.cache import FeatureCache, default_folder
from pyattrx.features.costs import Costs
from pyattrx.features.extracting import Features, extract
from pyattrx.features.place import FeatureReader, Place, find_place

__all__ = [
    "Costs",
    "FeatureCache",
    "FeatureReader",
    "Features",
    "Place",
    "default_folder",
    "extract",
    "find_place",
]
