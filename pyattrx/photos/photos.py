"""Photos as probes: decoding, upright RGB, resizing and cropping."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from pyattrx.photos.seeded import seeded_hash
from pyattrx.photos.store import Pixels, digest
from pyattrx.photos.upright import upright

__all__ = ["FORMATS", "Cuts", "Decoded", "Skipped", "Unreadable", "decode", "open_photo", "to_rgb"]

# Nothing else is tried, whatever a file is called: some of Pillow's readers start other programs.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")

_WITH_ALPHA = ("LA", "PA", "RGBA", "RGBa")
_16_BIT = ("I;16", "I;16L", "I;16B", "I;16N")


@dataclass(frozen=True)
class Skipped:
    """An image file that was left out.

    Parameters
    ----------
    path : str
        Where it is, relative to the folder that was read, with forward slashes.
    reason : str
        Why it cannot be used.
    """

    path: str
    reason: str

    def to_dict(self) -> dict[str, str]:
        """Return the same as a dictionary for JSON."""
        return {"path": self.path, "reason": self.reason}


class Unreadable(Exception):
    """Internal: why an image cannot be used; callers add which one it is."""


@dataclass(frozen=True)
class Decoded:
    """The probes of one photo, uint8 [3, H, W] each, and their digests."""

    images: list[Pixels]
    digests: list[bytes]


@dataclass(frozen=True)
class Cuts:
    """What is cut from a photo.

    Parameters
    ----------
    size : (int, int)
        Height and width of a probe.
    crops : int
        1 for the largest centred part of the size's aspect; more for that many random parts.
    min_crop : float
        The least side of a random part, relative to the largest possible.
    seed : int
    """

    size: tuple[int, int]
    crops: int
    min_crop: float
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """Return the same as a dictionary for JSON."""
        return {"crops": self.crops, "min_crop": self.min_crop, "seed": self.seed}

    @property
    def photo_bytes(self) -> int:
        """Bytes of the probes of one photo."""
        return 3 * self.size[0] * self.size[1] * self.crops

    def boxes(self, name: str, width: int, height: int) -> list[tuple[float, float, float, float]]:
        """Left, upper, right and lower edge of every part of a photo."""
        rows, columns = self.size
        if width * rows <= height * columns:
            widest, tallest = float(width), max(1.0, width * rows / columns)
        else:
            widest, tallest = max(1.0, height * columns / rows), float(height)
        if self.crops == 1:
            left, upper = (width - widest) / 2, (height - tallest) / 2
            right, lower = min(left + widest, width), min(upper + tallest, height)
            return [(left, upper, right, lower)]
        boxes: list[tuple[float, float, float, float]] = []
        for index in range(self.crops):
            bits = seeded_hash(self.seed, f"crop {index}", name)
            scale, x, y = (int.from_bytes(bits[at : at + 6], "big") for at in (0, 6, 12))
            side = self.min_crop + (1 - self.min_crop) * (scale / 2**48)
            w = min(max(1, round(widest * side)), width)
            h = min(max(1, round(tallest * side)), height)
            left, upper = (x * (width - w + 1)) >> 48, (y * (height - h + 1)) >> 48
            boxes.append((left, upper, left + w, upper + h))
        return boxes

    def apply(self, photo: Image.Image, name: str) -> Decoded:
        """Cut an RGB photo; `name` and the seed decide where."""
        rows, columns = self.size
        images: list[Pixels] = []
        for box in self.boxes(name, photo.width, photo.height):
            part = photo.resize((columns, rows), Image.Resampling.BICUBIC, box=box)
            images.append(np.ascontiguousarray(np.asarray(part).transpose(2, 0, 1)))
        return Decoded(images, [digest(image) for image in images])


def decode(path: Path, name: str, cuts: Cuts) -> Decoded | Skipped:
    """Read a file and cut it; a file that cannot be read is returned as `Skipped`."""
    try:
        photo = open_photo(path)
    except Unreadable as error:
        return Skipped(name, str(error))
    return cuts.apply(photo, name)


def open_photo(path: Path) -> Image.Image:
    """Read an image file as an upright RGB photo, or raise `Unreadable`."""
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            raise Unreadable("not a regular file")
        if found.st_size == 0:
            raise Unreadable("the file is empty")
        with Image.open(path, formats=FORMATS) as image:
            return to_rgb(image)
    except Unreadable:
        raise
    except UnidentifiedImageError as error:
        raise Unreadable(f"not an image in one of the formats {', '.join(FORMATS)}") from error
    except OSError as error:
        raise Unreadable(error.strerror or str(error)) from error
    except Exception as error:  # Pillow's readers raise almost anything on damaged files
        raise Unreadable(str(error) or type(error).__name__) from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Return a new 8-bit RGB image: upright by its orientation, transparency over white."""
    if 0 in image.size:
        raise Unreadable("it has no pixels")
    # Pillow before 11 reads 16-bit PNG files as 32-bit integers.
    wide_png = image.mode == "I" and image.format == "PNG"
    turned = upright(image)
    if turned.mode in _16_BIT or wide_png:
        return _from_16_bit(turned)
    if turned.mode in ("I", "F"):
        raise Unreadable(
            f"pixels of mode {turned.mode} have no known range: convert them to 8 or 16 bits"
        )
    if turned.mode in _WITH_ALPHA or "transparency" in turned.info:
        white = Image.new("RGBA", turned.size, "white")
        return Image.alpha_composite(white, turned.convert("RGBA")).convert("RGB")
    return turned if turned.mode == "RGB" else turned.convert("RGB")


def _from_16_bit(image: Image.Image) -> Image.Image:
    # Pillow's own conversion clips at 255, which turns most 16-bit images white.
    values: np.ndarray[Any, np.dtype[np.int64]] = np.asarray(image).astype(np.int64)
    return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")
