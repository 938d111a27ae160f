"""Photos turned upright: by the orientation in their metadata, of which nothing else is used."""

from __future__ import annotations

import struct
from typing import Any

from PIL import ExifTags, Image

__all__ = ["upright"]

_TAG = int(ExifTags.Base.Orientation)
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_SHORT = 3


def upright(image: Image.Image) -> Image.Image:
    """Return a copy of an image, turned and mirrored as its metadata asks for.

    Where that says nothing, or cannot be read, the copy is as the image is stored. Nothing is
    written: Pillow's own `exif_transpose` makes all metadata anew, and fails on some.
    """
    image.load()  # formats may hold metadata behind the pixels
    turn = _turn(_orientation(image))
    return image.copy() if turn is None else image.transpose(turn)


def _turn(orientation: Any) -> Image.Transpose | None:
    try:
        return _TURNS.get(orientation)
    except TypeError:  # cannot be a key
        return None


def _orientation(image: Image.Image) -> Any:
    """What EXIF says or, where it has no orientation, XMP."""
    block = image.info.get("exif")
    try:
        exif = image.getexif()
        found = exif.get(_TAG)
        if found is not None or not isinstance(block, bytes):
            return found
        # Not where somebody has removed the orientation from what was read.
        exif = Image.Exif()
        exif.load(block)
        if _TAG in exif:
            return None
    except Exception:  # Pillow raises almost anything on damaged metadata
        if not isinstance(block, bytes):
            return None
    return _despite_damage(block)


def _despite_damage(block: bytes) -> int | None:
    """Look for the orientation only, in the first directory; Pillow gives up at other entries."""
    while block.startswith(b"Exif\0\0"):
        block = block[6:]
    order = _ORDERS.get(block[:4])
    try:
        if order is None:
            return None
        (at,) = struct.unpack_from(f"{order}L", block, 4)
        (entries,) = struct.unpack_from(f"{order}H", block, at)
        for entry in range(entries):
            found = struct.unpack_from(f"{order}HHLH", block, at + 2 + 12 * entry)
            if found[:3] == (_TAG, _SHORT, 1):
                return int(found[3])
    except struct.error:  # it ends before
        pass
    return None
