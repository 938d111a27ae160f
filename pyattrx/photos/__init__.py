"""Photos and pixels: found, opened, decoded, kept, and known again when they are the same."""

from pyattrx.photos.arguments import (
    check_count,
    check_cuts,
    check_names,
    check_order,
    check_photos,
    dense_groups,
    group_keys,
)
from pyattrx.photos.copies import count_copies, join_copies
from pyattrx.photos.listing import SUFFIXES, GroupOf, group_of_path, in_order, list_images
from pyattrx.photos.parallel import ordered_map
from pyattrx.photos.photos import Cuts, Decoded, Skipped, Unreadable, decode, open_photo, to_rgb
from pyattrx.photos.reading import read_batches, read_photos, store_images
from pyattrx.photos.seeded import seeded_hash
from pyattrx.photos.store import Pixels, PixelStore, as_float32, digest
from pyattrx.photos.tensors import check_images, to_pixels

__all__ = [
    "SUFFIXES",
    "Cuts",
    "Decoded",
    "GroupOf",
    "PixelStore",
    "Pixels",
    "Skipped",
    "Unreadable",
    "as_float32",
    "check_count",
    "check_cuts",
    "check_images",
    "check_names",
    "check_order",
    "check_photos",
    "count_copies",
    "decode",
    "dense_groups",
    "digest",
    "group_keys",
    "group_of_path",
    "in_order",
    "join_copies",
    "list_images",
    "open_photo",
    "ordered_map",
    "read_batches",
    "read_photos",
    "seeded_hash",
    "store_images",
    "to_pixels",
    "to_rgb",
]
