"""Textures that repeat: procedural noise and patterns, and crops of scikit-image's photos.

A texture is stored at several levels, each blurred over twice the texels of the one before, so that
a distant surface shows its mean and not a random texel.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pyattrx.demo.photos import demo_photos

__all__ = ["LEVELS", "PICTURES", "TEXTURES", "TEXTURE_SIZE", "texture_bank"]

Floats = NDArray[np.float32]

TEXTURE_SIZE = 128
LEVELS = 5
_PATTERNS = ("plaster", "clouds", "speckle", "planks", "stripes", "checks", "weave", "shelves")
_GREY_PHOTOS = ("brick", "grass", "gravel")
PICTURES = ("astronaut", "chelsea", "coffee", "hubble_deep_field", "motorcycle", "rocket")
TEXTURES = (*_PATTERNS, *_GREY_PHOTOS, *PICTURES)


@cache
def texture_bank() -> Floats:
    """All textures at all levels.

    Returns
    -------
    ndarray, float32, [len(TEXTURES), LEVELS, 128, 128, 3]
        Factors of a surface's colour, 1 in the mean for what is grey; a photo in colour is twice
        itself, for surfaces of the colour .5.

    Raises
    ------
    MissingDependencyError
        If scikit-image is not installed.
    """
    photos = {photo.name: photo.image for photo in demo_photos()}
    textures = [_grey(_pattern(name), 0.14) for name in _PATTERNS]
    textures += [_grey(_tile(photos[name]).mean(-1), 0.3) for name in _GREY_PHOTOS]
    textures += [2 * _crop(photos[name]) / 255 for name in PICTURES]
    bank = np.stack([_levels(texture) for texture in textures])
    return np.maximum(bank, 0).astype(np.float32)  # running sums leave -1e-15 where all is black


def _grey(pattern: NDArray[np.float64], contrast: float) -> NDArray[np.float64]:
    factor = 1 + contrast * (pattern - pattern.mean()) / pattern.std()
    return np.repeat(np.clip(factor, 0.2, 1.8)[..., None], 3, axis=2)


def _levels(texture: NDArray[np.float64]) -> NDArray[np.float64]:
    levels = [texture]
    for level in range(1, LEVELS):
        blurred = ndimage.uniform_filter(texture, size=(2**level, 2**level, 1), mode="wrap")
        levels.append(blurred)
    return np.stack(levels)


def _crop(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Cut the largest centred square and average it down to the size of a texture."""
    side = min(image.shape[:2])
    top, left = ((n - side) // 2 for n in image.shape[:2])
    square = image[top : top + side, left : left + side].astype(np.float64)
    factor = side / TEXTURE_SIZE
    smooth = ndimage.gaussian_filter(square, sigma=(factor / 2, factor / 2, 0), mode="nearest")
    at = ((np.arange(TEXTURE_SIZE) + 0.5) * factor).astype(np.int64)
    return np.asarray(smooth[at][:, at])


def _tile(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mirror a half-sized crop, so that it repeats without a seam."""
    half = _crop(image)[::2, ::2]
    return np.block([[[half], [half[:, ::-1]]], [[half[::-1]], [half[::-1, ::-1]]]])


def _noise(exponent: float, seed: int, stretch: float = 1.0) -> NDArray[np.float64]:
    """Noise that wraps around, with a power-law spectrum, stretched along the second axis."""
    rng = np.random.default_rng([seed, 20190915])
    white = np.fft.fft2(rng.standard_normal((TEXTURE_SIZE, TEXTURE_SIZE)))
    frequency = np.fft.fftfreq(TEXTURE_SIZE) * TEXTURE_SIZE
    radius = np.hypot(frequency[:, None], stretch * frequency[None])
    radius[0, 0] = 1
    values = np.real(np.fft.ifft2(white / radius**exponent))
    return np.asarray((values - values.mean()) / values.std())


def _pattern(name: str) -> NDArray[np.float64]:
    y, x = np.mgrid[:TEXTURE_SIZE, :TEXTURE_SIZE]
    turn = 2 * np.pi / TEXTURE_SIZE
    if name == "plaster":
        return 0.6 * _noise(1.0, 1)
    if name == "clouds":
        return _noise(1.8, 2)
    if name == "speckle":
        return _noise(0.4, 3)
    if name == "planks":
        joints = np.where(y % 16 < 2, -2.0, 0.0)
        boards = np.repeat(np.random.default_rng(4).normal(0, 0.7, TEXTURE_SIZE // 16), 16)
        return joints + boards[:, None] + 0.6 * _noise(1.0, 5, stretch=8)
    if name == "stripes":
        return np.asarray(np.sign(np.sin(4 * turn * x)) + 0.2 * _noise(0.7, 6))
    if name == "checks":
        squares = np.sign(np.sin(3 * turn * x) * np.sin(3 * turn * y))
        return np.asarray(squares + 0.2 * _noise(0.7, 7))
    if name == "weave":
        threads = np.sin(16 * turn * x) * np.sin(16 * turn * y)
        return np.asarray(threads + 0.5 * _noise(0.8, 8))
    boards = np.where(y % 32 < 5, 1.5, 0.0)  # shelves with backs of books
    books = np.repeat(np.random.default_rng(9).normal(0, 1, (4, TEXTURE_SIZE // 4)), 4, axis=1)
    return np.where(y % 32 < 5, boards, books[y // 32, x])
